"""Fuzz bytes become frames, cuts, settings, and what socket, clock and handlers do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import hpack

from fuzz.stand import Stand
from gateway_extproc.wire.health import CHECK, WATCH
from support import frames
from support.frames import Kind, Setting, frame

T = TypeVar("T")

FED_BYTES: Final = 3_000_000
"""A run ends when it has sent so much."""

SIZES: Final = (0, 1, 2, 4, 5, 6, 9, 100, 500, 3_000, 16_374, 16_379, 16_380, 40_000, 70_000)
WINDOWS: Final = (
    0, 1, 2, 5, 9, 100, 1_000, 16_384, 65_535, 65_536, 1 << 20, 1 << 30, 2**31 - 1,
)  # fmt: skip
SETTINGS: Final = (
    *((Setting.INITIAL_WINDOW_SIZE, value) for value in (*WINDOWS, 2**31)),
    *((Setting.MAX_FRAME_SIZE, value) for value in (16_384, 16_385, 100_000, 2**24 - 1, 1, 2**24)),
    *((Setting.ENABLE_PUSH, value) for value in (0, 1, 2)),
    (Setting.HEADER_TABLE_SIZE, 0), (Setting.HEADER_TABLE_SIZE, 4096),
    (Setting.MAX_CONCURRENT_STREAMS, 0), (Setting.MAX_HEADER_LIST_SIZE, 1), (99, 7),
)  # fmt: skip


NO_TABLE: Final = b"\x20"
"""The word of an encoder that its table is empty from now on."""


def _block(fields: tuple[tuple[str, str], ...] = frames.REQUEST) -> bytes:
    """Without that word."""
    return frames.block(fields).removeprefix(NO_TABLE)


REQUEST: Final = _block()
WITH_TABLE: Final = hpack.Encoder().encode(frames.REQUEST)
BLOCKS: Final = (
    REQUEST,
    NO_TABLE + REQUEST,
    NO_TABLE + _block(frames.request(path=CHECK)),
    NO_TABLE + _block(frames.request(path=WATCH)),
    NO_TABLE + _block(frames.request(path="/unknown")),
    NO_TABLE + _block(frames.request(method="GET")),
    NO_TABLE + _block(frames.request(content_type="text/html")),
    NO_TABLE + _block(frames.request(("content-length", "10"))),
    NO_TABLE + _block(frames.request(("content-length", "x"))),
    NO_TABLE + _block(frames.request(("Upper", "1"))),
    NO_TABLE + _block(frames.request(("x-long", "y" * 5_000))),
    NO_TABLE + _block(frames.request(("x-long", "y" * 20_000))),
    NO_TABLE + _block(frames.request(*((f"x{n}", "") for n in range(300)))),
    WITH_TABLE,
    WITH_TABLE[:-3],
    b"\x3f\xe1\x1f" + REQUEST,
    NO_TABLE,
    b"",
    b"\x80",
    b"\xff\xff\xff\xff\xff",
)
TRAILERS: Final = (
    _block((("x-trailer", "1"),)), _block(((":path", "/"),)), _block((("connection", "close"),)),
    b"", b"\xbf",
)  # fmt: skip


class Choices:
    """Fuzz bytes as decisions; once they are used up everything is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._data)

    def byte(self) -> int:
        if self.done:
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def of(self, values: Sequence[T]) -> T:
        return values[self.byte() % len(values)]

    def chance(self, one_in: int) -> bool:
        return self.byte() % one_in == one_in - 1

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken


