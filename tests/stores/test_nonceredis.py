"""Nonces over a real Redis: each passes once over all hosts, and nothing while it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway_extproc.core.identity import Nonce
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.nonceredis import RedisNonces
from gateway_extproc.stores.nonces import SharedNonces
from support.redisserver import RedisServer

DEADLINE_S = 2.0
"""Long enough for a busy machine: only a test without Redis is about it."""

Open = Callable[[str], RedisNonces]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path)
    running.start()
    yield running
    running.kill()


@pytest.fixture
async def open_host(server: RedisServer, tmp_path: Path) -> AsyncIterator[Open]:
    """A host by its name, with a table of its own."""
    opened: list[RedisNonces] = []

    def open_one(name: str) -> RedisNonces:
        local = SharedNonces(tmp_path / name, time.time, slots=4096)
        address = RedisAddress("127.0.0.1", server.port, timeout_s=DEADLINE_S)
        opened.append(RedisNonces(local, address, "gateway", time.time))
        return opened[-1]

    yield open_one
    for host in opened:
        await host.disconnect()
        host.close()


def nonce(name: str, life_s: float = 60.0) -> Nonce:
    return Nonce(name.encode(), time.time() + life_s)


async def test_what_one_host_took_no_other_takes(open_host: Open, server: RedisServer) -> None:
    one, two = open_host("one"), open_host("two")
    first = nonce("a")
    assert await one.take(first) == "fresh"
    assert await one.take(first) == "seen"
    assert await two.take(first) == "seen"
    assert await two.take(nonce("b")) == "fresh"
    with server.client() as client:
        [name, _] = sorted(client.keys("gateway:nonce:*"))
        assert 100_000 < client.pttl(name) <= 120_000, "a minute more than its life, for clocks"


async def test_of_many_at_once_each_passes_once(open_host: Open) -> None:
    hosts = [open_host(name) for name in ("one", "two", "three")]
    nonces = [nonce(f"n-{i}") for i in range(100)]
    outcomes = await asyncio.gather(*(host.take(item) for item in nonces for host in hosts))
    assert outcomes.count("fresh") == 100
    assert outcomes.count("seen") == 200


async def test_without_redis_nothing_passes_and_nobody_waits(
    open_host: Open, server: RedisServer
) -> None:
    host = open_host("one")
    assert await host.take(nonce("a")) == "fresh"
    server.freeze()
    began = time.monotonic()
    assert await host.take(nonce("b")) == "unavailable"
    assert time.monotonic() - began < DEADLINE_S + 0.5
    server.kill()
    assert await host.take(nonce("c")) == "unavailable"
    assert await host.take(nonce("a")) == "seen"
    server.start()
    assert await host.take(nonce("d")) == "fresh"
