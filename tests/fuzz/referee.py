"""Judges what the server writes, by RFC 9113 alone and from the peer's side.

It sees every byte of both directions in order.  It expects of the server what any peer may:
frames that are legal where they stand, windows never overrun, at most one status a stream.
Of the peer nothing is expected: what it sends may be anything.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import hpack

from gateway_extproc.wire.http2 import limits
from support.frames import (
    ACK,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    PADDED,
    PREFACE,
    WINDOW_MAX,
    Code,
    Kind,
    Setting,
    parse,
)

DRAINING = b"draining"
ANSWERED, TRAILED = "answered", "trailed"


@lru_cache(maxsize=4096)
def _fields(block: bytes) -> dict[str, str]:
    """A block that stands alone; a table would have to be known to read it."""
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 0
    if block[:1] != b"\x20":
        block = b"\x20" + block
    fields = [(str(name), str(value)) for name, value in decoder.decode(block)]
    names = [name for name, _ in fields]
    assert len(set(names)) == len(names), fields
    assert all(name == name.lower() for name in names)
    return dict(fields)


@dataclass(slots=True)
class Told:
    """What both sides said of one stream."""

    room: int
    """Bytes that the server may send."""
    given: int
    """Bytes that the peer may send."""
    ended: bool = False
    """The peer sent END_STREAM."""
    resets: int = 0
    """By the peer."""
    reset_at: int = 0
    """Number of writes when it did so last."""
    state: str = ""
    our_resets: int = 0
    received: hashlib._Hash = field(default_factory=hashlib.md5)
    need: int = -5
    """Bytes of a message that are still to come; below zero: of its prefix."""
    prefix: bytes = b""
    sent: bytearray = field(default_factory=bytearray)
    """Payload that the peer sent, without padding."""


class Referee:
    """Keeps the books of one connection."""

    def __init__(self) -> None:
        self._in = bytearray()
        self._begun = False
        self._blind = False
        """The peer broke the framing: nothing behind it is a frame."""
        self._out = bytearray()
        self.streams: dict[int, Told] = {}
        self.room = DEFAULT_WINDOW
        self.given = DEFAULT_WINDOW
        self.last_opened = 0
        self.frames_in = 0
        self.frames_out = 0
        self.writes = 0
        self.goaway: int | None = None
        """The last stream of the server's latest GOAWAY."""
        self.error: int | None = None
        """The code of a GOAWAY that ended the connection."""
        self._initial_room = DEFAULT_WINDOW
        self._initial_given = DEFAULT_WINDOW
        self._frame_bytes = FRAME_BYTES
        self._unacknowledged: list[dict[int, int]] = []
        self._pings: list[bytes] = []
        self._greeted = False
        self._spoke = False

    # ----------------------------------------------------------------- what the peer sends

    def heard(self, data: bytes) -> None:
        """The peer sent bytes; the server has not seen them yet."""
        if self._blind:
            return
        self._in += data
        if not self._begun:
            if len(self._in) < len(PREFACE):
                return
            self._blind = not self._in.startswith(PREFACE)
            self._begun = True
            del self._in[: len(PREFACE)]
        if self._blind:
            return
        for frame in parse(self._in):
            self.frames_in += 1
            if len(frame.payload) > FRAME_BYTES:
                self._blind = True
                return
            self._heard(frame.kind, frame.flags, frame.stream, frame.payload)
        if len(self._in) >= 3 and int.from_bytes(self._in[:3], "big") > FRAME_BYTES:
            self._blind = True

    def _heard(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        told = self.streams.get(stream)
        if kind == Kind.HEADERS:
            if told is None and stream % 2 and stream > self.last_opened:
                self.last_opened = stream
                told = self.streams[stream] = Told(self._initial_room, self._initial_given)
            if told is not None:
                told.ended = told.ended or bool(flags & END_STREAM)
        elif kind == Kind.DATA:
            self.given -= len(payload)
            if told is not None:
                told.given -= len(payload)
                told.ended = told.ended or bool(flags & END_STREAM)
                told.sent += (
                    payload[1 : len(payload) - payload[0]]
                    if flags & PADDED and payload
                    else payload
                )
        elif kind == Kind.RST_STREAM and told is not None and len(payload) == 4:
            told.resets += 1
            told.reset_at = self.writes
        elif kind == Kind.SETTINGS and not flags & ACK and not stream and not len(payload) % 6:
            self._unacknowledged.append(dict(struct.iter_unpack(">HI", payload)))
        elif kind == Kind.PING and not flags & ACK and not stream and len(payload) == 8:
            self._pings.append(payload)
        elif kind == Kind.WINDOW_UPDATE and len(payload) == 4:
            increment = int.from_bytes(payload, "big") & WINDOW_MAX
            if not stream:
                self.room += increment
            elif told is not None:
                told.room += increment

    # --------------------------------------------------------------- what the server sends

    def said(self, data: bytes) -> None:
        """The server wrote bytes: whole frames, each legal where it stands."""
        self.writes += 1
        before = self.room
        self._out += data
        for frame in parse(self._out):
            self.frames_out += 1
            assert self.error is None, "a frame behind the GOAWAY that ended everything"
            assert len(frame.payload) <= self._frame_bytes
            if not self._greeted:
                assert (frame.kind, frame.flags) == (Kind.SETTINGS, 0)
                self._greeted = True
            _SAID[frame.kind](self, frame.flags, frame.stream, frame.payload)
        assert not self._out, "a write that cuts a frame"
        assert before - self.room <= limits.TURN_BYTES + limits.PIECE_BYTES, "no end of a turn"

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        assert not stream
        if flags:
            assert flags == ACK
            assert not payload
            assert self._unacknowledged, "acknowledges what was not said"
            self._obey(self._unacknowledged.pop(0))
            return
        assert self.frames_out == 1, "speaks its settings twice"
        announced = dict(struct.iter_unpack(">HI", payload))
        self._initial_given = announced[Setting.INITIAL_WINDOW_SIZE]

    def _obey(self, pairs: dict[int, int]) -> None:
        if Setting.INITIAL_WINDOW_SIZE in pairs:
            change = pairs[Setting.INITIAL_WINDOW_SIZE] - self._initial_room
            self._initial_room += change
            for told in self.streams.values():
                told.room += change
        self._frame_bytes = pairs.get(Setting.MAX_FRAME_SIZE, self._frame_bytes)

    def _ping(self, flags: int, stream: int, payload: bytes) -> None:
        assert not stream
        if flags:
            assert flags == ACK
            assert self._pings, "answers a ping that was not sent"
            assert payload == self._pings.pop(0)
        else:
            assert payload == DRAINING

    def _goaway(self, flags: int, stream: int, payload: bytes) -> None:
        assert not flags
        assert not stream
        last, code = struct.unpack_from(">II", payload)
        assert self.goaway is None or last <= self.goaway, "takes more streams than it said"
        assert last == WINDOW_MAX or last <= self.last_opened
        self.goaway = last
        if code:
            Code(code)
            self.error = code

    def _window_update(self, flags: int, stream: int, payload: bytes) -> None:
        assert not flags
        (increment,) = struct.unpack(">I", payload)
        assert 0 < increment <= WINDOW_MAX
        if not stream:
            self.given += increment
            assert self.given <= limits.CONNECTION_WINDOW, "gives more than it has"
            return
        told = self._open(stream)
        told.given += increment
        assert told.given <= limits.STREAM_WINDOW, "gives more than it has"

    def _headers(self, flags: int, stream: int, payload: bytes) -> None:
        told = self._open(stream)
        assert flags & END_HEADERS
        assert not flags & ~(END_HEADERS | END_STREAM)
        # Section 4.3.1; only the first block says that there is no table.
        assert (payload[0] == 0x20) != self._spoke
        self._spoke = True
        fields = _fields(payload)
        if not told.state:
            assert next(iter(fields)) == ":status"
            assert fields[":status"] in ("200", "415")
            told.state = ANSWERED
        else:
            assert ":status" not in fields
            assert flags & END_STREAM
        if flags & END_STREAM:
            assert "grpc-status" in fields or fields[":status"] == "415"
            assert not told.prefix, "a status inside a message"
            assert told.need == -5, "a status inside a message"
            told.state = TRAILED
        else:
            assert "grpc-status" not in fields

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        assert not flags, "DATA is neither padded nor ends a stream"
        told = self._open(stream)
        assert told.state == ANSWERED, "DATA without headers"
        assert payload, "DATA for nothing"
        self.room -= len(payload)
        told.room -= len(payload)
        assert self.room >= 0, "overruns the connection's window"
        assert told.room >= 0, "overruns the stream's window"
        told.received.update(payload)
        _count_messages(told, payload)

    def _reset(self, flags: int, stream: int, payload: bytes) -> None:
        assert not flags
        assert stream % 2
        assert stream <= self.last_opened
        # Smaller numbers that were skipped are closed (section 5.1.1).
        told = self.streams.setdefault(stream, Told(0, 0))
        (code,) = struct.unpack(">I", payload)
        Code(code)
        told.our_resets += 1
        # One more for each of the peer's: after its reset, what it sends is an error again.
        assert told.our_resets <= 1 + told.resets, "resets a stream again"
        if code == Code.NO_ERROR:
            assert told.state == TRAILED, "NO_ERROR without an answer"
            # The peer may have ended its half while this was on its way.

    def _open(self, stream: int) -> Told:
        """A stream on which the server may say something."""
        told = self.streams[stream]
        assert told.state != TRAILED, "speaks after its END_STREAM"
        assert not told.our_resets, "speaks after its reset"
        assert not told.resets or self.writes <= told.reset_at + 1, "speaks after the peer's reset"
        assert self.goaway is None or stream <= self.goaway, "serves what it said it would not"
        return told


def _count_messages(told: Told, payload: bytes) -> None:
    """Where messages begin and end; the prefix of each is right."""
    at = 0
    while at < len(payload):
        if told.need < 0:
            piece = payload[at : at - told.need]
            told.prefix += piece
            told.need += len(piece)
            at += len(piece)
            if not told.need:
                assert not told.prefix[0], "compressed"
                told.need = int.from_bytes(told.prefix[1:], "big")
        else:
            size = min(told.need, len(payload) - at)
            told.need -= size
            at += size
        if not told.need:
            told.need, told.prefix = -5, b""


_SAID: dict[int, Callable[[Referee, int, int, bytes], None]] = {
    Kind.DATA: Referee._data,
    Kind.HEADERS: Referee._headers,
    Kind.RST_STREAM: Referee._reset,
    Kind.SETTINGS: Referee._settings,
    Kind.PING: Referee._ping,
    Kind.GOAWAY: Referee._goaway,
    Kind.WINDOW_UPDATE: Referee._window_update,
}
"""Everything else may not come from a server that neither pushes nor cuts header blocks."""
