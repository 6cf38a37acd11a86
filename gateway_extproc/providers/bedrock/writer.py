"""Writes an answer stream for Bedrock's clients: passed through, or encoded anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    Chunk,
    Document,
    StopReason,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolStart,
)
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.bedrock.answer import WRITTEN
from gateway_extproc.providers.bedrock.errors import exception_message
from gateway_extproc.providers.bedrock.eventstream import write_message
from gateway_extproc.providers.bedrock.reader import ASIDE
from gateway_extproc.providers.bedrock.usage import read_usage, write_usage
from gateway_extproc.providers.blockwriter import BlockWriter


def encode(name: str, document: Any) -> bytes:
    """An event as one message."""
    headers = {
        ":event-type": name,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return write_message(headers, orjson.dumps(document))


def _start() -> bytes:
    return encode("messageStart", {"role": "assistant"})


def _delta(index: int, field: str, text: str) -> bytes:
    delta: dict[str, Any] = {"text": text}
    if field == "arguments":
        delta = {"toolUse": {"input": text}}
    elif field == "reasoning":
        delta = {"reasoningContent": delta}
    return encode("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def _stop(index: int) -> bytes:
    return encode("contentBlockStop", {"contentBlockIndex": index})


def _end(reason: StopReason, usage: Usage | None) -> bytes:
    """The last two events; times are not told: the gateway has them in its own records."""
    told = {"usage": write_usage(usage), "metrics": {"latencyMs": 0}}
    return encode("messageStop", {"stopReason": WRITTEN[reason]}) + encode("metadata", told)


class EncodingWriter(BlockWriter):
    """Writes events of another dialect as Bedrock's (``core.ports.AnswerWriter``)."""

    __slots__ = ("_calls", "_kind")

    def __init__(self, *, thoughts: bool = False) -> None:
        super().__init__(thoughts=thoughts)
        self._kind = ""  # of the open block: content, reasoning or arguments
        self._calls: dict[int | None, int] = {}

    def _head(self, id_: str, model: str) -> bytes:
        return _start()

    def _tail(self) -> bytes:
        return _end(self._reason, self._usage)

    def _block_end(self, index: int) -> bytes:
        return _stop(index)

    def _refused(self, refusal: Refusal) -> bytes:
        code = refusal.code or refusal.reason
        return exception_message(refusal.type, refusal.message, code)

    def _failed(self, event: StreamError) -> bytes:
        return exception_message(event.type, event.message, event.code)

    def _tool(self, event: ToolStart) -> bytes:
        opened = self._open_block("arguments")
        assert self._open is not None
        self._calls[event.call] = self._open
        called = {"toolUseId": event.id, "name": event.name}
        start = {"contentBlockIndex": self._open, "start": {"toolUse": called}}
        return opened + encode("contentBlockStart", start)

    def _open_block(self, kind: str) -> bytes:
        opened = self._begin() + self._close_block()
        self._open, self._kind = self._next, kind
        self._next += 1
        return opened

    def _text(self, event: TextDelta) -> bytes:
        if event.field == "arguments":
            # Without its call there is no block; one that was closed still takes the text.
            index = self._calls.get(event.call)
            return b"" if index is None else _delta(index, event.field, event.text)
        kind = "reasoning" if event.field == "reasoning" else "content"
        if kind == "reasoning" and not self._thoughts:
            return b""
        opened = b""
        if self._open is None or self._kind != kind:
            opened = self._open_block(kind)
        assert self._open is not None
        return opened + _delta(self._open, kind, event.text)


class PassWriter:
    """Passes a Bedrock stream on (``core.ports.AnswerWriter``), byte for byte where it may.

    An event that a guard changed is written anew from its document; text that a guard inserts
    becomes a delta of its block.  What stands beside the answer (a citation, a trace, the result of
    a tool of the provider) is left out where a guard changed it.
    """

    __slots__ = ("_closed", "_ended", "_open", "_started", "_usage")

    def __init__(self) -> None:
        self._open: dict[int, None] = {}
        self._usage: Usage | None = None
        self._started = self._closed = self._ended = False

    def write(self, chunk: Chunk) -> bytes:
        if self._closed:
            return b""
        document, raw = chunk.document, chunk.raw
        if document is None:
            return self._inserted(chunk.events) if raw is None else raw
        ((name, event),) = document.items()
        self._follow(name, event)
        if raw is not None:
            return raw
        rewritten, left = _rewrite(name, event, chunk.events)
        return self._inserted(left) + (b"" if rewritten is None else encode(name, rewritten))

    def error(self, refusal: Refusal) -> bytes:
        code = refusal.code or refusal.reason
        return self._close(exception_message(refusal.type, refusal.message, code))

    def stop(self) -> bytes:
        start = b"" if self._started else _start()
        blocks = b"".join(map(_stop, self._open))
        return self._close(start + blocks + _end("content_filter", self._usage))

    def _close(self, end: bytes) -> bytes:
        said_enough, self._closed = self._closed or self._ended, True
        return b"" if said_enough else end

    def _follow(self, name: str, event: Document) -> None:
        """Keeps what a polite end must close.  A block of text begins with its first delta."""
        match name:
            case "messageStart":
                self._started = True
            case "contentBlockStart" | "contentBlockDelta":
                self._open[event["contentBlockIndex"]] = None
            case "contentBlockStop":
                self._open.pop(event["contentBlockIndex"], None)
            case "metadata" | "exception":
                self._ended = True
                if name == "metadata":
                    self._usage = read_usage(event.get("usage"))

    def _inserted(self, events: Iterable[StreamEvent]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def _event(self, event: StreamEvent) -> bytes:
        if isinstance(event, StreamError):
            return self._close(exception_message(event.type, event.message, event.code))
        if not isinstance(event, TextDelta) or event.slot[1] == ASIDE:
            return b""
        return _delta(int(event.slot[0]), event.field, event.text)


_FIELDS: Final = {"additionalModelResponseFields": "messageStop", "trace": "metadata"}


def _rewrite(
    name: str, event: Document, events: Iterable[StreamEvent]
) -> tuple[dict[str, Any] | None, list[TextDelta]]:
    """The event with the texts of ``events``, and the deltas that it has no place for.

    None where nothing is left to say.
    """
    deltas = [one for one in events if isinstance(one, TextDelta)]
    if name in _FIELDS.values():  # only what stands beside the answer can have changed
        kept = {key: value for key, value in event.items() if _FIELDS.get(key) != name}
        return kept, [one for one in deltas if one.slot[1] != ASIDE]
    begun = event.get("start")
    if name == "contentBlockStart" and not (type(begun) is dict and "toolUse" in begun):
        return None, [one for one in deltas if one.slot[1] != ASIDE]
    if name != "contentBlockDelta":
        return dict(event), deltas
    index, delta = event["contentBlockIndex"], event["delta"]
    called, thought = delta.get("toolUse"), delta.get("reasoningContent")
    field = "content"
    if type(called) is dict:
        field = "arguments"
    elif type(thought) is dict:
        field = "reasoning"
    elif "text" not in delta:
        return None, [one for one in deltas if one.slot[1] != ASIDE]
    mine = [one for one in deltas if one.slot[0] == index and one.field == field]
    left = [one for one in deltas if one not in mine]
    text = "".join(one.text for one in mine)
    if not text:
        return None, left
    written: dict[str, Any] = {"text": text}
    if field == "arguments":
        written = {"toolUse": {**called, "input": text}}
    elif field == "reasoning":
        written = {"reasoningContent": {**thought, "text": text}}
    return {**event, "delta": written}, left
