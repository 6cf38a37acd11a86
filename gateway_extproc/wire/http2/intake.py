"""What a connection has taken in: windows to give back, bytes that are held.

The peer's windows (RFC 9113, section 5.2) bound what comes before a handler reads it.
The connection's window is given back as bytes arrive, a stream's only once its handler
has read what came, so a slow handler slows its own peer stream and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway_extproc.wire.http2 import limits
from gateway_extproc.wire.http2.frames import (
    ErrorCode,
    StreamFault,
    window_update,
)
from gateway_extproc.wire.http2.messages import MessageCutter
from gateway_extproc.wire.http2.states import StreamState
from gateway_extproc.wire.stream import Status, StreamAborted

if TYPE_CHECKING:
    from gateway_extproc.wire.http2.stream import Http2Stream


class Intake:
    """Counts for one connection; ``control`` sends a frame."""

    def __init__(self, control: Callable[[bytes], None]) -> None:
        self._control = control
        self._owed = 0
        self.held = 0
        """Bytes of messages that are unfinished or unread."""

    def arrived(self, size: int) -> None:
        """Bytes of the connection's window.

        Dropped frames count, too (section 5.2.2): both sides must agree on the window.
        """
        self._owed += size
        if self._owed >= limits.CONNECTION_WINDOW // 2:
            self._control(window_update(0, self._owed))
            self._owed = 0

    def arrived_on(self, stream: Http2Stream, size: int) -> None:
        """Bytes of both windows."""
        self.arrived(size)
        stream.owed += size
        if stream.owed > limits.STREAM_WINDOW:
            raise StreamFault(stream.id, ErrorCode.FLOW_CONTROL_ERROR, "stream window overrun")

    def take(self, stream: Http2Stream, message: bytes) -> None:
        """Delivers a message that came alone and whole."""
        if not stream.reading:
            try:
                self._hold(stream, len(message) + limits.MESSAGE_OVERHEAD)
            except StreamAborted as fault:
                stream.fail(fault)
                return
        stream.deliver(message)

    def cut(self, stream: Http2Stream, payload: memoryview) -> int:
        """Delivers the messages that ``payload`` completes, and says how many those are.

        A bad one fails the stream.
        """
        cutter = stream.cutter
        if cutter is None:
            cutter = stream.cutter = MessageCutter()
        before = stream.held
        try:
            self._hold(stream, len(payload))
            messages = cutter.feed(payload)
            self._hold(stream, limits.MESSAGE_OVERHEAD * len(messages))
        except StreamAborted as fault:
            # What is refused is dropped: it must not keep other streams' messages out.
            self.held -= stream.held - before
            stream.held = before
            stream.fail(fault)
            return 0
        for message in messages:
            stream.deliver(message)
        if cutter.empty:
            stream.cutter = None
            if stream.waits:
                self.release(stream)
        return len(messages)

    def _hold(self, stream: Http2Stream, size: int) -> None:
        if self.held + size > limits.HELD_BYTES:
            raise StreamAborted("too many bytes are waiting", Status.RESOURCE_EXHAUSTED)
        stream.held += size
        self.held += size

    def release(self, stream: Http2Stream) -> None:
        """Nothing of the stream is held any more."""
        self.held -= stream.held
        stream.held = 0

    def give_back(self, stream: Http2Stream) -> None:
        """The handler has read what came: the peer may send as much again."""
        if stream.cutter is None:
            self.release(stream)
        if stream.owed >= limits.STREAM_WINDOW // 2 and stream.state is StreamState.OPEN:
            self._control(window_update(stream.id, stream.owed))
            stream.owed = 0
