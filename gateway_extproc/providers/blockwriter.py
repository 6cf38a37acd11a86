"""Writes events of another dialect for clients whose streams are made of blocks.

One block is open at a time: a new text or call closes the one before.  Stop reason and usage leave
together when the provider's end mark comes, and nothing follows an end or an error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from gateway_extproc.core.chat import (
    BlockEnd,
    Chunk,
    End,
    Start,
    Stop,
    StopReason,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolStart,
    UsageReport,
)
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.usage import Usage


class BlockWriter(ABC):
    """What such dialects share of a ``core.ports.AnswerWriter``; the rest are their frames.

    Reasoning is written with ``thoughts`` only, for a client that asked for it.
    """

    __slots__ = ("_closed", "_next", "_open", "_reason", "_started", "_thoughts", "_usage")

    def __init__(self, *, thoughts: bool) -> None:
        self._thoughts = thoughts
        self._open: int | None = None
        self._next = 0
        self._reason: StopReason = "stop"
        self._usage: Usage | None = None
        self._started = self._closed = False

    def write(self, chunk: Chunk) -> bytes:
        return b"".join([self._event(event) for event in chunk.events])

    def error(self, refusal: Refusal) -> bytes:
        return self._close(self._refused(refusal))

    def stop(self) -> bytes:
        self._reason = "content_filter"
        return self._finish()

    @abstractmethod
    def _head(self, id_: str, model: str) -> bytes:
        """How a stream begins."""

    @abstractmethod
    def _tail(self) -> bytes:
        """How it ends, with its reason and its usage."""

    @abstractmethod
    def _block_end(self, index: int) -> bytes:
        """How the block that was open ends."""

    @abstractmethod
    def _refused(self, refusal: Refusal) -> bytes:
        """The gateway's own error."""

    @abstractmethod
    def _failed(self, event: StreamError) -> bytes:
        """The provider's error."""

    @abstractmethod
    def _text(self, event: TextDelta) -> bytes: ...

    @abstractmethod
    def _tool(self, event: ToolStart) -> bytes: ...

    def _finish(self) -> bytes:
        if self._closed:
            return b""
        return self._close(self._begin() + self._close_block() + self._tail())

    def _close(self, end: bytes) -> bytes:
        said_enough, self._closed = self._closed, True
        return b"" if said_enough else end

    def _event(self, event: StreamEvent) -> bytes:
        if self._closed:
            return b""
        match event:
            case TextDelta():
                return self._text(event)
            case ToolStart():
                return self._tool(event)
            case Start():
                return self._begin(event.id, event.model)
            case Stop():
                self._reason = event.reason
                return self._close_block()
            case UsageReport():
                self._usage = event.usage
                return b""
            case BlockEnd():
                return b""
            case StreamError():
                return self._close(self._failed(event))
            case End():
                return self._finish()

    def _begin(self, id_: str = "", model: str = "") -> bytes:
        started, self._started = self._started, True
        return b"" if started else self._head(id_, model)

    def _close_block(self) -> bytes:
        index, self._open = self._open, None
        return b"" if index is None else self._block_end(index)
