"""Drives one connection of the fast server by a string of bytes that decide everything.

Which frames come, how they are cut, what handlers do, when the transport is full, how time
goes: whatever the bytes say.  ``drive`` raises ``Violation`` when the connection breaks one of
its promises; any other exception escaped from it.  Nothing here knows who chose the bytes:
a fuzzer, hypothesis, or a person.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

import hpack

from gateway_extproc.wire.http2.connection import Connection
from gateway_extproc.wire.http2.stream import Http2Stream
from support import frames
from support.frames import END_STREAM, Frame, Kind, Setting

MOST_STEPS: Final = 200
TURNS_AT_END: Final = 50
SMALL: Final = (0, 1, 3, 5, 7, 9, 2, 11, 101, 2**31 - 1)
LENGTHS: Final = (0, 1, 4, 5, 6, 100, 1000, 16_000, 16_384, 16_385, 40_000)
INCREMENTS: Final = (0, 1, 100, 16_384, 65_535, 1 << 20, 2**31 - 1)
VALUES: Final = (0, 1, 100, 16_383, 16_384, 65_535, 1 << 20, 2**24, 2**31 - 1, 2**31)
LARGEST: Final = 65_536
SECONDS: Final = (0.0, 0.5, 2.5, 11.0, 61.0)


class Violation(AssertionError):
    """The connection did what it must not."""


class Choices:
    """Decisions, read from bytes; 0 when there are none left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def below(self, bound: int) -> int:
        return int.from_bytes(self.take(1 if bound <= 256 else 2)) % bound

    def of(self, values: tuple[Any, ...]) -> Any:
        return values[self.below(len(values))]

    def take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        self._at += len(found)
        return found


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop whose time goes only when it is told to."""

    now_s = 1000.0

    def time(self) -> float:
        return self.now_s


class Transport(asyncio.Transport):
    """Keeps what was written; may be full, closes when it is asked to."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lost: Callable[[], None]) -> None:
        super().__init__()
        self._loop = loop
        self._lost = lost
        self.written = bytearray()
        self.ended = False
        self.closing = False
        self.vanished = False

    def vanish(self) -> None:
        """The peer is gone; the connection hears of it a moment later."""
        self.vanished = True
        self.close()

    def write(self, data: Any) -> None:
        if self.vanished:
            return
        if self.closing or self.ended:
            raise Violation("written after the end")
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self._loop.call_soon(self._lost)

    def abort(self) -> None:
        self.close()


