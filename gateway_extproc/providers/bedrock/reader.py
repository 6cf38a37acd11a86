"""What the messages of a ConverseStream mean.

All prose is of one slot, ``(0, field)``: a client of another dialect reads its blocks as one text.
Calls have their own, ``(0, "arguments", call)``.  For clients of Bedrock slots name the block:
``(block, field)``, ``(block, "arguments", call)``, and ``(block, "aside")`` for all else that
carries text, which passes as it is or not at all.

A chunk's document is the event under its name, as AWS's SDKs show it.
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
    StreamEvent,
    TextDelta,
    ToolStart,
    UsageReport,
)
from gateway_extproc.providers.bedrock.answer import stop_reason
from gateway_extproc.providers.bedrock.errors import stream_exception
from gateway_extproc.providers.bedrock.eventstream import BadMessage, EventStreamParser, Message
from gateway_extproc.providers.bedrock.usage import read_usage
from gateway_extproc.providers.checks import string_leaves
from gateway_extproc.providers.problems import UNREADABLE, Unreadable

Events = tuple[StreamEvent, ...]

ASIDE: Final = "aside"

_BROKEN: Final = Chunk(None, None, (UNREADABLE,))
_END: Final = Chunk(None, None, (End(),))


class BedrockReader:
    """Reads one stream (``core.ports.AnswerReader``).

    After a wrong checksum nothing is believed any more.  The end is told with ``metadata``, which
    comes last, or with the last bytes where it did not come.  ``in_place`` is for a client of
    Bedrock.
    """

    __slots__ = ("_broken", "_calls", "_ended", "_in_place", "_meanings", "_parser", "_stopped")

    def __init__(self, *, in_place: bool = False) -> None:
        self._parser = EventStreamParser()
        self._in_place = in_place
        self._broken = self._ended = self._stopped = False
        self._calls: dict[int, int] = {}
        self._meanings: dict[str, Callable[[Document], Events]] = {
            "messageStart": lambda document: (Start("", ""),),
            "contentBlockStart": self._block_start,
            "contentBlockDelta": self._block_delta,
            "contentBlockStop": self._block_stop,
            "messageStop": self._message_stop,
            "metadata": self._metadata,
        }

    def feed(self, data: bytes, *, last: bool) -> tuple[Chunk, ...]:
        """The chunks that ``data`` completed, in any cut of the bytes."""
        if self._broken:
            return ()
        try:
            chunks = [self._chunk(message) for message in self._parser.feed(data)]
        except BadMessage as problem:
            self._broken = True
            return (*map(self._chunk, problem.messages), _BROKEN)
        if last and self._stopped and not self._ended and not self._parser.unfinished:
            chunks.append(_END)
        return tuple(chunks)

    def _chunk(self, message: Message) -> Chunk:
        try:
            return self._read(message)
        except (Unreadable, ValueError):
            return _BROKEN

    def _read(self, message: Message) -> Chunk:
        headers = message.headers
        kind = headers.get(":message-type")
        if kind == "error":
            self._ended = True
            described = {"message": headers.get(":error-message", "")}
            told = stream_exception(headers.get(":error-code", ""), described)
            return Chunk(message.raw, {"exception": described}, (told,))
        document = orjson.loads(message.payload)
        if kind == "exception":
            self._ended = True
            told = stream_exception(headers.get(":exception-type", ""), document)
            return Chunk(message.raw, {"exception": document}, (told,))
        name = headers.get(":event-type", "")
        if kind != "event" or type(document) is not dict:
            raise Unreadable
        meaning = self._meanings.get(name)
        if meaning is None and self._in_place:
            raise Unreadable  # of a shape that no guard can look into
        return Chunk(message.raw, {name: document}, () if meaning is None else meaning(document))

    def _block_start(self, document: Document) -> Events:
        begun = document.get("start")
        called = begun.get("toolUse") if type(begun) is dict else None
        if called is None:
            return self._aside(_index(document), begun) if self._in_place else ()
        if type(called) is not dict:
            raise Unreadable
        index = _index(document)
        call = self._calls.setdefault(index, len(self._calls))
        return (ToolStart(call, _text(called, "toolUseId"), _text(called, "name")),)

    def _block_delta(self, document: Document) -> Events:
        delta, index = document.get("delta"), _index(document)
        if type(delta) is not dict:
            raise Unreadable
        if "text" in delta:
            slot = (self._group(index), "content")
            return (TextDelta(slot, _text(delta, "text")),)
        called, thought = delta.get("toolUse"), delta.get("reasoningContent")
        if type(called) is dict:
            call = self._calls.get(index)
            if call is None:
                raise Unreadable
            place: tuple[int | str, ...] = (self._group(index), "arguments", call)
            return (TextDelta(place, _text(called, "input"), "arguments", call),)
        if type(thought) is dict:
            text = _text(thought, "text") if "text" in thought else ""
            slot = (self._group(index), "reasoning")
            return (TextDelta(slot, text, "reasoning"),) if text else ()
        if called is not None or thought is not None:
            raise Unreadable
        return self._aside(index, delta) if self._in_place else ()

    def _block_stop(self, document: Document) -> Events:
        return (BlockEnd(_index(document)),) if self._in_place else ()

    def _group(self, index: int) -> int:
        return index if self._in_place else 0

    def _aside(self, group: int | str, value: Any) -> Events:
        """All that a citation, a result or a trace says, as one text."""
        leaves = [text for at, text in string_leaves(value, ()) if at[-2:] != ("source", "bytes")]
        text = "\n".join(leaves)
        return (TextDelta((group, ASIDE), text),) if text else ()

    def _message_stop(self, document: Document) -> Events:
        self._stopped = True
        fields = document.get("additionalModelResponseFields") if self._in_place else None
        return (*self._aside("fields", fields), Stop(stop_reason(document.get("stopReason"))))

    def _metadata(self, document: Document) -> Events:
        usage = read_usage(document.get("usage"))
        traced = self._aside("trace", document.get("trace")) if self._in_place else ()
        reported: Events = (*traced, *(() if usage is None else (UsageReport(usage),)))
        if not self._stopped or self._ended:
            return reported
        self._ended = True
        return (*reported, End())


def _index(document: Document) -> int:
    index = document.get("contentBlockIndex")
    if type(index) is not int:
        raise Unreadable
    return index


def _text(document: Document, key: str) -> str:
    value = document.get(key)
    if type(value) is not str:  # a shape that no guard can look into
        raise Unreadable
    return value
