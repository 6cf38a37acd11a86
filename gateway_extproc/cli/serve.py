"""``serve``: the workers and the admin server; Envoy runs elsewhere."""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
import time
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from gateway_extproc import __version__
from gateway_extproc.app import (
    metrics_dir,
    read_config,
    run_worker,
    worker_count,
)
from gateway_extproc.cli.control import CurrentControl
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.warm import preload
from gateway_extproc.config.compile import compile_config
from gateway_extproc.config.mistakes import ConfigError
from gateway_extproc.config.model import Config
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.evidence import metrics
from gateway_extproc.evidence.feed import FileFeed
from gateway_extproc.evidence.log import JsonLinesLog
from gateway_extproc.evidence.retention import remove_expired
from gateway_extproc.evidence.search import find_decision
from gateway_extproc.evidence.storage import PlainFile
from gateway_extproc.evidence.targets import render_targets
from gateway_extproc.explaining import explain_asked
from gateway_extproc.identities import state_dir
from gateway_extproc.standings import CurrentWatch
from gateway_extproc.stores.reviews import ReviewFile
from gateway_extproc.stores.secrets import SecretUnavailable
from gateway_extproc.supervisor.admin import AdminServer, Caller
from gateway_extproc.supervisor.aside import run_aside
from gateway_extproc.supervisor.calls import Arguments, BadConfiguration, Call, http_routes
from gateway_extproc.supervisor.explain_api import Asked, ExplainApi
from gateway_extproc.supervisor.gate import ADMIN_LOG
from gateway_extproc.supervisor.guards_api import GuardsApi
from gateway_extproc.supervisor.poller import Poller
from gateway_extproc.supervisor.pool import WorkerPool
from gateway_extproc.supervisor.providers_api import ProvidersApi
from gateway_extproc.supervisor.records_api import RecordsApi
from gateway_extproc.supervisor.rpc import SOCKET, rpc_server

log = logging.getLogger(__name__)

EXPLAIN_S = 20.0
"""How long an explanation may take: it compiles all rules first."""
EXPLAIN_BYTES = 1 << 30
"""Memory that it may take."""

RETENTION_PAUSE_S = 60.0
"""How long texts may outlive their last day."""


