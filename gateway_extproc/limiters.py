"""The composition root's part for limits and budgets: which store counts, and what is kept where.

Every worker of a host opens the same table; the journal is a worker's own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway_extproc.config.model import Config, CounterRedis
from gateway_extproc.core.limits import SECOND_US, CounterStore, Ledger
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.identities import redis_address
from gateway_extproc.limits.learned import Learned
from gateway_extproc.limits.levels import Levels
from gateway_extproc.limits.rules import Rule, RuleBook, alert_marks, compile_rules
from gateway_extproc.stages.limit import Spending
from gateway_extproc.stores.host import HostCounters
from gateway_extproc.stores.journal import Journal
from gateway_extproc.stores.limiter import WorkerLimiter
from gateway_extproc.stores.rediscounters import RedisCounters
from gateway_extproc.stores.redistopology import Cluster, OneServer, Topology

log = logging.getLogger(__name__)


def limits_table(config: Config) -> Path:
    """Where the workers of a host count together."""
    return Path(config.server.socket_dir) / "limits.table"


def journal_file(config: Config, worker: int) -> Path:
    """What a worker has not settled yet, for its successor."""
    return Path(config.server.socket_dir) / f"reservations-{worker}.journal"


def make_spending(config: Config) -> Spending:
    """What a worker knows of limits beside their store."""
    return Spending(
        RuleBook(compile_rules(config)), Levels(), Learned(config.store.rise_factor), now_us
    )


def now_us() -> int:
    """This machine's clock, in microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """A worker's limiter and the stores below it, and how they start and stop."""

    limiter: WorkerLimiter
    table: HostCounters
    remote: RedisCounters | None

    async def start(self) -> None:
        """Makes good what a dead predecessor left."""
        if self.remote is not None:
            await self.remote.open()
            with contextlib.suppress(StoreUnavailable):
                await self.remote.health()  # warns
        await self.limiter.start()

    async def close(self) -> None:
        """Settles what waits; the journal keeps what cannot be settled now."""
        await self.limiter.close()
        if self.remote is not None:
            await self.remote.close()
        self.table.close()


def open_limits(
    config: Config, rules: Sequence[Rule], ledger: Ledger, worker: int, workers: int
) -> Limits:
    """The limiter of one of so many workers; call it in the worker's process."""
    table = HostCounters(limits_table(config), now_us)
    remote = open_redis(config)
    shared: CounterStore = table if remote is None else remote
    limiter = WorkerLimiter(
        shared,
        Journal(journal_file(config, worker)),
        ledger,
        now_us=now_us,
        lease_us=int(config.store.lease_s * SECOND_US),
        own=None if remote is None else table,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        workers_here=workers,
        alerts=alert_marks(rules),
    )
    if worker == 0:
        log.info("limits: %s", described(config, workers))
    return Limits(limiter, table, remote)


def described(config: Config, workers: int) -> str:
    """What holds where, for the log of a start."""
    if config.store.kind == "redis":
        return "counted in Redis, by all hosts; while it is away each host has its share"
    return f"counted in one table by the {workers} workers of this host, exactly; not across hosts"


def open_redis(config: Config) -> RedisCounters | None:
    """The Redis that counts, where the configuration says so."""
    topology = redis_topology(config)
    if topology is None:
        return None
    by_tag = isinstance(topology, Cluster)
    return RedisCounters(topology, redis_prefix(config), now_us, by_tag=by_tag)


def redis_topology(config: Config) -> Topology | None:
    """New connections to the Redis of ``store``, where the configuration names one."""
    section = config.store.redis or config.redis
    if config.store.kind != "redis" or section is None:
        return None
    address = redis_address(section)
    if not isinstance(section, CounterRedis):
        return OneServer(address, section.prefix)
    if section.cluster:
        return Cluster(address, section.prefix)
    sentinels = tuple((at.address, at.port) for at in section.sentinels)
    return OneServer(address, section.prefix, sentinels, section.service)


def redis_prefix(config: Config) -> str:
    """What all keys in that Redis begin with."""
    section = config.store.redis or config.redis
    return section.prefix if section is not None else ""
