"""The counter stores that the contract speaks of, each with a way to let time pass.

Names are the caller's to choose: a Redis lives as long as a run of tests, and
counters of one test must not meet those of another.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway_extproc.core.limits import (
    SECOND_US,
    Ask,
    CounterStore,
    Outcome,
    Reserved,
    Settlement,
)
from gateway_extproc.stores.host import HostCounters
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.rediscounters import RedisCounters
from gateway_extproc.stores.redistopology import OneServer
from support.redisserver import RedisServer

MS: int = 1000
KINDS = ("host", "redis")


class StillClock:
    """Microseconds that stand still until they are told to move."""

    def __init__(self, now_us: int = 1_700_000_000 * SECOND_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us


@dataclass
class Subject:
    """A store under test."""

    store: CounterStore
    clock: StillClock | None
    """None for a store with a clock of its own."""

    async def let_pass(self, time_us: int) -> None:
        """At least this long, on the store's clock; exactly, on a still one."""
        if self.clock is not None:
            self.clock.now_us += max(0, time_us)
        elif time_us > 0:
            await asyncio.sleep(time_us / SECOND_US)


@dataclass(frozen=True)
class Stretch:
    """A period of windows of one length."""

    length_us: int

    def window(self, now_us: int) -> tuple[int, int, int]:
        start_us = now_us - now_us % self.length_us
        return start_us, start_us + self.length_us, start_us + 2 * self.length_us


_numbers = itertools.count()


def fresh_tag() -> str:
    """A tag that no test had before, in this run or another on the same server."""
    return f"t{time.time_ns():x}-{next(_numbers)}"


@contextlib.contextmanager
def host_subject(folder: Path) -> Iterator[Subject]:
    clock = StillClock()
    store = HostCounters(folder / "counters.table", clock)
    try:
        yield Subject(store, clock)
    finally:
        store.close()


class EagerRedis(RedisCounters):
    """Connected by its first call, on the loop of that call; generous, for a busy machine."""

    def __init__(self, port: int) -> None:
        address = RedisAddress("127.0.0.1", port, timeout_s=5.0)
        super().__init__(OneServer(address, "contract"), "contract", lambda: 0)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.opening: asyncio.Task[None] | None = None

    async def reserve(self, rid: str, asks: tuple[Ask, ...], lease_us: int) -> Reserved:
        await self._ready()
        return await super().reserve(rid, asks, lease_us)

    async def settle(self, settlement: Settlement) -> Outcome:
        await self._ready()
        return await super().settle(settlement)

    async def _ready(self) -> None:
        if self.opening is None:
            self.loop = asyncio.get_running_loop()
            self.opening = asyncio.create_task(self.open())
        await self.opening


@contextlib.contextmanager
def redis_subject(server: RedisServer) -> Iterator[Subject]:
    """Empty; its clock here is at 1970, for only Redis's own counts.  Close it by ``store``."""
    with server.client() as client:
        client.flushall()
    store = EagerRedis(server.port)
    yield Subject(store, None)
    if store.loop is not None and not store.loop.is_running() and not store.loop.is_closed():
        store.loop.run_until_complete(store.close())
