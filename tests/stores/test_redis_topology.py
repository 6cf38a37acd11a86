"""Counters behind Sentinels and in a Cluster, with the real servers."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from gateway_extproc.cli.processes import find_free_port
from gateway_extproc.core.calendar import CalendarPeriod
from gateway_extproc.core.limits import SECOND_US, Ask, Counter, Settlement, Share
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.limiters import now_us
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.rediscounters import RedisCounters
from gateway_extproc.stores.redistopology import Cluster, OneServer

BUDGET = Counter("budget", "period", 10_000, period=CalendarPeriod("month"))
SHARED = Counter("shared", "rate", 100, 3600 * SECOND_US, 3)
TENANT = Counter("requests", "rate", 100, 3600 * SECOND_US, 100)


@contextlib.contextmanager
def server(
    folder: Path, *options: str, sentinel: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    command = ["redis-server", *([str(sentinel), "--sentinel"] if sentinel else ()),
               "--dir", str(folder), *options]  # fmt: skip
    if sentinel is None:
        command += ["--save", "", "--bind", "127.0.0.1", "--appendonly", "no"]
    with (folder / "log").open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def client(port: int) -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=port, socket_timeout=5)


def answering(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(redis.RedisError), client(port) as one:
            one.ping()
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody answers on {port}")


# ------------------------------------------------------------------------- Sentinels


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[int, int, int, subprocess.Popen[bytes]]]:
    """Ports of a master, its replica and their Sentinel; the master's process."""
    ports = [find_free_port() for _ in range(3)]
    folders = [tmp_path / name for name in ("master", "replica", "sentinel")]
    for folder in folders:
        folder.mkdir()
    file = folders[2] / "sentinel.conf"
    file.write_text(
        f"port {ports[2]}\nbind 127.0.0.1\n"
        f"sentinel monitor limits 127.0.0.1 {ports[0]} 1\n"
        "sentinel down-after-milliseconds limits 500\n"
        "sentinel failover-timeout limits 3000\n"
    )
    with (
        server(folders[0], "--port", str(ports[0])) as master,
        server(folders[1], "--port", str(ports[1]), "--replicaof", "127.0.0.1", str(ports[0])),
    ):
        answering(ports[0])
        answering(ports[1])
        for _ in range(200):
            if client(ports[1]).info("replication")["master_link_status"] == "up":
                break
            time.sleep(0.05)
        with server(folders[2], sentinel=file):
            answering(ports[2])
            for _ in range(300):
                if client(ports[2]).sentinel_slaves("limits"):
                    break
                time.sleep(0.05)
            yield ports[0], ports[1], ports[2], master


async def test_a_new_master_is_found_and_goes_on_counting(
    watched: tuple[int, int, int, subprocess.Popen[bytes]],
) -> None:
    _, _, sentinel, master = watched
    address = RedisAddress("127.0.0.1", 1, 0.1)
    topology = OneServer(address, "gw", [("127.0.0.1", 1), ("127.0.0.1", sentinel)], "limits")
    store = RedisCounters(topology, "gw", now_us)
    await store.open()
    made = await store.reserve("r1", (Ask(BUDGET, "b", 100),), 60 * SECOND_US)
    assert made.granted
    share = Share(BUDGET, "b", "", made.states[0].start_us, 100, 40)
    assert (await store.settle(Settlement("r1", (share,)))).settled == "settled"
    await asyncio.sleep(0.3)  # replication is asynchronous
    master.kill()
    began = time.monotonic()
    while True:
        with contextlib.suppress(StoreUnavailable):
            look = (Ask(BUDGET, "b", 0, settles=False),)
            seen = await store.reserve(f"look{time.monotonic()}", look, SECOND_US)
            break
        assert time.monotonic() - began < 30
        await asyncio.sleep(0.05)
    assert (seen.states[0].used, seen.epoch) == (40, made.epoch)
    await store.close()


