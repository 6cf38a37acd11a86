"""What the events of an OpenAI chat stream mean.

Slots are ``(choice, key)`` with the key that the text has in the delta, and
``(choice, "arguments", call)`` for the arguments of a tool call, so that texts of
parallel calls never join.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, Final, Literal

import orjson

from gateway_extproc.core.chat import (
    Chunk,
    Document,
    End,
    Start,
    Stop,
    StopReason,
    StreamEvent,
    TextDelta,
    ToolStart,
    UsageReport,
)
from gateway_extproc.core.errors import RequestError
from gateway_extproc.providers.checks import string_leaves
from gateway_extproc.providers.openai.usage import read_usage
from gateway_extproc.providers.problems import Unreadable, stream_error
from gateway_extproc.providers.reading import StreamReader, text_of
from gateway_extproc.providers.sse import SseEvent

Field = Literal["content", "reasoning", "refusal", "arguments", "citation"]

TEXT_KEYS: Final[dict[str, Field]] = {
    "content": "content",
    "refusal": "refusal",
    "reasoning_content": "reasoning",
    "reasoning": "reasoning",
}
"""Where a delta carries text; the last two are OpenAI-compatible servers' names."""

STOP_REASONS: Final[dict[str, StopReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}

_END: Final = (End(),)


CITED: Final = "annotations"
"""Where a delta carries citations: they come whole, with titles and addresses that are texts."""


def openai_reader() -> StreamReader:
    """A reader for one chat stream of an OpenAI-compatible provider."""
    return StreamReader(_Interpreter())


def citing_reader() -> StreamReader:
    """The same for clients of OpenAI's dialect, who are told what an answer cites."""
    return StreamReader(_Interpreter(cites=True))


def completion_reader() -> StreamReader:
    """A reader for one stream of the older completions."""
    return StreamReader(_Interpreter(_read_text))


def _read_text(choice: Any, events: list[StreamEvent]) -> None:
    """A choice of the older completions; its slot is ``(choice, "text")``."""
    index = choice.get("index", 0) if type(choice) is dict else None
    text = choice.get("text") if type(choice) is dict else None
    if type(index) is not int or type(text) not in (str, NoneType):
        raise Unreadable
    if text:
        events.append(TextDelta((index, "text"), text))
    if choice.get("finish_reason"):
        events.append(Stop(stop_reason(choice["finish_reason"]), index))


class _Interpreter:
    """Knows what one stream has begun: its answer, and its tool calls."""

    __slots__ = ("_calls", "_cited", "_cites", "_read", "_started")

    def __init__(
        self, read: Callable[[Any, list[StreamEvent]], None] | None = None, *, cites: bool = False
    ) -> None:
        self._started = False
        self._cites, self._cited = cites, 0
        self._calls: set[tuple[int, int]] = set()
        self._read = read or self._read_choice

    def __call__(self, event: SseEvent, data: bytes) -> Chunk:
        if data == b"[DONE]" or data.strip() == b"[DONE]":
            return Chunk(event.raw, None, _END)
        document = orjson.loads(data)
        if type(document) is not dict:
            raise Unreadable
        return Chunk(event.raw, document, tuple(self._events(document)))

    def _events(self, document: Document) -> list[StreamEvent]:
        if document.get("error"):
            return [stream_error(document["error"])]
        events: list[StreamEvent] = []
        choices = document.get("choices")
        if choices:
            if type(choices) is not list:
                raise Unreadable
            if not self._started:
                self._started = True
                events.append(Start(text_of(document, "id"), text_of(document, "model")))
            for choice in choices:
                self._read(choice, events)
        usage = document.get("usage") or _groqs(document)
        if usage and (read := read_usage(usage)) is not None:
            events.append(UsageReport(read))
        return events

    def _read_choice(self, choice: Any, events: list[StreamEvent]) -> None:
        if type(choice) is not dict:
            raise Unreadable
        index = choice.get("index", 0)
        delta = choice.get("delta") or {}
        if type(index) is not int or type(delta) is not dict:
            raise Unreadable
        for key, value in delta.items():
            if not value:
                continue
            field = TEXT_KEYS.get(key)
            if field is not None:
                if type(value) is not str:  # a shape that no guard can look into
                    raise Unreadable
                events.append(TextDelta((index, key), value, field))
            elif key == "tool_calls":
                self._read_calls(index, value, events)
            elif key == "function_call":
                events.extend(_function_call(index, value))
            elif key == CITED and self._cites:
                events.extend(self._citations(value))
            elif key == "audio":  # its words come after its sound: no guard can be in time
                raise Unreadable
        reason = choice.get("finish_reason")
        if reason:
            events.append(Stop(stop_reason(reason), index))

    def _citations(self, cited: Any) -> Iterator[TextDelta]:
        """Every text of some citations, each in a slot of its own: nothing goes on from it."""
        try:
            texts = string_leaves(cited, ())
        except RequestError:  # nested too deeply
            raise Unreadable from None
        for _, text in texts:
            self._cited += 1
            yield TextDelta((f"citation:{self._cited}",), text, "citation")

    def _read_calls(self, index: int, calls: Any, events: list[StreamEvent]) -> None:
        if type(calls) is not list:
            raise Unreadable
        for position, item in enumerate(calls):
            if type(item) is not dict:
                raise Unreadable
            number = item.get("index", position)
            called = item.get("function") or item.get("custom") or {}
            if type(called) is not dict or type(number) is not int:
                raise Unreadable
            if (index, number) not in self._calls:
                self._calls.add((index, number))
                name = text_of(called, "name")
                events.append(ToolStart(number, text_of(item, "id"), name, index))
            text = called.get("arguments") or called.get("input")
            if text:
                events.append(_arguments((index, "arguments", number), text, number))


def _groqs(document: Document) -> Any:
    """Usage as Groq tells it, beside what it says for itself."""
    own = document.get("x_groq")
    return own.get("usage") if type(own) is dict else None


def stop_reason(finish_reason: Any) -> StopReason:
    """A finish reason in the hub's words; an unknown one is a plain stop."""
    return STOP_REASONS.get(finish_reason, "stop") if type(finish_reason) is str else "stop"


def _function_call(index: int, called: Any) -> list[TextDelta]:
    """The deprecated single call; it has no number."""
    if type(called) is not dict:
        raise Unreadable
    text = called.get("arguments")
    return [_arguments((index, "function_call"), text, None)] if text else []


def _arguments(slot: tuple[int | str, ...], text: Any, call: int | None) -> TextDelta:
    if type(text) is not str:
        raise Unreadable
    return TextDelta(slot, text, "arguments", call)
