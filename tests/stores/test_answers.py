"""Kept answers: the same in one process, in a host's database and in a real Redis."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway_extproc.core.ports import AnswerCache, StoreUnavailable
from gateway_extproc.stores.answers import ANSWERS_NAME, HostAnswers, RedisAnswers, SealedAnswers
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.memory import CacheBounds, MemoryCache
from gateway_extproc.stores.redistopology import OneServer
from support.redisserver import RedisServer, redis_server, refused_port

BOUNDS = CacheBounds(max_bytes=8000, max_entries=20, entry_bytes=1000)
KEY, OTHER = b"k" * 32, b"o" * 32
DEADLINE_S = 0.5
Open = Callable[[], AnswerCache]


def host_answers(folder: Path, now_s: Callable[[], float] = time.time) -> HostAnswers:
    return HostAnswers(folder / ANSWERS_NAME, BOUNDS, now_s)


def redis_answers(port: int, timeout_s: float = DEADLINE_S) -> RedisAnswers:
    topology = OneServer(RedisAddress("127.0.0.1", port, timeout_s), "gw")
    return RedisAnswers(topology, "gw", BOUNDS.entry_bytes)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["memory", "host", "redis"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, server: RedisServer
) -> AsyncIterator[AnswerCache]:
    if request.param == "memory":
        yield MemoryCache(BOUNDS, time.monotonic_ns)
    elif request.param == "host":
        host = host_answers(tmp_path)
        yield host
        host.close()
    else:
        with server.client() as client:
            client.flushall()
        remote = redis_answers(server.port)
        await remote.open()
        yield remote
        await remote.close()


async def test_what_was_put_is_got(store: AnswerCache) -> None:
    assert await store.get(KEY) is None
    assert await store.put(KEY, b"\x00answer\xff", 60)
    assert await store.get(KEY) == b"\x00answer\xff"
    assert await store.get(OTHER) is None


async def test_the_last_put_counts(store: AnswerCache) -> None:
    await store.put(KEY, b"one", 60)
    await store.put(KEY, b"two", 60)
    assert await store.get(KEY) == b"two"


async def test_an_answer_ends_with_its_time(store: AnswerCache) -> None:
    await store.put(KEY, b"short", 0.02)
    await store.put(OTHER, b"long", 60)
    await asyncio.sleep(0.05)
    assert await store.get(KEY) is None
    assert await store.get(OTHER) == b"long"


async def test_an_answer_too_large_is_not_kept(store: AnswerCache) -> None:
    assert not await store.put(KEY, b"x" * (BOUNDS.entry_bytes + 1), 60)
    assert await store.get(KEY) is None
    assert await store.put(KEY, b"x" * BOUNDS.entry_bytes, 60)


async def test_the_sealed_store_gives_back_what_it_was_given(store: AnswerCache) -> None:
    sealed = SealedAnswers(store, b"s" * 32)
    await sealed.put(KEY, b"a secret answer", 60)
    inside = await store.get(KEY)
    assert inside is not None
    assert b"secret" not in inside
    assert await sealed.get(KEY) == b"a secret answer"


async def test_a_sealed_answer_opens_neither_elsewhere_nor_under_another_key(
    store: AnswerCache,
) -> None:
    sealed = SealedAnswers(store, b"s" * 32)
    await sealed.put(KEY, b"a secret answer", 60)
    inside = await store.get(KEY)
    assert inside is not None
    await store.put(OTHER, inside, 60)
    assert await sealed.get(OTHER) is None
    assert await SealedAnswers(store, b"t" * 32).get(KEY) is None
    for broken in (b"", inside[:11], inside[:-1], bytes([inside[0] ^ 1]) + inside[1:]):
        await store.put(KEY, broken, 60)
        assert await sealed.get(KEY) is None


# -------------------------------------------------------------- bounds of one host


def name(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture(params=["memory", "host"])
async def bounded(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnswerCache]:
    if request.param == "memory":
        yield MemoryCache(BOUNDS, time.monotonic_ns)
        return
    host = host_answers(tmp_path)
    yield host
    host.close()


async def test_the_least_recently_used_leaves_first(bounded: AnswerCache) -> None:
    for number in range(BOUNDS.max_entries):
        await bounded.put(name(number), b"x", 60)
    assert await bounded.get(name(0)) == b"x"
    await bounded.put(name(100), b"y", 60)
    assert await bounded.get(name(0)) == b"x"
    assert await bounded.get(name(1)) is None
    assert await bounded.get(name(2)) == b"x"


async def test_bytes_are_bounded_too(bounded: AnswerCache) -> None:
    for number in range(9):
        await bounded.put(name(number), b"x" * 1000, 60)
    kept = [number for number in range(9) if await bounded.get(name(number)) is not None]
    assert kept == list(range(1, 9))


async def test_many_uses_between_two_writes_are_noted(tmp_path: Path) -> None:
    bounds = CacheBounds(1 << 20, 400, 1000)
    host = HostAnswers(tmp_path / ANSWERS_NAME, bounds, time.time)
    for number in range(400):
        await host.put(name(number), b"x", 60)
    for number in range(300):
        assert await host.get(name(number)) == b"x"
    for number in range(1000, 1100):
        await host.put(name(number), b"x", 60)
    kept = [number for number in range(400) if await host.get(name(number)) is not None]
    assert kept == list(range(300))
    host.close()


# ------------------------------------------------------------------ workers of a host


async def test_workers_of_a_host_share_their_answers(tmp_path: Path) -> None:
    one, two = host_answers(tmp_path), host_answers(tmp_path)
    await one.put(KEY, b"answer", 60)
    assert await two.get(KEY) == b"answer"
    await two.put(KEY, b"newer", 60)
    assert await one.get(KEY) == b"newer"
    one.close()
    two.close()


async def test_the_bounds_are_those_of_the_host(tmp_path: Path) -> None:
    one, two = host_answers(tmp_path), host_answers(tmp_path)
    for number in range(2 * BOUNDS.max_entries):
        await (one, two)[number % 2].put(name(number), b"x", 60)
    kept = [n for n in range(2 * BOUNDS.max_entries) if await one.get(name(n)) is not None]
    assert kept == list(range(BOUNDS.max_entries, 2 * BOUNDS.max_entries))
    one.close()
    two.close()


def modes_in(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def test_only_the_owner_reads_the_file(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        host = host_answers(tmp_path)
        await host.put(KEY, b"answer", 60)
        modes = modes_in(tmp_path)
    finally:
        os.umask(old)
    assert modes == {0o600}
    host.close()


async def test_writes_of_many_processes_at_once_are_all_kept(tmp_path: Path) -> None:
    script = f"""
