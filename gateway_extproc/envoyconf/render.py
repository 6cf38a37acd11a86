"""Writes the Envoy configuration that belongs to a gateway configuration."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

import yaml

from gateway_extproc.config.compile import fallback_cluster
from gateway_extproc.config.model import Config, Listen, Provider
from gateway_extproc.core.names import (
    ATTEMPTS_NAMESPACE,
    CLUSTER_NAMESPACE,
    DETAILS_PREFIX,
    FALLBACK_NAMESPACE,
    LOG_NAMESPACE,
    NO_CLUSTER,
    PROCESSOR_CLUSTER,
    ROUTE_NAMESPACE,
)

Json = dict[str, Any]

TYPE = "type.googleapis.com/envoy."
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

MESSAGE_TIMEOUT_S = 5
"""Envoy's default of 200 ms turns a long garbage collection into a 504."""

HEADER = """\
# Rendered by `gateway-extproc envoy render` from a gateway configuration.
# docs/envoy.md says what each part is for, and which of them must not be changed.
"""


class _Plain(yaml.SafeDumper):
    """YAML without anchors: people read and edit this."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


RUNTIME = {"envoy.reloadable_features.grpc_side_stream_flow_control": False}
"""With this flow control on, Envoy 1.40 dies (SIGSEGV) now and then when a fallback attempt
sends a body of about 1 MB and more to the processor.  Bodies are bounded anyway."""

ENVOY_HEADERS = (
    "x-envoy-original-host",
    "x-envoy-max-retries",
    "x-envoy-expected-rq-timeout-ms",
    "x-forwarded-proto",
)
"""Headers that Envoy or the router-level filter need, and no provider."""

NOTE_STATUS = """\
function envoy_on_response(handle)
  handle:streamInfo():dynamicMetadata():set(
    "{namespace}", "{cluster}", handle:headers():get(":status"))
end
"""
"""The router-level filter never sees a failed attempt; so each cluster notes what it answered."""


def render(config: Config, workers: int) -> str:
    """The Envoy configuration as YAML text."""
    body = yaml.dump(bootstrap(config, workers), Dumper=_Plain, sort_keys=False, width=100)
    return HEADER + body


def bootstrap(config: Config, workers: int) -> Json:
    """The Envoy configuration as a document."""
    return {
        "admin": {"address": _address(config.server.envoy_admin)},
        "layered_runtime": {"layers": [{"name": "gateway", "static_layer": RUNTIME}]},
        "static_resources": {
            "listeners": [_listener(config)],
            "clusters": [
                {
                    # Where a request goes that nobody decided about: nowhere.
                    "name": NO_CLUSTER,
                    "type": "STATIC",
                    "load_assignment": {"cluster_name": NO_CLUSTER, "endpoints": []},
                },
                *(_provider(config, p, fallback=False) for p in config.providers),
                *(_provider(config, p, fallback=True) for p in config.providers),
                _processor(config, workers),
            ],
        },
    }


def _address(listen: Listen) -> Json:
    return {"socket_address": {"address": listen.address, "port_value": listen.port}}


def _seconds(value: float) -> str:
    """Envoy's durations know no exponent."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"


def _listener(config: Config) -> Json:
    return {
        "name": "clients",
        "address": _address(config.server.listen),
        # Answers are buffered whole up to this; requests have a limit of their own below.
        "per_connection_buffer_limit_bytes": config.caps.answer_bytes,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _connection_manager(config),
                    }
                ]
            }
        ],
    }


def _connection_manager(config: Config) -> Json:
    return {
        "@type": TYPE
        + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        # Without it Envoy would believe x-envoy-* headers that clients send.
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "stream_idle_timeout": _seconds(config.failover.idle_timeout_s),
        "request_headers_timeout": "10s",
        "request_timeout": "60s",
        "access_log": [_access_log()],
        "local_reply_config": {"mappers": _local_replies()},
        "http_filters": [
            {"name": "envoy.filters.http.ext_proc", "typed_config": _router_level()},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": TYPE + "extensions.filters.http.router.v3.Router",
                    # x-envoy-* headers are this mesh's business, not a provider's.
                    "suppress_envoy_headers": True,
                },
            },
        ],
        "route_config": _routes(config),
    }


