"""Writes an answer stream for Cohere's clients: passed through, or encoded anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

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
from gateway_extproc.providers.blockwriter import BlockWriter
from gateway_extproc.providers.cohere import frames
from gateway_extproc.providers.cohere.reader import CITATION, PLAN, call_slot
from gateway_extproc.providers.cohere.usage import read_usage

_CONTENT_END: Final = "content-end"
_CALL_END: Final = "tool-call-end"


class EncodingWriter(BlockWriter):
    """Writes events of another dialect as Cohere's (``core.ports.AnswerWriter``)."""

    __slots__ = ("_calls", "_kind")

    def __init__(self, *, thoughts: bool = False) -> None:
        super().__init__(thoughts=thoughts)
        self._kind = ""  # of the open block: text, thinking or call
        self._calls: set[int] = set()

    def _head(self, id_: str, model: str) -> bytes:
        return frames.message_start(id_)

    def _tail(self) -> bytes:
        return frames.message_end(self._reason, self._usage)

    def _block_end(self, index: int) -> bytes:
        return frames.block_end(_CALL_END if self._kind == "call" else _CONTENT_END, index)

    def _refused(self, refusal: Refusal) -> bytes:
        return self._begin() + frames.error_end(refusal.message, refusal.code or refusal.reason)

    def _failed(self, event: StreamError) -> bytes:
        return self._begin() + frames.error_end(event.message, event.code or event.type)

    def _tool(self, event: ToolStart) -> bytes:
        self._calls.add(event.call)
        opened = self._begin() + self._close_block()
        self._open, self._kind = event.call, "call"
        return opened + frames.call_start(event.call, event)

    def _text(self, event: TextDelta) -> bytes:
        if event.field == "arguments":
            # Without its call there is no place for it; a call that was closed still takes it.
            known = event.call is not None and event.call in self._calls
            return frames.call_delta(event.call or 0, event.text) if known else b""
        kind = "thinking" if event.field == "reasoning" else "text"
        if kind == "thinking" and not self._thoughts:
            return b""
        opened = b""
        if self._open is None or self._kind != kind:
            opened = self._begin() + self._close_block()
            self._open, self._kind = self._next, kind
            self._next += 1
            opened += frames.content_start(self._open, kind)
        assert self._open is not None
        return opened + frames.content_delta(self._open, kind, event.text)


class PassWriter:
    """Passes a Cohere stream on (``core.ports.AnswerWriter``), byte for byte where it may.

    A chunk that a guard changed is written anew from its document; text that a guard inserts
    becomes a delta of its block.  A citation that a guard changed is left out: it quotes words that
    are no longer said.
    """

    __slots__ = ("_closed", "_ended", "_left_out", "_open", "_started", "_usage")

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], None] = {}
        self._left_out: list[Any] = []
        self._usage: Usage | None = None
        self._started = self._closed = self._ended = False

    def write(self, chunk: Chunk) -> bytes:
        if self._closed:
            return b""
        document, raw = chunk.document, chunk.raw
        if document is None:
            return self._inserted(chunk.events) if raw is None else raw
        if document["type"] == "citation-end" and document.get("index") in self._left_out:
            return b""
        self._follow(document)
        if raw is not None:
            return raw
        rewritten, left = _rewrite(document, chunk.events)
        if rewritten is None and document["type"] == "citation-start":
            self._left_out.append(document.get("index"))
        return self._inserted(left) + (b"" if rewritten is None else frames.encode(rewritten))

    def error(self, refusal: Refusal) -> bytes:
        return self._fail(refusal.message, refusal.code or refusal.reason)

    def stop(self) -> bytes:
        start = b"" if self._started else frames.message_start("")
        blocks = b"".join(frames.block_end(kind, index) for kind, index in self._open)
        end = frames.message_end("content_filter", self._usage)
        return self._close(start + blocks + end)

    def _fail(self, message: str, code: str | None) -> bytes:
        start = b"" if self._started else frames.message_start("")
        return self._close(start + frames.error_end(message, code))

    def _close(self, end: bytes) -> bytes:
        said_enough, self._closed = self._closed or self._ended, True
        return b"" if said_enough else end

    def _follow(self, document: Document) -> None:
        """Keeps what a polite end must close."""
        kind = document["type"]
        match kind:
            case "message-start":
                self._started = True
            case "content-start":
                self._open[_CONTENT_END, document["index"]] = None
            case "tool-call-start":
                self._open[_CALL_END, document["index"]] = None
            case "content-end" | "tool-call-end":
                self._open.pop((kind, document["index"]), None)
            case "message-end":
                self._ended = True
                self._usage = read_usage(document["delta"].get("usage"))

    def _inserted(self, events: Iterable[StreamEvent]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def _event(self, event: StreamEvent) -> bytes:
        if isinstance(event, StreamError):
            return self._fail(event.message, event.code or event.type)
        if not isinstance(event, TextDelta) or event.slot == CITATION:
            return b""
        if event.slot == PLAN:
            return frames.plan_delta(event.text)
        if event.field == "arguments":
            return frames.call_delta(event.call or 0, event.text)
        kind = "thinking" if event.field == "reasoning" else "text"
        return frames.content_delta(int(event.slot[0]), kind, event.text)


_WORDS: Final = (("thinking", "reasoning"), ("text", "content"))


def _rewrite(
    document: Document, events: Iterable[StreamEvent]
) -> tuple[dict[str, Any] | None, list[TextDelta]]:
    """The document with the texts of ``events``, and the deltas that it has no place for.

    None where nothing is left to say.  Log probabilities spell the old text, so they go.
    """
    said: dict[Any, str] = {}
    for event in events:
        if isinstance(event, TextDelta):
            said[event.slot] = said.get(event.slot, "") + event.text
    kind, index = document["type"], document.get("index")
    if kind == "citation-start":
        said.pop(CITATION, None)
        return None, _left(said, events)
    message = dict(document["delta"]["message"]) if _has_message(document) else {}
    kept = kind in ("content-start", "tool-call-start", "message-end", "message-start")
    if kind in ("content-start", "content-delta"):
        content = dict(message["content"])
        for key, field in _WORDS:
            if content.get(key):
                content[key] = said.pop((index, field), "")
                kept = kept or bool(content[key])
        message["content"] = content
    elif kind == "tool-plan-delta":
        message["tool_plan"] = said.pop(PLAN, "")
        kept = bool(message["tool_plan"])
    elif kind in ("tool-call-start", "tool-call-delta"):
        function = dict(message["tool_calls"]["function"])
        if function.get("arguments"):
            function["arguments"] = said.pop(call_slot(index or 0, in_place=True), "")
            kept = kept or bool(function["arguments"])
        message["tool_calls"] = {**message["tool_calls"], "function": function}
    else:
        return dict(document), _left(said, events)
    written = {**document, "delta": {**document["delta"], "message": message}}
    written.pop("logprobs", None)
    return (written if kept else None), _left(said, events)


def _has_message(document: Document) -> bool:
    delta = document.get("delta")
    return type(delta) is dict and type(delta.get("message")) is dict


def _left(said: dict[Any, str], events: Iterable[StreamEvent]) -> list[TextDelta]:
    """What was not placed, in its order."""
    return [one for one in events if isinstance(one, TextDelta) and one.slot in said]
