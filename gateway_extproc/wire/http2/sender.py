"""The sending half of a connection: what leaves, in which order, and who waits.

Frames of one turn of the loop leave in one write.  A message that the peer's windows,
or the transport, do not take at once makes its writer wait, nobody else: large messages
leave a piece a turn, one stream after the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway_extproc.wire.http2.flow import Unsent, grown
from gateway_extproc.wire.http2.frames import (
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEADERS,
    MESSAGE_HEAD,
    MIN_FRAME_SIZE,
    ErrorCode,
    frame,
    rst_stream,
)
from gateway_extproc.wire.http2.headers import NO_TABLE, RESPONSE
from gateway_extproc.wire.http2.limits import (
    BACKLOG_BYTES,
    STALL_S,
    TURN_BYTES,
    WRITE_HIGH_WATER,
)
from gateway_extproc.wire.http2.messages import PREFIX_BYTES
from gateway_extproc.wire.http2.patience import Patience

if TYPE_CHECKING:
    from gateway_extproc.wire.http2.stream import Http2Stream


class Sender:
    """Writes frames to one transport.

    ``give_up`` is called with a reason when the peer does not read any more.
    """

    def __init__(
        self, transport: asyncio.Transport, patience: Patience, give_up: Callable[[str], None]
    ) -> None:
        self.window = DEFAULT_WINDOW
        self.stream_window = DEFAULT_WINDOW
        self.frame_bytes = MIN_FRAME_SIZE
        self._transport = transport
        self._patience = patience
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes | memoryview] = []
        self._scheduled = False
        self._closed = False
        self._before_block = NO_TABLE
        self._room = TURN_BYTES
        self._ready: deque[Http2Stream] = deque()
        self._paused = False
        self._backlog = 0
        self._stall: asyncio.TimerHandle | None = None
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)

    # ------------------------------------------------------------------------- frames

    def message(self, stream: Http2Stream, message: bytes) -> bool:
        """Sends a message; False when it must wait, and ``stream.unsent`` holds it."""
        if not stream.answered:
            self._answer(stream)
        size = len(message) + PREFIX_BYTES
        if (
            size <= stream.window
            and size <= self.window
            and size <= self.frame_bytes
            and size <= self._room
            and not self._paused
        ):
            stream.window -= size
            self.window -= size
            self._room -= size
            head = MESSAGE_HEAD.pack(
                size >> 8, size & 0xFF, DATA, 0, stream.id, 0, size - PREFIX_BYTES
            )
            self._out += (head, message)
            if not self._scheduled:
                self._schedule()
            if self._patience.level:
                self._patience.restore(size, 1)
            return True
        prefix = b"\x00" + len(message).to_bytes(4, "big")
        stream.unsent = Unsent(prefix, message)
        self._wait_turn(stream)
        return False

    def end(self, stream: Http2Stream, block: bytes) -> None:
        """The header block that ends our half of a stream; trailers, or all of the answer."""
        if self._before_block:
            block = self._take_before_block() + block
        self._send(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, block))

    def control(self, data: bytes) -> None:
        """A frame that answers the peer."""
        self._send(data)

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """Ends a stream at once."""
        self.control(rst_stream(stream_id, code))

    def _answer(self, stream: Http2Stream) -> None:
        stream.answered = True
        block = RESPONSE
        if self._before_block:
            block = self._take_before_block() + block
        self._out.append(HEAD.pack(0, len(block), HEADERS, END_HEADERS, stream.id) + block)

    def _take_before_block(self) -> bytes:
        """What the connection's first header block begins with."""
        update, self._before_block = self._before_block, b""
        return update

    def _send(self, data: bytes) -> None:
        """Sends what no window bounds; while the peer reads nothing, only so much of it."""
        if self._closed:
            return
        if self._paused:
            self._backlog += len(data)
            if self._backlog > BACKLOG_BYTES:
                self._give_up("answers pile up")
                return
        self._out.append(data)
        if not self._scheduled:
            self._schedule()

    # ------------------------------------------------------------------------ windows

    def grow(self, increment: int) -> None:
        """The peer takes more on the connection; raises ``WindowOverflow``."""
        self.window = grown(self.window, increment)
        if self._ready:
            self._schedule()

    def grow_stream(self, stream: Http2Stream, increment: int) -> None:
        """The peer takes more, or less, on a stream; raises ``WindowOverflow``."""
        stream.window = grown(stream.window, increment)
        if stream.parked and stream.window > 0:
            stream.parked = False
            self._wait_turn(stream)

    def _wait_turn(self, stream: Http2Stream) -> None:
        self._ready.append(stream)
        self._schedule()

    # -------------------------------------------------------------------------- turns

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        if self._ready:
            self._fill()
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            # Only now does the transport say whether it is full.
            self._transport.write(data)
        self._room = TURN_BYTES
        if self._ready and self.window > 0 and not self._paused:
            self._schedule()

    def _fill(self) -> None:
        """Takes pieces of waiting messages, one frame a stream, round and round."""
        while self._ready and self.window > 0 and self._room > 0 and not self._paused:
            stream = self._ready.popleft()
            unsent = stream.unsent
            if unsent is None:
                continue
            room = min(stream.window, self.window, self.frame_bytes)
            if room <= 0:
                # The stream's own window is empty: WINDOW_UPDATE brings it back.
                stream.parked = True
                continue
            self._piece(stream, unsent, room)
            if unsent.left:
                self._ready.append(stream)
            else:
                stream.sent()

    def _piece(self, stream: Http2Stream, unsent: Unsent, room: int) -> None:
        size = min(room, unsent.left)
        stream.window -= size
        self.window -= size
        self._room -= size
        self._out.append(HEAD.pack(size >> 8, size & 0xFF, DATA, 0, stream.id))
        self._out += unsent.take(size)
        if self._patience.level:
            self._patience.restore(size)

    # ---------------------------------------------------------------------- slow peers

    def pause(self) -> None:
        """The transport is full."""
        self._paused = True
        self._stall = self._loop.call_later(STALL_S, self._give_up, "the peer reads nothing")

    def resume(self) -> None:
        """The transport has room again."""
        self._paused = False
        self._backlog = 0
        if self._stall is not None:
            self._stall.cancel()
        if self._ready:
            self._schedule()

    def close(self) -> None:
        """What was sent so far still leaves; then the connection ends."""
        self._flush()
        self.stop()
        self._transport.close()

    def finish(self) -> None:
        """The same, but what the peer still sends is read and dropped until it has read ours.

        Closed with unread bytes, a socket is reset, and the peer may lose our last word.
        """
        self._flush()
        self.stop()
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        else:
            self._transport.close()

    def stop(self) -> None:
        """Nothing leaves any more, and no timer outlives the connection."""
        self._closed = True
        self._out.clear()
        self._ready.clear()
        if self._stall is not None:
            self._stall.cancel()
