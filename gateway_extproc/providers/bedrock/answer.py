"""Whole Converse answers, for the hub."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import ChatResponse, Document, StopReason, Text, ToolCall
from gateway_extproc.providers.bedrock.usage import read_usage
from gateway_extproc.providers.problems import Unreadable

STOP_REASONS: Final[dict[str, StopReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


def stop_reason(reason: Any) -> StopReason:
    """A stop reason in the hub's words; an unknown one is a plain stop."""
    return STOP_REASONS.get(reason, "stop") if type(reason) is str else "stop"


def answer_to_chat(document: Document) -> ChatResponse:
    """The answer for the hub, thoughts left out; raises ``Unreadable``.

    Bedrock names neither the answer nor the model: the id is made from what was said.
    """
    message = _object(_object(document, "output"), "message")
    content = message.get("content")
    if type(content) is not list or not all(type(block) is dict for block in content):
        raise Unreadable
    return ChatResponse(
        id="bedrock-" + blake2b(orjson.dumps(document), digest_size=12).hexdigest(),
        model="",
        parts=tuple(_parts(content)),
        stop_reason=stop_reason(document.get("stopReason")),
        usage=read_usage(document.get("usage")),
    )


def _parts(content: list[Document]) -> Iterator[Text | ToolCall]:
    for block in content:
        if "text" in block:
            yield Text(_text(block, "text"))
        elif "toolUse" in block:
            called = _object(block, "toolUse")
            arguments = orjson.dumps(_object(called, "input")).decode()
            yield ToolCall(_text(called, "toolUseId"), _text(called, "name"), arguments)
        elif "reasoningContent" not in block:
            raise Unreadable  # nothing that the client could have asked for


def _object(document: Document, key: str) -> Document:
    value = document.get(key)
    if type(value) is not dict:
        raise Unreadable
    return value


def _text(document: Document, key: str) -> str:
    value = document.get(key)
    if type(value) is not str:
        raise Unreadable
    return value
