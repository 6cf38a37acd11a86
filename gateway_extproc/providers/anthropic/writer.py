"""Writes an answer stream for Anthropic clients: passed through, or encoded anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway_extproc.core.chat import (
    Chunk,
    Document,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolStart,
)
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.anthropic import frames
from gateway_extproc.providers.anthropic.reader import TEXT_KEYS
from gateway_extproc.providers.anthropic.usage import read_usage
from gateway_extproc.providers.blockwriter import BlockWriter


class EncodingWriter(BlockWriter):
    """Writes events of another dialect as Anthropic events (``core.ports.AnswerWriter``).

    Reasoning goes without a signature: other dialects have none.
    """

    __slots__ = ("_calls", "_model", "_thinking")

    def __init__(self, model: str, *, thoughts: bool = False) -> None:
        super().__init__(thoughts=thoughts)
        self._model = model
        self._thinking: int | None = None  # the open block, if it is one of thoughts
        self._calls: dict[int | None, int] = {}  # an open block not in it is a text

    def _head(self, id_: str, model: str) -> bytes:
        return frames.message_start(id_, model or self._model, self._usage)

    def _tail(self) -> bytes:
        return frames.message_delta(self._reason, self._usage) + frames.MESSAGE_STOP

    def _block_end(self, index: int) -> bytes:
        return frames.block_stop(index)

    def _refused(self, refusal: Refusal) -> bytes:
        return frames.encode(frames.refusal_object(refusal))

    def _failed(self, event: StreamError) -> bytes:
        return frames.error_event(event)

    def _open_block(self, block: dict[str, Any]) -> bytes:
        opened = self._begin() + self._close_block()
        self._open = self._next
        self._next += 1
        return opened + frames.block_start(self._open, block)

    def _tool(self, event: ToolStart) -> bytes:
        block = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
        opened = self._open_block(block)
        self._calls[event.call] = self._next - 1
        return opened

    def _text(self, event: TextDelta) -> bytes:
        if event.field == "reasoning":
            return self._thought(event) if self._thoughts else b""
        if event.field == "arguments":
            index = self._calls.get(event.call)
            # Without its call there is no block; a closed one still takes the text
            # by its index, as the SDKs do.
            return b"" if index is None else frames.block_delta(index, event)
        opened = b""
        if self._open in (None, self._thinking, *self._calls.values()):
            opened = self._open_block({"type": "text", "text": ""})
        assert self._open is not None
        return opened + frames.block_delta(self._open, event)

    def _thought(self, event: TextDelta) -> bytes:
        opened = b""
        if self._open is None or self._open != self._thinking:
            opened = self._open_block({"type": "thinking", "thinking": "", "signature": ""})
            self._thinking = self._open
        assert self._open is not None
        return opened + frames.block_delta(self._open, event)


class PassWriter:
    """Passes an Anthropic stream on (``core.ports.AnswerWriter``), byte for byte.

    A chunk that a guard changed is written anew from its document; text that a
    guard inserts becomes a delta of its block.  The guard lets held text go
    before ``content_block_stop``; text that comes later still names its block,
    which is where the SDKs put it.
    """

    __slots__ = ("_closed", "_ended", "_model", "_open", "_started", "_usage")

    def __init__(self, model: str) -> None:
        self._model = model
        self._open: set[int] = set()
        self._usage: Usage | None = None
        self._started = self._closed = self._ended = False

    def write(self, chunk: Chunk) -> bytes:
        if self._closed:
            return b""
        document, raw = chunk.document, chunk.raw
        if document is None:
            return self._inserted(chunk.events) if raw is None else raw
        self._follow(document)
        if raw is not None:
            return raw
        rewritten, left = _rewrite(document, chunk.events)
        return self._inserted(left) + (b"" if rewritten is None else frames.encode(rewritten))

    def error(self, refusal: Refusal) -> bytes:
        return self._close(frames.encode(frames.refusal_object(refusal)))

    def stop(self) -> bytes:
        start = b"" if self._started else frames.message_start("", self._model, None)
        blocks = b"".join(map(frames.block_stop, sorted(self._open)))
        end = frames.message_delta("content_filter", self._usage)
        return self._close(start + blocks + end + frames.MESSAGE_STOP)

    def _close(self, end: bytes) -> bytes:
        said_enough, self._closed = self._closed or self._ended, True
        return b"" if said_enough else end

    def _follow(self, document: Document) -> None:
        """Keeps what a polite end must close."""
        kind = document["type"]
        if kind == "content_block_delta":
            return
        if kind == "content_block_start":
            self._open.add(document["index"])
        elif kind == "content_block_stop":
            self._open.discard(document["index"])
        elif kind == "message_start":
            self._started = True
            self._usage = read_usage(document["message"].get("usage"))
        elif kind in ("message_stop", "error"):
            self._ended = True

    def _inserted(self, events: Iterable[StreamEvent]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def _event(self, event: StreamEvent) -> bytes:
        if isinstance(event, TextDelta):
            return frames.block_delta(int(event.slot[0]), event)
        if isinstance(event, StreamError):
            return self._close(frames.error_event(event))
        return b""


def _rewrite(
    document: Document, events: Iterable[StreamEvent]
) -> tuple[dict[str, Any] | None, list[TextDelta]]:
    """The document with the texts of ``events``, and the deltas that it has no place for.

    A delta whose text a guard holds back altogether is None: there is nothing to say.
    """
    deltas = [event for event in events if isinstance(event, TextDelta)]
    holder = {"content_block_start": "content_block", "content_block_delta": "delta"}
    key = holder.get(document["type"])
    if key is None:
        return dict(document), deltas
    container: Document = document[key]
    text_key = next((name for name in TEXT_KEYS if container.get(name)), None)
    if text_key is None:
        return dict(document), deltas
    slot = (document["index"], TEXT_KEYS[text_key])
    text = "".join(event.text for event in deltas if event.slot == slot)
    left = [event for event in deltas if event.slot != slot]
    if not text and key == "delta":
        return None, left
    return {**document, key: {**container, text_key: text}}, left
