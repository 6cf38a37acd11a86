"""Trace context in, one span a request out.

The gateway makes its span id when the request arrives and sends it on in
``traceparent``; the span is exported when the exchange is finished, under
exactly that id.  The exporter lives in ``otlp`` and is imported only where a
collector is configured.

The span's kind is CLIENT: its id is what the provider sees as parent, and the
GenAI conventions ask for CLIENT on calls to a model.  The SERVER span of the same
request is Envoy's to write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from gateway_extproc.core.exchange import Exchange, TraceContext
from gateway_extproc.evidence.masking import NO_MASKS, FieldMasks, Value
from gateway_extproc.evidence.records import MAX_TEXT, one_word, sent_status

# Every attribute that a span carries; the GenAI conventions still move, so no name
# stands anywhere else.
OPERATION: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
ERROR_TYPE: Final = "error.type"
HTTP_STATUS: Final = "http.response.status_code"
DECISION_ID: Final = "gateway.decision_id"
TENANT: Final = "gateway.tenant"
OUTCOME: Final = "gateway.outcome"
REASON: Final = "gateway.reason"
ROUTE: Final = "gateway.route"
PROVIDER_ID: Final = "gateway.provider"
ATTEMPTS: Final = "gateway.attempts"
CACHE_HIT: Final = "gateway.cache_hit"
COST_NANOS: Final = "gateway.cost_nanos"
PROCESSING_US: Final = "gateway.processing_us"

UNNAMED: Final = "request"
"""The name of a span of which nothing may be said."""

# Endpoint -> gen_ai.operation.name; both chat interfaces are the operation "chat".
OPERATIONS: Final = {"chat": "chat", "messages": "chat", "models": "list_models"}

FIELDS: Final[Mapping[str, str]] = {
    OPERATION: "endpoint",
    REQUEST_MODEL: "requested_model",
    RESPONSE_MODEL: "response_model",
    INPUT_TOKENS: "usage.prompt_tokens",
    OUTPUT_TOKENS: "usage.completion_tokens",
    CACHED_TOKENS: "usage.cached_tokens",
    ERROR_TYPE: "refusal.reason",
    HTTP_STATUS: "status",
    TENANT: "tenant",
    REASON: "refusal.reason",
    ROUTE: "route",
    PROVIDER_ID: "provider",
    ATTEMPTS: "attempts",
    CACHE_HIT: "cache_hit",
    COST_NANOS: "cost_nanos",
}
"""The record's field of an attribute: what is masked there is masked here."""

NewId = Callable[[int], str]
"""Gives so many random bytes as lower-case hex, such as ``secrets.token_hex``."""

# W3C Trace Context, section 3.2: lower-case hex only; version ff is forbidden.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.A)
# Section 3.3: at most 32 members, keys of a small alphabet, values of printable ASCII.
_STATE_MEMBER = re.compile(
    r"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]",
    re.A,
)
_MAX_STATE = 512
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class Traces(Protocol):
    """Where finished exchanges go as spans."""

    def record(self, exchange: Exchange, ended_ns: int, masks: FieldMasks = NO_MASKS) -> None: ...

    def shutdown(self) -> None:
        """Sends what is waiting, within the exporter's time."""


class NoTraces:
    """No collector: nothing is built, nothing is sent."""

    def record(self, exchange: Exchange, ended_ns: int, masks: FieldMasks = NO_MASKS) -> None:
        return

    def shutdown(self) -> None:
        return


def open_traces(
    endpoint: str | None = None,
    *,
    version: str,
    worker: int,
    environ: Mapping[str, str] = os.environ,
    on_loss: Callable[[int], object] | None = None,
) -> Traces:
    """Spans to an OTLP/gRPC collector, if ``endpoint`` or OTEL_EXPORTER_OTLP_ENDPOINT names one."""
    address = (
        endpoint
        or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    )
    if not address or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return NoTraces()
    # The SDK costs 20 MB and a quarter of a second: only for those who want spans.
    from gateway_extproc.evidence.otlp import OtlpTraces

    return OtlpTraces(address, version=version, worker=worker, environ=environ, on_loss=on_loss)


