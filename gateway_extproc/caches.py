"""The composition root's part for kept answers: where they stand, and who waits for whom.

Every worker of a host opens the same two files; where hosts share a Redis the answers stand
there, and only the claims of who asks just now stay on the host.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway_extproc.config.caching import Cache as CacheSection
from gateway_extproc.config.compile import Snapshot
from gateway_extproc.config.mistakes import Mistake
from gateway_extproc.config.model import Config
from gateway_extproc.core.cached import CachedAnswer, decode_answer
from gateway_extproc.core.ports import AnswerCache, Claims
from gateway_extproc.core.secret import Secret
from gateway_extproc.identities import redis_address
from gateway_extproc.limiters import now_us, redis_prefix, redis_topology
from gateway_extproc.meaning.model import ModelMissing, SentenceModel, ThreadMeanings, find_files
from gateway_extproc.stages.cache import Cache
from gateway_extproc.stages.cachekey import CachePolicy
from gateway_extproc.stages.errands import Errands
from gateway_extproc.stages.flights import Flights, NoClaims
from gateway_extproc.stages.likeness import Likeness
from gateway_extproc.stages.remember import Remember
from gateway_extproc.stores.answers import (
    ANSWERS_NAME,
    HostAnswers,
    RedisAnswers,
    SealedAnswers,
)
from gateway_extproc.stores.claims import HostClaims
from gateway_extproc.stores.memory import CacheBounds, MemoryCache
from gateway_extproc.stores.redistopology import OneServer, Topology

ERRANDS = 256
"""Answers that a worker keeps at a time; with more under way the next one is not kept."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What both stages of the cache share."""

    store: AnswerCache
    claims: Claims
    likeness: Likeness | None
    now_s: Callable[[], float]
    settings: CacheSection
    errands: Errands

    def cache(self, snapshot: Snapshot) -> Cache:
        """The stage that looks answers up."""
        return Cache(
            self.store,
            CachePolicy(self.settings, snapshot.revision),
            snapshot.routes,
            Flights(self.claims, self.settings.wait_s, self._find, self.errands),
            self.likeness,
            self.now_s,
            self.settings.entry_bytes,
        )

    def remember(self, snapshot: Snapshot) -> Remember:
        """The stage that keeps them."""
        return Remember(
            self.store, snapshot.routes, self.now_s, self.settings.entry_bytes, self.errands
        )

    async def _find(self, key: bytes) -> CachedAnswer | None:
        data = await self.store.get(key)
        return None if data is None else decode_answer(data)


def own_answers(settings: CacheSection, clock_ns: Callable[[], int]) -> Answers:
    """A cache of one process, which nobody waits for and which no other process sees."""
    return Answers(
        MemoryCache(bounds_of(settings), clock_ns),
        NoClaims(),
        None,
        lambda: clock_ns() / 1e9,
        settings,
        Errands(ERRANDS),
    )


@dataclass(frozen=True, slots=True)
class OpenAnswers:
    """A worker's cache and what stands below it, and how they start and stop."""

    answers: Answers
    host: HostAnswers | None
    remote: RedisAnswers | None
    claims: HostClaims | None
    meanings: ThreadMeanings | None

    async def start(self) -> None:
        """Tries once to reach the Redis; without it everything is a miss."""
        if self.remote is not None:
            await self.remote.open()

    async def close(self) -> None:
        """Keeps what is under way; what is kept stays."""
        await self.answers.errands.done()
        if self.remote is not None:
            await self.remote.close()
        for part in (self.host, self.claims, self.meanings):
            if part is not None:
                part.close()


def open_answers(config: Config, pepper: Secret) -> OpenAnswers:
    """A worker's cache; call it in the worker's process.  Opens nothing where no route caches."""
    settings = config.cache
    if not any(route.cache_ttl_s for route in config.models):
        return OpenAnswers(own_answers(settings, time.monotonic_ns), None, None, None, None)
    topology = _topology(config)
    host = remote = None
    if topology is None:
        path = Path(config.server.socket_dir) / ANSWERS_NAME
        host = HostAnswers(path, bounds_of(settings), time.time)
    else:
        remote = RedisAnswers(topology, redis_prefix(config), settings.entry_bytes)
    store = host or remote
    assert store is not None
    claims = HostClaims(Path(config.server.socket_dir) / "answers.claims", now_us)
    meanings = None
    if settings.semantic is not None:
        wait_s = settings.semantic.wait_ms / 1000
        meanings = ThreadMeanings(SentenceModel, settings.semantic.queue, wait_s)
    likeness = Likeness(meanings, settings.semantic) if meanings and settings.semantic else None
    key = hmac.digest(pepper.reveal().encode(), b"kept answers", "sha256")
    sealed = SealedAnswers(store, key)
    answers = Answers(sealed, claims, likeness, time.time, settings, Errands(ERRANDS))
    return OpenAnswers(answers, host, remote, claims, meanings)


def bounds_of(settings: CacheSection) -> CacheBounds:
    """How much a host keeps; a sealed answer is a little longer than the answer."""
    return CacheBounds(settings.max_bytes, settings.max_entries, settings.entry_bytes + 4096)


def _topology(config: Config) -> Topology | None:
    if config.cache.store == "host":
        return None
    topology = redis_topology(config)
    if topology is not None or config.cache.store == "auto":
        return topology
    section = config.redis or config.store.redis
    assert section is not None  # the configuration's checks say so
    return OneServer(redis_address(section), section.prefix)


def model_mistakes(config: Config) -> Iterator[Mistake]:
    """A semantic cache without its model."""
    if config.cache.semantic is None:
        return
    try:
        find_files()
    except ModelMissing as missing:
        yield Mistake("cache.semantic", "this section", f"none ({missing})")
