"""ext_proc messages to core values, decisions to ext_proc messages.

Names on the wire (dynamic metadata namespaces) that the Envoy configuration must
agree with stand at the top; ``envoyconf`` renders the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct, Value

from gateway_extproc.core.names import (
    ATTEMPTS_NAMESPACE,
    CLAIMS_NAMESPACE,
    CLUSTER_NAMESPACE,
    DETAILS_PREFIX,
    FALLBACK_NAMESPACE,
    LOG_NAMESPACE,
    ROUTE_NAMESPACE,
)
from gateway_extproc.core.verdict import Answer, Decision, RoutePlan

OVERWRITE = HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD

ATTRIBUTES = "envoy.filters.http.ext_proc"
"""The key under which Envoy sends all attributes of this filter."""

BODY_MODES = {
    "buffered": ProcessingMode.BUFFERED,
    "streamed": ProcessingMode.STREAMED,
    "none": ProcessingMode.NONE,
}


class WireError(Exception):
    """A message that must not come now."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """What Envoy knows at response headers: who answered, after how many attempts."""

    cluster: str
    attempt_count: int
    details: str
    attempt_notes: dict[str, str]


def decode_or_none(data: bytes) -> pb.ProcessingRequest | None:
    """One message from Envoy; None for bytes that are no ext_proc message."""
    try:
        message: pb.ProcessingRequest = pb.ProcessingRequest.FromString(data)
    except DecodeError:
        return None
    return message


def read_headers(headers: pb.HttpHeaders) -> tuple[dict[str, str], frozenset[str]]:
    """Headers by lower-case name, and the names that came more than once.

    Envoy fills ``raw_value``; of a repeated header the last value stands, and the
    name is reported so that a stage can refuse what must be unique.
    """
    values: dict[str, str] = {}
    repeated: set[str] = set()
    for header in headers.headers.headers:
        name = header.key
        if name in values:
            repeated.add(name)
        values[name] = header.raw_value.decode("latin-1")
    return values, frozenset(repeated)


def read_peer_uri(message: pb.ProcessingRequest) -> str:
    """The URI of the client certificate that Envoy verified; empty without one."""
    if ATTRIBUTES not in message.attributes:
        return ""
    fields = message.attributes[ATTRIBUTES].fields
    if not fields["connection.mtls"].bool_value:
        return ""
    uri: str = fields["connection.uri_san_peer_certificate"].string_value
    return uri


def read_envoy_claims(message: pb.ProcessingRequest) -> dict[str, Any] | None:
    """Claims that Envoy's jwt_authn verified, by issuer; None where it forwards none."""
    if not message.HasField("metadata_context"):
        return None
    metadata = message.metadata_context.filter_metadata
    return _plain(metadata[CLAIMS_NAMESPACE]) if CLAIMS_NAMESPACE in metadata else None


def _plain(struct: Struct) -> dict[str, Any]:
    return {name: _PLAIN[value.WhichOneof("kind")](value) for name, value in struct.fields.items()}


def _number(value: Value) -> int | float:
    """A Struct holds doubles: whole numbers stay exact, and are told, up to 2^53."""
    number: float = value.number_value
    return int(number) if number.is_integer() and abs(number) < 1 << 53 else number


_PLAIN: dict[str | None, Callable[[Value], Any]] = {
    None: lambda value: None,
    "null_value": lambda value: None,
    "bool_value": lambda value: value.bool_value,
    "number_value": _number,
    "string_value": lambda value: value.string_value,
    "struct_value": lambda value: _plain(value.struct_value),
    "list_value": lambda value: [_PLAIN[v.WhichOneof("kind")](v) for v in value.list_value.values],
}
"""What each kind of a Struct's value is in Python."""


def fallback_cluster_of(message: pb.ProcessingRequest) -> str | None:
    """The cluster of an upstream-level stream; None for a router-level one.

    Only the upstream-level filter forwards its cluster's own metadata, and clients
    cannot set dynamic metadata: the level of a stream is stated, not guessed.
    """
    if not message.HasField("metadata_context"):
        return None
    metadata = message.metadata_context.filter_metadata
    if CLUSTER_NAMESPACE not in metadata:
        return None
    name: str = metadata[CLUSTER_NAMESPACE].fields["name"].string_value
    return name


def fallback_note_of(message: pb.ProcessingRequest) -> str:
    """The original request that the router-level stream left for a fallback; or empty."""
    metadata = message.metadata_context.filter_metadata
    if FALLBACK_NAMESPACE not in metadata:
        return ""
    note: str = metadata[FALLBACK_NAMESPACE].fields["original"].string_value
    return note