def _access_log() -> Json:
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": TYPE + "extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {
                "json_format": {
                    "time": "%START_TIME%",
                    "request_id": "%REQ(x-request-id)%",
                    "method": "%REQ(:method)%",
                    "status": "%RESPONSE_CODE%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "cluster": "%UPSTREAM_CLUSTER%",
                    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
                    "duration_ms": "%DURATION%",
                    "gateway": f"%DYNAMIC_METADATA({LOG_NAMESPACE})%",
                    "failed_open": (
                        "%FILTER_STATE(envoy.filters.http.ext_proc:FIELD:failed_open)%"
                    ),
                }
            },
        },
    }


def _local_replies() -> list[Json]:
    """Answers that Envoy makes where the processor cannot: still JSON that SDKs parse.

    A provider that breaks off while its headers are at the processor, a processor
    that is gone, a request that is no HTTP.  What the processor answers itself
    (details ``gateway_...``) is left alone.  The body serves OpenAI's and Anthropic's SDKs alike.
    """
    return [
        _local_reply(
            "response.code_details.startsWith('ext_proc')",
            ("gateway_error", "api_error"),
            "The gateway failed to process this request.",
        ),
        _local_reply(
            "response.code == 413",
            ("body_too_large", "invalid_request_error"),
            "The request's body is larger than this gateway accepts.",
        ),
        _local_reply(
            "response.code >= 400 && response.code < 500",
            ("invalid_request", "invalid_request_error"),
            "The HTTP request is malformed.",
        ),
        _local_reply(
            "response.code >= 500",
            ("provider_unavailable", "api_error"),
            "No provider of this model is available now.",
        ),
    ]


