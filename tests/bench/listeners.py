"""One Envoy for all rows: listeners that differ in their processor and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from bench.figures import PLAIN
from bench.workloads import ANSWER, STREAM_HEADER
from gateway_extproc.config.model import Config
from gateway_extproc.core.names import NO_CLUSTER
from gateway_extproc.envoyconf.processor import processor_cluster
from gateway_extproc.envoyconf.render import bootstrap

Json = dict[str, Any]

PLAIN_PROVIDER = "openai"
STREAM_PROVIDER = "streams"


def envoy_document(
    config: Config, ports: Mapping[str, int], sockets: Mapping[str, str], provider_port: int
) -> Json:
    """Envoy's configuration: a listener for each row of ``ports``, and the plain provider.

    All are the gateway's own listener.  A row of ``sockets`` calls the processor behind
    that Unix socket, plain Envoy has no ext_proc filter; rows without a gateway have
    routes in place of its plan.
    """
    document = bootstrap(config, 1)
    static = document["static_resources"]
    (original,) = static["listeners"]
    static["listeners"] = [
        *(_listener(original, row, port) for row, port in ports.items()),
        _provider(original, provider_port),
    ]
    kept = {NO_CLUSTER, PLAIN_PROVIDER, STREAM_PROVIDER}
    static["clusters"] = [
        *(cluster for cluster in static["clusters"] if cluster["name"] in kept),
        *(_cluster(config, row, socket) for row, socket in sockets.items()),
    ]
    return document


def _listener(original: Json, row: str, port: int) -> Json:
    listener = _copy(original, row, port)
    manager = _manager(listener)
    if row == PLAIN:
        del manager["http_filters"][0]
    else:
        processor = manager["http_filters"][0]["typed_config"]
        processor["grpc_service"]["envoy_grpc"]["cluster_name"] = row
    if not row.startswith("gateway"):
        _route_by_header(manager)
    return listener


def _route_by_header(manager: Json) -> None:
    """The clusters that the gateway's plan would name."""
    host = manager["route_config"]["virtual_hosts"][0]
    (plain,) = host["routes"]
    del plain["route"]["inline_cluster_specifier_plugin"]
    stream = copy.deepcopy(plain)
    plain["route"]["cluster"] = PLAIN_PROVIDER
    stream["route"]["cluster"] = STREAM_PROVIDER
    stream["name"] = "stream"
    stream["match"]["headers"] = [{"name": STREAM_HEADER, "present_match": True}]
    host["routes"] = [stream, plain]


def _provider(original: Json, port: int) -> Json:
    """Envoy itself answers plain requests: no provider can be faster."""
    listener = _copy(original, "provider", port)
    manager = _manager(listener)
    manager["http_filters"] = manager["http_filters"][-1:]
    manager.pop("local_reply_config")
    manager["route_config"]["virtual_hosts"][0]["routes"] = [
        {
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": json.dumps(ANSWER)}},
            "response_headers_to_add": [
                {
                    "header": {"key": "content-type", "value": "application/json"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ],
        }
    ]
    return listener


def _copy(original: Json, name: str, port: int) -> Json:
    listener = copy.deepcopy(original)
    listener["name"] = name
    listener["address"]["socket_address"]["port_value"] = port
    manager = _manager(listener)
    # The messages that a row's filter sends are counted under this name.
    manager["stat_prefix"] = name
    # A line of log per request would be the same cost in every row, and only noise.
    manager.pop("access_log")
    return listener


def _manager(listener: Json) -> Json:
    manager: Json = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def _cluster(config: Config, row: str, socket: str) -> Json:
    cluster = processor_cluster(config, 1)
    cluster["name"] = cluster["load_assignment"]["cluster_name"] = row
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["pipe"]["path"] = socket
    return cluster
