"""One question at a time: who asks the same as somebody who waits for its answer waits, too.

The first of a worker leads, if no other worker of the host leads already.  Its answer is handed
to all that wait; where it has none for them, or takes too long, they go on alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from gateway_extproc.core.cached import CachedAnswer
from gateway_extproc.core.ports import Claims, StoreUnavailable
from gateway_extproc.stages.errands import Errands

LOOK_S: Final = 0.01
"""How often a worker looks whether another one has its answer."""
GRACE_S: Final = 1.0
"""How much longer a claim lives than anybody waits for it."""

Find = Callable[[bytes], Awaitable[CachedAnswer | None]]
Landing = asyncio.Future[CachedAnswer | None]


class Lead:
    """The duty to tell those who wait; ``land`` does it once."""

    def __init__(self, landing: Landing, gone: Callable[[], None]) -> None:
        self._landing, self._gone = landing, gone

    def land(self, answer: CachedAnswer | None) -> None:
        """The answer is here; None: there is none that others may be given."""
        if not self._landing.done():
            self._landing.set_result(answer)
            self._gone()


class Flights:
    """The questions that this worker asks just now; ``wait_s`` bounds what a follower waits."""

    def __init__(self, claims: Claims, wait_s: float, find: Find, errands: Errands) -> None:
        self._claims, self._wait_s, self._find = claims, wait_s, find
        self._errands = errands
        self._open: dict[bytes, Landing] = {}

    @property
    def on(self) -> bool:
        """Whether anybody waits for anybody."""
        return self._wait_s > 0

    def lead(self, key: bytes) -> Lead | None:
        """The first to ask leads; None for the others, who may ``follow``."""
        if key in self._open:
            return None
        landing: Landing = asyncio.get_running_loop().create_future()
        self._open[key] = landing
        return Lead(landing, lambda: self._landed(key))

    async def follow(self, key: bytes) -> CachedAnswer | None:
        """The answer of who leads, if it comes in time."""
        landing = self._open.get(key)
        if landing is None:
            return None
        try:
            return await asyncio.wait_for(asyncio.shield(landing), self._wait_s)
        except TimeoutError:
            return None

    async def elsewhere(self, key: bytes) -> CachedAnswer | None:
        """The answer of another worker that asks already; None: it is this one's turn."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._wait_s
        try:
            if await self._claims.take(key, self._wait_s + GRACE_S):
                return None
            while await self._claims.held(key):
                if loop.time() >= deadline_s:
                    return None
                await asyncio.sleep(LOOK_S)
            return await self._find(key)
        except StoreUnavailable:
            return None

    def _landed(self, key: bytes) -> None:
        del self._open[key]
        # A claim that is not taken back ends by itself.
        self._errands.start(self._drop(key))

    async def _drop(self, key: bytes) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self._claims.drop(key)


class NoClaims:
    """``Claims`` of a worker that has no neighbours."""

    async def take(self, key: bytes, life_s: float) -> bool:
        return True

    async def held(self, key: bytes) -> bool:
        return False

    async def drop(self, key: bytes) -> None:
        """Nothing was claimed."""