class Run:
    """One conversation."""

    def __init__(self, stand: Stand, choices: Choices) -> None:
        self.stand = stand
        self.choices = choices
        self.cut = 0
        self.opened: list[int] = []
        self.fed = 0
        self._held = bytearray()
        """Bytes that wait to leave together with later ones."""
        self._holding = False

    def play(self) -> None:
        opening = self.choices.byte()
        if opening % 16 != 15:
            self.send(frames.PREFACE + frames.settings())
        if opening % 8 != 7:
            self.send(frames.settings_ack())
        actions = WELL_MEANT if opening & 0x80 else (*WELL_MEANT, *HOSTILE)
        while not self.choices.done and self.fed < FED_BYTES and not self.stand.socket.lost:
            self.choices.of(actions)(self)
        self._holding = False
        self.send(b"")
        self.stand.finish(wait=self.choices.chance(2))

    def send(self, data: bytes) -> None:
        self._held += data
        if self._holding and len(self._held) < 100_000:
            return
        data = bytes(self._held)
        self._held.clear()
        self.fed += len(data)
        step = max(self.cut, len(data) // 500, 1) if self.cut else max(len(data), 1)
        for at in range(0, len(data), step):
            self.stand.turns += 1
            self.stand.feed(data[at : at + step])

    def stream(self) -> int:
        """One that was opened, mostly a late one; sometimes any."""
        choice = self.choices.byte()
        if choice >= 254 or not self.opened:
            return choice % 16
        return self.opened[-1 - choice % len(self.opened)]

    # -------------------------------------------------------------------- streams

    def open(self) -> None:
        number = self.opened[-1] + 2 if self.opened else 1
        self._request(number, NO_TABLE + REQUEST, end=False)

    def open_oddly(self) -> None:
        """Any block, any number, in any cut, padded or with a priority."""
        choices = self.choices
        number = self.opened[-1] + 2 if self.opened else 1
        number = max(number + choices.of((0, 0, 0, 0, 2, 6, 1, -1, -2)), 0)
        block, flags = choices.of(BLOCKS), choices.byte()
        if flags & frames.WITH_PRIORITY:
            block = bytes(5) + block
        if flags & frames.PADDED:
            padding = choices.of((0, 1, 255))
            block = bytes([padding]) + block + bytes(padding)
        kept = flags & (frames.END_STREAM | frames.PADDED | frames.WITH_PRIORITY)
        cut = choices.of((0, 0, 1, 10, 100, 3_000))
        if not cut and len(block) <= frames.FRAME_BYTES:
            self._note(number)
            self.send(frame(Kind.HEADERS, kept | frames.END_HEADERS, number, block))
            return
        cut = cut or frames.FRAME_BYTES
        self._note(number)
        pieces = [block[at : at + cut] for at in range(0, len(block), cut)] or [b""]
        pieces = pieces[: choices.of((1, 2, 17, 18, 100))]
        sent = [frame(Kind.HEADERS, kept, number, pieces[0])]
        sent += [frames.continuation(number, piece, end=False) for piece in pieces[1:]]
        if choices.chance(4):
            sent.append(frames.ping())
        sent.append(frames.continuation(number, b""))
        self.send(b"".join(sent))

    def _request(self, number: int, block: bytes, *, end: bool) -> None:
        self._note(number)
        self.send(frames.headers(number, block, end=end))

    def _note(self, number: int) -> None:
        if 0 < number < 2**31 and (not self.opened or number > self.opened[-1]) and number % 2:
            self.opened.append(number)

    def many(self) -> None:
        """Streams in a row, each with a message, maybe reset."""
        message = self._message()
        for _ in range(self.choices.of((2, 20, 60))):
            number = self.opened[-1] + 2 if self.opened else 1
            self._request(number, NO_TABLE + REQUEST, end=False)
            self.send(frames.data_frames(number, message))
        if self.choices.chance(3):
            for number in self.opened[-60:]:
                self.send(frames.rst_stream(number))

    def _message(self) -> bytes:
        kind = self.choices.of(b"abcdefghi,,,,,")
        return frames.message((bytes([kind]) * self.choices.of(SIZES))[:70_000])

    def message(self) -> None:
        self.send(frames.data_frames(self.stream(), self._message(), end=self.choices.chance(4)))

    def messages(self) -> None:
        number, message = self.stream(), self._message()
        for _ in range(self.choices.of((2, 5, 30))):
            self.send(frames.data_frames(number, message))

    def dribble(self) -> None:
        """A message in frames of a few bytes."""
        number, message = self.stream(), self._message()[:300]
        step = self.choices.of((1, 2, 4, 5, 6, 50))
        sent = [frames.data(number, message[at : at + step]) for at in range(0, len(message), step)]
        self.send(b"".join(sent))

    def data(self) -> None:
        """Payload that is no message, padded or not."""
        choices = self.choices
        payload = choices.of((
            b"", b"\x00", b"\x01\x00\x00\x00\x00", b"\x00\xff\xff\xff\xff", b"\x00\x04\x00\x00\x00",
            bytes(16_000), frames.message(b"x", length=90_000), frames.message(b"cc") * 50,
            choices.take(choices.byte() % 32),
        ))  # fmt: skip
        padding = choices.of((None, None, 0, 3, 255))
        self.send(frames.data(self.stream(), payload, end=choices.chance(6), padding=padding))

    def badly_padded(self) -> None:
        self.send(frame(Kind.DATA, frames.PADDED, self.stream(), self.choices.take(2)))

    def end(self) -> None:
        self.send(frames.data(self.stream(), b"", end=True))

    def trailers(self) -> None:
        block, end = self.choices.of(TRAILERS), not self.choices.chance(5)
        self.send(frames.headers(self.stream(), block, end=end))

    def reset(self) -> None:
        self.send(frames.rst_stream(self.stream(), self.choices.of((8, 0, 5, 99))))

    # ----------------------------------------------------------------- the connection

    def settings(self) -> None:
        pairs = [self.choices.of(SETTINGS) for _ in range(1 + self.choices.byte() % 3)]
        self.send(frames.settings(*pairs))

    def resize(self) -> None:
        self.send(frames.settings((Setting.INITIAL_WINDOW_SIZE, self.choices.of(WINDOWS[:11]))))

    def window(self) -> None:
        increment, number = self.choices.of(WINDOWS[1:12]), self.choices.of((0, -1))
        self.send(frames.window_update(number and self.stream(), increment))

    def small_windows(self) -> None:
        number = self.choices.of((0, -1)) and self.stream()
        self.send(frames.window_update(number, 1 + self.choices.byte()) * self.choices.byte())

    def ping(self) -> None:
        payload = self.choices.of((b"12345678", b"draining", b""))
        self.send(frames.ping(payload, ack=self.choices.chance(2)))

    def goaway(self) -> None:
        self.send(frames.goaway(self.choices.byte(), self.choices.byte() % 14))

    def acknowledge(self) -> None:
        self.send(frames.settings_ack())

    def priority(self) -> None:
        self.send(frames.priority(self.stream(), self.choices.byte()))

    def any_frame(self) -> None:
        """Any type, flags and length."""
        choices = self.choices
        kind, flags, number = choices.byte() % 12, choices.byte(), self.stream()
        payload = choices.take(choices.byte() % 24)
        length = choices.of((None, None, None, 0, 70, 16_384, 16_385))
        self.send(frame(kind, flags, number, payload, length=length))

    def flood(self) -> None:
        """One frame, many times."""
        number = self.stream()
        unit = self.choices.of((
            frames.ping(), frames.settings(), frames.settings_ack(), frames.priority(3),
            frame(77), frames.window_update(0, 1), frames.data(number, b""),
            frames.window_update(number, 1), frames.rst_stream(number),
            frames.settings((Setting.INITIAL_WINDOW_SIZE, 1), (Setting.INITIAL_WINDOW_SIZE, 9)),
        ))  # fmt: skip
        self.send(unit * self.choices.of((10, 90, 400, 1_200)))

    def raw(self) -> None:
        self.send(self.choices.take(1 + self.choices.byte() % 40))

    # --------------------------------------------------------- cuts, clock, handlers, server

    def cuts(self) -> None:
        self.cut = self.choices.of((0, 0, 1, 3, 9, 100, 5_000))

    def together(self) -> None:
        """From now on all leaves at once, or no longer."""
        self._holding = not self._holding
        self.send(b"")

    def turn(self) -> None:
        for _ in range(1 + self.choices.byte() % 8):
            self.stand.turns += 1
            self.stand.loop.turn()

    def settle(self) -> None:
        self.stand.loop.settle()
        self.stand.check_rest()

    def wait(self) -> None:
        self.stand.loop.advance(self.choices.of((0.01, 0.5, 1.0, 3.0, 11.0, 61.0)))
        self.stand.check_rest()

    def gate(self) -> None:
        self.stand.handler.gate.set()

    def stop_reading(self) -> None:
        self.stand.socket.reads = False

    def read(self) -> None:
        socket = self.stand.socket
        if self.choices.chance(2):
            socket.reads = True
            self.stand.on_loop(socket.drain, socket.buffered)
        else:
            self.stand.on_loop(socket.drain, self.choices.of(SIZES))

    def half_close(self) -> None:
        self.stand.on_loop(self.stand.socket.half_close)

    def vanish(self) -> None:
        self.stand.on_loop(self.stand.socket.lose, ConnectionResetError())

    def drain(self) -> None:
        """What a server that stops does, as far as this peer lets it."""
        connection = self.stand.connection
        act: Callable[[], None] = self.choices.of((
            connection.leave, connection.leave, connection.leave_finally,
            connection.streams.cancel_all, connection.close, self.stand.health.close,
        ))  # fmt: skip
        self.stand.on_loop(act)


Action = Callable[[Run], None]

WELL_MEANT: Final[tuple[Action, ...]] = (
    *[Run.open] * 6, *[Run.message] * 8, *[Run.many] * 2, *[Run.messages] * 2, *[Run.dribble] * 2,
    *[Run.end] * 3, *[Run.reset] * 2, *[Run.resize] * 4, *[Run.window] * 5,
    *[Run.small_windows] * 2, Run.ping,
    *[Run.cuts] * 2, *[Run.together] * 2, *[Run.turn] * 3, *[Run.settle] * 3,
    *[Run.wait] * 2, *[Run.gate] * 2, Run.stop_reading, *[Run.read] * 2, Run.drain,
)  # fmt: skip
"""A conversation of these alone lives long; what ends it soon is among the others."""

HOSTILE: Final[tuple[Action, ...]] = (
    *[Run.open_oddly] * 5, *[Run.data] * 4, Run.badly_padded, *[Run.trailers] * 2,
    *[Run.settings] * 3, Run.goaway, Run.acknowledge, Run.priority, *[Run.any_frame] * 3, Run.flood,
    Run.raw, Run.half_close, Run.vanish, *[Run.drain] * 2,
)  # fmt: skip


def frames_of(stand: Stand, data: bytes) -> None:
    """Fuzz bytes choose what happens."""
    Run(stand, Choices(data)).play()


def bytes_of(stand: Stand, data: bytes) -> None:
    """Fuzz bytes are what the peer sends; the first one says in which pieces."""
    if not data:
        return
    cut = (0, 1, 7, 64, 1_000)[data[0] % 5]
    stand.socket.reads = not data[0] & 0x40
    rest = data[1:]
    step = max(cut, len(rest) // 500, 1) if cut else max(len(rest), 1)
    for at in range(0, len(rest), step):
        stand.turns += 1
        stand.feed(rest[at : at + step])
    if data[0] & 0x20:
        stand.handler.gate.set()
    stand.finish(wait=bool(data[0] & 0x80))
