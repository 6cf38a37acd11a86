"""What the events of a Gemini stream mean.

Each event is an answer of its own, with the parts that are new.  Calls of functions come whole.
Slots are ``(candidate, field)``, and ``(candidate, "arguments", call)`` for a call.

There is no end mark: the stream is complete when every candidate has told why it ended and the
provider closes the stream.  So the end is told with the last bytes, not before.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    Chunk,
    Document,
    End,
    Start,
    Stop,
    StreamEvent,
    TextDelta,
    ToolStart,
    UsageReport,
)
from gateway_extproc.providers.gemini.answer import (
    candidates_of,
    is_blocked,
    parts_of,
    read_call,
    stop_reason_of,
)
from gateway_extproc.providers.gemini.errors import read_stream_error
from gateway_extproc.providers.gemini.usage import read_usage
from gateway_extproc.providers.jsonarray import BrokenArray, JsonArrayParser
from gateway_extproc.providers.problems import UNREADABLE, Unreadable
from gateway_extproc.providers.reading import StreamReader, text_of
from gateway_extproc.providers.sse import SseEvent

CODE: Final = (("executableCode", "code"), ("codeExecutionResult", "output"))
"""Parts of Gemini's own interpreter, and where they carry text."""

_BREAK: Final = re.compile(rb"[\r\n]")
_END: Final = (Chunk(None, None, (End(),)),)


class GeminiReader:
    """Reads one stream (``core.ports.AnswerReader``): events, or one JSON array that grows.

    Events are asked for, but some servers and proxies answer with the array all the same; the
    first byte that is no blank tells which it is.
    """

    __slots__ = ("_blank", "_interpreter", "_stream")

    def __init__(self) -> None:
        self._interpreter = _Interpreter()
        self._stream: StreamReader | _ArrayReader | None = None
        self._blank = b""

    def feed(self, data: bytes, *, last: bool) -> tuple[Chunk, ...]:
        """The chunks that ``data`` completed, in any cut of the bytes."""
        if self._stream is None:
            data = self._blank + data
            begin = data.lstrip()[:1]
            if not begin and not last:
                self._blank = data
                return ()
            is_array = begin in (b"[", b"{")
            self._stream = (_ArrayReader if is_array else StreamReader)(self._interpreter)
        chunks = self._stream.feed(data, last=last)
        whole = self._interpreter.complete and self._stream.complete
        return (*chunks, *_END) if last and whole else chunks


class _ArrayReader:
    """The objects of an array as chunks, framed as the events that they would have been."""

    __slots__ = ("_broken", "_interpret", "_parser")

    def __init__(self, interpret: _Interpreter) -> None:
        self._interpret = interpret
        self._parser = JsonArrayParser()
        self._broken = False

    @property
    def complete(self) -> bool:
        return self._parser.complete

    def feed(self, data: bytes, *, last: bool) -> tuple[Chunk, ...]:
        if self._broken:
            return ()
        try:
            return tuple(map(self._chunk, self._parser.feed(data)))
        except BrokenArray as problem:
            self._broken = True
            return (*map(self._chunk, problem.objects), Chunk(None, None, (UNREADABLE,)))

    def _chunk(self, text: bytes) -> Chunk:
        try:
            if _BREAK.search(text):
                text = orjson.dumps(orjson.loads(text))
            return self._interpret(SseEvent("", text, b"data: " + text + b"\r\n\r\n"), text)
        except (Unreadable, ValueError):
            return Chunk(None, None, (UNREADABLE,))


class _Interpreter:
    """Knows what one stream has begun: its candidates, and their calls."""

    __slots__ = ("_calls", "_ended", "_failed", "_seen", "_started", "_usage")

    def __init__(self) -> None:
        self._started = self._failed = False
        self._usage: Any = None
        self._calls: dict[int, int] = {}
        self._seen: set[int] = set()
        self._ended: set[int] = set()

    @property
    def complete(self) -> bool:
        """Whether all that began has ended well."""
        return bool(self._ended) and self._seen <= self._ended and not self._failed

    def __call__(self, event: SseEvent, data: bytes) -> Chunk:
        document = orjson.loads(data)
        if type(document) is not dict:
            raise Unreadable
        return Chunk(event.raw, document, tuple(self._events(document)))

    def _events(self, document: Document) -> list[StreamEvent]:
        if document.get("error"):
            self._failed = True
            return [read_stream_error(document["error"])]
        events: list[StreamEvent] = []
        if not self._started:
            self._started = True
            answer_id = text_of(document, "responseId")
            events.append(Start(answer_id, text_of(document, "modelVersion")))
        stops: list[StreamEvent] = []
        for candidate in candidates_of(document):
            self._candidate(candidate, document, events, stops)
        if "promptFeedback" in document and is_blocked(document):
            self._ended.add(0)
            stops.append(Stop("content_filter"))
        told = document.get("usageMetadata")
        if told != self._usage:  # every event tells it, most the same again
            self._usage = told
            usage = read_usage(told)
            if usage is not None:
                events.append(UsageReport(usage))
        return events + stops if stops else events

    def _candidate(
        self,
        candidate: Document,
        document: Document,
        events: list[StreamEvent],
        stops: list[StreamEvent],
    ) -> None:
        index = candidate.get("index", 0)
        if type(index) is not int:
            raise Unreadable
        self._seen.add(index)
        for part in parts_of(candidate):
            text = part.get("text")
            if type(text) is str and text and len(part) == 1:  # nearly all
                events.append(TextDelta((index, "text"), text))
            else:
                self._part(index, part, document, events)
        reason = candidate.get("finishReason")
        if reason and reason != "FINISH_REASON_UNSPECIFIED":
            self._ended.add(index)
            has_calls = self._calls.get(index, 0) > 0
            stops.append(Stop(stop_reason_of(reason, has_calls=has_calls), index))

    def _part(
        self, index: int, part: Document, document: Document, events: list[StreamEvent]
    ) -> None:
        text = part.get("text")
        if text is not None and type(text) is not str:  # a shape that no guard can look into
            raise Unreadable
        if text:
            thought = part.get("thought") is True
            field, key = ("reasoning", "thought") if thought else ("content", "text")
            events.append(TextDelta((index, key), text, field))  # type: ignore[arg-type]
        if "functionCall" in part:
            number = self._calls.get(index, 0)
            answer_id = text_of(document, "responseId")
            call = read_call(part, answer_id, sum(self._calls.values()))
            self._calls[index] = number + 1
            events.append(ToolStart(number, call.id, call.name, index))
            slot = (index, "arguments", number)
            events.append(TextDelta(slot, call.arguments, "arguments", number))
        for kind, key in CODE:
            inside = part.get(kind)
            told = inside.get(key) if type(inside) is dict else None
            if told:
                if type(told) is not str:
                    raise Unreadable
                events.append(TextDelta((index, kind), told))
