"""Whole Converse answers, for the hub."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    ChatResponse,
    Document,
    Path,
    StopReason,
    Text,
    TextAt,
    Thought,
    ToolCall,
)
from gateway_extproc.providers.bedrock.usage import read_usage, write_usage
from gateway_extproc.providers.checks import string_leaves
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

WRITTEN: Final[dict[StopReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}
_OPAQUE: Final = frozenset({"signature", "redactedContent", "bytes", "format", "toolUseId"})

_FREE: Final = frozenset({"input", "json"})


def stop_reason(reason: Any) -> StopReason:
    """A stop reason in the hub's words; an unknown one is a plain stop."""
    return STOP_REASONS.get(reason, "stop") if type(reason) is str else "stop"


def answer_to_chat(document: Document) -> ChatResponse:
    """The answer for the hub, thoughts left out; raises ``Unreadable``.

    Bedrock names neither the answer nor the model: the id is made from what was said.
    """
    content = _content(document)
    return ChatResponse(
        id="bedrock-" + blake2b(orjson.dumps(document), digest_size=12).hexdigest(),
        model="",
        parts=tuple(_parts(content)),
        stop_reason=stop_reason(document.get("stopReason")),
        usage=read_usage(document.get("usage")),
    )


def _content(document: Document) -> list[Document]:
    """The blocks of the message; raises ``Unreadable`` for another shape."""
    content = _object(_object(document, "output"), "message").get("content")
    if type(content) is not list or not all(type(block) is dict for block in content):
        raise Unreadable
    return content


def answer_texts(document: Document) -> tuple[TextAt, ...]:
    """Every text of a whole answer, also those that a trace or a model's own field repeats."""
    found: list[TextAt] = []
    for index, block in enumerate(_content(document)):
        path: Path = ("output", "message", "content", index)
        for at, text in string_leaves(block, path):
            # Arguments and results have keys of their own, which are not the wire's.
            own = not _FREE.isdisjoint(at[len(path) : -1])
            if own or at[-1] not in _OPAQUE:
                found.append(TextAt(at, "assistant", text))
    for key in _BESIDE:
        leaves = string_leaves(document.get(key), (key,))
        found += [TextAt(at, "assistant", text) for at, text in leaves]
    return tuple(found)


_BESIDE: Final = ("additionalModelResponseFields", "trace")


def echoes(document: Document) -> tuple[Path, ...]:
    """Where texts may stand again."""
    return tuple((key,) for key in _BESIDE if document.get(key))


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


def answer_from_chat(answer: ChatResponse) -> dict[str, Any]:
    """The hub's answer as a whole answer; raises ``Unreadable`` for broken arguments.

    Times are not told: the gateway has them in its own records.
    """
    document: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": [*map(_block, answer.parts)]}},
        "stopReason": WRITTEN[answer.stop_reason],
        "usage": write_usage(answer.usage),
        "metrics": {"latencyMs": 0},
    }
    return document


def _block(part: Text | ToolCall | Thought) -> dict[str, Any]:
    match part:
        case Text():
            return {"text": part.text}
        case Thought():
            return {"reasoningContent": {"reasoningText": {"text": part.text}}}
        case ToolCall():
            try:
                arguments = orjson.loads(part.arguments or "{}")
            except ValueError:
                raise Unreadable from None
            if type(arguments) is not dict:
                raise Unreadable
            called = {"toolUseId": part.id, "name": part.name, "input": arguments}
            return {"toolUse": called}
