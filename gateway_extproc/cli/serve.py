"""``serve``: the workers and the admin server; Envoy runs elsewhere."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

from gateway_extproc import __version__
from gateway_extproc.app import (
    key_set_fetcher,
    metrics_dir,
    read_config,
    run_worker,
    worker_count,
)
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.config.compile import compile_config
from gateway_extproc.config.load import ConfigError
from gateway_extproc.config.model import Config
from gateway_extproc.evidence import metrics
from gateway_extproc.supervisor.admin import AdminServer
from gateway_extproc.supervisor.pool import WorkerPool

log = logging.getLogger(__name__)

PRELOAD = ("gateway_extproc.app",)


class Supervisor:
    """The workers of one configuration and the admin server beside them."""

    def __init__(self, config: Config, text: str, source: Path | None = None) -> None:
        self.config = config
        self._source = source
        self.revision = compile_config(config).revision
        self._started_s = time.monotonic()
        self._reloads: set[asyncio.Task[None]] = set()
        self.metrics_dir = metrics_dir(config)
        self._key_sets = key_set_fetcher(config)
        self.pool = WorkerPool(
            run_worker,
            self._worker_arguments(text),
            worker_count(config),
            preload=PRELOAD,
            on_death=partial(metrics.worker_died, self.metrics_dir),
        )
        self.admin = AdminServer(
            config.server.admin.address,
            config.server.admin.port,
            ready=lambda: self.pool.ready,
            status=self._status,
            metrics=partial(metrics.render, self.metrics_dir),
        )

    async def start(self) -> None:
        """Starts everything; raises ``CommandFailure`` when something does not come up."""
        self.metrics_dir.mkdir(parents=True, exist_ok=True)
        metrics.wipe(self.metrics_dir)
        server = self.config.server
        try:
            await self.admin.start()
        except OSError as error:
            raise CommandFailure(
                f"admin address {server.admin.address}:{server.admin.port}: {error.strerror}"
            ) from None
        self._key_sets.start()
        try:
            await self.pool.start()
        except RuntimeError as error:
            await self._key_sets.stop()
            await self.admin.stop()
            raise CommandFailure(str(error)) from None

    async def stop(self, grace_s: float) -> None:
        """Drains the workers, then stops the admin server."""
        await self.pool.stop(grace_s)
        await self._key_sets.stop()
        await self.admin.stop()

    def reload_on_hangup(self) -> None:
        """SIGHUP reads the configuration again."""

        def start() -> None:
            task = asyncio.create_task(self.reload())
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, start)

    async def reload(self) -> None:
        """Reads the file again and rolls the workers over; a bad file changes nothing.

        Envoy keeps its configuration: a new provider needs a new one there, too.
        """
        if self._source is None:
            return
        try:
            text = await asyncio.to_thread(self._source.read_text)
            config = read_config(text)
        except (OSError, ConfigError) as error:
            log.error("reload refused, the old configuration stays: %s", error)
            return
        revision = compile_config(config).revision
        log.info("rolling over to revision %s", revision)
        # The new workers may know issuers that the old fetcher does not.
        old = self._key_sets
        await old.stop()
        self._key_sets = key_set_fetcher(config)
        self._key_sets.start()
        if await self.pool.replace_all(self._worker_arguments(text), config.server.drain_s):
            self.revision = revision
        else:
            log.error("reload refused, the old configuration stays: a worker did not start")
            await self._key_sets.stop()
            self._key_sets = old
            old.start()

    def _worker_arguments(self, text: str) -> tuple[str, int]:
        """Workers are as talkative as the supervisor."""
        return text, logging.getLogger().getEffectiveLevel()

    def _status(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "revision": self.revision,
            "ready": self.pool.ready,
            "up_s": round(time.monotonic() - self._started_s, 1),
            "workers": self.pool.status(),
            "issuers": self._key_sets.status(),
        }


async def serve(config: Config, text: str, source: Path) -> None:
    """Runs until SIGTERM or SIGINT; SIGHUP reloads the configuration."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    supervisor = Supervisor(config, text, source)
    supervisor.reload_on_hangup()
    await supervisor.start()
    log.info(
        "serving revision %s with %d workers", supervisor.revision, len(supervisor.pool.workers)
    )
    await stop.wait()
    log.info("draining for up to %g s", config.server.drain_s)
    await supervisor.stop(config.server.drain_s)
