"""Whole chat answers in Cohere's dialect: their texts, and the way over the hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway_extproc.core.chat import (
    ChatResponse,
    Document,
    Path,
    Text,
    TextAt,
    Thought,
    ToolCall,
)
from gateway_extproc.providers.checks import string_leaves
from gateway_extproc.providers.cohere.frames import FINISH, has_failed, stop_reason
from gateway_extproc.providers.cohere.usage import read_usage, write_usage
from gateway_extproc.providers.problems import Unreadable
from gateway_extproc.providers.reading import text_of


def message_of(document: Document) -> Document:
    """The message, its content and its calls lists of objects; raises ``Unreadable``."""
    message = document.get("message")
    if type(message) is not dict:
        raise Unreadable
    for key in ("content", "tool_calls"):
        items = message.get(key) or []
        if type(items) is not list or not all(type(item) is dict for item in items):
            raise Unreadable
    if type(message.get("tool_plan") or "") is not str:
        raise Unreadable
    return message


def answer_texts(document: Document) -> tuple[TextAt, ...]:
    """Every text of the message: content, thoughts, plan, arguments, and what it cites."""
    message, path = message_of(document), ("message",)
    return tuple(TextAt(at, "assistant", text) for at, text in _texts(message, path))


def _texts(message: Document, path: Path) -> Iterator[tuple[Path, str]]:
    for index, part in enumerate(message.get("content") or ()):
        for key, value in part.items():  # whatever kinds of parts may come
            if key != "type":
                yield from string_leaves(value, (*path, "content", index, key))
    if message.get("tool_plan"):
        yield (*path, "tool_plan"), message["tool_plan"]
    for index, call in enumerate(message.get("tool_calls") or ()):
        function = call.get("function")
        if type(function) is dict and function.get("arguments"):
            at = (*path, "tool_calls", index, "function", "arguments")
            yield from string_leaves(function["arguments"], at)
    yield from string_leaves(message.get("citations"), (*path, "citations"))


def echoes(document: Document) -> tuple[Path, ...]:
    """Where the texts stand again: as quotations, and token by token."""
    found: list[Path] = []
    if document["message"].get("citations"):
        found.append(("message", "citations"))
    if document.get("logprobs"):
        found.append(("logprobs",))
    return tuple(found)


def answer_to_chat(document: Document) -> ChatResponse:
    """The message for the hub, thoughts and citations left out; raises ``Unreadable``."""
    message = message_of(document)
    if has_failed(document.get("finish_reason")):
        raise Unreadable  # no answer, whatever it had said by then
    return ChatResponse(
        id=text_of(document, "id"),
        model="",
        parts=tuple(_parts(message)),
        stop_reason=stop_reason(document.get("finish_reason")),
        usage=read_usage(document.get("usage")),
    )


def _parts(message: Document) -> Iterator[Text | ToolCall]:
    if message.get("tool_plan"):
        yield Text(message["tool_plan"])
    for part in message.get("content") or ():
        kind = part.get("type")
        if kind == "text":
            if type(part.get("text")) is not str:
                raise Unreadable
            if part["text"]:
                yield Text(part["text"])
        elif kind != "thinking":
            raise Unreadable  # nothing that the client could have asked for
    for call in message.get("tool_calls") or ():
        yield read_call(call)


def read_call(call: Document) -> ToolCall:
    """A call of an answer; raises ``Unreadable``."""
    function = call.get("function")
    if type(function) is not dict:
        raise Unreadable
    call_id, name, arguments = call.get("id"), function.get("name"), function.get("arguments")
    if type(call_id) is not str or type(name) is not str or type(arguments) is not str:
        raise Unreadable
    return ToolCall(call_id, name, arguments)


def answer_from_chat(answer: ChatResponse) -> dict[str, Any]:
    """The hub's answer as a whole answer."""
    content = [_part(part) for part in answer.parts if not isinstance(part, ToolCall)]
    calls = [write_call(part) for part in answer.parts if isinstance(part, ToolCall)]
    message: dict[str, Any] = {"role": "assistant"}
    if content or not calls:
        message["content"] = content
    if calls:
        message["tool_calls"] = calls
    document: dict[str, Any] = {
        "id": answer.id,
        "finish_reason": FINISH[answer.stop_reason],
        "message": message,
    }
    if answer.usage is not None:
        document["usage"] = write_usage(answer.usage)
    return document


def _part(part: Text | Thought) -> dict[str, Any]:
    if isinstance(part, Thought):
        return {"type": "thinking", "thinking": part.text}
    return {"type": "text", "text": part.text}


def write_call(call: ToolCall) -> dict[str, Any]:
    """A call as an assistant's message carries it."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
