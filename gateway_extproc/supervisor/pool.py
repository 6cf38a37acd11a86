"""Keeps a fixed number of workers alive."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from gateway_extproc.supervisor.worker import READY

log = logging.getLogger(__name__)

START_TIMEOUT_S = 120.0
"""The first start imports and compiles all that workers share: seconds, on a busy machine many."""
BACKOFF_S = (0.0, 0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Pause before a restart, by how many restarts came shortly before it."""
QUICK_DEATH_S = 10.0

SETTLE_S = 2.0
"""Pause after a worker is ready before the next one drains: Envoy's health check (every 0.5 s)
must have seen it, and an ejection (at most 1 s) be over, or nobody would serve."""

Target = Callable[..., None]
"""Runs in the worker process: (worker number, connection to the supervisor, *args)."""


@dataclass(slots=True)
class Worker:
    """One slot of the pool; the process in it may change, its number does not."""

    number: int
    process: BaseProcess | None = None
    pipe: Connection | None = None
    ready: bool = False
    started_s: float = 0.0
    restarts: int = 0
    quick_deaths: int = 0
    died: asyncio.Event = field(default_factory=asyncio.Event)


class WorkerPool:
    """Starts workers from a warm fork server, restarts the dead, drains the living.

    The fork server has the gateway's modules loaded already, so that a new worker
    serves within a fraction of a second instead of after seconds of imports.
    """

    def __init__(
        self,
        target: Target,
        args: Sequence[Any],
        count: int,
        *,
        preload: Sequence[str],
        on_death: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._target = target
        self._args = tuple(args)
        self._tell_death = on_death
        self.workers = [Worker(number) for number in range(count)]
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._rolling = asyncio.Lock()

    async def start(self) -> None:
        """Starts all workers; raises RuntimeError when one does not come up."""
        for worker in self.workers:
            self._spawn(worker)
        results = await asyncio.gather(*(self._await_ready(w) for w in self.workers))
        if not all(results):
            await self.stop(0.0)
            raise RuntimeError("a worker did not start; its error stands above")
        self._keepers = [asyncio.create_task(self._keep(w)) for w in self.workers]

    @property
    def ready(self) -> bool:
        """True while every slot has a worker that serves."""
        return all(worker.ready for worker in self.workers)

    def status(self) -> list[dict[str, Any]]:
        """One row a worker, for the admin server."""
        return [
            {
                "worker": worker.number,
                "pid": worker.process.pid if worker.process else None,
                "ready": worker.ready,
                "restarts": worker.restarts,
                "up_s": round(time.monotonic() - worker.started_s, 1),
            }
            for worker in self.workers
        ]

    async def replace_all(self, args: Sequence[Any], grace_s: float) -> bool:
        """Rolls every worker to new arguments, one after the other.

        False when a worker does not come up with them: it goes back to the old ones,
        and those that were not reached yet keep running untouched.
        """
        async with self._rolling:
            old, self._args = self._args, tuple(args)
            for done, worker in enumerate(self.workers):
                if await self._replace(worker, grace_s):
                    await asyncio.sleep(SETTLE_S)
                    continue
                self._args = old
                for changed in self.workers[:done]:
                    await self._replace(changed, grace_s)
                return False
            return True

    async def _replace(self, worker: Worker, grace_s: float) -> bool:
        """Ends one worker and waits for its successor; False when that dies or is not ready."""
        restarts = worker.restarts
        await self._terminate(worker, grace_s)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            await asyncio.sleep(0.02)
            if worker.restarts > restarts and worker.ready:
                return True
            if worker.restarts > restarts and worker.died.is_set():
                return False
        return False

    async def stop(self, grace_s: float) -> None:
        """Asks all workers to drain, then ends those that are left."""
        self._stopping = True
        await asyncio.gather(*(self._terminate(worker, grace_s) for worker in self.workers))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def _spawn(self, worker: Worker) -> None:
        ours, theirs = self._context.Pipe()
        worker.process = self._context.Process(
            target=self._target, args=(worker.number, theirs, *self._args), daemon=False
        )
        worker.process.start()
        theirs.close()
        worker.pipe = ours
        worker.ready = False
        worker.started_s = time.monotonic()
        worker.died = asyncio.Event()
        sentinel = worker.process.sentinel
        asyncio.get_running_loop().add_reader(sentinel, self._on_death, worker, sentinel)

    def _on_death(self, worker: Worker, sentinel: int) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        worker.ready = False
        self._tell_death(worker.number)
        worker.died.set()

    async def _await_ready(self, worker: Worker) -> bool:
        assert worker.pipe is not None
        readable = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(worker.pipe.fileno(), readable.set)
        waits = {
            asyncio.ensure_future(readable.wait()),
            asyncio.ensure_future(worker.died.wait()),
        }
        try:
            await asyncio.wait(waits, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(worker.pipe.fileno())
            for wait in waits:
                wait.cancel()
        if readable.is_set():
            with contextlib.suppress(EOFError, OSError):
                worker.ready = worker.pipe.recv_bytes() == READY
        return worker.ready

    async def _keep(self, worker: Worker) -> None:
        while True:
            await worker.died.wait()
            if self._stopping:
                return
            await asyncio.sleep(self._pause_s(worker))
            if self._stopping:
                return
            self._close(worker)
            worker.restarts += 1
            self._spawn(worker)
            await self._await_ready(worker)

    def _pause_s(self, worker: Worker) -> float:
        quick = time.monotonic() - worker.started_s < QUICK_DEATH_S
        worker.quick_deaths = worker.quick_deaths + 1 if quick else 0
        code = worker.process.exitcode if worker.process else None
        pause_s = BACKOFF_S[min(worker.quick_deaths, len(BACKOFF_S) - 1)]
        log.warning(
            "worker %d ended (%s); restart in %.1f s", worker.number, _ending(code), pause_s
        )
        return pause_s

    async def _terminate(self, worker: Worker, grace_s: float) -> None:
        process = worker.process
        if process is None or process.pid is None or worker.died.is_set():
            return
        died = worker.died
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(died.wait(), grace_s + 5.0)
        except TimeoutError:
            log.error("worker %d did not drain; killed", worker.number)
            process.kill()
            await died.wait()

    def _close(self, worker: Worker) -> None:
        if worker.pipe is not None:
            worker.pipe.close()
        if worker.process is not None:
            worker.process.join(timeout=1.0)


def _ending(code: int | None) -> str:
    if code is None:
        return "no exit code"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