def read_upstream(message: pb.ProcessingRequest) -> Upstream:
    """Attributes and attempt notes that come with the response headers."""
    notes: dict[str, str] = {}
    metadata = message.metadata_context.filter_metadata
    if ATTEMPTS_NAMESPACE in metadata:
        notes = {k: v.string_value for k, v in metadata[ATTEMPTS_NAMESPACE].fields.items()}
    if ATTRIBUTES not in message.attributes:
        return Upstream("", 1, "", notes)
    fields = message.attributes[ATTRIBUTES].fields
    count = int(fields["upstream.request_attempt_count"].number_value)
    return Upstream(
        cluster=fields["xds.cluster_name"].string_value,
        attempt_count=max(count, 1),
        details=fields["response.code_details"].string_value,
        attempt_notes=notes,
    )


def encode_request_headers(decision: Decision, log: dict[str, str] | None = None) -> bytes:
    """The answer to request_headers; with a plan where no body follows."""
    reply = pb.ProcessingResponse()
    _fill(reply.request_headers.response, decision)
    if decision.plan is not None:
        reply.request_headers.response.clear_route_cache = True
        _put_plan(reply, decision.plan)
        _put_log(reply, log or {})
    return _bytes(reply)


def encode_request_body(decision: Decision, log: dict[str, str]) -> bytes:
    """The answer to request_body: the body for the first target, and the plan.

    Envoy ignores ``clear_route_cache`` in an answer without a header mutation; a
    plan always comes with headers, so the route is matched again.
    """
    reply = pb.ProcessingResponse()
    _fill(reply.request_body.response, decision)
    if decision.plan is not None:
        reply.request_body.response.clear_route_cache = True
        _put_plan(reply, decision.plan)
    _put_log(reply, log)
    return _bytes(reply)


def encode_response_headers(decision: Decision) -> bytes:
    """The answer to response_headers, with the mode in which the body shall come."""
    reply = pb.ProcessingResponse()
    _fill(reply.response_headers.response, decision)
    if decision.body_mode is not None:
        mode = reply.mode_override
        mode.response_header_mode = ProcessingMode.SEND
        mode.response_body_mode = BODY_MODES[decision.body_mode]
    return _bytes(reply)


def encode_response_body(decision: Decision) -> bytes:
    """The answer to one response_body message; an empty ``body`` clears the chunk."""
    reply = pb.ProcessingResponse()
    _fill(reply.response_body.response, decision)
    return _bytes(reply)


def encode_trailers(kind: str) -> bytes:
    """The answer to trailers (``request_trailers`` or ``response_trailers``): unchanged."""
    reply = pb.ProcessingResponse()
    getattr(reply, kind).SetInParent()
    return _bytes(reply)


def encode_answer(answer: Answer, log: dict[str, str]) -> bytes:
    """An ImmediateResponse: the gateway's own answer instead of a provider's."""
    reply = pb.ProcessingResponse()
    immediate = reply.immediate_response
    immediate.status.code = answer.status
    immediate.body = answer.body
    immediate.details = DETAILS_PREFIX + answer.details
    _set_headers(immediate.headers, answer.headers)
    _put_log(reply, log)
    return _bytes(reply)


def _put_log(reply: pb.ProcessingResponse, log: dict[str, str]) -> None:
    fields = reply.dynamic_metadata.fields[LOG_NAMESPACE].struct_value.fields
    for name, value in log.items():
        fields[name].string_value = value


def _fill(common: pb.CommonResponse, decision: Decision) -> None:
    common.SetInParent()
    if decision.set_headers:
        _set_headers(common.header_mutation, decision.set_headers)
    if decision.remove_headers:
        common.header_mutation.remove_headers.extend(decision.remove_headers)
    if decision.body is None:
        return
    if decision.body:
        common.body_mutation.body = decision.body
    else:
        common.body_mutation.clear_body = True


def _set_headers(mutation: pb.HeaderMutation, headers: tuple[tuple[str, str], ...]) -> None:
    for name, value in headers:
        option = mutation.set_headers.add()
        option.header.key = name
        option.header.raw_value = value.encode("latin-1", "replace")
        option.append_action = OVERWRITE


def _put_plan(reply: pb.ProcessingResponse, plan: RoutePlan) -> None:
    reply.dynamic_metadata.MergeFrom(_groups(plan.clusters))
    if plan.fallback:
        fields = reply.dynamic_metadata.fields[FALLBACK_NAMESPACE].struct_value.fields
        fields["original"].string_value = plan.fallback


@lru_cache(maxsize=1024)
def _groups(clusters: tuple[str, ...]) -> Struct:
    """``priority_groups`` for Envoy's specifier: one group an attempt, in order."""
    struct = Struct()
    groups = struct.fields[ROUTE_NAMESPACE].struct_value.fields["priority_groups"].list_value
    for number, cluster in enumerate(clusters, 1):
        group = groups.values.add().struct_value.fields
        # A cluster may stand there twice: the number makes the group's name its own.
        group["name"].string_value = f"{number}/{cluster}"
        member = group["clusters"].list_value.values.add().struct_value.fields
        member["cluster_name"].string_value = cluster
        member["weight"].number_value = 1
    return struct


def _bytes(reply: pb.ProcessingResponse) -> bytes:
    data: bytes = reply.SerializeToString()
    return data
