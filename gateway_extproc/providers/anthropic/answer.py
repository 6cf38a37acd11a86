"""Whole messages in Anthropic's dialect: their texts, and the way over the hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
from gateway_extproc.providers.anthropic import reader
from gateway_extproc.providers.anthropic.frames import STOP_REASONS as WRITTEN
from gateway_extproc.providers.anthropic.usage import read_usage, write_usage
from gateway_extproc.providers.checks import string_leaves
from gateway_extproc.providers.problems import Unreadable
from gateway_extproc.providers.reading import text_of


def check_answer(document: Document) -> None:
    """Raises ``Unreadable`` unless there is a list of content blocks to read."""
    content = document.get("content")
    if type(content) is not list or not all(type(block) is dict for block in content):
        raise Unreadable


def answer_texts(document: Document) -> tuple[TextAt, ...]:
    """Every text of the message: texts, thoughts, and the strings of tool inputs."""
    return tuple(
        TextAt(path, "assistant", text)
        for index, block in enumerate(document["content"])
        for path, text in _block_texts(block, ("content", index))
    )


def _block_texts(block: Document, path: Path) -> Iterator[tuple[Path, str]]:
    for key in ("text", "thinking", "input"):
        if block.get(key):
            yield from string_leaves(block[key], (*path, key))


def stop_reason(document: Document) -> StopReason:
    """Why the message ended, in the hub's words."""
    return reader.stop_reason(document.get("stop_reason"))


def answer_to_chat(document: Document) -> ChatResponse:
    """The message for the hub, thoughts left out; raises ``Unreadable``."""
    check_answer(document)
    return ChatResponse(
        id=text_of(document, "id"),
        model=text_of(document, "model"),
        parts=tuple(_parts(document["content"])),
        stop_reason=stop_reason(document),
        usage=read_usage(document.get("usage")),
    )


def _parts(content: list[Any]) -> Iterator[Text | ToolCall]:
    for block in content:
        kind = block.get("type")
        if kind == "text":
            yield Text(_required(block, "text", str))
        elif kind == "tool_use":
            arguments = orjson.dumps(_required(block, "input", dict)).decode()
            yield ToolCall(_required(block, "id", str), _required(block, "name", str), arguments)
        elif kind not in ("thinking", "redacted_thinking"):
            raise Unreadable  # nothing that the client could have asked for


def _required(block: Document, key: str, kind: type) -> Any:
    value = block.get(key)
    if type(value) is not kind:
        raise Unreadable
    return value


def answer_from_chat(answer: ChatResponse) -> dict[str, Any]:
    """The hub's answer as a ``message`` object; raises ``Unreadable`` for broken arguments."""
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [_block(part) for part in answer.parts],
        "stop_reason": WRITTEN[answer.stop_reason],
        "stop_sequence": None,
        "usage": write_usage(answer.usage),
    }


def _block(part: Text | ToolCall | Thought) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Thought():  # the SDKs want a signature; another provider's thoughts have none
            return {"type": "thinking", "thinking": part.text, "signature": ""}
        case ToolCall():
            return write_call(part)


def write_call(call: ToolCall) -> dict[str, Any]:
    """A tool call as a block; raises ``Unreadable`` unless its arguments are an object."""
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except ValueError:
        raise Unreadable from None
    if type(arguments) is not dict:
        raise Unreadable
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}
