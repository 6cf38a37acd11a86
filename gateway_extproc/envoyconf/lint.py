"""What an Envoy configuration must say so that the gateway may believe it about identities.

For configurations that people wrote or changed; the rendered one passes by construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway_extproc.config.model import Config
from gateway_extproc.core.names import CLAIMS_NAMESPACE, PROCESSOR_CLUSTER
from gateway_extproc.envoyconf.parts import Json
from gateway_extproc.envoyconf.processor import PEER_ATTRIBUTES, issuers_verified_by_envoy

MANAGER: Final = "http_connection_manager.v3.HttpConnectionManager"
EXT_PROC: Final = "ext_proc.v3.ExternalProcessor"
SANITIZING: Final = frozenset({"SANITIZE", "SANITIZE_SET"})
"""What removes a client's own ``x-forwarded-client-cert``; SANITIZE is Envoy's default."""


def identity_mistakes(document: Json, config: Config) -> list[str]:
    """What lets clients name themselves, or keeps proofs from the gateway."""
    found = []
    for place, manager in _managers(document, ""):
        for processor in _processors(manager):
            found += [f"{place}: {text}" for text in _judge(manager, processor, config)]
    return found


def _judge(manager: Json, processor: Json, config: Config) -> Iterator[str]:
    certificates = config.identity.certificates
    details = manager.get("forward_client_cert_details", "SANITIZE")
    by_header = bool(certificates.workloads) and certificates.source == "header"
    if by_header and details != "SANITIZE_SET":
        yield (
            f"forward_client_cert_details is {details}; identity.certificates.source: header "
            "needs SANITIZE_SET, or every client names itself"
        )
    elif details not in SANITIZING:
        yield f"forward_client_cert_details is {details}; expected SANITIZE or SANITIZE_SET"
    missing = set(PEER_ATTRIBUTES) - set(processor.get("request_attributes", ()))
    if certificates.workloads and not by_header and missing:
        yield f"request_attributes of the ext_proc filter lack {', '.join(sorted(missing))}"
    options = processor.get("metadata_options") or {}
    forwarded = (options.get("forwarding_namespaces") or {}).get("untyped", ())
    if issuers_verified_by_envoy(config) and CLAIMS_NAMESPACE not in forwarded:
        yield f"forwarding_namespaces of the ext_proc filter lack {CLAIMS_NAMESPACE}"
    if processor.get("failure_mode_allow"):
        yield "failure_mode_allow lets requests pass that nobody identified"


def _managers(node: Any, place: str) -> Iterator[tuple[str, Json]]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _managers(item, f"{place}[{index}]")
    elif isinstance(node, dict):
        if MANAGER in str(node.get("@type", "")):
            yield place, node
            return
        for key, value in node.items():
            yield from _managers(value, f"{place}.{key}" if place else key)


def _processors(manager: Json) -> Iterator[Json]:
    """The manager's own ext_proc filters that speak to the gateway."""
    for entry in manager.get("http_filters") or ():
        typed = entry.get("typed_config") or {}
        service = (typed.get("grpc_service") or {}).get("envoy_grpc") or {}
        ours = service.get("cluster_name") == PROCESSOR_CLUSTER
        if ours and EXT_PROC in str(typed.get("@type", "")):
            yield typed
