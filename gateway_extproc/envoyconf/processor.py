"""How Envoy calls the workers: the ext_proc filters of both levels, and their cluster."""

from __future__ import annotations

from gateway_extproc.config.model import Config, Listen, WorkerTls
from gateway_extproc.config.proofs import Issuer
from gateway_extproc.core.names import (
    ATTEMPTS_NAMESPACE,
    CLAIMS_NAMESPACE,
    CLUSTER_NAMESPACE,
    FALLBACK_NAMESPACE,
    LOG_NAMESPACE,
    PROCESSOR_CLUSTER,
    ROUTE_NAMESPACE,
)
from gateway_extproc.envoyconf.parts import HTTP_OPTIONS, TYPE, Json, address, seconds, upstream_tls

MESSAGE_TIMEOUT_S = 5
"""Envoy's default of 200 ms turns a long garbage collection into a 504."""


PEER_ATTRIBUTES = ["connection.mtls", "connection.uri_san_peer_certificate"]
"""What the connection says of the client's certificate; no header can say it."""


def router_level(config: Config) -> Json:
    """The filter every request passes: it sees requests and answers, once each."""
    namespaces = [ATTEMPTS_NAMESPACE]
    if issuers_verified_by_envoy(config):
        namespaces.append(CLAIMS_NAMESPACE)
    return {
        **_processor_filter(response_headers="SEND", response_body="BUFFERED"),
        # JSON answers are read whole; event streams switch to STREAMED at their headers.
        "allow_mode_override": True,
        **(
            {"request_attributes": PEER_ATTRIBUTES}
            if config.identity.certificates.workloads
            else {}
        ),
        "response_attributes": [
            "xds.cluster_name",
            "upstream.request_attempt_count",
            "response.code_details",
        ],
        "metadata_options": {
            # A namespace that is not listed here is dropped without a word.
            "receiving_namespaces": {
                "untyped": [LOG_NAMESPACE, ROUTE_NAMESPACE, FALLBACK_NAMESPACE]
            },
            "forwarding_namespaces": {"untyped": namespaces},
        },
    }


def most_body_bytes(config: Config) -> int:
    """The largest body that any endpoint takes."""
    return max(config.caps.body_bytes, config.caps.upload_bytes)


def issuers_verified_by_envoy(config: Config) -> tuple[Issuer, ...]:
    """The issuers whose tokens Envoy's jwt_authn verifies for the gateway."""
    return tuple(i for i in config.identity.issuers if i.verified_by == "envoy")


def upstream_level() -> Json:
    """The filter of fallback attempts: request only (answers here crash Envoy 1.40)."""
    return {
        **_processor_filter(response_headers="SKIP", response_body="NONE"),
        "metadata_options": {
            "forwarding_namespaces": {"untyped": [FALLBACK_NAMESPACE]},
            # Only this filter forwards its cluster's metadata: so the processor knows
            # which level, and which cluster, a stream belongs to.
            "cluster_metadata_forwarding_namespaces": {"untyped": [CLUSTER_NAMESPACE]},
        },
    }


def _processor_filter(*, response_headers: str, response_body: str) -> Json:
    """What both levels share: requests are sent whole, and nothing passes without an answer."""
    return {
        "@type": TYPE + "extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": _grpc_service(),
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        "message_timeout": seconds(MESSAGE_TIMEOUT_S),
        "processing_mode": {
            "request_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "request_trailer_mode": "SKIP",
            "response_header_mode": response_headers,
            "response_body_mode": response_body,
            "response_trailer_mode": "SKIP",
        },
        # x-envoy-max-retries limits the retries to the targets of the request's plan.
        "mutation_rules": {"allow_envoy": True, "disallow_is_error": True},
    }


def _grpc_service() -> Json:
    return {
        "envoy_grpc": {"cluster_name": PROCESSOR_CLUSTER},
        # A stream whose worker dies before its first answer moves to another worker.
        # envoy_grpc.retry_policy would have no effect.
        "retry_policy": {
            "retry_on": (
                "connect-failure,refused-stream,reset,unavailable,cancelled,internal,"
                "resource-exhausted"
            ),
            "num_retries": 3,
            "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": TYPE
                        + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                    },
                }
            ],
            "host_selection_retry_max_attempts": 5,
        },
    }


def processor_cluster(config: Config, workers: int) -> Json:
    """The workers: one endpoint each, checked, ejected and retried around when one dies."""
    tcp = config.server.tcp
    secure = {"transport_socket": _tls(tcp.tls)} if tcp is not None and tcp.tls else {}
    return {
        "name": PROCESSOR_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "0.5s",
        "lb_policy": "LEAST_REQUEST",
        "per_connection_buffer_limit_bytes": max(config.caps.answer_bytes, most_body_bytes(config)),
        "load_assignment": {
            "cluster_name": PROCESSOR_CLUSTER,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": _endpoint(config, i)}} for i in range(workers)
                    ]
                }
            ],
        },
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: {
                "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "connection_keepalive": {"interval": "10s", "timeout": "2s"}
                    }
                },
            }
        },
        # Every request in flight is a stream; Envoy's default of 1,024 would answer 500.
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 100000,
                    "max_pending_requests": 100000,
                    "max_requests": 100000,
                    "max_retries": 10000,
                }
            ]
        },
        "outlier_detection": {
            "consecutive_gateway_failure": 2,
            "enforcing_consecutive_gateway_failure": 100,
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 1,
            "interval": "0.2s",
            "base_ejection_time": "0.5s",
            "max_ejection_time": "1s",
            "max_ejection_percent": 70,
        },
        "health_checks": [
            {
                "timeout": "0.4s",
                "interval": "0.5s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "no_traffic_interval": "1s",
                "grpc_health_check": {},
            }
        ],
        # Better no worker than one that is known to be dead.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        **secure,
    }


def _endpoint(config: Config, worker: int) -> Json:
    tcp = config.server.tcp
    if tcp is None:
        return {"pipe": {"path": socket_path(config, worker)}}
    return address(Listen(address=tcp.address, port=tcp.port + worker))


def _tls(tls: WorkerTls) -> Json:
    context: Json = {"alpn_protocols": ["h2"]}
    if tls.client_cert_file is not None:
        context["tls_certificates"] = [
            {
                "certificate_chain": {"filename": tls.client_cert_file},
                "private_key": {"filename": tls.client_key_file},
            }
        ]
    san = {"san_type": "DNS", "matcher": {"exact": tls.server_name}}
    return upstream_tls(context, tls.server_name, tls.ca_file, san)


def worker_address(config: Config, worker: int) -> str:
    """Where one worker listens, as ``unix:PATH`` or ``HOST:PORT``."""
    tcp = config.server.tcp
    if tcp is None:
        return f"unix:{socket_path(config, worker)}"
    host = f"[{tcp.address}]" if ":" in tcp.address else tcp.address
    return f"{host}:{tcp.port + worker}"


def socket_path(config: Config, worker: int) -> str:
    """The Unix socket of one worker, as Envoy and the worker both name it."""
    return f"{config.server.socket_dir}/worker-{worker}.sock"
