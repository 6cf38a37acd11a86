"""What one process learns of a target the others know: of one host by its table, of another over
a real Redis.  One suite, both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway_extproc.config.health import Health
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.core.route import Target
from gateway_extproc.core.secret import Secret
from gateway_extproc.routing.quota import Left
from gateway_extproc.routing.row import ASKED_TO_WAIT, CIRCUIT_OPEN, QUOTA
from gateway_extproc.routing.watched import Watched
from gateway_extproc.stores.drains import DrainFile, FollowedDrains, make_drain
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.redistopology import OneServer
from gateway_extproc.stores.standings import HostStandings
from gateway_extproc.stores.standingshare import FRESH_S, StandingShare
from support.redisserver import RedisServer, redis_server

EAST, WEST = ("east", "small", ""), ("west", "small", "")
WATCHED = (Watched(EAST, 2, (WEST,)), Watched(WEST, 1, (EAST,)))
TARGET = Target("east", "openai", "small", "east", "east:fallback", "/v1")
NOW = 1_000_000.0


@dataclass
class Clock:
    now_s: float = NOW

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Host:
    """One process that sees standings and drains, and how it hears of others."""

    standings: HostStandings
    drains: DrainFile
    followed: FollowedDrains
    share: StandingShare | None = None

    @property
    def why(self) -> str:
        return self.standings.of(TARGET).why

    def fail(self, clock: Clock) -> None:
        for _ in range(5):
            self.standings.ended(EAST, "failure", clock.now_s, clock.now_s)


@dataclass
class Pair:
    clock: Clock
    a: Host
    b: Host

    async def tell(self) -> None:
        """Everybody tells and hears, as they do all the time."""
        for host in (self.a, self.b) * 2:
            if host.share is not None:
                await host.share.step()
            host.followed.refresh()


def make_host(
    folder: Path, clock: Clock, share: Callable[[HostStandings, DrainFile], StandingShare] | None
) -> Host:
    followed, drains = FollowedDrains(folder), DrainFile(folder)
    standings = HostStandings(folder / "health.table", WATCHED, Health(), clock, followed)
    made = None if share is None else share(standings, drains)
    return Host(standings, drains, followed, made)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), fsync="no") as running:
        yield running


Test = Callable[[Pair], Awaitable[None]]
Run = Callable[[Test], None]


@pytest.fixture(params=["host", "redis"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a test with two processes of one host, or with two hosts that share a Redis."""
    clock = Clock()

    def on_host(test: Test) -> None:
        folder = tmp_path / "host"
        hosts = [make_host(folder, clock, None) for _ in range(2)]
        asyncio.run(_awaited(test(Pair(clock, *hosts))))
        for host in hosts:
            host.standings.close()

    def over_redis(test: Test) -> None:
        server: RedisServer = request.getfixturevalue("server")
        server.client().flushall()
        asyncio.run(with_hosts(server.port, tmp_path, clock, test))

    return on_host if request.param == "host" else over_redis


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def with_hosts(port: int, folder: Path, clock: Clock, test: Test) -> None:
    address = RedisAddress("127.0.0.1", port, 2.0, "", Secret(""), None)
    topologies = [OneServer(address, "gw") for _ in range(2)]
    hosts = []
    for name, topology in zip("ab", topologies, strict=True):
        await topology.open()

        def share(
            standings: HostStandings,
            drains: DrainFile,
            name: str = name,
            topology: OneServer = topology,
        ) -> StandingShare:
            return StandingShare(topology, "gw", name, standings, drains, clock)

        hosts.append(make_host(folder / name, clock, share))
    try:
        await test(Pair(clock, *hosts))
    finally:
        for host, topology in zip(hosts, topologies, strict=True):
            host.standings.close()
            await topology.close()


def test_an_outage_is_known_to_all(run: Run) -> None:
    async def test(pair: Pair) -> None:
        pair.a.fail(pair.clock)
        await pair.tell()
        assert pair.a.why == pair.b.why == CIRCUIT_OPEN

    run(test)


def test_a_recovery_is_known_to_all_and_no_echo_of_the_outage_comes_back(run: Run) -> None:
    async def test(pair: Pair) -> None:
        pair.a.fail(pair.clock)
        await pair.tell()
        for _ in range(200):
            pair.clock.now_s += 0.25
            for host in (pair.a, pair.b):
                if host.standings.of(TARGET).share > 0:
                    now_s = pair.clock.now_s
                    host.standings.sent(EAST, now_s, stream=False)
                    host.standings.ended(EAST, "success", now_s, now_s)
            await pair.tell()
        assert pair.a.why == pair.b.why == ""
        assert pair.a.standings.rows()[EAST].circuit.opened_s == NOW

    run(test)


