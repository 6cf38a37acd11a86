"""What worker processes run in the tests of the supervisor; importable by a fork server."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from gateway_extproc.supervisor.pool import WorkerPool
from gateway_extproc.supervisor.worker import READY, run_worker


class Service:
    """Serves nothing; notes its steps in a file."""

    def __init__(self, folder: Path, number: int, drain_s: float) -> None:
        self._notes = folder / f"worker-{number}"
        self._drain_s = drain_s

    def _note(self, word: str) -> None:
        with self._notes.open("a") as file:
            file.write(f"{word} {os.getpid()}\n")

    async def start(self) -> None:
        self._note("start")

    async def drain(self) -> None:
        await asyncio.sleep(self._drain_s)
        self._note("drained")


def good(number: int, parent: Connection, folder: Path, drain_s: float = 0.0) -> None:
    """A worker as it should be."""
    run_worker(Service(folder, number, drain_s), parent)


def dies_at_start(number: int, parent: Connection, folder: Path) -> None:
    sys.exit(3)


def dies_soon(number: int, parent: Connection, folder: Path) -> None:
    """Serves, and dies at once."""
    with (folder / "deaths").open("a") as file:
        file.write(f"{time.monotonic()}\n")
    parent.send_bytes(READY)


def deaf(number: int, parent: Connection, folder: Path) -> None:
    """Serves, and hears no SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent.send_bytes(READY)
    time.sleep(60)


def supervise(folder: str) -> None:
    """A supervisor with two workers, until it is killed."""

    async def run() -> None:
        pool = WorkerPool(good, (Path(folder),), 2, preload=())
        await pool.start()
        print("up", flush=True)
        await asyncio.sleep(60)

    asyncio.run(run())


if __name__ == "__main__":
    supervise(sys.argv[1])
