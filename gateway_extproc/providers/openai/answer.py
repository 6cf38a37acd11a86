"""Whole chat answers in OpenAI's dialect: their texts, and the way over the hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway_extproc.core.chat import (
    ChatResponse,
    Choice,
    Document,
    Path,
    StopReason,
    Text,
    TextAt,
    ToolCall,
)
from gateway_extproc.providers.checks import string_leaves
from gateway_extproc.providers.openai import reader
from gateway_extproc.providers.openai.logprobs import read_logprobs, write_logprobs
from gateway_extproc.providers.openai.usage import read_usage, write_usage
from gateway_extproc.providers.problems import Unreadable
from gateway_extproc.providers.reading import text_of

_TEXTS = (
    "content", "refusal", "reasoning_content", "reasoning", "reasoning_details", "annotations",
)  # fmt: skip


def check_answer(document: Document) -> None:
    """Raises ``Unreadable`` unless there are choices with messages to read."""
    choices = document.get("choices")
    if type(choices) is not list or not choices:
        raise Unreadable
    for choice in choices:
        message = choice.get("message") if type(choice) is dict else None
        if type(message) is not dict:
            raise Unreadable
        calls = message.get("tool_calls") or []
        if type(calls) is not list or not all(type(call) is dict for call in calls):
            raise Unreadable


def answer_texts(document: Document) -> tuple[TextAt, ...]:
    """Every text of every choice: content, refusal, reasoning, what is cited, what is said
    aloud, tool-call arguments."""
    return tuple(
        TextAt(path, "assistant", text)
        for index, choice in enumerate(document["choices"])
        for path, text in _message_texts(choice["message"], ("choices", index, "message"))
    )


def echoes(document: Document) -> tuple[Path, ...]:
    """Where the texts stand again: token by token, and spoken aloud."""
    return tuple(
        path
        for index, choice in enumerate(document["choices"])
        for path, value in (
            (("choices", index, "logprobs"), choice.get("logprobs")),
            (("choices", index, "message", "audio", "data"), _audio(choice["message"]).get("data")),
        )
        if value
    )


def _audio(message: Document) -> Document:
    audio = message.get("audio")
    return audio if type(audio) is dict else {}


def _message_texts(message: Document, path: Path) -> Iterator[tuple[Path, str]]:
    for key in _TEXTS:
        value = message.get(key)
        if value:
            yield from string_leaves(value, (*path, key))
    transcript = _audio(message).get("transcript")
    if transcript:
        yield from string_leaves(transcript, (*path, "audio", "transcript"))
    called = message.get("function_call")
    if called:
        yield from _arguments(called, (*path, "function_call"))
    for index, call in enumerate(message.get("tool_calls") or ()):
        for kind in ("function", "custom"):
            yield from _arguments(call.get(kind), (*path, "tool_calls", index, kind))


def _arguments(called: Any, path: Path) -> Iterator[tuple[Path, str]]:
    for key in ("arguments", "input"):
        text = called.get(key) if type(called) is dict else None
        if type(text) is str and text:
            yield (*path, key), text


def stop_reason(document: Document) -> StopReason:
    """Why the first choice ended, in the hub's words."""
    return reader.stop_reason(document["choices"][0].get("finish_reason"))


def answer_to_chat(document: Document) -> ChatResponse:
    """The answer for the hub; raises ``Unreadable``."""
    check_answer(document)
    first, *others = [_choice(choice) for choice in document["choices"]]
    return ChatResponse(
        id=text_of(document, "id"),
        model=text_of(document, "model"),
        parts=first.parts,
        stop_reason=first.stop_reason,
        usage=read_usage(document.get("usage")),
        logprobs=first.logprobs,
        others=tuple(others),
    )


def _choice(choice: Document) -> Choice:
    message = choice["message"]
    parts: list[Text | ToolCall] = []
    for key in ("content", "refusal"):
        text = message.get(key)
        if text and type(text) is not str:
            raise Unreadable
        if text:
            parts.append(Text(text))
    parts.extend(_tool_call(call) for call in message.get("tool_calls") or ())
    logprobs = choice.get("logprobs")
    told = read_logprobs(logprobs.get("content")) if type(logprobs) is dict else None
    return Choice(tuple(parts), reader.stop_reason(choice.get("finish_reason")), told)


def _tool_call(call: Document) -> ToolCall:
    function = call.get("function")
    if type(function) is not dict:
        raise Unreadable
    fields = (call.get("id"), function.get("name"), function.get("arguments"))
    if not all(type(field) is str for field in fields):
        raise Unreadable
    return ToolCall(*fields)  # type: ignore[arg-type]


def answer_from_chat(answer: ChatResponse, created: int) -> dict[str, Any]:
    """The hub's answer as a ``chat.completion`` object."""
    document: dict[str, Any] = {
        "id": answer.id,
        "object": "chat.completion",
        "created": created,
        "model": answer.model,
        "choices": [_written(index, choice) for index, choice in enumerate(answer.choices)],
    }
    if answer.usage is not None:
        document["usage"] = write_usage(answer.usage)
    return document


def _written(index: int, choice: Choice) -> dict[str, Any]:
    text = "".join(part.text for part in choice.parts if isinstance(part, Text))
    calls = [write_call(part) for part in choice.parts if isinstance(part, ToolCall)]
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    elif not text:
        message["content"] = ""
    told = choice.logprobs
    return {
        "index": index,
        "message": message,
        "logprobs": None if told is None else {"content": write_logprobs(told), "refusal": None},
        "finish_reason": choice.stop_reason,
    }


def write_call(call: ToolCall) -> dict[str, Any]:
    """A tool call as an assistant message carries it."""
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
