"""Writes the Envoy configuration that belongs to a gateway configuration."""

from __future__ import annotations

from typing import Any

import yaml

from gateway_extproc.config.model import Config
from gateway_extproc.core.names import NO_CLUSTER
from gateway_extproc.envoyconf.identity import keys_clusters
from gateway_extproc.envoyconf.listener import listener
from gateway_extproc.envoyconf.parts import Json, address
from gateway_extproc.envoyconf.processor import processor_cluster
from gateway_extproc.envoyconf.shadow import shadow_listener
from gateway_extproc.envoyconf.upstream import provider_cluster

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


def render(config: Config, workers: int) -> str:
    """The Envoy configuration as YAML text."""
    body = yaml.dump(bootstrap(config, workers), Dumper=_Plain, sort_keys=False, width=100)
    return HEADER + body


def bootstrap(config: Config, workers: int) -> Json:
    """The Envoy configuration as a document."""
    return {
        "admin": {"address": address(config.server.envoy_admin)},
        "layered_runtime": {"layers": [{"name": "gateway", "static_layer": RUNTIME}]},
        "static_resources": {
            "listeners": [
                listener(config),
                *([shadow_listener(config)] if config.shadow is not None else []),
            ],
            "clusters": [
                {
                    # Where a request goes that nobody decided about: nowhere.
                    "name": NO_CLUSTER,
                    "type": "STATIC",
                    "load_assignment": {"cluster_name": NO_CLUSTER, "endpoints": []},
                },
                *(provider_cluster(config, p) for p in config.providers),
                *(provider_cluster(config, p, fallback=True) for p in config.providers),
                *(
                    provider_cluster(config, p, websocket=True)
                    for p in config.providers
                    if any(one.websockets and one.provider == p.id for one in config.passthrough)
                ),
                *keys_clusters(config),
                processor_cluster(config, workers),
            ],
        },
    }
