"""The events of an Anthropic message stream, and its error objects, written from nothing."""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway_extproc.core.chat import StopReason, StreamError, TextDelta
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.anthropic.usage import write_usage

STOP_REASONS: Final[dict[StopReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}

# Anthropic's error types by HTTP status (its "Errors" page).
_ERROR_TYPES: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_KNOWN_TYPES: Final = frozenset({*_ERROR_TYPES.values(), "billing_error"})

_DELTA_TYPES: Final = {
    "content": ("text_delta", "text"),
    "refusal": ("text_delta", "text"),
    "reasoning": ("thinking_delta", "thinking"),
    "arguments": ("input_json_delta", "partial_json"),
}

MESSAGE_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def encode(document: Any) -> bytes:
    """A document as one event, named by its type."""
    name: str = document["type"]
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(document) + b"\n\n"


def message_start(id_: str, model: str, usage: Usage | None) -> bytes:
    message: dict[str, Any] = {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": write_usage(usage),
    }
    return encode({"type": "message_start", "message": message})


def block_start(index: int, block: dict[str, Any]) -> bytes:
    return encode({"type": "content_block_start", "index": index, "content_block": block})


def block_delta(index: int, event: TextDelta) -> bytes:
    kind, key = _DELTA_TYPES[event.field]
    delta = {"type": kind, key: event.text}
    return encode({"type": "content_block_delta", "index": index, "delta": delta})


def block_stop(index: int) -> bytes:
    return encode({"type": "content_block_stop", "index": index})


def message_delta(reason: StopReason, usage: Usage | None) -> bytes:
    delta = {"stop_reason": STOP_REASONS[reason], "stop_sequence": None}
    return encode({"type": "message_delta", "delta": delta, "usage": write_usage(usage)})


def error_event(error: StreamError) -> bytes:
    """A provider's error inside a stream; OpenAI's own type words become ``api_error``."""
    body: dict[str, Any] = {
        "type": error.type if error.type in _KNOWN_TYPES else "api_error",
        "message": error.message,
    }
    if error.code is not None:
        body["code"] = error.code
    return encode({"type": "error", "error": body})


def refusal_object(refusal: Refusal) -> dict[str, Any]:
    """``{"type": "error", "error": {...}}``; ``code`` is ours, the SDKs keep it in the body."""
    kept = refusal.reason == "provider_error" and refusal.type in _KNOWN_TYPES
    error: dict[str, Any] = {
        "type": refusal.type if kept else error_type(refusal.status),
        "message": refusal.message,
        "code": refusal.code or refusal.reason,
    }
    if refusal.param is not None:
        error["param"] = refusal.param
    return {"type": "error", "error": error}


def error_type(status: int) -> str:
    """Anthropic's error type for a status; its neighbours share their family's."""
    return _ERROR_TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
