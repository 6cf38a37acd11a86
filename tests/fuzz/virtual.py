"""A loop whose clock stands still until it is told to move, and a socket that is none."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple

Ts = TypeVarTuple("Ts")

TURNS = 20_000
"""More turns without a pause than any input may cause."""


class Spins(AssertionError):
    """The loop does not come to rest."""


class _NoSelector(selectors.SelectSelector):
    """Waits for nothing: moves the clock to the next timer, or stops the loop."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        loop = self.loop
        loop.turns += 1
        if loop.turns > loop.most_turns:
            raise Spins
        if timeout is None or loop.now_s + timeout > loop.until_s:
            loop.now_s = max(loop.now_s, loop.until_s)
            loop.stop()
        else:
            loop.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Counts what it does; keeps every task and timer that was made on it."""

    def __init__(self) -> None:
        selector = _NoSelector()
        selector.loop = self
        self.now_s = self.until_s = 0.0
        self.turns = 0
        self.most_turns = TURNS
        self.faults: list[dict[str, Any]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.timers: list[asyncio.TimerHandle] = []
        super().__init__(selector)
        self.set_exception_handler(lambda _, context: self.faults.append(context))
        self.set_task_factory(self._task)

    def _task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> Any:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **more)
        self.tasks.append(task)
        return task

    def time(self) -> float:
        return self.now_s

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = super().call_at(when, callback, *args, context=context)
        self.timers.append(timer)
        return timer

    def settle(self) -> None:
        """Turns until there is nothing to do but to wait."""
        self.until_s = self.now_s
        self.most_turns = self.turns + TURNS
        self.run_forever()

    def turn(self) -> None:
        """One turn."""
        self.until_s = self.now_s
        self.most_turns = self.turns + TURNS
        self.call_soon(self.stop)
        self.run_forever()

    def advance(self, seconds: float) -> None:
        """Lets time pass, timer by timer."""
        self.settle()
        self.until_s = self.now_s + seconds
        self.most_turns = self.turns + TURNS
        self.run_forever()

    def waiting(self) -> list[asyncio.TimerHandle]:
        """Timers that will still go off."""
        return [t for t in self.timers if not t.cancelled() and t.when() > self.now_s]

    def begin(self) -> None:
        """Forgets what an earlier run left in the books."""
        self.tasks.clear()
        self.timers.clear()
        self.turns = 0


class VirtualSocket(asyncio.Transport):
    """What asyncio does to a protocol, with a buffer instead of a socket.

    ``look`` is given all that is written.  The peer reads everything at once, or, with
    ``reads`` false, only what ``drain`` takes.
    """

    def __init__(
        self, loop: VirtualLoop, protocol: asyncio.BufferedProtocol, look: Callable[[bytes], None]
    ) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._look = look
        self._high, self._low = 64 * 1024, 16 * 1024
        self._paused = False
        self.reads = True
        self.buffered = 0
        self.written = 0
        self.writes = 0
        self.closing = False
        """Closed from either side: nothing is read from it any more."""
        self._told = False
        """The protocol itself closed it, or knows of the end."""
        self.ended = False
        """The protocol wrote its last byte."""
        self.lost = False

    # ------------------------------------------------------------- the protocol's side

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self._high, self._low = high, high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def write(self, data: Any) -> None:
        assert not self.ended, "written after the last byte"
        assert not self._told, "written after the end"
        if self.closing:
            # It will soon be told.
            return
        self.writes += 1
        self.written += len(data)
        self._look(bytes(data))
        if self.reads:
            return
        self.buffered += len(data)
        if self.buffered > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        assert not self._told, "write_eof() after the end"
        self.ended = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        """What is buffered still leaves."""
        self._told = True
        self._close()

    def _close(self) -> None:
        if not self.closing:
            self.closing = True
            if not self.buffered:
                self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self._told = True
        self.lose(None)

    # ------------------------------------------------------------------ the peer's side

    def feed(self, data: bytes) -> None:
        """Bytes of the peer, as many at a time as the protocol has room for."""
        while data and not self.closing:
            room = memoryview(self._protocol.get_buffer(-1))
            size = min(len(room), len(data))
            assert size, "no room to read into"
            room[:size] = data[:size]
            del room
            self._protocol.buffer_updated(size)
            data = data[size:]

    def drain(self, most: int) -> None:
        """The peer reads so many bytes."""
        self.buffered = max(self.buffered - most, 0)
        if self._paused and self.buffered <= self._low:
            self._paused = False
            self._protocol.resume_writing()
        if self.closing and not self.buffered:
            self._loop.call_soon(self._lose, None)

    def half_close(self) -> None:
        """The peer sends nothing more."""
        if not self.closing and not self._protocol.eof_received():
            self._close()

    def lose(self, error: Exception | None) -> None:
        """The connection breaks."""
        self.closing = True
        self.buffered = 0
        self._loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = self._told = True
            self._protocol.connection_lost(error)
