"""The events of a Cohere chat stream, and its errors, written from nothing."""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway_extproc.core.chat import StopReason, ToolStart
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.cohere.usage import write_usage

FILTERED: Final = "ERROR_TOXIC"
"""Cohere's word for an answer that a filter ended; version 2 of its reference names none."""
_FAILED: Final = ("ERROR", "TIMEOUT")

FINISH: Final[dict[StopReason, str]] = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": FILTERED,
}
STOP_REASONS: Final[dict[str, StopReason]] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    FILTERED: "content_filter",
}


def stop_reason(reason: Any) -> StopReason:
    """A finish reason in the hub's words; an unknown one is a plain stop."""
    return STOP_REASONS.get(reason, "stop") if type(reason) is str else "stop"


def has_failed(reason: Any) -> bool:
    """Whether an answer with this finish reason did not end well."""
    return reason in _FAILED


def encode(document: dict[str, Any]) -> bytes:
    """A document as one event, named by its type."""
    name: str = document["type"]
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(document) + b"\n\n"


def _message(kind: str, index: int | None, **message: Any) -> bytes:
    told: dict[str, Any] = {"type": kind}
    if index is not None:
        told["index"] = index
    return encode({**told, "delta": {"message": message}})


def message_start(id_: str) -> bytes:
    empty: dict[str, Any] = {"content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    message = {"role": "assistant", **empty}
    return encode({"type": "message-start", "id": id_, "delta": {"message": message}})


def content_start(index: int, kind: str) -> bytes:
    return _message("content-start", index, content={"type": kind, kind: ""})


def content_delta(index: int, kind: str, text: str) -> bytes:
    return _message("content-delta", index, content={kind: text})


def plan_delta(text: str) -> bytes:
    return _message("tool-plan-delta", None, tool_plan=text)


def call_start(index: int, start: ToolStart) -> bytes:
    function = {"name": start.name, "arguments": ""}
    call = {"id": start.id, "type": "function", "function": function}
    return _message("tool-call-start", index, tool_calls=call)


def call_delta(index: int, text: str) -> bytes:
    return _message("tool-call-delta", index, tool_calls={"function": {"arguments": text}})


def block_end(kind: str, index: int) -> bytes:
    """``content-end`` or ``tool-call-end``."""
    return encode({"type": kind, "index": index})


def message_end(reason: StopReason, usage: Usage | None) -> bytes:
    delta: dict[str, Any] = {"finish_reason": FINISH[reason]}
    if usage is not None:
        delta["usage"] = write_usage(usage)
    return encode({"type": "message-end", "delta": delta})


def error_end(message: str, code: str | None) -> bytes:
    """The end of a stream that failed: where Cohere tells an error, and its code beside it."""
    delta = {"error": message, "finish_reason": "ERROR"}
    return encode({"type": "message-end", "delta": {**delta, "code": code} if code else delta})


def refusal_object(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """``{"id", "message"}`` as Cohere's errors are, and beside it the code and the field."""
    body = {
        "id": request_id,
        "message": refusal.message,
        "code": refusal.code or refusal.reason,
    }
    return body if refusal.param is None else {**body, "param": refusal.param}
