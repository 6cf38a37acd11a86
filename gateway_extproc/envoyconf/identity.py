"""How Envoy proves identities for the gateway: client certificates, and tokens where it shall."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway_extproc.config.model import Config, Tls
from gateway_extproc.config.proofs import Issuer
from gateway_extproc.core.names import CLAIMS_NAMESPACE
from gateway_extproc.envoyconf.parts import HTTP_OPTIONS, TYPE, Json, named, seconds
from gateway_extproc.envoyconf.processor import issuers_verified_by_envoy
from gateway_extproc.envoyconf.upstream import server_tls

KEYS_TIMEOUT_S = 5


def downstream_tls(tls: Tls) -> Json:
    """TLS towards clients, with their certificates asked for where an authority is named."""
    context: Json = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificates": [
            {
                "certificate_chain": {"filename": tls.certificate_file},
                "private_key": {"filename": tls.key_file},
            }
        ],
    }
    if tls.client_ca_file:
        context["validation_context"] = {"trusted_ca": {"filename": tls.client_ca_file}}
    return named(
        "envoy.transport_sockets.tls",
        {
            "@type": TYPE + "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": context,
            "require_client_certificate": tls.require_client_certificate,
            # A resumed session would carry a certificate that was good when it began.
            "disable_stateless_session_resumption": bool(tls.client_ca_file),
            "disable_stateful_session_resumption": bool(tls.client_ca_file),
        },
    )


def forwarded_certificate(config: Config) -> Json:
    """What becomes of ``x-forwarded-client-cert``: never what a client sent.

    SANITIZE removes it; SANITIZE_SET puts Envoy's own word in its place, where the
    gateway is to read that.
    """
    certificates = config.identity.certificates
    if not (certificates.workloads and certificates.source == "header"):
        return {"forward_client_cert_details": "SANITIZE"}
    return {
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"uri": True},
    }


def token_filters(config: Config) -> list[Json]:
    """The jwt_authn filter, where an issuer is verified by Envoy; it only ever vouches.

    Requests without a good token pass it unvouched, so that the gateway refuses them, in
    the client's dialect and with a record.
    """
    issuers = issuers_verified_by_envoy(config)
    if not issuers:
        return []
    names = [{"provider_name": issuer.id} for issuer in issuers]
    return [
        named(
            CLAIMS_NAMESPACE,
            {
                "@type": TYPE + "extensions.filters.http.jwt_authn.v3.JwtAuthentication",
                "providers": {issuer.id: _provider(issuer) for issuer in issuers},
                "rules": [
                    {
                        "match": {"prefix": "/"},
                        "requires": {
                            "requires_any": {
                                "requirements": [*names, {"allow_missing_or_failed": {}}]
                            }
                        },
                    }
                ],
            },
        )
    ]


def _provider(issuer: Issuer) -> Json:
    return {
        "issuer": issuer.issuer,
        "audiences": list(issuer.audiences),
        "clock_skew_seconds": int(issuer.leeway_s),
        "require_expiration": True,
        # Only there: by default Envoy also takes a token from the query string.
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        # The gateway must see what was sent; it takes it out before a provider could.
        "forward": True,
        "payload_in_metadata": issuer.id,
        **_key_source(issuer),
    }


def _key_source(issuer: Issuer) -> Json:
    if issuer.jwks_url is None:
        return {"local_jwks": {"filename": issuer.jwks_file}}
    return {
        "remote_jwks": {
            "http_uri": {
                "uri": issuer.jwks_url,
                "cluster": keys_cluster_name(issuer),
                "timeout": seconds(KEYS_TIMEOUT_S),
            },
            "cache_duration": seconds(issuer.refresh_s),
            "async_fetch": {"fast_listener": True},
        }
    }


def keys_cluster_name(issuer: Issuer) -> str:
    """The cluster through which Envoy fetches an issuer's keys; no provider is named so."""
    return f"{issuer.id}:keys"


def keys_clusters(config: Config) -> list[Json]:
    """One cluster for each issuer whose keys Envoy fetches."""
    return [
        _keys_cluster(issuer)
        for issuer in issuers_verified_by_envoy(config)
        if issuer.jwks_url is not None
    ]


def _keys_cluster(issuer: Issuer) -> Json:
    url = urlsplit(issuer.jwks_url or "")
    host, secure = url.hostname or "", url.scheme == "https"
    port = url.port or (443 if secure else 80)
    cluster: Json = {
        "name": keys_cluster_name(issuer),
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": seconds(KEYS_TIMEOUT_S),
        "load_assignment": {
            "cluster_name": keys_cluster_name(issuer),
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {
                                "address": {"socket_address": {"address": host, "port_value": port}}
                            }
                        }
                    ]
                }
            ],
        },
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: {
                "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }
    if secure:
        cluster["transport_socket"] = server_tls(host, issuer.ca_file)
    return cluster