def _local_reply(condition: str, error: tuple[str, str], message: str) -> Json:
    reason, kind = error
    return {
        "filter": {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": {
                    "@type": TYPE + "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                    "expression": (
                        f"!response.code_details.startsWith('{DETAILS_PREFIX}') && {condition}"
                    ),
                },
            }
        },
        "body_format_override": {
            "content_type": "application/json",
            "json_format": {
                "type": "error",
                "error": {"message": message, "type": kind, "param": None, "code": reason},
                "request_id": "%REQ(x-request-id)%",
            },
        },
        "headers_to_add": [
            {
                "header": {"key": "x-request-id", "value": "%REQ(x-request-id)%"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def _router_level() -> Json:
    """The filter every request passes: it sees requests and answers, once each."""
    return {
        "@type": TYPE + "extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": _grpc_service(),
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        "message_timeout": _seconds(MESSAGE_TIMEOUT_S),
        # JSON answers are read whole; event streams switch to STREAMED at their headers.
        "allow_mode_override": True,
        "processing_mode": {
            "request_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "request_trailer_mode": "SKIP",
            "response_header_mode": "SEND",
            "response_body_mode": "BUFFERED",
            "response_trailer_mode": "SKIP",
        },
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
            "forwarding_namespaces": {"untyped": [ATTEMPTS_NAMESPACE]},
        },
        # x-envoy-max-retries limits the retries to the targets of the request's plan.
        "mutation_rules": {"allow_envoy": True, "disallow_is_error": True},
    }


def _upstream_level() -> Json:
    """The filter of fallback attempts: request only (answers here crash Envoy 1.40)."""
    return {
        "@type": TYPE + "extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": _grpc_service(),
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        "message_timeout": _seconds(MESSAGE_TIMEOUT_S),
        "processing_mode": {
            "request_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "request_trailer_mode": "SKIP",
            "response_header_mode": "SKIP",
            "response_body_mode": "NONE",
            "response_trailer_mode": "SKIP",
        },
        "metadata_options": {
            "forwarding_namespaces": {"untyped": [FALLBACK_NAMESPACE]},
            # Only this filter forwards its cluster's metadata: so the processor knows
            # which level, and which cluster, a stream belongs to.
            "cluster_metadata_forwarding_namespaces": {"untyped": [CLUSTER_NAMESPACE]},
        },
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


def _routes(config: Config) -> Json:
    return {
        "virtual_hosts": [
            {
                "name": "gateway",
                "domains": ["*"],
                # After the plan is known Envoy matches again, with the provider's path:
                # so one route serves every path.
                "routes": [
                    {
                        "name": "llm",
                        "match": {"prefix": "/"},
                        "request_body_buffer_limit": config.caps.body_bytes,
                        "route": {
                            # A total timeout would cut long streams; idle and attempt
                            # timeouts bound what hangs.
                            "timeout": "0s",
                            "idle_timeout": _seconds(config.failover.idle_timeout_s),
                            "auto_host_rewrite": True,
                            "inline_cluster_specifier_plugin": _cluster_specifier(),
                            "retry_policy": _retry_policy(config),
                        },
                    }
                ],
            }
        ],
    }


def _cluster_specifier() -> Json:
    return {
        "extension": {
            "name": "envoy.router.cluster_specifier_plugin.priority_group",
            "typed_config": {
                "@type": TYPE
                + "extensions.router.cluster_specifiers.priority_group.v3"
                + ".PriorityGroupClusterSpecifier",
                "override_metadata_namespace": ROUTE_NAMESPACE,
                # Without a plan: the cluster without endpoints.
                "priority_groups": [
                    {"name": "none", "clusters": [{"cluster_name": NO_CLUSTER, "weight": 1}]}
                ],
            },
        }
    }


def _retry_policy(config: Config) -> Json:
    return {
        "retry_on": "5xx,reset,connect-failure,retriable-status-codes",
        "retriable_status_codes": [429],
        "num_retries": config.failover.max_attempts - 1,
        "per_try_timeout": _seconds(config.failover.attempt_timeout_s),
        "refresh_cluster_on_retry": True,
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.02s"},
    }


def _provider(config: Config, provider: Provider, *, fallback: bool) -> Json:
    name = fallback_cluster(provider.id) if fallback else provider.id
    url = urlsplit(provider.base_url)
    host = url.hostname or ""
    secure = url.scheme == "https"
    options: Json = {
        "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "http_filters": [
            *([_named("envoy.filters.http.ext_proc", _upstream_level())] if fallback else []),
            _named(
                "envoy.filters.http.lua",
                {
                    "@type": TYPE + "extensions.filters.http.lua.v3.Lua",
                    "default_source_code": {
                        "inline_string": NOTE_STATUS.format(
                            namespace=ATTEMPTS_NAMESPACE, cluster=name
                        )
                    },
                },
            ),
            _named(
                "envoy.filters.http.header_mutation",
                {
                    "@type": TYPE + "extensions.filters.http.header_mutation.v3.HeaderMutation",
                    "mutations": {"request_mutations": [{"remove": h} for h in ENVOY_HEADERS]},
                },
            ),
            _named(
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
        cluster["transport_socket"] = _tls(host, provider.ca_file)
    return cluster


def _named(name: str, typed_config: Json) -> Json:
    return {"name": name, "typed_config": typed_config}


def _tls(host: str, ca_file: str) -> Json:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TYPE + "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": host,
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "validation_context": {
                    "trusted_ca": {"filename": ca_file},
                    # Without a name to match, any certificate of any authority would do.
                    "match_typed_subject_alt_names": [
                        {"san_type": _san_type(host), "matcher": {"exact": host}}
                    ],
                },
            },
        },
    }


def _san_type(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "DNS"
    return "IP_ADDRESS"


def _processor(config: Config, workers: int) -> Json:
    """The workers: one endpoint each, checked, ejected and retried around when one dies."""
    return {
        "name": PROCESSOR_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "0.5s",
        "lb_policy": "LEAST_REQUEST",
        "per_connection_buffer_limit_bytes": max(config.caps.answer_bytes, config.caps.body_bytes),
        "load_assignment": {
            "cluster_name": PROCESSOR_CLUSTER,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": {"pipe": {"path": socket_path(config, i)}}}}
                        for i in range(workers)
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
    }


def socket_path(config: Config, worker: int) -> str:
    """The Unix socket of one worker, as Envoy and the worker both name it."""
    return f"{config.server.socket_dir}/worker-{worker}.sock"