def trace_context(
    headers: Mapping[str, str], new_id: NewId, *, sample_ratio: float = 1.0
) -> TraceContext:
    """The client's trace with a new span of ours in it, or a new trace.

    A client's decision to sample is kept; new traces are sampled by
    ``sample_ratio``, decided by the trace id so that all who see it agree.
    """
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if match is not None:
        version, trace_id, parent, flags, rest = match.groups()
        # Only later versions may carry more fields.
        readable = version != "ff" and (version != "00" or rest is None)
        if readable and trace_id != _NO_TRACE and parent != _NO_SPAN:
            sampled = bool(int(flags, 16) & 1)
            state = _trace_state(headers.get("tracestate", ""))
            return TraceContext(trace_id, _new(new_id, 8), parent, sampled, state)
    trace_id = _new(new_id, 16)
    # The low 56 bits are the random ones (Trace Context level 2, section 3.2.2.3).
    sampled = int(trace_id[-14:], 16) < sample_ratio * (1 << 56)
    return TraceContext(trace_id, _new(new_id, 8), "", sampled)


def span_name(exchange: Exchange, masks: FieldMasks = NO_MASKS) -> str:
    """``{operation} {model}``, as the GenAI conventions have it; masked as in the record."""
    words = [masks.shown("endpoint", _operation(exchange))]
    if exchange.asked is not None:
        words.append(masks.shown("requested_model", exchange.asked.model[:MAX_TEXT]))
    return " ".join(str(word) for word in words if word is not None) or UNNAMED


def span_attributes(exchange: Exchange, masks: FieldMasks = NO_MASKS) -> dict[str, Value]:
    """What a span says of an exchange; no text of the prompt, no user, nothing that is masked."""
    attributes = _attributes(exchange)
    if not masks.fields:
        return attributes
    shown = {
        name: masks.shown(FIELDS[name], value) if name in FIELDS else value
        for name, value in attributes.items()
    }
    return {name: value for name, value in shown.items() if value is not None}


def _attributes(exchange: Exchange) -> dict[str, Value]:
    target = exchange.answered_by
    attributes: dict[str, Value] = {
        OPERATION: _operation(exchange),
        # The conventions' name tells the flavour of the telemetry, which is the dialect.
        PROVIDER_NAME: exchange.client_dialect if target is None else target.dialect,
        DECISION_ID: exchange.decision_id,
        OUTCOME: exchange.outcome,
        HTTP_STATUS: sent_status(exchange),
        PROCESSING_US: sum([entry.microseconds for entry in exchange.trail]),
    }
    if exchange.permit is not None:
        attributes[TENANT] = exchange.permit.principal.tenant.id
    if exchange.asked is not None:
        attributes[REQUEST_MODEL] = exchange.asked.model[:MAX_TEXT]
    if exchange.response_model:
        attributes[RESPONSE_MODEL] = one_word(exchange.response_model)
    if exchange.route_id:
        attributes[ROUTE] = exchange.route_id
    if target is not None:
        attributes[PROVIDER_ID] = target.provider
    if exchange.attempts:
        attributes[ATTEMPTS] = len(exchange.attempts)
    if exchange.cache_hit:
        attributes[CACHE_HIT] = True
    usage = exchange.usage
    if usage is not None:
        attributes[INPUT_TOKENS] = usage.prompt_tokens
        attributes[OUTPUT_TOKENS] = usage.completion_tokens
        if usage.cached_tokens:
            attributes[CACHED_TOKENS] = usage.cached_tokens
        attributes[COST_NANOS] = exchange.cost_nanos
    if exchange.refusal is not None:
        attributes[REASON] = exchange.refusal.reason
    error = error_type(exchange)
    if error:
        attributes[ERROR_TYPE] = error
    return attributes


def error_type(exchange: Exchange) -> str:
    """The reason of a refusal, ``aborted`` for a broken stream, empty when all went well."""
    if exchange.refusal is not None:
        return exchange.refusal.reason
    return exchange.outcome if exchange.outcome in ("failed", "aborted") else ""


def _operation(exchange: Exchange) -> str:
    if exchange.endpoint is None:
        return "unknown"
    return OPERATIONS.get(exchange.endpoint.name, exchange.endpoint.name)


def _new(new_id: NewId, size: int) -> str:
    """A random id that is not zero, which W3C forbids."""
    value = new_id(size)
    while not value.strip("0"):
        value = new_id(size)
    return value


def _trace_state(text: str) -> str:
    """The client's tracestate, or nothing when it is malformed: the trace goes on without it."""
    if not text or len(text) > _MAX_STATE:
        return ""
    members = [member for member in (part.strip(" \t") for part in text.split(",")) if member]
    well_formed = len(members) <= 32 and all(map(_STATE_MEMBER.fullmatch, members))
    keys = {member.partition("=")[0] for member in members}
    return ",".join(members) if well_formed and len(keys) == len(members) else ""
