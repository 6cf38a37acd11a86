"""Anthropic's ``POST /v1/messages/count_tokens``: a message that is not sent, only counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway_extproc.core.chat import Document, LlmRequest
from gateway_extproc.core.errors import invalid
from gateway_extproc.core.ports import Release
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.anthropic.request import read_request
from gateway_extproc.providers.interface import Interface, only_model
from gateway_extproc.providers.problems import Unreadable

_NOT_SENT: Final = frozenset({"max_tokens", "stream"})
_ANY_CAP: Final = 2**31


def _read(document: Document) -> LlmRequest:
    """What a message would be; its cap and stream mean nothing here (Anthropic's reference)."""
    for key in _NOT_SENT:
        if key in document:
            raise invalid(key, "nothing: tokens are counted, no answer is made")
    request = read_request({**document, "max_tokens": _ANY_CAP})
    return replace(
        request, endpoint="count_tokens", document=document, max_tokens=None, completions=0
    )


def _answer(document: Document, raw: bytes) -> Release:
    if type(document.get("input_tokens")) is not int:
        raise Unreadable
    # Counting is free (Anthropic's reference): nothing is billed for the tokens it counts.
    return Release(document=document, raw=raw, usage=Usage(), stop_reason="stop")


COUNT_TOKENS: Final = Interface(
    "count_tokens", "/messages/count_tokens", _read, only_model, _answer
)
