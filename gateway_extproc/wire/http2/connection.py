"""One HTTP/2 connection, server side: frames in, handlers run, frames out.

Reads many frames of one system call in a loop, starts a task a stream, and leaves
everything that is not a frame to its neighbours: ``states`` says what may come,
``headers`` what a block means, ``sender`` what leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from struct import Struct
from typing import Any, Final, Protocol, cast

from gateway_extproc.wire.http2 import frames, headers, limits
from gateway_extproc.wire.http2.flow import WindowOverflow
from gateway_extproc.wire.http2.frames import (
    ConnectionFault,
    ErrorCode,
    Setting,
    StreamFault,
    goaway,
)
from gateway_extproc.wire.http2.intake import Intake
from gateway_extproc.wire.http2.messages import PREFIX_BYTES
from gateway_extproc.wire.http2.patience import Patience
from gateway_extproc.wire.http2.reader import FrameReader
from gateway_extproc.wire.http2.sender import Sender
from gateway_extproc.wire.http2.states import (
    RECEIVED,
    Expect,
    StreamState,
)
from gateway_extproc.wire.http2.stream import Http2Stream
from gateway_extproc.wire.stream import Status, StreamAborted

log = logging.getLogger(__name__)

ServeStream = Callable[[Http2Stream], Awaitable[None]]
Methods = Mapping[str, ServeStream]
"""Handlers by path, ``/package.Service/Method``."""

PREFIX: Final = Struct(">BL")
"""Compressed flag and length of a gRPC message."""

DRAIN_PING: Final = b"draining"


class Leaving(Enum):
    """How far a graceful end is (RFC 9113, section 6.8)."""

    NO = "serves"
    ANNOUNCED = "the peer was told; streams that crossed that word are still taken"
    FINAL = "streams above the last one are dropped"


class Peers(Protocol):
    """Who keeps the connections of a server."""

    def joined(self, connection: Connection) -> bool:
        """A peer is here; False when it is one too many."""

    def left(self, connection: Connection) -> None:
        """A connection is over."""


class Connection(asyncio.BufferedProtocol):
    """One peer."""

    def __init__(self, methods: Methods, peers: Peers) -> None:
        self._methods = methods
        self._peers = peers
        self._streams: dict[int, Http2Stream] = {}
        self._last_id = 0
        self._left: dict[int, None] = {}
        self._headers = headers.HeaderReader()
        self._block = headers.BlockCollector()
        self._leaving = Leaving.NO
        self.tasks: set[asyncio.Task[None]] = set()
        on_frame = {
            frames.DATA: self._on_data,
            frames.HEADERS: self._on_headers,
            frames.PRIORITY: self._on_priority,
            frames.RST_STREAM: self._on_rst_stream,
            frames.SETTINGS: self._on_settings,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_goaway,
            frames.WINDOW_UPDATE: self._on_window_update,
            frames.CONTINUATION: self._on_continuation,
        }
        self._reader = FrameReader(on_frame, self._on_stream_fault, self._bear)

    # ------------------------------------------------------------------ the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.loop = asyncio.get_running_loop()
        # A cast, not isinstance: uvloop's transports do not inherit asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._patience = Patience(self.loop.time)
        self.sender = Sender(self._transport, self._patience, self._cut)
        self._intake = Intake(self.sender.control)
        self._deadline = self.loop.call_later(limits.PREFACE_S, self._cut, "no preface in time")
        self._linger: asyncio.TimerHandle | None = None
        if not self._peers.joined(self):
            self._cut("too many connections")
            return
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            # RFC 9113, section 3.2: over TLS the protocol is "h2".
            self._cut("TLS without ALPN h2")
            return
        self.sender.control(limits.greeting())

    def connection_lost(self, error: Exception | None) -> None:
        self._reader.stopped = True
        self._deadline.cancel()
        if self._linger is not None:
            self._linger.cancel()
        self.sender.stop()
        for stream in tuple(self._streams.values()):
            self._abandon(stream)
        self._peers.left(self)

    def eof_received(self) -> bool:
        """A peer that sends nothing more can get nothing either: HTTP/2 needs both ways."""
        return False

    def pause_writing(self) -> None:
        self.sender.pause()

    def resume_writing(self) -> None:
        self.sender.resume()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.room()

    def buffer_updated(self, size: int) -> None:
        try:
            self._reader.read(size)
        except ConnectionFault as fault:
            self._fail(fault)

    def _on_stream_fault(self, fault: StreamFault) -> None:
        self._reset(fault.stream_id, fault.code)
        # A stream that broke a rule is no work either (CVE-2025-8671).
        self._bear()

    def _bear(self, cost: float = 1.0) -> None:
        """A frame that carries no work came."""
        if not self._patience.bear(cost):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many frames without work")

    # --------------------------------------------------------------------------- DATA

    def _on_data(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        size = stop - start
        self._intake.arrived(size)
        stream = self._streams.get(stream_id)
        if stream is None or stream.state is not StreamState.OPEN:
            self._judge(frames.DATA, stream_id)
            self._bear()
            return
        self._intake.arrived_on(stream, size)
        if flags & frames.PADDED:
            start, stop = self._reader.unpadded(start, stop)
        if stop > start:
            self._payload(stream, start, stop)
        elif not flags & frames.END_STREAM:
            self._bear()
        if flags & frames.END_STREAM:
            self._end_of(stream)
        elif stream.owed >= limits.STREAM_WINDOW // 2 and stream.waits:
            self._intake.give_back(stream)

    def _payload(self, stream: Http2Stream, start: int, stop: int) -> None:
        size = stop - start
        if self._patience.level:
            self._patience.restore(size)
        if stream.content_left is not None:
            stream.content_left -= size
        if stream.cutter is None and size >= PREFIX_BYTES:
            buffer = self._reader.buffer
            compressed, length = PREFIX.unpack_from(buffer, start)
            if not compressed and length == size - PREFIX_BYTES:
                # Most messages come alone and whole in one frame.
                stream.deliver(bytes(buffer[start + PREFIX_BYTES : stop]))
                return
        with self._reader.view[start:stop] as payload:
            self._intake.cut(stream, payload)

    def give_back(self, stream: Http2Stream) -> None:
        """The handler has read what came."""
        self._intake.give_back(stream)

    def _end_of(self, stream: Http2Stream) -> None:
        if stream.content_left:
            # Section 8.1.1: a request whose content-length is not its length is malformed.
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "content-length is wrong")
        if stream.cutter is not None:
            stream.fail(StreamAborted("the stream ended inside a message"))
        stream.end()

    # ------------------------------------------------------------------------ HEADERS

    def _on_headers(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        if flags & frames.PADDED:
            start, stop = self._reader.unpadded(start, stop)
        if flags & frames.WITH_PRIORITY:
            start += 5
            if start > stop:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short")
        if flags & frames.END_HEADERS:
            self._on_block(flags, stream_id, bytes(self._reader.buffer[start:stop]))
            return
        self._block.begin(flags, stream_id, self._reader.buffer[start:stop])
        self._reader.expect = Expect.CONTINUATION

    def _on_continuation(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        self._block.add(stream_id, self._reader.buffer[start:stop])
        if flags & frames.END_HEADERS:
            self._reader.expect = Expect.ANYTHING
            self._on_block(self._block.flags, stream_id, self._block.take())

    def _on_block(self, flags: int, stream_id: int, block: bytes) -> None:
        """A whole header block: a new request, trailers, or one that may not come."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.state is StreamState.OPEN:
            self._on_trailers(stream, flags, block)
            return
        if not stream_id % 2:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "clients open odd streams")
        if stream_id <= self._last_id:
            self._headers.skip(block)
            self._judge(frames.HEADERS, stream_id)
            return
        if self._leaving is Leaving.FINAL:
            # Section 6.8: the peer knows from GOAWAY that this stream was never looked at.
            self._headers.skip(block)
            return
        self._last_id = stream_id
        if len(self.tasks) >= limits.CONCURRENT_STREAMS:
            self._headers.skip(block)
            raise StreamFault(stream_id, ErrorCode.REFUSED_STREAM, "too many streams")
        try:
            head = self._headers.read(block)
        except headers.MalformedHeaders as error:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, str(error)) from None
        self._open(stream_id, head, ended=bool(flags & frames.END_STREAM))

    def _on_trailers(self, stream: Http2Stream, flags: int, block: bytes) -> None:
        """The end of a request (section 8.1)."""
        try:
            self._headers.read_trailers(block)
        except headers.MalformedHeaders as error:
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, str(error)) from None
        if not flags & frames.END_STREAM:
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "HEADERS inside a body")
        self._end_of(stream)

    def _open(self, stream_id: int, head: headers.Head, *, ended: bool) -> None:
        stream = Http2Stream(self, stream_id, self.sender.stream_window)
        stream.content_left = head.content_length
        self._streams[stream_id] = stream
        if ended:
            self._end_of(stream)
        if not head.grpc:
            self._finish(stream, headers.NOT_GRPC)
            return
        serve = self._methods.get(head.path, _unknown_method)
        stream.task = self.loop.create_task(self._run(stream, serve))
        self.tasks.add(stream.task)

    # ------------------------------------------------------------------ other frames

    def _on_priority(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        """Priorities are deprecated (section 5.3.2); the frame's form is checked."""
        if stop - start != 5:
            raise StreamFault(stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY")
        self._bear()

    def _on_rst_stream(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        _check_size(stop - start, 4)
        self._judge(frames.RST_STREAM, stream_id)
        stream = self._streams.pop(stream_id, None)
        if stream is None or not stream.heard:
            self._bear()
        if stream is not None:
            self._abandon(stream)
            self._close_if_done()

    def _on_settings(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        self._bear()
        if flags & frames.ACK:
            _check_size(stop - start, 0)
            self._headers.settings_acknowledged()
            return
        if (stop - start) % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS")
        # The last value of a key counts, so each is applied once, however often it stands there.
        pairs = (_SETTING.unpack_from(self._reader.buffer, at) for at in range(start, stop, 6))
        for key, value in dict(pairs).items():
            self._apply(key, value)
        if self._reader.expect is Expect.SETTINGS:
            self._reader.expect = Expect.ANYTHING
            self._deadline.cancel()
        self.sender.control(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _apply(self, key: int, value: int) -> None:
        """One setting of the peer (section 6.5.2); unknown ones are ignored."""
        if key == Setting.ENABLE_PUSH:
            if value > 1:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH")
        elif key == Setting.INITIAL_WINDOW_SIZE:
            if value > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE")
            self._resize_windows(value)
        elif key == Setting.MAX_FRAME_SIZE:
            if not frames.MIN_FRAME_SIZE <= value <= frames.MAX_FRAME_SIZE:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE")
            self.sender.frame_bytes = value

    def _resize_windows(self, initial: int) -> None:
        """The windows of open streams move with the initial one (section 6.9.2)."""
        # Costs as much as there are streams: nobody needs to change it often.
        self._bear(1.0 + len(self._streams) / limits.STREAMS_A_WORKLESS)
        change = initial - self.sender.stream_window
        self.sender.stream_window = initial
        try:
            for stream in self._streams.values():
                self.sender.grow_stream(stream, change)
        except WindowOverflow:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "stream window") from None

    def _on_ping(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        _check_size(stop - start, 8)
        self._bear()
        payload = bytes(self._reader.buffer[start:stop])
        if not flags & frames.ACK:
            self.sender.control(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif payload == DRAIN_PING:
            self._leave_finally()

    def _on_goaway(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        """The peer opens no more streams; those that run go on (section 6.8)."""
        if stop - start < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY")
        self._bear()

    def _on_window_update(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        _check_size(stop - start, 4)
        self._bear()
        increment = int.from_bytes(self._reader.buffer[start:stop], "big") & frames.MAX_WINDOW
        if stream_id:
            self._grow_stream(stream_id, increment)
            return
        if not increment:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        try:
            self.sender.grow(increment)
        except WindowOverflow:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "connection window") from None

    def _grow_stream(self, stream_id: int, increment: int) -> None:
        self._judge(frames.WINDOW_UPDATE, stream_id)
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if not increment:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        try:
            self.sender.grow_stream(stream, increment)
        except WindowOverflow:
            code = ErrorCode.FLOW_CONTROL_ERROR
            raise StreamFault(stream_id, code, "stream window") from None

    def _judge(self, kind: int, stream_id: int) -> None:
        """Raises what the table says of a frame that its stream does not take."""
        judgement = RECEIVED[self._state_of(stream_id)][kind]
        if judgement.act == "end stream":
            raise StreamFault(stream_id, judgement.code, f"frame {kind:#x}")
        if judgement.act == "end connection":
            raise ConnectionFault(judgement.code, f"frame {kind:#x} on stream {stream_id}")

    def _state_of(self, stream_id: int) -> StreamState:
        stream = self._streams.get(stream_id)
        if stream is not None:
            return stream.state
        if stream_id > self._last_id or not stream_id % 2:
            # Above a final GOAWAY streams are dropped unseen, and so are their frames.
            dropped = self._leaving is Leaving.FINAL and stream_id % 2
            return StreamState.LEFT if dropped else StreamState.IDLE
        return StreamState.LEFT if stream_id in self._left else StreamState.CLOSED

    # ------------------------------------------------------------------- a stream's end

    async def _run(self, stream: Http2Stream, serve: ServeStream) -> None:
        """The task of one stream; whatever ends the handler becomes a status."""
        stream.begun = True
        status, details = Status.OK, ""
        try:
            await serve(stream)
        except StreamAborted as fault:
            status, details = fault.status, fault.details
        except asyncio.CancelledError:
            status, details = Status.UNAVAILABLE, "the server stops"
        except Exception:
            log.exception("the handler of stream %d failed", stream.id)
            status, details = Status.INTERNAL, "internal error"
        assert stream.task is not None
        self.tasks.discard(stream.task)
        if not stream.gone:
            block = headers.trailers(status, details)
            self._finish(stream, block if stream.answered else headers.RESPONSE + block)

    def _finish(self, stream: Http2Stream, block: bytes) -> None:
        """Ends our half; where the peer's is open, tells it to stop (section 8.1)."""
        if stream.unsent is not None:
            # A message was cut: no status may follow half of one.
            self._reset(stream.id, ErrorCode.CANCEL)
            return
        self.sender.end(stream, block)
        if stream.state is not StreamState.ENDED:
            self.sender.reset(stream.id, ErrorCode.NO_ERROR)
            self._remember_left(stream.id)
        del self._streams[stream.id]
        self._forget(stream)
        self._close_if_done()

    def _reset(self, stream_id: int, code: ErrorCode) -> None:
        """Ends a stream at once; its handler is cancelled."""
        self.sender.reset(stream_id, code)
        self._remember_left(stream_id)
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            self._abandon(stream)
            self._close_if_done()

    def _remember_left(self, stream_id: int) -> None:
        self._left[stream_id] = None
        if len(self._left) > limits.REMEMBERED:
            del self._left[next(iter(self._left))]

    def _abandon(self, stream: Http2Stream) -> None:
        """Nothing can be sent any more: the handler is cancelled."""
        stream.gone = True
        self._forget(stream)
        task = stream.task
        if task is not None:
            task.cancel()
            if not stream.begun:
                # Its first step will be the cancellation: nobody else takes it off.
                self.tasks.discard(task)

    def _forget(self, stream: Http2Stream) -> None:
        stream.unsent = stream.cutter = None
        self._intake.release(stream)

    def stalled(self, stream: Http2Stream) -> None:
        """The peer opened no window for a message that waits."""
        if not stream.gone:
            self._reset(stream.id, ErrorCode.CANCEL)

    # --------------------------------------------------------------- a connection's end

    def leave(self) -> None:
        """Begins a graceful end: streams that the peer opens until it knows are served."""
        if self._leaving is not Leaving.NO or self._reader.stopped:
            return
        self._leaving = Leaving.ANNOUNCED
        if self._reader.expect is Expect.PREFACE:
            # The peer never said what it speaks.
            self.close()
            return
        self.sender.control(goaway(frames.MAX_STREAM_ID, ErrorCode.NO_ERROR))
        self.sender.control(frames.frame(frames.PING, 0, 0, DRAIN_PING))
        self.loop.call_later(limits.LINGER_S, self._leave_finally)

    def _leave_finally(self) -> None:
        """The peer has read the first GOAWAY, or does not read."""
        if self._leaving is not Leaving.ANNOUNCED or self._reader.stopped:
            return
        self._leaving = Leaving.FINAL
        self.sender.control(goaway(self._last_id, ErrorCode.NO_ERROR))
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._leaving is Leaving.FINAL and not self._streams:
            self.close()

    def cancel_handlers(self) -> None:
        """Ends all streams: UNAVAILABLE, or never begun; their tasks finish on their own."""
        for stream in tuple(self._streams.values()):
            if stream.task is not None and stream.begun:
                stream.task.cancel()
            else:
                self._reset(stream.id, ErrorCode.REFUSED_STREAM)

    def close(self) -> None:
        """Ends the connection after what was already sent."""
        if self._reader.stopped:
            return
        self._reader.stopped = True
        self.sender.close()
        self._linger = self.loop.call_later(limits.LINGER_S, self._transport.abort)

    def _fail(self, fault: ConnectionFault) -> None:
        """The peer broke the protocol: GOAWAY, and everything ends (section 5.4.1)."""
        if self._reader.stopped:
            return
        log.warning("connection ended: %s (%s)", fault, fault.code.name)
        self.sender.control(goaway(self._last_id, fault.code, str(fault)))
        for stream in tuple(self._streams.values()):
            self._abandon(stream)
        self._reader.stopped = True
        self.sender.finish()
        self._linger = self.loop.call_later(limits.LINGER_S, self._transport.abort)

    def _cut(self, reason: str) -> None:
        """The peer does not read or does not speak: there is nobody to tell."""
        if not self._reader.stopped:
            log.warning("connection cut: %s", reason)
            self._reader.stopped = True
            self._transport.abort()


_SETTING: Final = Struct(">HL")


def _check_size(size: int, expected: int) -> None:
    if size != expected:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"{size} bytes, not {expected}")


async def _unknown_method(stream: Any) -> None:
    raise StreamAborted("unknown method", Status.UNIMPLEMENTED)
