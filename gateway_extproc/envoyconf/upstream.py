"""The clusters of the providers: each as a first target and as a fallback."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from gateway_extproc.config.compile import fallback_cluster
from gateway_extproc.config.model import Config, Provider
from gateway_extproc.core.names import ATTEMPT_HEADER, CLUSTER_NAMESPACE
from gateway_extproc.envoyconf.holding import hold_filter
from gateway_extproc.envoyconf.noting import note_filter
from gateway_extproc.envoyconf.parts import HTTP_OPTIONS, TYPE, Json, named, upstream_tls
from gateway_extproc.envoyconf.processor import upstream_level

ENVOY_HEADERS = (
    ATTEMPT_HEADER,
    "x-envoy-original-host",
    "x-envoy-max-retries",
    "x-envoy-expected-rq-timeout-ms",
    "x-forwarded-proto",
)
"""Headers that Envoy or the router-level filter need, and no provider."""


def provider_cluster(config: Config, provider: Provider, *, fallback: bool) -> Json:
    """A provider as first target, or (``fallback``) as a later one with its own ext_proc filter."""
    name = fallback_cluster(provider.id) if fallback else provider.id
    url = urlsplit(provider.base_url)
    host = url.hostname or ""
    secure = url.scheme == "https"
    options: Json = {
        "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "http_filters": [
            note_filter(),
            *([named("envoy.filters.http.ext_proc", upstream_level())] if fallback else []),
            *([hold_filter()] if config.failover.hold else []),
            named(
                "envoy.filters.http.header_mutation",
                {
                    "@type": TYPE + "extensions.filters.http.header_mutation.v3.HeaderMutation",
                    "mutations": {"request_mutations": [{"remove": h} for h in ENVOY_HEADERS]},
                },
            ),
            named(
                "envoy.filters.http.upstream_codec",
                {"@type": TYPE + "extensions.filters.http.upstream_codec.v3.UpstreamCodec"},
            ),
        ],
    }
    endpoint = {
        "hostname": url.netloc,
        "address": {
            "socket_address": {
                "address": host,
                "port_value": url.port or (443 if secure else 80),
            }
        },
    }
    cluster: Json = {
        "name": name,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "5s",
        "per_connection_buffer_limit_bytes": config.caps.answer_bytes,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
        "typed_extension_protocol_options": {HTTP_OPTIONS: options},
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 4096,
                    "max_pending_requests": 4096,
                    "max_requests": 4096,
                    "max_retries": 1024,
                }
            ]
        },
    }
    if fallback:
        cluster["metadata"] = {"filter_metadata": {CLUSTER_NAMESPACE: {"name": name}}}
    if secure:
        cluster["transport_socket"] = server_tls(host, provider.ca_file)
    return cluster


def server_tls(host: str, ca_file: str) -> Json:
    """TLS towards a server whose certificate must name ``host``."""
    san = {"san_type": _san_type(host), "matcher": {"exact": host}}
    return upstream_tls({}, host, ca_file, san)


def _san_type(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "DNS"
    return "IP_ADDRESS"
