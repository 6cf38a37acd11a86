"""Where clients come in: the connection manager, its filters, its one route, its own answers."""

from __future__ import annotations

from gateway_extproc.config.model import Config
from gateway_extproc.core.endpoint import NO_UPGRADES
from gateway_extproc.core.errors import REASONS
from gateway_extproc.core.names import DETAILS_PREFIX, LOG_NAMESPACE, NO_CLUSTER, ROUTE_NAMESPACE
from gateway_extproc.envoyconf.identity import (
    downstream_tls,
    forwarded_certificate,
    token_filters,
)
from gateway_extproc.envoyconf.parts import TYPE, Json, address, seconds
from gateway_extproc.envoyconf.processor import most_body_bytes, router_level


def listener(config: Config) -> Json:
    """The listener for clients."""
    tls = config.server.tls
    return {
        "name": "clients",
        "address": address(config.server.listen),
        # Answers are buffered whole up to this; requests have a limit of their own below.
        "per_connection_buffer_limit_bytes": config.caps.answer_bytes,
        "filter_chains": [
            {
                **({} if tls is None else {"transport_socket": downstream_tls(tls)}),
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _connection_manager(config),
                    }
                ],
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
        **forwarded_certificate(config),
        "normalize_path": True,
        "merge_slashes": True,
        # An ARN in a path of Bedrock's interface holds some. Nothing is decided by a path before
        # the processor reads it, and no provider is ever sent one that a client wrote.
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "stream_idle_timeout": seconds(config.failover.idle_timeout_s),
        "request_headers_timeout": "10s",
        "request_timeout": "60s",
        "access_log": [_access_log()],
        "local_reply_config": {"mappers": _local_replies()},
        "http_filters": [
            *token_filters(config),
            {"name": "envoy.filters.http.ext_proc", "typed_config": router_level(config)},
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
    (details ``gateway_...``) is left alone.  The body serves the SDKs of OpenAI, Anthropic, AWS and
    Cohere alike.
    """
    return [
        # Envoy refuses an upgrade before any filter sees it, with 403: nobody asked who it is.
        _local_reply(
            "response.code_details == 'upgrade_failed'",
            ("endpoint_not_served", "invalid_request_error"),
            NO_UPGRADES,
            status=REASONS["endpoint_not_served"][0],
        ),
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


def _local_reply(
    condition: str, error: tuple[str, str], message: str, status: int | None = None
) -> Json:
    reason, kind = error
    return {
        **({} if status is None else {"status_code": status}),
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
                "message": message,
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


def _routes(config: Config) -> Json:
    return {
        "virtual_hosts": [
            {
                "name": "gateway",
                "domains": ["*"],
                # The attempt's number, for the upstream-level filters.
                "include_request_attempt_count": True,
                # After the plan is known Envoy matches again, with the provider's path:
                # so one route serves every path.
                "routes": [
                    *([_websockets(config)] if passes_websockets(config) else []),
                    {
                        "name": "llm",
                        "match": {"prefix": "/"},
                        "request_body_buffer_limit": most_body_bytes(config),
                        "route": _action(config),
                    },
                ],
            }
        ],
    }


def _action(config: Config) -> Json:
    return {
        # A total timeout would cut long streams; idle and attempt timeouts bound what hangs.
        "timeout": "0s",
        "idle_timeout": seconds(config.failover.idle_timeout_s),
        "auto_host_rewrite": True,
        "inline_cluster_specifier_plugin": _cluster_specifier(),
        "retry_policy": _retry_policy(),
    }


def passes_websockets(config: Config) -> bool:
    """Whether any path may become a websocket."""
    return any(one.websockets for one in config.passthrough)


def _websockets(config: Config) -> Json:
    """Whoever wants a websocket is judged by headers alone: a body would be waited for forever.

    Without a plan, which the gateway makes for paths that policy names only, the cluster without
    endpoints answers here, too.
    """
    return {
        "name": "websockets",
        "match": {
            "prefix": "/",
            "headers": [
                {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
            ],
        },
        "route": {**_action(config), "upgrade_configs": [{"upgrade_type": "websocket"}]},
        "typed_per_filter_config": {
            "envoy.filters.http.ext_proc": {
                "@type": TYPE + "extensions.filters.http.ext_proc.v3.ExtProcPerRoute",
                "overrides": {
                    "processing_mode": {
                        "request_header_mode": "SEND",
                        "request_body_mode": "NONE",
                        "request_trailer_mode": "SKIP",
                        "response_header_mode": "SEND",
                        "response_body_mode": "NONE",
                        "response_trailer_mode": "SKIP",
                    }
                },
            }
        },
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


def _retry_policy() -> Json:
    return {
        # What is tried again, how often and how long, each request says in headers (failover
        # stage).  Envoy adds those to what stands here: here stands nothing.
        "retry_on": "",
        "num_retries": 0,
        "refresh_cluster_on_retry": True,
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.02s"},
    }
