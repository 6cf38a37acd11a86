"""Where workers hand Envoy the copies for shadow targets: a Unix socket, one route a provider.

Not ``request_mirror_policies``: a mirror gets the first target's body and credential.  Not the
clients' listener: a copy has passed identity, limits and guards already.  The socket is as private
as those of the workers, and whoever connects gets no credential: it has to bring one.
"""

from __future__ import annotations

from gateway_extproc.config.model import Config
from gateway_extproc.core.names import SHADOW_HEADER
from gateway_extproc.envoyconf.parts import TYPE, Json, named, seconds

SOCKET_MODE = 0o660


def shadow_socket(config: Config) -> str:
    """The socket, as Envoy and the workers both name it."""
    return f"{config.server.socket_dir}/shadow.sock"


def shadow_listener(config: Config) -> Json:
    """The listener for copies."""
    assert config.shadow is not None
    timeout = seconds(config.shadow.timeout_s)
    return {
        "name": "shadows",
        "address": {"pipe": {"path": shadow_socket(config), "mode": SOCKET_MODE}},
        "per_connection_buffer_limit_bytes": config.caps.answer_bytes,
        "filter_chains": [
            {
                "filters": [
                    named(
                        "envoy.filters.network.http_connection_manager",
                        {
                            "@type": TYPE + "extensions.filters.network.http_connection_manager"
                            ".v3.HttpConnectionManager",
                            "stat_prefix": "shadows",
                            "skip_xff_append": True,
                            "stream_idle_timeout": timeout,
                            "http_filters": [
                                named(
                                    "envoy.filters.http.router",
                                    {
                                        "@type": TYPE + "extensions.filters.http.router.v3.Router",
                                        "suppress_envoy_headers": True,
                                    },
                                )
                            ],
                            "route_config": {"virtual_hosts": [_host(config, timeout)]},
                        },
                    )
                ]
            }
        ],
    }


def _host(config: Config, timeout: str) -> Json:
    return {
        "name": "shadows",
        "domains": ["*"],
        "request_headers_to_remove": [SHADOW_HEADER],
        "routes": [
            {
                "match": {
                    "prefix": "/",
                    "headers": [{"name": SHADOW_HEADER, "string_match": {"exact": provider.id}}],
                },
                "route": {
                    "cluster": provider.id,
                    "auto_host_rewrite": True,
                    "timeout": timeout,
                },
            }
            for provider in config.providers
        ],
    }
