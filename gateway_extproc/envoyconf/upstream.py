"""The clusters of the providers: each as a first target and as a fallback."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from gateway_extproc.config.compile import fallback_cluster
from gateway_extproc.config.failing import HealthCheck
from gateway_extproc.config.model import Config, Listen, Provider
from gateway_extproc.config.routes import websocket_cluster
from gateway_extproc.core.names import ATTEMPT_HEADER, CLUSTER_NAMESPACE
from gateway_extproc.envoyconf.holding import hold_filter
from gateway_extproc.envoyconf.noting import note_filter
from gateway_extproc.envoyconf.parts import (
    HTTP_OPTIONS,
    TYPE,
    Json,
    address,
    named,
    seconds,
    upstream_tls,
)
from gateway_extproc.envoyconf.processor import upstream_level

ENVOY_HEADERS = (
    ATTEMPT_HEADER,
    "x-envoy-original-host",
    "x-envoy-max-retries",
    "x-envoy-expected-rq-timeout-ms",
    "x-forwarded-proto",
)
"""Headers that Envoy or the router-level filter need, and no provider."""


NOBODY: Final = Listen(address="127.0.0.1", port=1)
"""An address at which nobody listens (tcpmux, RFC 1078)."""


def provider_cluster(
    config: Config, provider: Provider, *, fallback: bool = False, websocket: bool = False
) -> Json:
    """A provider as first target, or (``fallback``) as a later one with its own ext_proc filter.

    With ``websocket`` no filter notes or holds anything: a websocket answers without a body.
    """
    name = fallback_cluster(provider.id) if fallback else provider.id
    if websocket:
        name = websocket_cluster(provider.id)
    url = urlsplit(provider.base_url)
    host = url.hostname or ""
    secure = url.scheme == "https"
    options: Json = {
        "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "http_filters": [
            *([] if websocket else [note_filter(config, provider)]),
            *([named("envoy.filters.http.ext_proc", upstream_level())] if fallback else []),
            *([hold_filter()] if config.failover.hold and not websocket else []),
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
    if provider.check is not None:
        _add_check(cluster, provider.check, url.netloc)
    if fallback:
        cluster["metadata"] = {"filter_metadata": {CLUSTER_NAMESPACE: {"name": name}}}
    if secure:
        cluster["transport_socket"] = server_tls(host, provider.ca_file)
    return cluster


def _add_check(cluster: Json, check: HealthCheck, host: str) -> None:
    """Passes over a provider that is not there, without waiting for it.

    A cluster without a healthy endpoint would answer 503 itself, and Envoy never tries again
    what it answered itself.  So behind the provider stands an endpoint that refuses every
    connection at once: that is a failed attempt like any other, and the next target is tried.
    """
    cluster["health_checks"] = [
        {
            "timeout": seconds(check.timeout_s),
            "interval": seconds(check.interval_s),
            "no_traffic_interval": seconds(check.interval_s),
            "unhealthy_threshold": check.unhealthy_after,
            "healthy_threshold": check.healthy_after,
            "http_health_check": {
                "path": check.path,
                "host": host,
                "expected_statuses": [{"start": s, "end": s + 1} for s in check.statuses],
            },
        }
    ]
    # Below it Envoy would ask endpoints that it knows to be gone.
    cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
    cluster["load_assignment"]["endpoints"].append(
        {
            "priority": 1,
            "lb_endpoints": [
                {
                    "endpoint": {
                        "address": address(NOBODY),
                        "health_check_config": {"disable_active_health_check": True},
                    }
                }
            ],
        }
    )


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
