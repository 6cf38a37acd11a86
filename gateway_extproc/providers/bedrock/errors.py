"""Bedrock's errors, both ways: a message in the body of an answer, or an exception in a stream."""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway_extproc.core.chat import Document, StreamError
from gateway_extproc.core.errors import REASONS, Refusal
from gateway_extproc.core.verdict import Header
from gateway_extproc.providers.bedrock.eventstream import write_message
from gateway_extproc.providers.problems import OWN_CREDENTIAL_STATUS, provider_refusal

_BY_STATUS: Final[dict[int, tuple[str, str]]] = {
    400: ("invalid_request_error", "ValidationException"),
    404: ("not_found_error", "ResourceNotFoundException"),
    408: ("api_error", "ModelTimeoutException"),
    424: ("api_error", "ModelErrorException"),
    429: ("rate_limit_error", "ThrottlingException"),
    500: ("api_error", "InternalServerException"),
    503: ("overloaded_error", "ServiceUnavailableException"),
}
"""The exceptions of the Converse operation; their name itself stands in a header."""

_BY_EXCEPTION: Final[dict[str, str]] = {
    "throttlingexception": "rate_limit_error",
    "validationexception": "invalid_request_error",
    "serviceunavailableexception": "overloaded_error",
}

_WRITTEN: Final[dict[int, str]] = {
    **{status: code for status, (_, code) in _BY_STATUS.items()},
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    504: "ModelTimeoutException",
}
_EXCEPTIONS: Final = frozenset(
    {
        *_WRITTEN.values(),
        *("ServiceQuotaExceededException", "ModelNotReadyException", "ModelStreamErrorException"),
    }
)
_IN_STREAMS: Final[dict[str, str]] = {
    "rate_limit_error": "throttlingException",
    "invalid_request_error": "validationException",
    "overloaded_error": "serviceUnavailableException",
}
"""The exceptions of a stream, by kind; all others failed inside."""


def exception_of(refusal: Refusal) -> str:
    """AWS's name for a refusal: a provider's own if it is one of AWS's, else that of its status."""
    if refusal.code in _EXCEPTIONS:
        return str(refusal.code)
    if refusal.reason == "insufficient_quota":
        return "ServiceQuotaExceededException"  # SDKs try again what is only throttled
    status = refusal.status
    default = "ValidationException" if status < 500 else "InternalServerException"
    return _WRITTEN.get(status, default)


def refusal_object(refusal: Refusal) -> dict[str, Any]:
    """``{"message", "__type"}`` as AWS's errors are, and beside it the code and the field."""
    body = {
        "message": refusal.message,
        "__type": exception_of(refusal),
        "reason": refusal.code or refusal.reason,
    }
    return body if refusal.param is None else {**body, "field": refusal.param}


def refusal_headers(refusal: Refusal) -> tuple[Header, ...]:
    """The exception's name where AWS's SDKs look for it, and the reason where users of them can."""
    return (
        ("x-amzn-errortype", exception_of(refusal)),
        ("x-gateway-reason", refusal.code or refusal.reason),
    )


def exception_message(kind: str, message: str, code: str | None) -> bytes:
    """An exception inside a stream."""
    name = code[:1].lower() + code[1:] if code in _EXCEPTIONS else _IN_STREAMS.get(kind)
    headers = {
        ":exception-type": name or "internalServerException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    body = {"message": message} if code is None else {"message": message, "reason": code}
    return write_message(headers, orjson.dumps(body))


def read_error(status: int, document: Document | None) -> Refusal:
    """A provider's error answer, its type in words that other dialects know."""
    if status in OWN_CREDENTIAL_STATUS:
        return provider_refusal(status, document)
    default = "invalid_request_error" if 400 <= status < 500 else "api_error"
    kind, code = _BY_STATUS.get(status, (default, None))
    return Refusal(
        reason="provider_error",
        message=_message(document) or "The provider answered with an error.",
        status=status if 400 <= status <= 599 else REASONS["provider_error"][0],
        type=kind,
        code=code,
    )


def stream_exception(name: str, document: Any) -> StreamError:
    """An exception inside a stream, as an event; ``name`` begins in small letters there."""
    return StreamError(
        _BY_EXCEPTION.get(name.lower(), "api_error"),
        name[:1].upper() + name[1:] or None,
        _message(document) or "The provider reported an error.",
    )


def _message(document: Any) -> str:
    """The message, which AWS spells with either letter."""
    if type(document) is not dict:
        return ""
    for key in ("message", "Message"):
        if type(document.get(key)) is str:
            return str(document[key])
    return ""
