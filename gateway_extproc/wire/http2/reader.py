"""The receiving half of a connection: what the transport read, cut into frames.

One read holds many frames, or a piece of one; frames are handed on where they lie in
the buffer, as offsets, and copied by whoever keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway_extproc.wire.http2 import frames, limits
from gateway_extproc.wire.http2.frames import ConnectionFault, ErrorCode, StreamFault
from gateway_extproc.wire.http2.states import ANYTHING, EXPECTED, ON_CONNECTION, ON_STREAM, Expect

TakeFrame = Callable[[int, int, int, int], None]
"""Takes a frame by its flags, its stream, and where its payload begins and ends."""


class FrameReader:
    """Calls ``take`` for each whole frame that may come now.

    ``faulty`` is told of a frame that broke a rule of its stream, ``unknown`` that a
    frame of an unknown type was dropped (RFC 9113, section 5.5).
    """

    def __init__(
        self,
        take: Mapping[int, TakeFrame],
        faulty: Callable[[StreamFault], None],
        unknown: Callable[[], None],
    ) -> None:
        self._take = take
        self._faulty = faulty
        self._unknown = unknown
        self._filled = 0
        self.buffer = bytearray(limits.READ_BYTES_MIN)
        self.view = memoryview(self.buffer)
        self.expect = Expect.PREFACE
        self.stopped = False
        """Whatever else comes is read and dropped."""

    def room(self) -> memoryview:
        """Where the transport may write."""
        return self.view[self._filled :]

    def read(self, size: int) -> None:
        """``size`` bytes came; raises ``ConnectionFault`` for what may not come."""
        end = self._filled + size
        full = end == len(self.buffer)
        at = 0
        if not self.stopped:
            at = self._preface(end) if self.expect is Expect.PREFACE else self._frames(0, end)
        if self.stopped:
            self._filled = 0
            return
        self._filled = end - at
        if self._filled and at:
            self.buffer[: self._filled] = self.buffer[at:end]
        if full and len(self.buffer) < limits.READ_BYTES_MAX:
            self._grow()

    def _grow(self) -> None:
        larger = bytearray(2 * len(self.buffer))
        larger[: self._filled] = self.buffer[: self._filled]
        self.buffer, self.view = larger, memoryview(larger)

    def _preface(self, end: int) -> int:
        """RFC 9113, section 3.4; returns how many bytes are done with."""
        start = bytes(self.buffer[: min(end, len(frames.PREFACE))])
        if not frames.PREFACE.startswith(start):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this is no HTTP/2")
        if len(start) < len(frames.PREFACE):
            return 0
        self.expect = Expect.SETTINGS
        return self._frames(len(start), end)

    def _frames(self, at: int, end: int) -> int:
        """Takes whole frames from ``at`` on; returns where the first unfinished one begins."""
        buffer, take = self.buffer, self._take
        unpack = frames.HEAD.unpack_from
        while end - at >= frames.HEAD_BYTES and not self.stopped:
            high, low, kind, flags, stream_id = unpack(buffer, at)
            # The uppermost bit is reserved and ignored (section 4.1).
            stream_id &= frames.MAX_STREAM_ID
            start = at + frames.HEAD_BYTES
            stop = start + (high << 8 | low)
            if stop - start > limits.FRAME_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "frame larger than announced")
            if stop > end:
                break
            at = stop
            if self.expect is not ANYTHING or kind > frames.HEADERS:
                self._check(kind, stream_id)
            handle = take.get(kind)
            if handle is None:
                self._unknown()
                continue
            try:
                handle(flags, stream_id, start, stop)
            except StreamFault as fault:
                self._faulty(fault)
        return at

    def _check(self, kind: int, stream_id: int) -> None:
        """DATA and HEADERS skip this where anything may come: their streams judge them."""
        if kind not in EXPECTED[self.expect]:
            reason = f"frame {kind:#x}, not {self.expect.value}"
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, reason)
        if kind in (ON_CONNECTION if stream_id else ON_STREAM):
            reason = f"frame {kind:#x} on stream {stream_id}"
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, reason)

    def unpadded(self, start: int, stop: int) -> tuple[int, int]:
        """A payload without its padding (section 6.1)."""
        if start == stop or self.buffer[start] >= stop - start:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding larger than the frame")
        return start + 1, stop - self.buffer[start]
