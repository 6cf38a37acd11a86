"""How targets stand, shared by processes of a host: over a real file, with real processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway_extproc.config.health import Health
from gateway_extproc.core.route import Target
from gateway_extproc.core.standing import IN_ORDER
from gateway_extproc.routing.quota import Left
from gateway_extproc.routing.row import CIRCUIT_OPEN, SLOW
from gateway_extproc.routing.watched import TargetKey, Watched
from gateway_extproc.stores.drains import DrainFile, FollowedDrains, make_drain
from gateway_extproc.stores.standings import DRAINED, ROWS, HostStandings

EAST: TargetKey = ("east", "small", "")
WEST: TargetKey = ("west", "small", "eu")
WATCHED = (Watched(EAST, 2, (WEST,)), Watched(WEST, 1, (EAST,)))
NOW = 1_000_000.0


def target(key: TargetKey) -> Target:
    provider, model, region = key
    return Target(provider, "openai", model, provider, f"{provider}:fallback", "/v1", region)


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW

    def __call__(self) -> float:
        return self.now_s


Open = Callable[[], HostStandings]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_table(tmp_path: Path, clock: Clock) -> Iterator[Open]:
    """Opens the same table again and again, as workers do."""
    opened = []

    def open_() -> HostStandings:
        opened.append(HostStandings(tmp_path / "health.table", WATCHED, Health(), clock))
        return opened[-1]

    yield open_
    for table in opened:
        table.close()


def test_a_target_that_nobody_watches_is_in_order(open_table: Open) -> None:
    assert open_table().of(target(("north", "large", ""))) is IN_ORDER


def test_five_failures_open_a_circuit_whoever_saw_them(open_table: Open, clock: Clock) -> None:
    workers = [open_table() for _ in range(5)]
    for worker in workers:
        assert worker.of(target(EAST)).share == 1.0
        worker.ended(EAST, "failure", clock.now_s, clock.now_s)
    for worker in workers:
        assert worker.of(target(EAST)).why == CIRCUIT_OPEN
        assert worker.of(target(WEST)).share == 1.0


def test_it_outlives_the_processes(open_table: Open, clock: Clock) -> None:
    first = open_table()
    for _ in range(5):
        first.ended(EAST, "failure", clock.now_s, clock.now_s)
    assert open_table().of(target(EAST)).why == CIRCUIT_OPEN


def test_regions_of_a_model_stand_apart(tmp_path: Path, clock: Clock) -> None:
    regions: list[TargetKey] = [("east", "small", region) for region in ("eu", "us")]
    table = HostStandings(tmp_path / "t", [Watched(key, 1, ()) for key in regions], Health(), clock)
    for _ in range(5):
        table.ended(regions[0], "failure", NOW, NOW)
    assert [table.of(target(key)).share for key in regions] == [0.0, 1.0]
    table.close()


def test_a_change_that_finds_the_table_locked_is_done_a_moment_later(
    open_table: Open, tmp_path: Path, clock: Clock
) -> None:
    """Somebody else holds the lock (another process: record locks are per process)."""
    table = open_table()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    holder = context.Process(target=_hold, args=(tmp_path / "health.table", theirs))
    holder.start()
    assert ours.recv() == "locked"
    for _ in range(5):
        assert table.ended(EAST, "failure", clock.now_s, clock.now_s) == ""
    assert table.of(target(EAST)).share == 1.0
    ours.send("go")
    holder.join()
    table.tick()
    assert table.of(target(EAST)).why == CIRCUIT_OPEN


def _hold(path: Path, pipe: multiprocessing.connection.Connection) -> None:
    table = HostStandings(path, WATCHED, Health(), lambda: NOW)
    assert table._file.try_lock()
    pipe.send("locked")
    pipe.recv()
    table._file.unlock()


def test_workers_that_are_killed_at_any_moment_leave_a_table_that_works(tmp_path: Path) -> None:
    path = tmp_path / "health.table"
    context = multiprocessing.get_context("fork")
    for round_ in range(5):
        workers = [context.Process(target=_hammer, args=(path, n)) for n in range(3)]
        for worker in workers:
            worker.start()
        time.sleep(0.1 + round_ * 0.03)
        for worker in workers:
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
    now_s = time.time()
    table = HostStandings(path, WATCHED, Health(), time.time)
    table.change(EAST, lambda row: row.circuit)
    assert not table._delayed, "a dead process still holds the lock"
    for i in range(20):
        table.ended(EAST, "failure", now_s + 10 + i, now_s + 10 + i)
    assert table.rows()[EAST].circuit.state == 1
    assert 0.0 <= table.of(target(WEST)).share <= 1.0
    table.close()


def _hammer(path: Path, seed: int) -> None:
    table = HostStandings(path, WATCHED, Health(), time.time)
    while True:
        now_s = time.time()
        key = WATCHED[seed % 2].key
        number, _ = table.sent(key, now_s, stream=False)
        table.answered(number)
        table.first_byte(key, 200.0, now_s, stream=False)
        table.told(key, 0, (Left(0, 50, 100, now_s + 60),), now_s)
        table.ended(key, "success", now_s, now_s)


def test_counts_of_many_processes_are_exact(tmp_path: Path) -> None:
    """Changes that find the lock taken wait; none is lost and none is done twice."""
    path, each = tmp_path / "health.table", 400
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_count, args=(path, each)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    table = HostStandings(path, WATCHED, Health(), lambda: NOW)
    assert table.rows()[EAST].circuit.seen == pytest.approx(4 * each)
    table.close()


def _count(path: Path, times: int) -> None:
    table = HostStandings(path, WATCHED, Health(), lambda: NOW)
    for _ in range(times):
        table.ended(EAST, "success", NOW, NOW)
    while table._delayed:
        table.tick()
    table.close()


def test_requests_that_wait_too_long_make_a_target_slow_before_they_are_answered(
    open_table: Open, clock: Clock
) -> None:
    table = open_table()
    for _ in range(100):
        table.first_byte(EAST, 200.0, clock.now_s, stream=False)
        clock.now_s += 0.05
        table.tick()
    numbers = [table.sent(EAST, clock.now_s, stream=False)[0] for _ in range(40)]
    for _ in range(30):
        clock.now_s += 0.25
        table.tick()
    assert table.of(target(EAST)).why == SLOW
    waited = [table.answered(number) for number in numbers]
    assert all(one is not None and one.overdue for one in waited)
    assert table.answered(numbers[0]) is None


def test_a_client_that_left_is_not_waited_for(open_table: Open, clock: Clock) -> None:
    table = open_table()
    for _ in range(100):
        table.first_byte(EAST, 200.0, clock.now_s, stream=False)
        clock.now_s += 0.05
    table.tick()
    for _ in range(40):
        number, _ = table.sent(EAST, clock.now_s, stream=False)
        table.answered(number)
        table.ended(EAST, "neutral", clock.now_s, clock.now_s)
    for _ in range(30):
        clock.now_s += 0.25
        table.tick()
    assert table.of(target(EAST)).share == 1.0


def test_credentials_take_turns_over_workers(open_table: Open, clock: Clock) -> None:
    one, other = open_table(), open_table()
    assert one.choose_key(WEST, clock.now_s) == 0
    chosen = []
    for worker in (one, other, one, other):
        clock.now_s += 0.001
        chosen.append(worker.choose_key(EAST, clock.now_s))
    assert chosen == [0, 1, 0, 1]


def test_a_full_table_gives_away_the_place_that_rested_longest(tmp_path: Path) -> None:
    clock = Clock()
    for first in range(0, 2 * ROWS, 256):
        clock.now_s += 1000
        keys = [("p", f"m{number}", "") for number in range(first, first + 256)]
        table = HostStandings(
            tmp_path / "t", [Watched(key, 1, ()) for key in keys], Health(), clock
        )
        for key in keys[:5]:
            table.ended(key, "success", clock.now_s, clock.now_s)
            table.tick()
            assert table.rows()[key].circuit.seen == 1.0
        table.close()


# ---------------------------------------------------------------------------- drains


def test_a_drained_target_gets_nothing_until_it_ends(tmp_path: Path, clock: Clock) -> None:
    file, drains = DrainFile(tmp_path), FollowedDrains(tmp_path)
    table = HostStandings(tmp_path / "t", WATCHED, Health(), clock, drains)
    assert table.of(target(WEST)).share == 1.0

    file.put([make_drain("west/small@eu", 60, "ann", clock)], clock.now_s)
    drains.refresh()
    assert (table.of(target(WEST)).share, table.of(target(WEST)).why) == (0.0, DRAINED)
    assert table.of(target(EAST)).share == 1.0
    clock.now_s += 61
    assert table.of(target(WEST)).share == 1.0

    file.put([make_drain("east", None, "ann", clock)], clock.now_s)
    drains.refresh()
    assert table.of(target(EAST)).why == DRAINED
    clock.now_s += 1
    file.put([make_drain("east", None, "bob", clock, drained=False)], clock.now_s)
    drains.refresh()
    assert table.of(target(EAST)).share == 1.0
    table.close()


def test_drains_survive_restarts_and_the_later_word_counts(tmp_path: Path, clock: Clock) -> None:
    file = DrainFile(tmp_path)
    earlier = make_drain("east", None, "ann", clock)
    clock.now_s += 5
    file.put([make_drain("east", None, "bob", clock, drained=False)], clock.now_s)
    file.put([earlier], clock.now_s)  # heard late, from another host
    assert not DrainFile(tmp_path).all()["east"].holds(clock.now_s)
    clock.now_s += 8 * 86400
    file.put([make_drain("west", None, "ann", clock)], clock.now_s)
    assert set(DrainFile(tmp_path).all()) == {"west"}


def test_a_drain_file_that_cannot_be_read_keeps_what_was_known(tmp_path: Path) -> None:
    from gateway_extproc.core.ports import StoreUnavailable

    file, drains = DrainFile(tmp_path), FollowedDrains(tmp_path)
    file.put([make_drain("east", None, "ann", lambda: NOW)], NOW)
    drains.refresh()
    (tmp_path / "drains.json").write_text("[{")
    with pytest.raises(StoreUnavailable):
        drains.refresh()
    assert drains.is_drained(EAST, NOW)
