"""What the events of a Cohere chat stream mean.

For clients of Cohere slots name the place of a text: ``(block, field)``, ``("plan", "content")``,
``("call N", "arguments", N)`` and ``("citation", "citation")``.  For all others the prose is one
text, of slot ``(0, field)``, calls are ``(0, "arguments", N)``, and citations tell nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    BlockEnd,
    Chunk,
    Document,
    End,
    Start,
    Stop,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolStart,
    UsageReport,
)
from gateway_extproc.providers.checks import string_leaves
from gateway_extproc.providers.cohere.frames import has_failed, stop_reason
from gateway_extproc.providers.cohere.usage import read_usage
from gateway_extproc.providers.problems import Unreadable
from gateway_extproc.providers.reading import StreamReader, text_of
from gateway_extproc.providers.sse import SseEvent

Events = tuple[StreamEvent, ...]

PLAN: Final = ("plan", "content")
CITATION: Final = ("citation", "citation")


def cohere_reader(*, in_place: bool = False) -> StreamReader:
    """A reader for one chat stream; ``in_place`` for a client of Cohere."""
    return StreamReader(_Interpreter(in_place=in_place))


class _Interpreter:
    __slots__ = ("_in_place", "_meanings")

    def __init__(self, *, in_place: bool) -> None:
        self._in_place = in_place
        self._meanings: dict[str, Callable[[Document], Events]] = {
            "message-start": lambda document: (Start(text_of(document, "id"), ""),),
            "content-start": self._content,
            "content-delta": self._content,
            "content-end": self._content_end,
            "tool-plan-delta": self._plan,
            "tool-call-start": self._call_start,
            "tool-call-delta": self._call_delta,
            "tool-call-end": self._call_end,
            "citation-start": self._citation,
            "message-end": self._message_end,
        }

    def __call__(self, event: SseEvent, data: bytes) -> Chunk:
        if data.strip() == b"[DONE]":
            return Chunk(event.raw, None, ())
        document = orjson.loads(data)
        kind = document.get("type") if type(document) is dict else None
        if type(kind) is not str:
            raise Unreadable
        meaning = self._meanings.get(kind)
        if meaning is None and self._in_place and kind != "citation-end":
            raise Unreadable  # of a shape that no guard can look into
        return Chunk(event.raw, document, () if meaning is None else meaning(document))

    def _content(self, document: Document) -> Events:
        content, index = _inside(document, "content"), _index(document)
        events: list[StreamEvent] = []
        for key, field in (("thinking", "reasoning"), ("text", "content")):
            text = content.get(key)
            if not text:
                continue
            if type(text) is not str:  # a shape that no guard can look into
                raise Unreadable
            slot = (index if self._in_place else 0, field)
            events.append(TextDelta(slot, text, field))  # type: ignore[arg-type]
        return tuple(events)

    def _content_end(self, document: Document) -> Events:
        return (BlockEnd(_index(document)),) if self._in_place else ()

    def _plan(self, document: Document) -> Events:
        text = _message(document).get("tool_plan")
        if not text:
            return ()
        if type(text) is not str:
            raise Unreadable
        return (TextDelta(PLAN if self._in_place else (0, "content"), text),)

    def _call_start(self, document: Document) -> Events:
        called, index = _inside(document, "tool_calls"), _index(document)
        function = called.get("function")
        call_id, name = called.get("id"), _object(function).get("name")
        if type(call_id) is not str or type(name) is not str:
            raise Unreadable
        return (ToolStart(index, call_id, name), *self._arguments(index, function))

    def _call_delta(self, document: Document) -> Events:
        return self._arguments(_index(document), _inside(document, "tool_calls").get("function"))

    def _arguments(self, index: int, function: Any) -> Events:
        text = _object(function).get("arguments")
        if not text:
            return ()
        if type(text) is not str:
            raise Unreadable
        return (TextDelta(call_slot(index, in_place=self._in_place), text, "arguments", index),)

    def _call_end(self, document: Document) -> Events:
        return (BlockEnd(f"call {_index(document)}"),) if self._in_place else ()

    def _citation(self, document: Document) -> Events:
        """All that a citation says as one text: it passes as it is, or not at all."""
        if not self._in_place:
            return ()
        leaves = string_leaves(_message(document).get("citations"), ())
        text = "\n".join(text for _, text in leaves)
        return (TextDelta(CITATION, text),) if text else ()

    def _message_end(self, document: Document) -> Events:
        delta = _object(document.get("delta"))
        reason, problem = delta.get("finish_reason"), delta.get("error")
        usage = read_usage(delta.get("usage"))
        reported: Events = () if usage is None else (UsageReport(usage),)
        if problem or has_failed(reason):
            message = problem if type(problem) is str else "The provider reported an error."
            code = delta.get("code")
            told = StreamError("api_error", code if type(code) is str else None, message)
            return (*reported, told)
        return (*reported, Stop(stop_reason(reason)), End())


def call_slot(index: int, *, in_place: bool) -> tuple[int | str, ...]:
    """The slot of a call's arguments."""
    return (f"call {index}" if in_place else 0, "arguments", index)


def _object(value: Any) -> Document:
    if type(value) is not dict:
        raise Unreadable
    return value


def _message(document: Document) -> Document:
    return _object(_object(document.get("delta")).get("message"))


def _inside(document: Document, key: str) -> Document:
    return _object(_message(document).get(key))


def _index(document: Document) -> int:
    index = document.get("index")
    if type(index) is not int:
        raise Unreadable
    return index