import asyncio, sys, time
from pathlib import Path
from gateway_extproc.stores.answers import HostAnswers
from gateway_extproc.stores.memory import CacheBounds
async def main(me):
    path, bounds = Path({str(tmp_path / ANSWERS_NAME)!r}), CacheBounds(1 << 20, 9999, 99)
    store = HostAnswers(path, bounds, time.time)
    for number in range(50):
        await store.put((1000 * me + number).to_bytes(32, "big"), b"x", 60)
    store.close()
asyncio.run(main(int(sys.argv[1])))
"""
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(me))
        for me in range(3)
    ]
    assert [await child.wait() for child in children] == [0, 0, 0]
    host = host_answers(tmp_path)
    for me in range(3):
        for number in range(50):
            assert await host.get(name(1000 * me + number)) == b"x"
    host.close()


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / ANSWERS_NAME).write_bytes(b"no database" * 1000)
    host = host_answers(tmp_path)
    with pytest.raises(StoreUnavailable):
        await host.get(KEY)
    with pytest.raises(StoreUnavailable):
        await host.put(KEY, b"x", 60)
    host.close()


# --------------------------------------------------------------------------- Redis


async def test_a_redis_that_is_away_is_unavailable_at_once() -> None:
    store = redis_answers(refused_port())
    await store.open()
    with pytest.raises(StoreUnavailable):
        await store.get(KEY)
    with pytest.raises(StoreUnavailable):
        await store.put(KEY, b"x", 60)
    await store.close()


async def test_a_frozen_redis_is_waited_for_until_its_deadline_and_then_not_at_all(
    tmp_path: Path,
) -> None:
    with redis_server(tmp_path) as own:
        store = redis_answers(own.port, 0.05)
        await store.open()
        await store.put(KEY, b"x", 60)
        own.freeze()
        try:
            with pytest.raises(StoreUnavailable):
                await store.get(KEY)
            began = time.monotonic()
            for _ in range(100):
                with pytest.raises(StoreUnavailable):
                    await store.get(KEY)
            # One more deadline at most, where each could have waited for its own.
            assert time.monotonic() - began < 100 * 0.05
        finally:
            own.thaw()
        await store.close()


async def test_hosts_share_their_answers(server: RedisServer) -> None:
    one, two = redis_answers(server.port), redis_answers(server.port)
    await one.open()
    await two.open()
    await one.put(KEY, b"answer", 60)
    assert await two.get(KEY) == b"answer"
    await one.close()
    await two.close()
