"""One HTTP/2 connection, server side: what each kind of frame means.

``reader`` cuts the frames, ``states`` says which may come, ``headers`` what a block
means, ``streams`` runs handlers, ``intake`` and ``sender`` keep the windows.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum
from struct import Struct
from typing import Final, Protocol, cast

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
from gateway_extproc.wire.http2.states import OPEN, Expect
from gateway_extproc.wire.http2.stream import Http2Stream
from gateway_extproc.wire.http2.streams import Methods, Streams

log = logging.getLogger(__name__)

PREFIX: Final = Struct(">BL")
"""Compressed flag and length of a gRPC message."""

SETTING: Final = Struct(">HL")

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
        self._headers = headers.HeaderReader(self._bear)
        self._block = headers.BlockCollector()
        self._leaving = Leaving.NO
        self._linger: asyncio.TimerHandle | None = None
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
        self._loop = asyncio.get_running_loop()
        # A cast, not isinstance: uvloop's transports do not inherit asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._patience = Patience(self._loop.time)
        self._sender = Sender(self._transport, self._patience, self._cut)
        self._intake = Intake(self._sender.control)
        self.streams = Streams(self._methods, self._sender, self._intake, self._close_if_done)
        self._deadline = self._loop.call_later(limits.PREFACE_S, self._cut, "no preface in time")
        if not self._peers.joined(self):
            self._cut("too many connections")
            return
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            # RFC 9113, section 3.2: over TLS the protocol is "h2".
            self._cut("TLS without ALPN h2")
            return
        self._sender.control(limits.greeting())

    def connection_lost(self, error: Exception | None) -> None:
        self._reader.stopped = True
        self._deadline.cancel()
        if self._linger is not None:
            self._linger.cancel()
        self._sender.stop()
        self.streams.abandon_all()
        self._peers.left(self)

    def eof_received(self) -> bool:
        """A peer that sends nothing more can get nothing either: HTTP/2 needs both ways."""
        return False

    def pause_writing(self) -> None:
        self._sender.pause()

    def resume_writing(self) -> None:
        self._sender.resume()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.room()

    def buffer_updated(self, size: int) -> None:
        try:
            self._reader.read(size)
        except ConnectionFault as fault:
            self._fail(fault)

    def _on_stream_fault(self, fault: StreamFault) -> None:
        self.streams.reset(fault.stream_id, fault.code)
        # A stream that broke a rule is no work either (CVE-2025-8671).
        self._bear()

    def _bear(self, cost: float = 1.0) -> None:
        """A frame that carries no work came."""
        if not self._patience.bear(cost):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many frames without work")

    # --------------------------------------------------------------------------- DATA

    def _on_data(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        stream = self.streams.by_id.get(stream_id)
        if stream is None or stream.state is not OPEN:
            self._intake.arrived(stop - start)
            self.streams.judge(frames.DATA, stream_id)
            # Large frames were on their way when the stream ended; small ones may be a flood.
            self._patience.restore(stop - start)
            self._bear()
            return
        self._intake.arrived_on(stream, stop - start)
        if flags & frames.PADDED:
            start, stop = self._reader.unpadded(start, stop)
        if stop > start:
            self._payload(stream, start, stop)
        elif not flags & frames.END_STREAM:
            self._bear()
        if flags & frames.END_STREAM:
            self.streams.end_of(stream)
        elif stream.owed >= limits.STREAM_WINDOW // 2 and stream.waits:
            self._intake.give_back(stream)

    def _payload(self, stream: Http2Stream, start: int, stop: int) -> None:
        size = stop - start
        if stream.content_left is not None:
            stream.content_left -= size
        if stream.cutter is None and size >= PREFIX_BYTES:
            buffer = self._reader.buffer
            compressed, length = PREFIX.unpack_from(buffer, start)
            if not compressed and length == size - PREFIX_BYTES:
                # Most messages come alone and whole in one frame.
                self._intake.take(stream, bytes(buffer[start + PREFIX_BYTES : stop]))
                if self._patience.level:
                    self._patience.restore(size, 1)
                return
        with self._reader.view[start:stop] as payload:
            messages = self._intake.cut(stream, payload)
        if self._patience.level:
            self._patience.restore(size, messages)

    # ------------------------------------------------------------------------ HEADERS

    def _on_headers(self, flags: int, stream_id: int, start: int, stop: int) -> None:
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
        streams = self.streams
        stream = streams.by_id.get(stream_id)
        if stream is not None and stream.state is OPEN:
            self._on_trailers(stream, flags, block)
        elif not stream_id % 2:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "clients open odd streams")
        elif stream_id <= streams.last_id:
            self._headers.skip(block)
            streams.judge(frames.HEADERS, stream_id)
        elif streams.refusing:
            # Section 6.8: the peer knows from GOAWAY that this stream was never looked at.
            self._headers.skip(block)
        else:
            streams.last_id = stream_id
            self._on_request(flags, stream_id, block)

    def _on_request(self, flags: int, stream_id: int, block: bytes) -> None:
        if self.streams.full:
            self._headers.skip(block)
            raise StreamFault(stream_id, ErrorCode.REFUSED_STREAM, "too many streams")
        try:
            head = self._headers.read(block)
        except headers.MalformedHeaders as error:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, str(error)) from None
        self.streams.open(stream_id, head, ended=bool(flags & frames.END_STREAM))

    def _on_trailers(self, stream: Http2Stream, flags: int, block: bytes) -> None:
        """The end of a request (section 8.1)."""
        try:
            self._headers.read_trailers(block)
        except headers.MalformedHeaders as error:
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, str(error)) from None
        if not flags & frames.END_STREAM:
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "HEADERS inside a body")
        self.streams.end_of(stream)

    # ------------------------------------------------------------------- other frames

    def _on_priority(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        """Priorities are deprecated (section 5.3.2); the frame's form is checked.

        The stream may be idle, and such a one may not be reset (section 6.4).
        """
        _check_size(stop - start, 5)
        self._bear()

    def _on_rst_stream(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        _check_size(stop - start, 4)
        self.streams.judge(frames.RST_STREAM, stream_id)
        stream = self.streams.by_id.get(stream_id)
        expected = self.streams.acknowledge(stream_id) if stream is None else stream.heard
        if not expected:
            self._bear()
        if stream is not None:
            self.streams.abandon(stream)

    def _on_settings(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        self._bear()
        if flags & frames.ACK:
            _check_size(stop - start, 0)
            if self._reader.expect is Expect.SETTINGS:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS, not their ACK")
            self._headers.settings_acknowledged()
            return
        if (stop - start) % SETTING.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS")
        # The last value of a key counts, so each is applied once, however often it stands there.
        pairs = SETTING.iter_unpack(self._reader.buffer[start:stop])
        for key, value in dict(pairs).items():
            self._apply(key, value)
        if self._reader.expect is Expect.SETTINGS:
            self._reader.expect = Expect.ANYTHING
            self._deadline.cancel()
        self._sender.control(frames.frame(frames.SETTINGS, frames.ACK, 0))

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
            # Larger frames would let one stream have a whole turn.
            self._sender.frame_bytes = min(value, limits.PIECE_BYTES)

    def _resize_windows(self, initial: int) -> None:
        """The windows of open streams move with the initial one (section 6.9.2)."""
        streams = self.streams.by_id
        # Costs as much as there are streams: nobody needs to change it often.
        self._bear(1.0 + len(streams) / limits.STREAMS_A_WORKLESS)
        change = initial - self._sender.stream_window
        self._sender.stream_window = initial
        try:
            for stream in streams.values():
                self._sender.grow_stream(stream, change)
        except WindowOverflow:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "stream window") from None

    def _on_ping(self, flags: int, stream_id: int, start: int, stop: int) -> None:
        _check_size(stop - start, 8)
        self._bear()
        payload = bytes(self._reader.buffer[start:stop])
        if not flags & frames.ACK:
            self._sender.control(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif payload == DRAIN_PING:
            self.leave_finally()

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
            self._sender.grow(increment)
        except WindowOverflow:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "connection window") from None

    def _grow_stream(self, stream_id: int, increment: int) -> None:
        self.streams.judge(frames.WINDOW_UPDATE, stream_id)
        stream = self.streams.by_id.get(stream_id)
        if stream is None:
            return
        if not increment:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        try:
            self._sender.grow_stream(stream, increment)
        except WindowOverflow:
            code = ErrorCode.FLOW_CONTROL_ERROR
            raise StreamFault(stream_id, code, "stream window") from None

    # ------------------------------------------------------------------------ the end

    def leave(self) -> None:
        """Begins a graceful end: streams that the peer opens until it knows are served."""
        if self._leaving is not Leaving.NO or self._reader.stopped:
            return
        self._leaving = Leaving.ANNOUNCED
        if self._reader.expect is Expect.PREFACE:
            # The peer never said what it speaks; if it is saying so, nothing of it was served.
            self._sender.control(goaway(0, ErrorCode.NO_ERROR))
            self.close()
            return
        self._sender.control(goaway(frames.MAX_STREAM_ID, ErrorCode.NO_ERROR))
        self._sender.control(frames.frame(frames.PING, 0, 0, DRAIN_PING))
        self._loop.call_later(limits.LINGER_S, self.leave_finally)

    def leave_finally(self) -> None:
        """The peer has read the first GOAWAY, does not read, or there is no time left."""
        if self._leaving is not Leaving.ANNOUNCED or self._reader.stopped:
            return
        self._leaving = Leaving.FINAL
        self.streams.refusing = True
        self._sender.control(goaway(self.streams.last_id, ErrorCode.NO_ERROR))
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._leaving is Leaving.FINAL and not self.streams.by_id:
            self.close()

    def close(self) -> None:
        """Ends the connection after what was already sent."""
        if not self._reader.stopped:
            self._reader.stopped = True
            self._sender.close()
            self._cut_later()

    def _fail(self, fault: ConnectionFault) -> None:
        """The peer broke the protocol: GOAWAY, and everything ends (section 5.4.1)."""
        log.warning("connection ended: %s (%s)", fault, fault.code.name)
        self._sender.control(goaway(self.streams.last_id, fault.code, str(fault)))
        if self._reader.stopped:
            return
        self._reader.stopped = True
        self.streams.abandon_all()
        self._sender.finish()
        self._cut_later()

    def _cut_later(self) -> None:
        self._linger = self._loop.call_later(limits.LINGER_S, self._transport.abort)

    def _cut(self, reason: str) -> None:
        """The peer does not read or does not speak: there is nobody to tell."""
        if not self._reader.stopped:
            log.warning("connection cut: %s", reason)
            self._reader.stopped = True
            self._transport.abort()


def _check_size(size: int, expected: int) -> None:
    if size != expected:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"{size} bytes, not {expected}")
