"""Writes an answer stream for Gemini clients: passed through, or encoded anew.

Two framings: server-sent events, which the SDKs ask for with ``alt=sse``, and without it one JSON
array that grows.  In both a call of a function is written whole, so its arguments wait here until
the answer, or another call of the same one, ends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    Chunk,
    Document,
    End,
    Start,
    Stop,
    StopReason,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolStart,
    UsageReport,
)
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.gemini.answer import WRITTEN, write_part
from gateway_extproc.providers.gemini.errors import error_object, refusal_object
from gateway_extproc.providers.gemini.reader import CODE
from gateway_extproc.providers.gemini.usage import read_usage, write_usage
from gateway_extproc.providers.problems import UNREADABLE, Unreadable


class Framing:
    """Puts documents into the bytes of a stream: events, or elements of one array."""

    __slots__ = ("_array", "_begun", "_ended")

    def __init__(self, *, array: bool) -> None:
        self._array = array
        self._begun = self._ended = False

    @property
    def is_array(self) -> bool:
        return self._array

    def put(self, document: Any) -> bytes:
        """One more document."""
        return self.put_json(orjson.dumps(document))

    def put_json(self, text: bytes) -> bytes:
        if not self._array:
            return b"data: " + text + b"\r\n\r\n"
        opened, self._begun = b",\r\n" if self._begun else b"[", True
        return opened + text

    def end(self) -> bytes:
        """What closes the stream; nothing for events, which just end."""
        if not self._array or self._ended:
            return b""
        self._ended = True
        return b"]" if self._begun else b"[]"


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    candidate: int = 0
    texts: list[str] = field(default_factory=list)


class _Calls:
    """Calls whose arguments are not complete, in the order in which they began."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], _Call] = {}

    def begin(self, event: ToolStart) -> None:
        self._open[event.choice, event.call] = _Call(event.id, event.name, event.choice)

    def add(self, event: TextDelta, candidate: int) -> None:
        called = self._open.get((candidate, -1 if event.call is None else event.call))
        if called is not None:
            called.texts.append(event.text)

    def end(self, candidate: int | None = None) -> list[dict[str, Any]]:
        """The calls of a candidate (None: all of them) as parts.

        Raises ``Unreadable`` for arguments that are no object.
        """
        over = [at for at, call in self._open.items() if candidate in (None, call.candidate)]
        calls = [self._open.pop(at) for at in over]
        return [write_part(ToolCall(call.id, call.name, "".join(call.texts))) for call in calls]


class _Writer:
    """What both writers share: the head of every document, and the ends."""

    __slots__ = ("_calls", "_closed", "_framing", "_id", "_model", "_usage")

    def __init__(self, model: str, *, array: bool) -> None:
        self._framing = Framing(array=array)
        self._calls = _Calls()
        self._id, self._model = "", model
        self._usage: Usage | None = None
        self._closed = False

    def error(self, refusal: Refusal) -> bytes:
        return self._close(self._framing.put, refusal_object(refusal))

    def stop(self) -> bytes:
        return self._close(self._framing.put, self._document([], "content_filter"))

    def _close(self, put: Callable[[Any], bytes], document: Any) -> bytes:
        if self._closed:
            return b""
        self._closed = True
        return put(document) + self._framing.end()

    def _document(
        self, parts: list[dict[str, Any]], reason: StopReason | None = None, candidate: int = 0
    ) -> dict[str, Any]:
        written: dict[str, Any] = {}
        if parts or reason is None:
            written["content"] = {"parts": parts, "role": "model"}
        if reason is not None:
            written["finishReason"] = WRITTEN[reason]
        written["index"] = candidate
        document: dict[str, Any] = {"candidates": [written]}
        if self._usage is not None:
            document["usageMetadata"] = write_usage(self._usage)
        return {**document, "modelVersion": self._model, "responseId": self._id}


