"""Bedrock's errors: a message in the body of an answer, or an exception inside a stream."""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, StreamError
from gateway_extproc.core.errors import REASONS, Refusal
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
