"""The supervisors of two hosts over one real Redis: what one is told, both do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.standings import CurrentWatch
from support.config import make_config
from support.redisserver import redis_server

PATIENCE_S = 20.0


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not look():  # noqa: ASYNC110 (what is waited for happens in another task's file)
            await asyncio.sleep(0.05)


def drained(watch: CurrentWatch) -> set[str]:
    return {one["target"] for one in watch.figures() if one.get("why") == "drained"}


async def test_a_drain_reaches_the_other_host_and_so_does_its_end(tmp_path: Path) -> None:
    with redis_server(tmp_path, fsync="no") as server:
        hosts = []
        for name in "ab":
            config = make_config(
                server={"socket_dir": str(tmp_path / name)},
                redis={"address": {"port": server.port}, "timeout_ms": 1000},
                store={"kind": "redis"},
            )
            host = CurrentWatch()
            await host.use(config)
            hosts.append(host)
        one, other = hosts
        try:
            target: str = one.figures()[0]["target"]
            one.targets().drain(target, None, "ann")
            await until(lambda: drained(one) == drained(other) == {target})
            other.targets().undrain(target, "bob")
            await until(lambda: not drained(one) and not drained(other))
            assert (one.trouble, other.trouble) == ("", "")
        finally:
            for host in hosts:
                await host.stop()


async def test_a_reload_keeps_what_is_known(tmp_path: Path) -> None:
    sections: dict[str, Any] = {"server": {"socket_dir": str(tmp_path)}}
    host = CurrentWatch()
    await host.use(make_config(**sections))
    name = host.figures()[0]["target"]
    host.targets().drain(name, None, "ann")
    await host.use(make_config(**sections, health={"circuit": {"in_a_row": 9}}))
    assert drained(host) == {name}
    await host.stop()
    assert host.figures() == []
    with pytest.raises(AssertionError):
        CurrentWatch().targets()