class Supervisor:
    """The workers of one configuration and the admin server beside them."""

    def __init__(self, config: Config, text: str, source: Path | None = None) -> None:
        self.config = config
        self._source, self._text = source, text
        self._rolling = asyncio.Lock()
        self.revision = compile_config(config).revision
        self._started_s = time.monotonic()
        self._reloads: set[asyncio.Task[None]] = set()
        self.metrics_dir = metrics_dir(config)
        self.pool = WorkerPool(
            run_worker,
            self._worker_arguments(text),
            worker_count(config),
            preload=preload(text),
            on_death=partial(metrics.worker_died, self.metrics_dir),
        )
        folder = Path(config.evidence.dir)
        self._admin_log = JsonLinesLog(PlainFile(folder / ADMIN_LOG))
        self._control = CurrentControl(self._admin_log.write)
        self._retention = Poller(
            "retention", lambda: remove_expired(folder, time.time()), RETENTION_PAUSE_S
        )
        reviews = GuardsApi(
            ReviewFile(state_dir(config), time.time), partial(find_decision, folder), time.time
        )
        self._records = RecordsApi(FileFeed(folder))
        self._targets = CurrentWatch()
        calls = [
            *self._calls(),
            *self._control.keys.calls(),
            *self._records.calls(),
            *ExplainApi(self._explain).calls(),
            *ProvidersApi(self._targets.targets).calls(),
        ]
        self.admin = AdminServer(
            config.server.admin.address,
            config.server.admin.port,
            ready=lambda: self.pool.ready,
            status=self._status,
            metrics=self._metrics,
            gate=self._control,
            routes=[
                *http_routes(self._control, calls, self._records.streams()),
                *reviews.routes(self._control),
            ],
        )
        self._rpc = rpc_server(
            Path(config.server.socket_dir) / SOCKET,
            self._control,
            calls,
            self._records.streams(),
        )

    async def start(self) -> None:
        """Starts everything; raises ``CommandFailure`` when something does not come up."""
        self.metrics_dir.mkdir(parents=True, exist_ok=True)
        metrics.wipe(self.metrics_dir)
        server = self.config.server
        try:
            control = self._control.open(self.config)
        except (SecretUnavailable, StoreUnavailable, ValueError) as error:
            raise CommandFailure(str(error)) from None
        await self._control.use(control)
        try:
            await self._targets.use(self.config)
        except StoreUnavailable as error:
            await self._control.stop()
            raise CommandFailure(str(error)) from None
        self._retention.start()
        try:
            await self.admin.start()
        except OSError as error:
            await self._targets.stop()
            await self._control.stop()
            await asyncio.to_thread(self._retention.stop)
            raise CommandFailure(
                f"admin address {server.admin.address}:{server.admin.port}: {error.strerror}"
            ) from None
        try:
            await self._rpc.start()
        except OSError as error:
            await self._stop_admin()
            raise CommandFailure(f"admin socket: {error.strerror}") from None
        try:
            await self.pool.start()
        except RuntimeError as error:
            await self._stop_admin()
            raise CommandFailure(str(error)) from None

    async def stop(self, grace_s: float) -> None:
        """Drains the workers, then stops the admin server."""
        await self.pool.stop(grace_s)
        await self._stop_admin()

    async def _stop_admin(self) -> None:
        self._records.close()
        await self._rpc.stop()
        await self.admin.stop()
        await self._targets.stop()
        await self._control.stop()
        await asyncio.to_thread(self._retention.stop)
        self._admin_log.close()

    def reload_on_hangup(self) -> None:
        """SIGHUP reads the configuration again."""

        def start() -> None:
            self._in_background(self.reload())

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, start)

    async def reload(self) -> None:
        """Reads the file again and rolls the workers over; a bad file changes nothing.

        Envoy keeps its configuration: a new provider needs a new one there, too.
        """
        try:
            config, text = await self._read()
        except (OSError, ConfigError) as error:
            log.error("reload refused, the old configuration stays: %s", error)
            return
        await self._roll_over(config, text)

    async def _read(self) -> tuple[Config, str]:
        """The file as it stands now; raises OSError and ``ConfigError``."""
        if self._source is None:
            return self.config, self._text
        text = await asyncio.to_thread(self._source.read_text)
        return read_config(text), text

    async def _roll_over(self, config: Config, text: str) -> None:
        async with self._rolling:
            revision = compile_config(config).revision
            log.info("rolling over to revision %s", revision)
            # First, because the new workers may know tenants or issuers that nobody kept before.
            if await self._use(config) and await self.pool.replace_all(
                self._worker_arguments(text), config.server.drain_s
            ):
                self.revision, self.config, self._text = revision, config, text
                return
            log.error("reload refused, the old configuration stays: a worker did not start")
            await self._use(self.config)

    async def _use(self, config: Config) -> bool:
        """Keeps the tables of this configuration from now on; False when they cannot be opened."""
        try:
            control = self._control.open(config)
            await self._targets.use(config)
        except (SecretUnavailable, StoreUnavailable, ValueError) as error:
            log.error("%s", error)
            return False
        await self._control.use(control)
        return True

    def _calls(self) -> list[Call]:
        """What the admin API asks of the supervisor itself."""
        return [
            Call("GetStatus", "view_status", "GET", "/v1/status", self._status_call),
            Call("Reload", "reload", "POST", "/v1/reload", self._reload_call, 202),
        ]

    async def _status_call(self, _: Caller, __: Arguments) -> dict[str, Any]:
        return self._status()

    async def _reload_call(self, _: Caller, __: Arguments) -> dict[str, Any]:
        """Accepts a good file and rolls over behind the answer; ``/status`` tells the revision."""
        try:
            config, text = await self._read()
        except (OSError, ConfigError) as error:
            raise BadConfiguration(str(error)) from None
        self._in_background(self._roll_over(config, text))
        return {"revision": compile_config(config).revision}

    async def _explain(self, asked: Asked) -> dict[str, Any]:
        """By the configuration that workers have now."""
        with tempfile.TemporaryDirectory(prefix="gateway-explain-") as folder:
            return await run_aside(
                explain_asked,
                (self._text, asked, folder),
                timeout_s=EXPLAIN_S,
                max_bytes=EXPLAIN_BYTES,
            )

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    def _worker_arguments(self, text: str) -> tuple[str, int]:
        """Workers are as talkative as the supervisor."""
        return text, logging.getLogger().getEffectiveLevel()

    def _metrics(self) -> bytes:
        return metrics.render(self.metrics_dir) + render_targets(self._targets.figures())

    def _status(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "revision": self.revision,
            "ready": self.pool.ready,
            **self._control.status(),
            "up_s": round(time.monotonic() - self._started_s, 1),
            "workers": self.pool.status(),
            "targets": self._targets.figures(),
            "sharing_trouble": self._targets.trouble,
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
