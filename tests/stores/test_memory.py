"""The cache of answers: bounded in time and in bytes."""

from __future__ import annotations

import pytest

from gateway_extproc.stores.memory import CacheBounds, MemoryCache
from support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> MemoryCache:
    return MemoryCache(CacheBounds(8000, 100, 1000), clock)


async def test_an_answer_lives_exactly_its_time(cache: MemoryCache, clock: FakeClock) -> None:
    await cache.put(b"k", b"v", 2.5)
    clock.now_ns += 2_500_000_000 - 1
    assert await cache.get(b"k") == b"v"
    clock.now_ns += 1
    assert await cache.get(b"k") is None


async def test_the_least_recently_used_leaves_first(cache: MemoryCache) -> None:
    for number in range(8):
        await cache.put(b"k%d" % number, bytes(1000), 60)
    await cache.get(b"k0")
    await cache.put(b"k8", bytes(1000), 60)
    kept = [n for n in range(9) if await cache.get(b"k%d" % n) is not None]
    assert kept == [0, 2, 3, 4, 5, 6, 7, 8]


async def test_an_answer_too_large_throws_nothing_out(cache: MemoryCache) -> None:
    await cache.put(b"small", b"v", 60)
    await cache.put(b"large", bytes(1001), 60)
    assert await cache.get(b"large") is None
    assert await cache.get(b"small") == b"v"


async def test_a_replaced_answer_is_counted_once(cache: MemoryCache) -> None:
    for _ in range(50):
        await cache.put(b"same", bytes(1000), 60)
    for number in range(7):
        await cache.put(b"k%d" % number, bytes(1000), 60)
    assert await cache.get(b"same") is not None


async def test_an_expired_answer_gives_its_bytes_back(cache: MemoryCache, clock: FakeClock) -> None:
    for number in range(8):
        await cache.put(b"old%d" % number, bytes(1000), 1)
    clock.advance(1)
    for number in range(8):
        assert await cache.get(b"old%d" % number) is None
    for number in range(8):
        await cache.put(b"new%d" % number, bytes(1000), 60)
    assert await cache.get(b"new0") is not None
