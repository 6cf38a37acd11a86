"""Google's error object, both ways: ``{"error": {"code", "message", "status", "details"}}``.

The statuses are those of gRPC (google.rpc.Code), the details messages of google.rpc.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from gateway_extproc.core.chat import Document, StreamError
from gateway_extproc.core.errors import REASONS, Refusal, refuse
from gateway_extproc.providers.problems import OWN_CREDENTIAL_STATUS, provider_refusal

_STATUSES: Final[dict[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TYPES: Final[dict[str, str]] = {
    "INVALID_ARGUMENT": "invalid_request_error",
    "FAILED_PRECONDITION": "invalid_request_error",
    "OUT_OF_RANGE": "invalid_request_error",
    "NOT_FOUND": "not_found_error",
    "RESOURCE_EXHAUSTED": "rate_limit_error",
    "UNAVAILABLE": "overloaded_error",
}
"""In the words that OpenAI's and Anthropic's clients know."""

_OWN_CREDENTIAL: Final = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})
"""Reasons that Gemini tells with status 400, although they are about the gateway's key."""

_GOOGLE: Final = "type.googleapis.com/google.rpc."
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)s", re.ASCII)


def status_of(status: int) -> str:
    """Google's word for an HTTP status."""
    known = _STATUSES.get(status)
    return known or ("INVALID_ARGUMENT" if status < 500 else "INTERNAL")


def refusal_object(refusal: Refusal) -> dict[str, Any]:
    """A refusal as Google's clients read it; reason, field and wait stand in the details."""
    info: dict[str, Any] = {
        "@type": _GOOGLE + "ErrorInfo",
        "reason": refusal.code or refusal.reason,
        "domain": "gateway",
    }
    if refusal.param is not None:
        info["metadata"] = {"field": refusal.param}
    details: list[dict[str, Any]] = [info]
    if refusal.retry_after_s is not None:
        delay = f"{refusal.retry_after_s:g}s"
        details.append({"@type": _GOOGLE + "RetryInfo", "retryDelay": delay})
    error = {
        "code": refusal.status,
        "message": refusal.message,
        "status": status_of(refusal.status),
        "details": details,
    }
    return {"error": error}


def error_object(error: StreamError) -> dict[str, Any]:
    """A provider's error inside a stream that began well."""
    status = 429 if error.type == "rate_limit_error" else 500
    code = error.code or error.type
    info = {"@type": _GOOGLE + "ErrorInfo", "reason": code, "domain": "gateway"}
    return {
        "error": {
            "code": status,
            "message": error.message,
            "status": status_of(status),
            "details": [info],
        }
    }


def read_error(status: int, document: Document | None) -> Refusal:
    """A provider's error answer, its type in words that other dialects know."""
    error = document.get("error") if document is not None else None
    if status in OWN_CREDENTIAL_STATUS or type(error) is not dict:
        return provider_refusal(status, document)
    details = _details(error)
    if any(detail.get("reason") in _OWN_CREDENTIAL for detail in details):
        return refuse("provider_error", "The provider could not serve this request.")
    word = error.get("status")
    word = word if type(word) is str and word else status_of(status)
    message = error.get("message")
    return Refusal(
        reason="provider_error",
        message=message
        if type(message) is str and message
        else "The provider answered with an error.",
        status=status if 400 <= status <= 599 else REASONS["provider_error"][0],
        type=_TYPES.get(word, "invalid_request_error" if 400 <= status < 500 else "api_error"),
        code=word,
        retry_after_s=_retry_after(details),
    )


def read_stream_error(error: Any) -> StreamError:
    """An ``error`` object inside a stream, as an event."""
    status = error.get("code") if type(error) is dict else None
    refusal = read_error(status if type(status) is int else 500, {"error": error})
    if refusal.code == refusal.reason:  # about the gateway's own credential
        refusal = replace(refusal, code=None)
    return StreamError(refusal.type, refusal.code, refusal.message)


def _details(error: Document) -> list[Document]:
    details = error.get("details")
    found = details if type(details) is list else []
    return [detail for detail in found if type(detail) is dict]


def _retry_after(details: list[Document]) -> float | None:
    for detail in details:
        delay = detail.get("retryDelay")
        matched = _DURATION.fullmatch(delay) if type(delay) is str else None
        if matched is not None:
            return float(matched[1])
    return None