def test_a_rest_is_kept_by_all(run: Run) -> None:
    async def test(pair: Pair) -> None:
        now_s = pair.clock.now_s
        pair.a.standings.limited(EAST, 0, now_s + 30, now_s)
        await pair.tell()
        assert pair.b.why == ""  # the provider's other credential serves
        assert pair.b.standings.choose_key(EAST, now_s) == 1
        pair.a.standings.limited(EAST, 1, now_s + 30, now_s)
        await pair.tell()
        assert pair.b.why == ASKED_TO_WAIT
        pair.clock.now_s += 33
        assert pair.b.why == ""

    run(test)


def test_what_a_target_asked_for_is_kept_by_all(run: Run) -> None:
    async def test(pair: Pair) -> None:
        pair.a.standings.rest(EAST, pair.clock.now_s + 9, pair.clock.now_s)
        await pair.tell()
        assert pair.b.why == ASKED_TO_WAIT

    run(test)


def test_a_quota_is_the_accounts(run: Run) -> None:
    async def test(pair: Pair) -> None:
        now_s = pair.clock.now_s
        for key in (0, 1):
            pair.a.standings.told(EAST, key, (Left(0, 1, 1000, now_s + 60),), now_s)
        await pair.tell()
        assert pair.b.why == QUOTA
        # What the other one is told later counts for both.
        pair.clock.now_s += 5
        later_s = pair.clock.now_s
        pair.b.standings.told(EAST, 1, (Left(0, 900, 1000, later_s + 60),), later_s)
        await pair.tell()
        pair.clock.now_s += 0.1
        assert pair.a.why == ""

    run(test)


def test_a_drain_reaches_all_and_so_does_its_end(run: Run) -> None:
    async def test(pair: Pair) -> None:
        pair.b.drains.put([make_drain("east", None, "ann", pair.clock)], pair.clock.now_s)
        await pair.tell()
        assert pair.a.why == pair.b.why == "drained"
        pair.clock.now_s += 1
        ended = make_drain("east", None, "bob", pair.clock, drained=False)
        pair.a.drains.put([ended], pair.clock.now_s)
        await pair.tell()
        pair.clock.now_s += 0.1
        assert pair.a.why == pair.b.why == ""

    run(test)


# ----------------------------------------------------------------- only over Redis


def test_each_host_keeps_its_own_view_while_redis_is_away(tmp_path: Path) -> None:
    with redis_server(tmp_path, fsync="no") as server:
        clock = Clock()

        async def test(pair: Pair) -> None:
            await pair.tell()
            server.kill()
            pair.a.fail(clock)
            for host in (pair.a, pair.b):
                assert host.share is not None
                with pytest.raises(StoreUnavailable):
                    await host.share.step()
            assert (pair.a.why, pair.b.why) == (CIRCUIT_OPEN, "")
            server.start()
            for _ in range(100):
                await asyncio.sleep(0.1)
                try:
                    await pair.tell()
                except StoreUnavailable:
                    continue
                break
            assert pair.b.why == CIRCUIT_OPEN

        asyncio.run(with_hosts(server.port, tmp_path, clock, test))


def test_what_a_host_said_that_is_gone_does_not_count(server: RedisServer, tmp_path: Path) -> None:
    server.client().flushall()
    clock = Clock()

    async def test(pair: Pair) -> None:
        pair.a.fail(clock)
        assert pair.a.share is not None
        assert pair.b.share is not None
        await pair.a.share.step()
        clock.now_s += FRESH_S + 1
        await pair.b.share.step()
        assert pair.b.why == ""

    asyncio.run(with_hosts(server.port, tmp_path, clock, test))


def test_what_cannot_be_read_in_redis_is_left_out(server: RedisServer, tmp_path: Path) -> None:
    server.client().flushall()
    for name, value in (("x", b"\xff"), ("y", b"[1]"), ("z", b"{}")):
        server.client().hset("gw:health", name, value)
        server.client().hset("gw:drains", name, value)
    clock = Clock()

    async def test(pair: Pair) -> None:
        pair.a.fail(clock)
        await pair.tell()
        assert pair.b.why == CIRCUIT_OPEN

    asyncio.run(with_hosts(server.port, tmp_path, clock, test))
