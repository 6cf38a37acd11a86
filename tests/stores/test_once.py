"""What may be done once is done once, whichever worker of whichever host comes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.once import LIFE_S, OnceFiles, OnceRedis
from support.redisserver import RedisServer


def test_one_of_many_is_first_and_a_restart_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "billed"

    def take(name: str) -> bool:
        return asyncio.run(OnceFiles(folder).take(name))

    with ThreadPoolExecutor(8) as pool:
        firsts = list(pool.map(take, ["openai/batch_1"] * 64))
    assert firsts.count(True) == 1
    assert not take("openai/batch_1")
    assert take("openai/../../batch_2")
    assert len(list(folder.iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


async def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        await OnceFiles(tmp_path / "file" / "billed").take("x")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path)
    running.start()
    yield running
    running.kill()


async def test_hosts_that_share_a_redis_agree(server: RedisServer) -> None:
    address = RedisAddress("127.0.0.1", server.port, timeout_s=2.0)
    hosts = [OnceRedis(address, "gateway") for _ in range(2)]
    firsts = await asyncio.gather(*(hosts[i % 2].take("openai/batch_1") for i in range(20)))
    assert firsts.count(True) == 1
    assert await hosts[1].take("openai/batch_2")
    with server.client() as client:
        (key, *_) = client.keys("gateway:once:*")
        assert LIFE_S - 60 < client.ttl(key) <= LIFE_S
    server.kill()
    with pytest.raises(StoreUnavailable):
        await hosts[0].take("openai/batch_3")
    for host in hosts:
        await host.disconnect()
