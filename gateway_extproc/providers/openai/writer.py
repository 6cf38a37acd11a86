"""Writes an answer stream for OpenAI clients: passed through, or encoded anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

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
from gateway_extproc.core.document import replace_at
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.checks import string_leaves
from gateway_extproc.providers.openai.frames import (
    DONE,
    Frame,
    encode,
    error_event,
    refusal_object,
)
from gateway_extproc.providers.openai.reader import CITED


class EncodingWriter:
    """Writes events of another dialect as OpenAI chunks (``core.ports.AnswerWriter``).

    There is one choice, unless ``several`` were asked for: of providers that give several the
    slots of texts begin with the choice.  Reasoning is left out: the client could not ask for
    it, and the hub does not carry it in whole answers either.  Usage comes
    where OpenAI puts it, in a chunk of its own right before the end mark.
    """

    __slots__ = ("_closed", "_ended", "_frame", "_open", "_several", "_usage", "_wants_usage")

    def __init__(
        self, model: str, *, wants_usage: bool, created: int = 0, several: bool = False
    ) -> None:
        self._frame = Frame("", model, created)
        self._several = several
        self._open: set[int] = {0}
        self._ended: set[int] = set()
        self._wants_usage = wants_usage
        self._usage: Usage | None = None
        self._closed = False

    def write(self, chunk: Chunk) -> bytes:
        return b"".join([self._event(event) for event in chunk.events])

    def error(self, refusal: Refusal) -> bytes:
        return self._close(encode(refusal_object(refusal)) + DONE)

    def stop(self) -> bytes:
        ends = [
            self._frame.stop("content_filter", choice)
            for choice in sorted(self._open - self._ended)
        ]
        return self._close(b"".join(ends) + self._usage_chunk() + DONE)

    def _close(self, end: bytes) -> bytes:
        if self._closed:
            return b""
        self._closed = True
        return end

    def _usage_chunk(self) -> bytes:
        return self._frame.usage(self._usage) if self._wants_usage and self._usage else b""

    def _event(self, event: StreamEvent) -> bytes:
        if self._closed:
            return b""
        match event:
            case TextDelta() | ToolStart():
                return self._delta(event)
            case Start():
                self._frame.id, self._frame.model = event.id, event.model or self._frame.model
                return self._frame.delta({"role": "assistant", "content": ""})
            case Stop():
                self._ended.add(event.choice)
                return self._frame.stop(event.reason, event.choice)
            case UsageReport():
                self._usage = event.usage
                return b""
            case BlockEnd():
                return b""
            case StreamError():
                return self._close(error_event(event) + DONE)
            case End():
                return self._close(self._usage_chunk() + DONE)

    def _delta(self, event: TextDelta | ToolStart) -> bytes:
        if isinstance(event, ToolStart):
            choice, key = event.choice, ""
        elif event.field == "reasoning":
            return b""
        else:
            choice, key = int(event.slot[0]) if self._several else 0, event.field
        opened = b""
        if choice not in self._open:
            self._open.add(choice)
            opened = self._frame.delta({"role": "assistant", "content": ""}, choice)
        return opened + self._frame.text(event, key, choice)


class PassWriter:
    """Passes an OpenAI stream on (``core.ports.AnswerWriter``), byte for byte where it may.

    A chunk that a guard changed is written anew from its document; text that a
    guard inserts becomes a chunk of the same answer, as ``frame`` writes it.
    """

    __slots__ = ("_closed", "_ended", "_failed", "_frame", "_last", "_open", "_wants_usage")

    def __init__(
        self, model: str, *, wants_usage: bool, created: int = 0, frame: type[Frame] = Frame
    ) -> None:
        self._frame = frame("", model, created)
        self._wants_usage = wants_usage
        self._last: Document | None = None
        self._open: dict[int, bool] = {}
        self._closed = self._ended = self._failed = False

    def write(self, chunk: Chunk) -> bytes:
        if self._closed:
            return b""
        document = chunk.document
        if document is None:
            if chunk.raw is not None:  # a comment, or the end mark
                self._ended = self._ended or (bool(chunk.events) and type(chunk.events[0]) is End)
                return chunk.raw
            return self._inserted(chunk.events)
        choices = document.get("choices")
        if choices:
            self._last = document
            for choice in choices:
                if choice.get("finish_reason"):
                    self._open[choice.get("index", 0)] = False
                else:
                    self._open.setdefault(choice.get("index", 0), True)
        elif not self._wants_usage and document.get("usage"):
            return b""  # asked for by the gateway, not by the client
        elif document.get("error"):
            self._failed = True
        return chunk.raw if chunk.raw is not None else self._rewritten(document, chunk.events)

    def error(self, refusal: Refusal) -> bytes:
        body = b"" if self._failed else encode(refusal_object(refusal))
        return self._close(body + DONE)

    def stop(self) -> bytes:
        self._adopt()
        still_open = [index for index, unfinished in self._open.items() if unfinished]
        choices = still_open or ([] if self._open else [0])
        ends = [self._frame.stop("content_filter", index) for index in choices]
        return self._close(b"".join(ends) + DONE)

    def _close(self, end: bytes) -> bytes:
        said_enough, self._closed = self._closed or self._ended, True
        return b"" if said_enough else end

    def _adopt(self) -> None:
        """Inserted chunks look like their neighbours: the same id, model and time."""
        if self._last is not None:
            self._frame.id = self._last.get("id") or ""
            self._frame.model = self._last.get("model") or self._frame.model
            self._frame.created = self._last.get("created") or self._frame.created

    def _rewritten(self, document: Document, events: Iterable[StreamEvent]) -> bytes:
        texts: dict[Any, TextDelta] = {}
        cited: list[str] = []
        for event in events:
            if isinstance(event, TextDelta) and event.field == "citation":
                cited.append(event.text)
            elif isinstance(event, TextDelta):
                known = texts.get(event.slot)
                texts[event.slot] = event if known is None else _join(known, event)
        rest = iter(cited)
        choices = [
            self._frame.rewrite(_recited(choice, rest), texts)
            for choice in document.get("choices") or []
        ]
        changed = {**document, "choices": choices}
        changed.pop("obfuscation", None)  # padding that would tell the old length
        return self._inserted(texts.values()) + encode(changed)

    def _inserted(self, events: Iterable[StreamEvent]) -> bytes:
        self._adopt()
        return b"".join([self._event(event) for event in events])

    def _event(self, event: StreamEvent) -> bytes:
        match event:
            case TextDelta(field="citation"):
                return b""  # its chunk has left, or was stopped
            case TextDelta():
                choice, key = event.slot[0], str(event.slot[1])
                return self._frame.text(event, key, int(choice))
            case ToolStart():
                return self._frame.text(event, "", event.choice)
            case Stop():
                return self._frame.stop(event.reason, event.choice)
            case UsageReport():
                return self._frame.usage(event.usage) if self._wants_usage else b""
            case StreamError():
                self._failed = True
                return error_event(event)
            case End():
                self._ended = True
                return DONE
            case Start() | BlockEnd():
                return b""


def _recited(choice: Document, cited: Iterator[str]) -> Document:
    """The choice with the next texts in its citations, in order; none is left as it was."""
    delta = choice.get("delta")
    if not delta or not delta.get(CITED):
        return choice
    places = string_leaves(delta[CITED], (CITED,))
    edits = [(path, next(cited, "")) for path, _ in places]
    return {**choice, "delta": replace_at(delta, edits)}


def _join(first: TextDelta, more: TextDelta) -> TextDelta:
    return TextDelta(first.slot, first.text + more.text, first.field, first.call)
