"""The composition root's part for health: what workers, supervisor and commands share of it."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from gateway_extproc.config.compile import Snapshot, compile_config
from gateway_extproc.config.families import family_of
from gateway_extproc.config.model import Config
from gateway_extproc.config.quotaheaders import headers_of
from gateway_extproc.core.standing import Standings
from gateway_extproc.identities import state_dir
from gateway_extproc.limiters import redis_prefix, redis_topology
from gateway_extproc.routing.figures import target_figures
from gateway_extproc.routing.watched import credential_name, pool_size, watched_targets
from gateway_extproc.stages.health import Health
from gateway_extproc.stores.drains import Drain, DrainFile, FollowedDrains, make_drain
from gateway_extproc.stores.following import catch_up, follow
from gateway_extproc.stores.standings import HostStandings
from gateway_extproc.stores.standingshare import StandingShare
from gateway_extproc.supervisor.calls import TargetUnknown

log = logging.getLogger(__name__)

TICK_S: Final = 0.25


def health_table(config: Config) -> Path:
    """Where the workers of a host keep how targets stand."""
    return Path(config.server.socket_dir) / "health.table"


def credential_paths(config: Config) -> dict[str, Path]:
    """The files of all providers' credentials, by the names under which they are asked for."""
    return {
        credential_name(provider.id, position): Path(file)
        for provider in config.providers
        for position, file in enumerate((provider.credential_file, *provider.credential_files))
    }


class Watcher:
    """What one process knows of targets; without ``health.enabled`` nothing, and drains.

    ``table`` is a file of its own, for whoever only looks.
    """

    def __init__(self, snapshot: Snapshot, table: Path | None = None) -> None:
        config = snapshot.config
        self.config = config
        self.drains = FollowedDrains(state_dir(config))
        catch_up((self.drains,))
        self.table = HostStandings(
            table or health_table(config),
            watched_targets(snapshot),
            config.health,
            time.time,
            self.drains,
        )

    @property
    def standings(self) -> Standings:
        """For whoever plans."""
        return self.table

    def stages(self) -> list[Health]:
        """The stage that watches, where anything is watched."""
        config = self.config
        if not config.health.enabled:
            return []
        tables = {
            p.id: headers_of(
                p.dialect,
                config.health.quota_headers,
                family_of(p.base_url, p.family, p.differences).name,
            )
            for p in config.providers
        }
        pools = {p.id: pool_size(p) for p in config.providers if p.credential_files}
        return [Health(self.table, tables, pools, time.time)]

    async def tick(self) -> None:
        """Does what has to be done though nothing happens, until it is cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self.table.tick()
            except Exception:
                log.exception("standings could not be kept")

    def figures(self) -> list[dict[str, Any]]:
        """How every target stands, for people."""
        table, policy, now_s = self.table, self.config.health, time.time()
        return [
            target_figures(key, table.keys_of(key), row, table.of_key(key), policy, now_s)
            for key, row in table.rows().items()
        ]

    def close(self) -> None:
        self.table.close()


class HostWatch:
    """The supervisor's part: shares with other hosts, shows, and takes targets out."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._watcher = Watcher(compile_config(config))
        self._tasks: list[asyncio.Task[None]] = []
        self._share = self._open_share()

    def _open_share(self) -> StandingShare | None:
        topology = redis_topology(self._config)
        if topology is None:
            return None
        host = f"{socket.gethostname()}:{self._watcher.table.epoch}"
        drains = DrainFile(state_dir(self._config))
        prefix = redis_prefix(self._config)
        return StandingShare(topology, prefix, host, self._watcher.table, drains, time.time)

    def start(self) -> None:
        """Begins to follow drains and to share."""
        self._tasks = [asyncio.create_task(follow((self._watcher.drains,)))]
        if self._share is not None:
            self._tasks.append(asyncio.create_task(self._share.run()))

    async def stop(self) -> None:
        """Returns when nothing of it runs any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._watcher.close()

    @property
    def trouble(self) -> str:
        """Why standings are not shared now."""
        return self._share.trouble if self._share is not None else ""

    def figures(self) -> list[dict[str, Any]]:
        """How every target stands."""
        return self._watcher.figures()


class CurrentWatch:
    """Whichever watch is current, for routes that are made once."""

    def __init__(self) -> None:
        self._watch: HostWatch | None = None
        self._config: Config | None = None

    async def use(self, config: Config) -> None:
        """Watches by this configuration from now on; raises ``StoreUnavailable``."""
        watch, before = HostWatch(config), self._watch
        self._watch, self._config = watch, config
        watch.start()
        if before is not None:
            await before.stop()

    async def stop(self) -> None:
        if self._watch is not None:
            await self._watch.stop()
            self._watch = None

    def figures(self) -> list[dict[str, Any]]:
        return [] if self._watch is None else self._watch.figures()

    @property
    def trouble(self) -> str:
        return "" if self._watch is None else self._watch.trouble

    def targets(self) -> Targets:
        """Targets of the current configuration, to list and to drain."""
        assert self._config is not None
        return Targets(self._config, self.figures)


class Targets:
    """What commands and the admin API do with targets."""

    def __init__(
        self, config: Config, figures: Callable[[], list[dict[str, Any]]] | None = None
    ) -> None:
        self._config, self._figures = config, figures
        self._drains = DrainFile(state_dir(config))

    def all(self) -> list[dict[str, Any]]:
        """How every target stands; raises ``StoreUnavailable``."""
        if self._figures is not None:
            return self._with_drains(self._figures())
        watcher = Watcher(compile_config(self._config))
        try:
            return self._with_drains(watcher.figures())
        finally:
            watcher.close()

    def drain(self, name: str, for_s: float | None, by: str) -> list[dict[str, Any]]:
        """Takes a target, or all of a provider's, out; raises ``TargetUnknown``."""
        return self._put(name, make_drain(name, for_s, by, time.time))

    def undrain(self, name: str, by: str) -> list[dict[str, Any]]:
        """Ends that, for a target, or for a provider and all its targets."""
        return self._put(name, make_drain(name, None, by, time.time, drained=False))

    def _put(self, name: str, drain: Drain) -> list[dict[str, Any]]:
        watched = watched_targets(compile_config(self._config))
        meant = [one.name for one in watched if name in (one.key[0], one.name)]
        if not meant:
            raise TargetUnknown(f"no provider or target {name!r} in this configuration")
        drains = [drain]
        if not drain.holds(drain.at_s):
            now_drained = self._drains.all()
            drains += [replace(drain, name=one) for one in meant if one in now_drained]
        self._drains.put(drains, drain.at_s)
        return [one for one in self.all() if one["target"] in meant]

    def _with_drains(self, figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The file's drains, also those that this process has not followed yet."""
        drains, now_s = self._drains.all(), time.time()
        for one in figures:
            holding = [
                drain
                for name in (one["provider"], one["target"])
                if (drain := drains.get(name)) is not None and drain.holds(now_s)
            ]
            one["drained"] = bool(holding)
            if holding:
                longest = max(
                    holding, key=lambda d: float("inf") if d.until_s is None else d.until_s
                )
                one.update(share=0.0, why="drained", drained_by=longest.by)
                if longest.until_s is not None:
                    one["drained_s"] = round(longest.until_s - now_s, 1)
        return figures
