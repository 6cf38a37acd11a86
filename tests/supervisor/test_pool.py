"""Workers: the dead are replaced, the living drained, and none outlives its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.supervisor.pool import WorkerPool
from support import services
from support.envoy import until

TESTS = Path(__file__).parents[1]


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., WorkerPool]]:
    """Makes pools, and stops them."""
    made: list[WorkerPool] = []

    def pool(target: Any, *args: Any, count: int = 1, **more: Any) -> WorkerPool:
        made.append(WorkerPool(target, args, count, preload=("support.services",), **more))
        return made[-1]

    yield pool
    for one in made:
        await one.stop(0.1)


def pid_of(pool: WorkerPool, number: int = 0) -> int:
    pid = pool.status()[number]["pid"]
    assert isinstance(pid, int)
    return pid


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie still has its number: it is dead all the same.
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def notes(folder: Path, number: int = 0) -> list[str]:
    return [line.split()[0] for line in (folder / f"worker-{number}").read_text().splitlines()]


async def test_a_killed_worker_is_back_within_two_seconds(
    make: Callable[..., WorkerPool], tmp_path: Path
) -> None:
    deaths: list[int] = []
    pool = make(services.good, tmp_path, count=2, on_death=deaths.append)
    await pool.start()
    assert pool.ready
    killed, other = pid_of(pool, 1), pid_of(pool, 0)
    os.kill(killed, signal.SIGKILL)
    await until(lambda: not pool.ready)
    began = time.monotonic()
    await until(lambda: pool.ready)
    assert time.monotonic() - began < 2
    assert deaths == [1]
    assert pid_of(pool, 1) != killed
    assert pid_of(pool, 0) == other
    assert [row["restarts"] for row in pool.status()] == [0, 1]


async def test_quick_deaths_make_the_pauses_longer(
    make: Callable[..., WorkerPool], tmp_path: Path
) -> None:
    pool = make(services.dies_soon, tmp_path)
    await pool.start()
    await asyncio.sleep(1.5)
    times = [float(line) for line in (tmp_path / "deaths").read_text().split()]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert 3 <= len(gaps) <= 6
    assert gaps[-1] > 0.3
    assert gaps[-1] > gaps[0]


async def test_a_worker_that_does_not_start_fails_the_start(
    make: Callable[..., WorkerPool], tmp_path: Path
) -> None:
    pool = make(services.dies_at_start, tmp_path)
    with pytest.raises(RuntimeError, match="did not start"):
        await asyncio.wait_for(pool.start(), 5)
    assert not pool.ready


async def test_a_stop_lets_workers_drain(make: Callable[..., WorkerPool], tmp_path: Path) -> None:
    pool = make(services.good, tmp_path, 0.2, count=2)
    await pool.start()
    pids = [pid_of(pool, number) for number in range(2)]
    await asyncio.wait_for(pool.stop(5.0), 3)
    assert [notes(tmp_path, number) for number in range(2)] == [["start", "drained"]] * 2
    assert not any(map(alive, pids))
    await asyncio.sleep(0.1)
    assert not pool.ready


async def test_a_worker_that_does_not_drain_is_killed(
    make: Callable[..., WorkerPool], tmp_path: Path
) -> None:
    pool = make(services.deaf, tmp_path)
    await pool.start()
    pid = pid_of(pool)
    # The pool waits five seconds beyond the grace.
    await asyncio.wait_for(pool.stop(-4.7), 3)
    assert not alive(pid)


async def test_new_arguments_roll_over_all_workers(
    make: Callable[..., WorkerPool], tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    pool = make(services.good, tmp_path / "old", count=2)
    await pool.start()
    await pool.replace_all((tmp_path / "new",), 1.0)
    assert pool.ready
    for number in range(2):
        assert notes(tmp_path / "old", number) == ["start", "drained"]
        assert notes(tmp_path / "new", number) == ["start"]


async def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    supervisor = subprocess.Popen(  # noqa: ASYNC220 (a start is short)
        [sys.executable, "-m", "support.services", str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
    )
    try:
        assert supervisor.stdout is not None
        assert await asyncio.to_thread(supervisor.stdout.readline) == b"up\n"
        pids = [int((tmp_path / f"worker-{n}").read_text().split()[1]) for n in range(2)]
        assert all(map(alive, pids))
    finally:
        supervisor.kill()
        supervisor.wait()
        assert supervisor.stdout is not None
        supervisor.stdout.close()
    await until(lambda: not any(map(alive, pids)))
    assert notes(tmp_path) == ["start", "drained"]
