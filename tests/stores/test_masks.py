"""What conversations keep, the same in one host's database and in a real Redis."""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway_extproc.core.ports import MaskStore, StoreUnavailable
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.masks import HostMasks, RedisMasks
from gateway_extproc.stores.redistopology import OneServer
from support.redisserver import RedisServer

LIFE_S = 0.4
Open = Callable[[], MaskStore]


@pytest.fixture(params=["host", "redis"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens one more worker's store over the same place."""
    made: list[MaskStore] = []
    server = RedisServer(tmp_path) if request.param == "redis" else None
    if server is not None:
        server.start()

    def make() -> MaskStore:
        store: MaskStore = HostMasks(tmp_path, time.time)
        if server is not None:
            address = RedisAddress("127.0.0.1", server.port, 0.5)
            store = RedisMasks(OneServer(address, "gw"), "gw")
        made.append(store)
        return store

    try:
        yield make
    finally:
        for store in made:
            await store.close()
        if server is not None:
            server.kill()


def looked_at(folder: Path) -> tuple[set[int], bytes]:
    files = list(folder.iterdir())
    modes = {stat.S_IMODE(file.stat().st_mode) for file in files}
    return modes, b"".join(file.read_bytes() for file in files)


async def opened(open_store: Open) -> MaskStore:
    store = open_store()
    await store.open()
    return store


async def test_what_one_worker_puts_another_one_gets(open_store: Open) -> None:
    one, other = await opened(open_store), await opened(open_store)
    assert await other.get("c") is None
    assert await one.put("c", b"\x00sealed\xff", 60, None)
    assert await other.get("c") == b"\x00sealed\xff"
    assert await other.get("d") is None


async def test_a_value_takes_the_place_of_the_one_that_was_read_only(open_store: Open) -> None:
    store = await opened(open_store)
    assert await store.put("c", b"first", 60, None)
    assert not await store.put("c", b"second", 60, None)
    assert not await store.put("c", b"second", 60, b"another")
    assert await store.get("c") == b"first"
    assert await store.put("c", b"second", 60, b"first")
    assert await store.get("c") == b"second"


async def test_of_many_workers_at_once_one_wins(open_store: Open) -> None:
    stores = [await opened(open_store) for _ in range(4)]
    values = [b"%d" % number for number in range(4)]
    won = await asyncio.gather(
        *(store.put("c", value, 60, None) for store, value in zip(stores, values, strict=True))
    )
    assert won.count(True) == 1
    assert await stores[0].get("c") == values[won.index(True)]


async def test_a_life_ends_and_another_one_may_begin(open_store: Open) -> None:
    store = await opened(open_store)
    assert await store.put("c", b"first", LIFE_S, None)
    await asyncio.sleep(LIFE_S + 0.1)
    assert await store.get("c") is None
    assert await store.put("c", b"again", 60, None)


async def test_each_put_begins_the_life_anew(open_store: Open) -> None:
    store = await opened(open_store)
    assert await store.put("c", b"first", LIFE_S, None)
    assert await store.put("c", b"second", 60, b"first")
    await asyncio.sleep(LIFE_S + 0.1)
    assert await store.get("c") == b"second"


async def test_the_host_s_database_is_for_its_owner_and_forgets_what_expired(
    tmp_path: Path,
) -> None:
    store = HostMasks(tmp_path, time.time)
    await store.put("c", b"sealed-and-gone" * 8, 0.05, None)
    await asyncio.sleep(0.1)
    await store.put("d", b"sealed-and-there", 60, None)
    await store.close()
    modes, kept = looked_at(tmp_path)
    assert modes == {0o600}
    assert b"sealed-and-there" in kept
    assert b"sealed-and-gone" not in kept


async def test_a_folder_that_is_none_is_a_store_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    store = HostMasks(tmp_path / "state", time.time)
    with pytest.raises(StoreUnavailable):
        await store.get("c")