class PeerView:
    """What a peer that keeps the rules would say about the frames that it is sent."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder()
        self._answered: set[int] = set()
        self._over: set[int] = set()
        self._reset: set[int] = set()
        self._sent: defaultdict[int, int] = defaultdict(int)
        self.granted: defaultdict[int, int] = defaultdict(int)
        self.initial = 65_535

    def see(self, frame: Frame) -> None:
        stream = frame.stream
        if stream in self._reset and frame.kind != Kind.WINDOW_UPDATE:
            # A peer's frames that come late may each be answered; our own half never goes on.
            if frame.kind != Kind.RST_STREAM:
                raise Violation(f"{frame.kind} on stream {stream} after its reset")
        elif frame.kind == Kind.HEADERS:
            self._headers(frame)
        elif frame.kind == Kind.DATA:
            self._data(frame)
        elif frame.kind == Kind.RST_STREAM:
            self._reset.add(stream)

    def _headers(self, frame: Frame) -> None:
        stream = frame.stream
        if stream in self._over:
            raise Violation(f"a second status on stream {stream}")
        fields: dict[Any, Any] = dict(self._decoder.decode(frame.payload))
        ends = bool(frame.flags & END_STREAM)
        if (stream in self._answered) != (":status" not in fields):
            raise Violation(f"headers out of order on stream {stream}: {fields}")
        if ends:
            self._over.add(stream)
            if fields.get(":status", "200") == "200" and "grpc-status" not in fields:
                raise Violation(f"stream {stream} ended without a status")
        self._answered.add(stream)

    def _data(self, frame: Frame) -> None:
        stream = frame.stream
        if stream not in self._answered or stream in self._over:
            raise Violation(f"DATA on stream {stream} that is not open")
        for window, size in ((stream, self.initial), (0, 65_535)):
            self._sent[window] += len(frame.payload)
            if self._sent[window] > size + self.granted[window]:
                raise Violation(f"window {window} overrun")


class Rig:
    """One connection and everything around it."""

    def __init__(self, choices: Choices, loop: SteppedLoop) -> None:
        self.choices = choices
        self.loop = loop
        self.lost = False
        self.paused = False
        self.gate = asyncio.Event()
        self.received: defaultdict[int, list[bytes]] = defaultdict(list)
        self.payloads: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.padded: set[int] = set()
        self.view = PeerView()
        self.unknown = False
        self.opened: list[int] = []
        self.messages = 0
        self._encoder = hpack.Encoder()
        self.transport = Transport(loop, self._lose)
        self.connection = Connection({"/echo": self._serve}, self)
        self.connection.connection_made(self.transport)

    # -- Peers

    def joined(self, connection: Connection) -> bool:
        return True

    def left(self, connection: Connection) -> None:
        self.lost = True

    def _lose(self) -> None:
        self.connection.connection_lost(None)

    # -- a handler that does what its messages say

    async def _serve(self, stream: Http2Stream) -> None:
        while (message := await stream.read()) is not None:
            self.received[stream.id].append(message)
            match message[:1]:
                case b"a":
                    await stream.abort("asked to")
                case b"r":
                    raise ValueError("asked to")
                case b"w":
                    await self.gate.wait()
                case b"l":
                    await stream.write(bytes(300_000))
                case b"m":
                    for _ in range(20):
                        await stream.write(message)
                case b"e":
                    return
                case _:
                    await stream.write(message)

    # -- the peer

    def feed(self, data: bytes) -> None:
        """Bytes arrive, cut as the choices say."""
        at = 0
        while at < len(data) and not self.lost and not self.transport.closing:
            size = self.choices.of((len(data), 1, 7, 9, 50, 20_000)) or 1
            piece = data[at : at + size]
            at += len(piece)
            while piece and not self.transport.closing:
                room = self.connection.get_buffer(-1)
                if not len(room):
                    raise Violation("no room to read")
                part, piece = piece[: len(room)], piece[len(room) :]
                room[: len(part)] = part
                self.connection.buffer_updated(len(part))

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)
            self._look()

    def _look(self) -> None:
        """The frames that were written since."""
        for frame in frames.parse(self.transport.written):
            if len(frame.payload) > LARGEST:
                raise Violation("a frame larger than any that we send")
            self.view.see(frame)

    def stream(self) -> int:
        """Mostly one that was opened before."""
        if self.choices.below(4) and self.opened:
            return self.opened[-1 - self.choices.below(min(len(self.opened), 8))]
        number: int = self.choices.of(SMALL)
        return number

    def message(self, start: bytes, size: int) -> bytes:
        """A message that is like no other one."""
        self.messages += 1
        return start + self.messages.to_bytes(4, "big") + bytes(size)

    def request(self) -> bytes:
        fields = [
            (":method", "POST"), (":scheme", "http"), (":path", self.choices.of(PATHS)),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]  # fmt: skip
        if self.choices.below(4) == 0:
            fields.append(("x-more", "m" * self.choices.below(300)))
        if self.choices.below(2):
            self._encoder.header_table_size = 0
        return self._encoder.encode(fields)

    def data(self, stream: int, payload: bytes, flags: int) -> bytes:
        self.payloads[stream] += payload
        return frames.frame(Kind.DATA, flags, stream, payload)


PATHS: Final = ("/echo", "/echo", "/echo", "/other")
Step = Callable[[Rig], bytes]


def _open(rig: Rig) -> bytes:
    """A request as a good peer sends it."""
    rig.opened.append(2 * len(rig.opened) + 1)
    return frames.frame(Kind.HEADERS, 4, rig.opened[-1], rig.request())


def _headers(rig: Rig) -> bytes:
    stream = rig.stream()
    block = rig.request()
    flags = rig.choices.of((4, 5, 4, 0, 1, 0x24))
    if flags & 0x20:
        block = bytes(5) + block
    return frames.frame(Kind.HEADERS, flags, stream, block)


def _messages(rig: Rig) -> bytes:
    stream = rig.stream()
    start = rig.choices.of((b"x", b"x", b"a", b"r", b"w", b"l", b"m", b"m", b"e"))
    size, count = rig.choices.of(LENGTHS), rig.choices.of((1, 1, 2, 30))
    data = b"".join(frames.message(rig.message(start, size)) for _ in range(count))
    size = rig.choices.of((16_384, 1000, 5, 1)) if len(data) < 3000 else 16_384
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    end = rig.choices.below(4) == 0
    return b"".join(
        rig.data(stream, piece, int(end and number == len(pieces) - 1))
        for number, piece in enumerate(pieces)
    )


def _data(rig: Rig) -> bytes:
    return rig.data(rig.stream(), rig.choices.take(rig.choices.below(40)),
                    rig.choices.of((0, 1)))  # fmt: skip


def _padded(rig: Rig) -> bytes:
    stream = rig.stream()
    rig.padded.add(stream)
    payload = bytes((rig.choices.below(256),)) + rig.choices.take(rig.choices.below(60))
    return frames.frame(Kind.DATA, 8 | rig.choices.below(2), stream, payload)


def _continuation(rig: Rig) -> bytes:
    stream = rig.stream()
    payload = rig.choices.of((b"", b"\x82", rig.choices.take(10)))
    return frames.frame(Kind.CONTINUATION, rig.choices.of((0, 4)), stream, payload)


def _settings(rig: Rig) -> bytes:
    if rig.choices.below(3) == 0:
        return frames.frame(Kind.SETTINGS, 1, 0)
    key, value = rig.choices.of((1, 2, 3, 4, 4, 5, 6, 99)), rig.choices.of(VALUES)
    if key == Setting.INITIAL_WINDOW_SIZE:
        rig.view.initial = max(rig.view.initial, value)
    return frames.settings((key, value))


def _window_update(rig: Rig) -> bytes:
    stream = 0 if rig.choices.below(3) == 0 else rig.stream()
    increment = rig.choices.of(INCREMENTS)
    rig.view.granted[stream] += increment
    return frames.frame(Kind.WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def _reset(rig: Rig) -> bytes:
    return frames.frame(Kind.RST_STREAM, 0, rig.stream(), bytes(4))


def _ping(rig: Rig) -> bytes:
    payload = rig.choices.of((bytes(8), b"draining", b"short"))
    return frames.frame(Kind.PING, rig.choices.below(2), 0, payload)


def _any(rig: Rig) -> bytes:
    """Frames of every kind, but those that would hide what the windows allow."""
    kind = rig.choices.of((0, 1, 2, 3, 5, 6, 7, 9, 10, 255))
    flags, stream = rig.choices.below(256), rig.stream()
    if kind == Kind.DATA:
        rig.padded.add(stream)
    return frames.frame(kind, flags, stream, rig.choices.take(rig.choices.below(30)))


def _raw(rig: Rig) -> bytes:
    """No frames at all; from here on nobody can say what they allow."""
    rig.unknown = True
    rig.view.initial = 2**31
    rig.view.granted[0] += 2**31
    return rig.choices.take(rig.choices.below(200))


SENT: Final[tuple[Step, ...]] = (
    _open, _open, _open, _open, _messages, _messages, _messages, _messages, _messages,
    _messages, _headers, _data, _padded, _continuation, _settings, _window_update, _reset,
    _ping, _any,
)  # fmt: skip


async def _event(rig: Rig) -> None:
    match rig.choices.below(7):
        case 0:
            rig.gate.set()
            rig.gate = asyncio.Event()
        case 1 if not rig.paused:
            rig.paused = True
            rig.connection.pause_writing()
        case 2 if rig.paused:
            rig.paused = False
            rig.connection.resume_writing()
        case 3:
            rig.loop.now_s += rig.choices.of(SECONDS)
        case 4 if rig.choices.below(4) == 0:
            rig.connection.leave()
        case 5 if rig.choices.below(4) == 0:
            rig.connection.streams.cancel_all()
        case 6 if rig.choices.below(8) == 0 and not rig.connection.eof_received():
            rig.transport.vanish()
        case _:
            await rig.turns(3)


async def _drive(rig: Rig) -> None:
    preface = rig.choices.below(20) != 19
    if preface:
        rig.feed(frames.PREFACE + frames.settings())
    for _ in range(MOST_STEPS):
        if not rig.choices.left or rig.lost:
            break
        kind = rig.choices.below(32)
        if kind < 8:
            await _event(rig)
        elif kind == 31:
            rig.feed(_raw(rig))
        else:
            rig.feed(rig.choices.of(SENT)(rig))
        await rig.turns(rig.choices.below(3))
    rig.transport.vanish()
    await rig.turns(TURNS_AT_END)
    rig.gate.set()
    await rig.turns(TURNS_AT_END)
    _check_end(rig)


def _check_end(rig: Rig) -> None:
    if not rig.lost:
        raise Violation("the connection is not over")
    streams = rig.connection.streams
    if streams.by_id or streams.tasks:
        raise Violation(f"left behind: {len(streams.by_id)} streams, {len(streams.tasks)} tasks")
    if streams.intake.held:
        raise Violation(f"{streams.intake.held} bytes are held by nobody")
    for stream, received in rig.received.items():
        if stream not in rig.padded and not rig.unknown:
            _check_messages(stream, received, bytes(rig.payloads[stream]))


def _check_messages(stream: int, received: list[bytes], data: bytes) -> None:
    """What a handler read is how the bytes of its stream begin; nothing lost, nothing mixed."""
    at = 0
    for message in received:
        framed = frames.message(message)
        if data[at : at + len(framed)] != framed:
            raise Violation(f"stream {stream} read {message[:20]!r}, which was not sent there")
        at += len(framed)


def drive(data: bytes) -> None:
    """One connection from beginning to end, as ``data`` says."""
    loop = SteppedLoop()
    escaped: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: escaped.append(context))

    async def run() -> None:
        await _drive(Rig(Choices(data), loop))

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    if escaped:
        raise Violation(f"escaped: {escaped[0]}")
