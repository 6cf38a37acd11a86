"""One connection of the server, a handler that does what messages say, and what must hold."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from typing import Final

from fuzz.referee import Referee
from fuzz.virtual import VirtualLoop, VirtualSocket
from gateway_extproc.wire.health import CHECK, WATCH, Health
from gateway_extproc.wire.http2 import limits
from gateway_extproc.wire.http2.connection import Connection
from gateway_extproc.wire.http2.stream import Http2Stream
from support.frames import PROCESS

SETTLE_S: Final = 5.0
FRAME_COST: Final = 200
"""Bytes, more than a frame of the peer may make the server write beside messages."""


class Handler:
    """The first byte of a stream's first message says what is done."""

    def __init__(self, referee: Referee) -> None:
        self._referee = referee
        self.gate = asyncio.Event()
        self.begun = 0
        self.ended = 0
        self.writes = 0
        self.bytes = 0
        self.wrote: dict[int, hashlib._Hash] = {}
        self._at: Counter[int] = Counter()

    async def serve(self, stream: Http2Stream) -> None:
        self.begun += 1
        try:
            first = await self._read(stream)
            if first is not None:
                await self._play(stream, first)
        finally:
            self.ended += 1

    async def _play(self, stream: Http2Stream, first: bytes) -> None:
        size = len(first) * 40
        match first[:1]:
            case b"a":  # reads nothing for a while
                await self.gate.wait()
                await self._echo(stream, first)
            case b"b":  # reads all, answers once
                while await self._read(stream) is not None:
                    pass
                await self._write(stream, bytes(size))
            case b"c":  # writes without reading
                for _ in range(1 + first[-1] % 64):
                    await self._write(stream, bytes(size))
            case b"d":
                raise ValueError("meant to be")
            case b"e":
                await self._write(stream, first)
                await stream.abort("meant to be")
            case b"f":  # leaves early
                await self._write(stream, first)
            case b"g":  # settles, however it ends
                try:
                    await self._echo(stream, first)
                finally:
                    await asyncio.sleep(1)
            case b"h":  # holds on when cancelled
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    await self._write(stream, first)
            case b"i":  # one read after the other fails
                try:
                    await self._echo(stream, first)
                except Exception:
                    await self._read(stream)
            case _:
                await self._echo(stream, first)

    async def _echo(self, stream: Http2Stream, message: bytes | None) -> None:
        while message is not None:
            await self._write(stream, message)
            message = await self._read(stream)

    async def _read(self, stream: Http2Stream) -> bytes | None:
        message = await stream.read()
        if message is not None:
            at = self._at[stream.id]
            whole = b"\x00" + len(message).to_bytes(4, "big") + message
            sent = self._referee.streams[stream.id].sent
            assert sent[at : at + len(whole)] == whole, "another message than the peer's"
            self._at[stream.id] += len(whole)
        return message

    async def _write(self, stream: Http2Stream, message: bytes) -> None:
        self.writes += 1
        self.bytes += len(message)
        if not stream.gone:
            wrote = self.wrote.setdefault(stream.id, hashlib.md5())
            wrote.update(b"\x00" + len(message).to_bytes(4, "big") + message)
        await stream.write(message)