class EncodingWriter(_Writer):
    """Writes events of another dialect as Gemini's (``core.ports.AnswerWriter``).

    The stop reason leaves with the usage, which other dialects tell after it, so it waits for
    the end mark.  Thoughts are written with ``thoughts`` only, for a client that asked for them.
    Where ``several`` answers were asked for the slots of texts begin with the answer's number.
    """

    __slots__ = ("_reasons", "_several", "_thoughts")

    def __init__(
        self, model: str, *, array: bool, several: bool = False, thoughts: bool = False
    ) -> None:
        super().__init__(model, array=array)
        self._several, self._thoughts = several, thoughts
        self._reasons: dict[int, StopReason] = {}

    def write(self, chunk: Chunk) -> bytes:
        return b"".join([self._event(event) for event in chunk.events])

    def _event(self, event: StreamEvent) -> bytes:
        if self._closed:
            return b""
        match event:
            case TextDelta(field="arguments"):
                self._calls.add(event, self._choice(event))
            case TextDelta(field="reasoning"):
                return self._text(event, thought=True) if self._thoughts else b""
            case TextDelta():
                return self._text(event)
            case ToolStart():
                self._calls.begin(event)
            case Start():
                self._id, self._model = event.id, event.model or self._model
            case Stop():
                self._reasons[event.choice] = event.reason
            case UsageReport():
                self._usage = event.usage
            case StreamError():
                return self._close(self._framing.put, error_object(event))
            case End():
                return self._finish()
        return b""

    def _choice(self, event: TextDelta) -> int:
        return int(event.slot[0]) if self._several else 0

    def _text(self, event: TextDelta, *, thought: bool = False) -> bytes:
        part: dict[str, Any] = {"text": event.text}
        parts = [{**part, "thought": True} if thought else part]
        return self._framing.put(self._document(parts, None, self._choice(event)))

    def _finish(self) -> bytes:
        *others, last = sorted(self._reasons.items()) or [(0, "stop")]
        try:
            ended = b"".join([self._framing.put(self._end_of(*one)) for one in others])
            return ended + self._close(self._framing.put, self._end_of(*last))
        except Unreadable:
            return self._close(self._framing.put, error_object(UNREADABLE))

    def _end_of(self, choice: int, reason: StopReason) -> dict[str, Any]:
        calls = self._calls.end(choice if self._several else None)
        return self._document(calls, reason, choice)


_NO_TEXT: Final = ("inlineData", "fileData")


class PassWriter(_Writer):
    """Passes a Gemini stream on (``core.ports.AnswerWriter``), byte for byte where it may.

    Of a chunk that a guard changed the parts are written anew: texts as the guard leaves them,
    calls when their candidate ends, whatever else there was as it was.
    """

    __slots__ = ("_failed",)

    def __init__(self, model: str, *, array: bool) -> None:
        super().__init__(model, array=array)
        self._failed = False

    def write(self, chunk: Chunk) -> bytes:
        if self._closed:
            return b""
        document = chunk.document
        if document is None:
            if chunk.raw is not None:  # a comment
                return b"" if self._framing.is_array else chunk.raw
            return self._inserted(chunk.events)
        self._adopt(document)
        self._failed = self._failed or bool(document.get("error"))
        if chunk.raw is None:
            return self._rewritten(document, chunk.events)
        return self._framing.put(document) if self._framing.is_array else chunk.raw

    def error(self, refusal: Refusal) -> bytes:
        return self._end() if self._failed else super().error(refusal)

    def _end(self) -> bytes:
        self._closed = True
        return self._framing.end()

    def _adopt(self, document: Document) -> None:
        """Inserted documents look like their neighbours."""
        for name, key in (("_id", "responseId"), ("_model", "modelVersion")):
            if type(document.get(key)) is str:
                setattr(self, name, document[key])
        self._usage = read_usage(document.get("usageMetadata")) or self._usage

    def _inserted(self, events: Iterable[StreamEvent]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def _event(self, event: StreamEvent) -> bytes:
        match event:
            case TextDelta(field="arguments"):
                self._calls.add(event, int(event.slot[0]))
            case TextDelta():
                part = _text_part(event)
                return self._framing.put(self._document([part], None, int(event.slot[0])))
            case StreamError():
                return self._close(self._framing.put, error_object(event))
            case End():
                return self._end()
        return b""

    def _rewritten(self, document: Document, events: Iterable[StreamEvent]) -> bytes:
        candidates = []
        events = tuple(events)
        for candidate in document.get("candidates") or ():
            index = candidate.get("index", 0)
            parts = self._parts(index, events)
            content = candidate.get("content") or {}
            kept = [
                part for part in content.get("parts") or () if any(key in part for key in _NO_TEXT)
            ]
            if candidate.get("finishReason"):
                try:
                    parts += self._calls.end(index)
                except Unreadable:
                    return self._close(self._framing.put, error_object(UNREADABLE))
            # Probabilities and quotations spell the old text, so they go.
            rest = {k: v for k, v in candidate.items() if k not in _ECHOES}
            candidates.append({**rest, "content": {**content, "parts": parts + kept}})
        return self._framing.put({**document, "candidates": candidates})

    def _parts(self, index: int, events: Iterable[StreamEvent]) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for event in events:
            if isinstance(event, ToolStart):
                if event.choice == index:
                    self._calls.begin(event)
            elif isinstance(event, TextDelta) and event.slot[0] == index:
                if event.field == "arguments":
                    self._calls.add(event, index)
                elif event.text:
                    parts.append(_text_part(event))
        return parts


_ECHOES: Final = ("logprobsResult", "groundingMetadata", "citationMetadata")


def _text_part(event: TextDelta) -> dict[str, Any]:
    for kind, key in CODE:
        if event.slot[1] == kind:
            return {kind: {key: event.text}}
    part: dict[str, Any] = {"text": event.text}
    return {**part, "thought": True} if event.field == "reasoning" else part
