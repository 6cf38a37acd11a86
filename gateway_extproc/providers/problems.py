"""What can be wrong with a provider's answer, and what the client is told.

Nothing here names a provider, a host or a credential: the client asked for a
model, and who serves it is the operator's business.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, StreamError
from gateway_extproc.core.errors import REASONS, Refusal, refuse

OWN_CREDENTIAL_STATUS: Final = frozenset({401, 403})
"""A provider that says so means the gateway's credential, never the caller's."""

UNREADABLE: Final = StreamError(
    "api_error", "provider_answer_unreadable", "The provider's answer could not be read."
)


class Unreadable(Exception):
    """A provider's answer lacks the shape of its dialect; caught inside this room."""


def unreadable() -> Refusal:
    """The refusal for an answer that lacks its dialect's shape."""
    return refuse("provider_answer_unreadable", UNREADABLE.message)


def provider_refusal(status: int, document: Document | None) -> Refusal:
    """A provider's error answer with its own type, code, message and param kept.

    Reads ``{"error": {...}}`` of both dialects, ``{"error": "text"}``, the flat
    ``{"message": ...}`` of vLLM, Mistral and Kong, and FastAPI's ``{"detail": ...}``.
    """
    if status in OWN_CREDENTIAL_STATUS:
        return refuse("provider_error", "The provider could not serve this request.")
    error = _error_object(document)
    message = error.get("message")
    if type(message) is not str or not message:
        message, error = "The provider answered with an error.", {}
    code = error.get("code")
    return Refusal(
        reason="provider_error",
        message=message,
        status=status if 400 <= status <= 599 else REASONS["provider_error"][0],
        type=_text(error.get("type")) or _type_of(status),
        code=str(code) if type(code) in (str, int) else None,
        param=_text(error.get("param")),
    )


def _error_object(document: Document | None) -> Document:
    if type(document) is not dict:
        return {}
    error = document.get("error")
    if type(error) is dict:
        return error
    if type(error) is str:
        return {**document, "message": error}
    message = document.get("message")
    detail = (message if type(message) is dict else document).get("detail")
    return document if not detail else {**document, **_detail(detail)}


def _detail(detail: Any) -> Document:
    """What FastAPI says of a request: a text, or the first of the fields that are wrong."""
    if type(detail) is not list:
        return {"message": detail}
    first = detail[0] if type(detail[0]) is dict else {}
    where = first.get("loc")
    keys = where if type(where) is list else []
    field = ".".join(str(key) for key in keys if key != "body")
    return {"message": first.get("msg"), "param": field}


def _text(value: Any) -> str | None:
    """A text; LiteLLM writes "None" where there is none."""
    return value if type(value) is str and value not in ("", "None") else None


def _type_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if 400 <= status < 500 else "api_error"


def stream_error(error: Any) -> StreamError:
    """An ``error`` value inside a stream, of either dialect, as an event."""
    if type(error) is not dict:
        return StreamError("api_error", None, error if type(error) is str else UNREADABLE.message)
    code = error.get("code")
    return StreamError(
        _text(error.get("type")) or "api_error",
        str(code) if type(code) in (str, int) else None,
        _text(error.get("message")) or "The provider reported an error.",
    )