# --------------------------------------------------------------------------- Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[int]]:
    """Ports of three masters that share the slots."""
    ports: list[int] = []
    while len(ports) < 3:
        port = find_free_port()
        if port < 50_000:  # its bus listens 10,000 above
            ports.append(port)
    with contextlib.ExitStack() as stack:
        for port in ports:
            folder = tmp_path / str(port)
            folder.mkdir()
            stack.enter_context(server(folder, "--port", str(port), "--cluster-enabled", "yes"))
        for port in ports:
            answering(port)
        bounds = [0, 5461, 10923, 16384]
        for i, port in enumerate(ports):
            slots = range(bounds[i], bounds[i + 1])
            client(port).execute_command("CLUSTER", "ADDSLOTS", *slots)  # type: ignore[no-untyped-call]
            client(port).execute_command("CLUSTER", "MEET", "127.0.0.1", str(ports[0]))  # type: ignore[no-untyped-call]
        for _ in range(400):
            states = [client(port).execute_command("CLUSTER", "INFO") for port in ports]  # type: ignore[no-untyped-call]
            if all(b"cluster_state:ok" in s if isinstance(s, bytes) else s["cluster_state"] == "ok"
                   for s in states):  # fmt: skip
                break
            time.sleep(0.05)
        yield ports


async def opened(port: int) -> RedisCounters:
    address = RedisAddress("127.0.0.1", port, 0.5)
    store = RedisCounters(Cluster(address, "gw"), "gw", now_us, by_tag=True)
    await store.open()
    return store


async def test_tenants_are_spread_and_a_reservation_over_both_is_all_or_nothing(
    cluster: list[int],
) -> None:
    store = await opened(cluster[0])
    for number in range(30):
        tag = f"tenant{number}"
        asks = (Ask(TENANT, f"t/{tag}", 1, tag, settles=False), Ask(BUDGET, f"b/{tag}", 10, tag))
        assert (await store.reserve(f"r{number}", asks, 60 * SECOND_US)).granted
    used = [len(client(port).keys("*")) for port in cluster]
    assert min(used) > 0

    def both(number: int) -> tuple[Ask, ...]:
        return (
            Ask(TENANT, "t/acme", 1, "acme", settles=False),
            Ask(BUDGET, "b/acme", 10, "acme"),
            Ask(SHARED, "provider", 1, "", settles=False),
        )

    granted = [(await store.reserve(f"both{n}", both(n), 60 * SECOND_US)).granted for n in range(8)]
    assert granted == [True] * 3 + [False] * 5
    await asyncio.sleep(0.2)  # what was granted in one place is given back behind the answer
    looks = (Ask(TENANT, "t/acme", 0, "acme", False), Ask(BUDGET, "b/acme", 0, "acme", False))
    states = (await store.reserve("look", looks, SECOND_US)).states
    assert states[1].held == 30
    assert abs(states[0].used - 3 * TENANT.cost_us(1)) < 5 * SECOND_US
    await store.close()


async def test_a_slot_that_moves_is_followed(cluster: list[int]) -> None:
    store = await opened(cluster[0])
    ask = (Ask(BUDGET, "b/mover", 10, "mover"),)
    assert (await store.reserve("before", ask, 60 * SECOND_US)).granted
    key = next(k for port in cluster for k in client(port).keys("*mover}:open"))
    slot = client(cluster[0]).execute_command("CLUSTER", "KEYSLOT", key)  # type: ignore[no-untyped-call]
    source = next(port for port in cluster if client(port).keys("*mover}:*"))
    target = next(port for port in cluster if port != source)
    _move(slot, source, target, cluster)
    for number in range(20):
        made = await store.reserve(f"after{number}", ask, 60 * SECOND_US)
        assert made.granted
    assert made.states[0].held == 200
    await store.close()


def _move(slot: int, source: int, target: int, ports: list[int]) -> None:
    def run(port: int, *command: object) -> object:
        return client(port).execute_command(*command)  # type: ignore[no-untyped-call]

    ids = {port: run(port, "CLUSTER", "MYID") for port in ports}
    run(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    run(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    for key in client(source).keys("*mover}:*"):
        run(source, "MIGRATE", "127.0.0.1", target, key, 0, 5000)
    for port in ports:
        run(port, "CLUSTER", "SETSLOT", slot, "NODE", ids[target])