class Stand:
    """What one run needs; ``finish`` ends it and checks all that must hold then."""

    def __init__(self, loop: VirtualLoop) -> None:
        loop.begin()
        self.loop = loop
        self.referee = Referee()
        self.handler = Handler(self.referee)
        self.health = Health("")
        self.health.set(serving=True)
        self.peers = 0
        self.lefts = 0
        self.socket: VirtualSocket
        self.connection: Connection
        loop.call_soon(self._connect)
        loop.turn()

    def _connect(self) -> None:
        methods = {PROCESS: self.handler.serve, CHECK: self.health.check, WATCH: self.health.watch}
        self.connection = Connection(methods, self)
        self.socket = VirtualSocket(self.loop, self.connection, self.referee.said)
        self.connection.connection_made(self.socket)

    def joined(self, connection: Connection) -> bool:
        self.peers += 1
        return True

    def left(self, connection: Connection) -> None:
        self.lefts += 1

    def on_loop(self, act: object, *args: object) -> None:
        """As the loop would call it: some of it asks for the running loop."""
        self.loop.call_soon(act, *args)  # type: ignore[arg-type]
        self.loop.turn()

    def feed(self, data: bytes) -> None:
        """The peer's bytes arrive; what escapes a callback of the protocol is a finding."""
        self.on_loop(self._arrive, data)
        self.check()

    def _arrive(self, data: bytes) -> None:
        self.referee.heard(data)
        self.socket.feed(data)

    def check(self) -> None:
        """What holds at any time."""
        assert not self.loop.faults, self.loop.faults

    def check_rest(self) -> None:
        """What holds when nothing more happens on its own."""
        self.check()
        if self.socket.closing or self.connection._reader.stopped:
            return
        sender, intake = self.connection._sender, self.connection._intake
        assert sender.window == self.referee.room
        for number, stream in self.connection.streams.by_id.items():
            told = self.referee.streams[number]
            assert stream.window == told.room
            # What a failed stream held counts until it is over.
            if stream.waits and stream.cutter is None and stream._fault is None:
                assert stream.held == 0
            # Whoever could send does.
            assert not stream.unsent or sender._paused or min(stream.window, sender.window) <= 0
        assert limits.CONNECTION_WINDOW - intake._owed == self.referee.given
        assert self.referee.given > limits.CONNECTION_WINDOW // 2
        assert intake.held == sum(s.held for s in self.connection.streams.by_id.values())
        assert intake.held <= limits.HELD_BYTES + 2 * limits.FRAME_BYTES

    def finish(self, *, wait: bool) -> None:
        """The peer reads what there is, then it leaves, or is waited for until it is cut."""
        self.loop.settle()
        self.check_rest()
        self._check_work()
        stopped = self.connection._reader.stopped
        if not wait:
            self.on_loop(self.socket.drain, self.socket.buffered)
            self.loop.settle()
            self.check_rest()
        elif stopped:
            self.loop.advance(limits.LINGER_S + 0.1)
            assert self.socket.lost, "a connection that ended is not over"
        else:
            self.loop.advance(limits.STALL_S + limits.LINGER_S)
            self.check()
        if not self.socket.lost:
            self.socket.lose(None if wait else ConnectionResetError())
        self.loop.settle()
        self.handler.gate.set()
        self.loop.advance(SETTLE_S)
        self._check_nothing_left()

    def _check_work(self) -> None:
        """The peer cannot make the server do more than it pays for with frames."""
        referee, handler = self.referee, self.handler
        events = referee.frames_in + handler.writes + self.socket.writes + len(self.loop.timers)
        # Each call of a test's is a turn, too; it is not counted here.
        assert self.loop.turns - self.turns <= 200 + 12 * events, (self.loop.turns, events)
        most = 3000 + handler.bytes + FRAME_COST * (referee.frames_in + handler.writes)
        assert self.socket.written <= most + 1100 * handler.begun

    turns = 0
    """Turns that a test made itself."""

    def _check_nothing_left(self) -> None:
        self.check()
        assert self.lefts == self.peers == 1
        streams, sender = self.connection.streams, self.connection._sender
        assert not streams.by_id
        assert not streams.tasks
        assert self.connection._intake.held == 0
        assert not sender._out
        assert not sender._ready
        assert self.handler.begun == self.handler.ended
        for task in self.loop.tasks:
            assert task.done(), "a task that nobody ends"
            assert task.cancelled() or task.exception() is None, task
        assert not self.loop.waiting(), self.loop.waiting()
        for number, told in self.referee.streams.items():
            if told.state == "trailed" and number in self.handler.wrote:
                assert told.received.digest() == self.handler.wrote[number].digest()
