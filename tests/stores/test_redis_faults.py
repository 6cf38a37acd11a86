"""Eleven ways in which Redis fails: no request waits for it, policy holds, and it comes back.

In each the same load runs before, during and after the fault.  ``REDIS_FROZEN_S=30`` freezes
it for as long as the figures ask; CI freezes it for two seconds.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hiredis
import pytest
import redis

from gateway_extproc.core.limits import SECOND_US, Ask, Counter
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.core.secret import Secret
from gateway_extproc.limiters import now_us
from gateway_extproc.stores.host import HostCounters
from gateway_extproc.stores.journal import Journal
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.limiter import WorkerLimiter
from gateway_extproc.stores.rediscounters import RedisCounters
from gateway_extproc.stores.redistopology import OneServer
from gateway_extproc.supervisor.worker import tune_process
from support.faultproxy import FaultProxy
from support.parts import ListLedger
from support.redisserver import RedisServer, redis_server

FROZEN_S = float(os.environ.get("REDIS_FROZEN_S", "2"))
MOST_S = 0.025
STALL_S = 0.15
OPEN_S = 0.001
RECOVERY_S = 2.0
CALLERS = 8

LOCAL = Counter(id="local", kind="rate", limit=1_000_000, window_us=SECOND_US, burst=1_000_000)
CLOSED = Counter(id="closed", kind="slots", limit=1_000_000, on_error="closed")
OPEN = Counter(id="open", kind="slots", limit=1_000_000, on_error="open")


@dataclass
class Seen:
    """What callers met: when, how long (without this loop's own lateness), how it went."""

    rows: list[tuple[float, float, str]] = field(default_factory=list)
    late: list[tuple[float, float]] = field(default_factory=list)

    def add(self, began: float, ended: float, how: str) -> None:
        lag = sum(late for at, late in self.late if at >= began)
        self.rows.append((began, max(0.0, ended - began - lag), how))

    def between(self, start: float, end: float) -> list[tuple[float, float, str]]:
        return [row for row in self.rows if start <= row[0] < end]


@dataclass
class Stand:
    server: RedisServer
    proxy: FaultProxy
    limiter: WorkerLimiter
    seen: Seen = field(default_factory=Seen)
    number: int = 0

    async def call(self, *asks: Ask) -> str:
        self.number += 1
        rid = f"r{self.number}"
        began = time.perf_counter()
        try:
            made = await self.limiter.reserve(rid, asks, lambda: ((0,), {}))
        except StoreUnavailable:
            how = "closed"
        else:
            how = "without" if made.degraded else "with"
            self.limiter.settle(made, tuple(ask.amount for ask in asks), {})
        self.seen.add(began, time.perf_counter(), how)
        return how

    async def load(self) -> None:
        """Callers that never stop, one policy each."""
        counters = (LOCAL, OPEN, CLOSED)

        async def one(counter: Counter) -> None:
            while True:
                await self.call(Ask(counter, "n", 1, settles=counter.kind == "slots"))
                await asyncio.sleep(0.004)

        await asyncio.gather(self._watch(), *(one(counters[i % 3]) for i in range(CALLERS)))

    async def _watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late = time.perf_counter() - began - 0.001
            if late > 0.0005:
                self.seen.late.append((time.perf_counter(), late))
                del self.seen.late[:-1000]

    def admin(self) -> redis.Redis:
        return self.server.client()


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    with redis_server(tmp_path, fsync="everysec") as server:
        proxy = FaultProxy(server.port)
        await proxy.start()
        address = RedisAddress("127.0.0.1", proxy.port, 0.02, password=Secret(""))
        store = RedisCounters(OneServer(address, "gw"), "gw", now_us)
        own = HostCounters(tmp_path / "own", now_us)
        limiter = WorkerLimiter(
            store, Journal(tmp_path / "journal"), ListLedger(), now_us=now_us,
            lease_us=60 * SECOND_US, own=own,
        )  # fmt: skip
        tune_process()  # as a worker does: a search for cycles would stop the loop for 50 ms
        await store.open()
        await limiter.start()
        yield Stand(server, proxy, limiter)
        await limiter.close()
        await store.close()
        await proxy.stop()
        own.close()


Act = Callable[[Stand], Awaitable[None]]


async def nothing(stand: Stand) -> None:
    return None


async def freeze(stand: Stand) -> None:
    stand.server.freeze()


async def thaw(stand: Stand) -> None:
    stand.server.thaw()


async def kill(stand: Stand) -> None:
    stand.server.kill()


async def restart_empty(stand: Stand) -> None:
    for file in stand.server.folder.rglob("*.aof*"):
        file.unlink()
    await asyncio.to_thread(stand.server.start)


async def refuse(stand: Stand) -> None:
    await stand.proxy.refuse()


async def listen(stand: Stand) -> None:
    await stand.proxy.start()


async def slow(stand: Stand) -> None:
    stand.proxy.delay_s = 0.2


async def quick(stand: Stand) -> None:
    stand.proxy.delay_s = 0.0


async def flush_scripts(stand: Stand) -> None:
    await asyncio.to_thread(lambda: stand.admin().script_flush())


async def fill(stand: Stand) -> None:
    await asyncio.to_thread(lambda: stand.admin().config_set("maxmemory", "1"))


async def empty(stand: Stand) -> None:
    await asyncio.to_thread(lambda: stand.admin().config_set("maxmemory", "0"))


async def demote(stand: Stand) -> None:
    await asyncio.to_thread(lambda: stand.admin().slaveof("127.0.0.1", 1))


async def promote(stand: Stand) -> None:
    await asyncio.to_thread(lambda: stand.admin().slaveof())


async def load_long(stand: Stand) -> None:
    """Restarted with a data set that takes a while to load: it says LOADING meanwhile."""

    def work() -> None:
        admin = stand.admin()
        with admin.pipeline(transaction=False) as pipe:
            for number in range(2000):
                pipe.set(f"filler{number}", b"x")
            pipe.execute()
        admin.bgrewriteaof()
        time.sleep(0.5)
        stand.server.kill()
        stand.server.start(options=("--key-load-delay", "1000"))

    # It answers nothing but LOADING until it is done; who asked for it waits.
    stand.reloading = asyncio.create_task(asyncio.to_thread(work))  # type: ignore[attr-defined]


async def loaded(stand: Stand) -> None:
    await stand.reloading  # type: ignore[attr-defined]


async def talk_nonsense(stand: Stand) -> None:
    stand.proxy.garbage = True


async def talk_sense(stand: Stand) -> None:
    stand.proxy.garbage = False


async def half_close(stand: Stand) -> None:
    stand.proxy.half_closed = True


async def open_again(stand: Stand) -> None:
    stand.proxy.half_closed = False
    stand.proxy.cut()


async def storm(stand: Stand) -> None:
    """Every connection breaks again and again."""
    for _ in range(20):
        stand.proxy.cut()
        await asyncio.sleep(0.05)


FAULTS: dict[str, tuple[Act, Act, float, bool]] = {
    "frozen": (freeze, thaw, FROZEN_S, True),
    "killed and restarted empty": (kill, restart_empty, 1.0, True),
    "refused": (refuse, listen, 1.0, True),
    "200 ms slower": (slow, quick, 1.5, True),
    "scripts flushed": (flush_scripts, nothing, 0.3, False),
    "out of memory": (fill, empty, 1.0, True),
    "read only": (demote, promote, 1.0, True),
    "loading": (load_long, loaded, 2.0, True),
    "garbage bytes": (talk_nonsense, talk_sense, 1.0, True),
    "half closed": (half_close, open_again, 1.0, True),
    "reconnect storm": (storm, nothing, 0.3, False),
}
"""What begins it, what ends it, how long it lasts, and whether nothing gets through meanwhile."""


@pytest.mark.parametrize("name", FAULTS)
async def test_no_request_waits_for_a_redis_that_fails(name: str, stand: Stand) -> None:
    begin, end, seconds, away = FAULTS[name]
    load = asyncio.create_task(stand.load())
    await asyncio.sleep(0.3)
    began = time.perf_counter()
    assert {how for _, _, how in stand.seen.between(0, began)} == {"with"}
    await begin(stand)
    await asyncio.sleep(seconds)
    ended = time.perf_counter()
    await end(stand)
    back = time.perf_counter()
    recovered = await _recovered(stand, back)
    load.cancel()
    await asyncio.gather(load, return_exceptions=True)

    during = stand.seen.between(began, ended)
    waits = sorted(wait for _, wait, _ in during)
    settled = sorted(w for at, w, how in during if how != "with" and at > began + 0.5)
    print(
        f"\n{name:28} {len(during):6} requests, longest {waits[-1] * 1e3:5.1f} ms, "
        f"once away p99 {settled[len(settled) * 99 // 100] * 1e3 if settled else 0:5.2f} ms, "
        f"back after {recovered - back:4.2f} s"
    )
    # One in a hundred may meet a machine that puts this process off its core: for much less than
    # the shortest fault, so that a request without a deadline would still stand out.
    assert waits[len(waits) * 99 // 100] <= MOST_S
    assert waits[-1] <= STALL_S
    if away and name not in ("out of memory",):
        # There Redis itself says no at once: each request asks, and none waits.
        assert settled
        assert settled[len(settled) * 95 // 100] <= OPEN_S
    if away:
        # How long loading takes hangs on the machine: it may be over before the fault's time.
        late = [how for at, _, how in during if at > began + 0.5]
        assert {"without", "closed"} <= set(late)
        assert name == "loading" or "with" not in late
    assert recovered - back <= RECOVERY_S


async def _recovered(stand: Stand, back: float) -> float:
    """When the first of twenty requests in a row was counted in Redis again."""
    while time.perf_counter() < back + 2 * RECOVERY_S:
        await asyncio.sleep(0.02)
        rows = stand.seen.between(back, float("inf"))
        for i in range(len(rows) - 20):
            if all(how == "with" for _, _, how in rows[i : i + 20]):
                return rows[i][0]
    return float("inf")


async def test_replies_never_meet_the_wrong_caller(stand: Stand) -> None:
    """Callers that give up keep their place; what comes late is thrown away."""
    store = RedisCounters(
        OneServer(RedisAddress("127.0.0.1", stand.proxy.port, 0.02), "gw"), "gw", now_us
    )
    await store.open()
    link = store._topology._link  # type: ignore[attr-defined]
    wrong = answered = 0

    async def echo(number: int) -> None:
        nonlocal wrong, answered
        text = f"echo-{number}".encode()
        try:
            async with asyncio.timeout(0.0005 if number % 2 else None):
                command: Any = ("ECHO", text)
                reply = await link.send(hiredis.pack_command(command))
        except (TimeoutError, StoreUnavailable):
            return
        answered += 1
        wrong += reply != text

    for start in range(0, 6000, 200):
        if start % 1000 == 800:
            stand.proxy.cut()
            await asyncio.sleep(0.1)
        await asyncio.gather(*(echo(n) for n in range(start, start + 200)))
    assert answered > 1000
    assert wrong == 0
    await store.close()
