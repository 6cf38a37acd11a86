"""The store that several hosts share: counters in Redis, one script a step, on Redis's clock.

``lua/counters_*.lua`` follow the arithmetic of ``core.limits``.  A reservation is one script.
In a Cluster the counters of a tenant live in one slot and those that tenants share in another;
a reservation over both is one script in each at the same time, and what one grants while the other
refuses is given back behind the answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway_extproc.core.limits import (
    LATE_US,
    Ask,
    Counter,
    Outcome,
    Reserved,
    Settled,
    Settlement,
    State,
    fits,
    share_of,
)
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.redisscript import Script
from gateway_extproc.stores.redistopology import Topology

log = logging.getLogger(__name__)

SETTLED: Final[dict[int, Settled]] = {1: "settled", 2: "late", 3: "duplicate"}
_KINDS: Final = {"rate": b"r", "period": b"p", "slots": b"s"}
_CLOCK, _IS_OPEN = -1, -2
_TRIES: Final = 3


class RedisCounters:
    """``CounterStore`` in Redis; ``by_tag`` spreads tenants over the slots of a Cluster."""

    def __init__(
        self,
        topology: Topology,
        prefix: str,
        now_us: Callable[[], int],
        *,
        by_tag: bool = False,
    ) -> None:
        self._topology, self._prefix, self._now_us, self._by_tag = topology, prefix, now_us, by_tag
        self._offset_us = 0
        self._new_epoch = os.urandom(8).hex()
        self._heads: dict[Counter, tuple[Any, ...]] = {}
        self._reserve, self._settle, self._renew = (
            Script(topology, "counters_common", f"counters_{name}")
            for name in ("reserve", "settle", "renew")
        )
        self._undone: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Tries once to be connected when it returns; a Redis that is away is no error."""
        await self._topology.open()

    async def close(self) -> None:
        """Hangs up."""
        await self._topology.close()

    async def reserve(self, rid: str, asks: tuple[Ask, ...], lease_us: int) -> Reserved:
        if not self._by_tag:
            return await self._reserve_at("", rid, asks, lease_us)
        tags = {ask.tag: None for ask in asks} or {"": None}
        if len(tags) == 1:
            return await self._reserve_at(next(iter(tags)), rid, asks, lease_us)
        return await self._reserve_apart(tuple(tags), rid, asks, lease_us)

    async def settle(self, settlement: Settlement) -> Outcome:
        if not self._by_tag:
            return await self._settle_at("", settlement)
        outcomes: dict[str, Outcome] = {}
        for tag in {share.tag: None for share in settlement.shares} or {"": None}:
            shares = tuple(share for share in settlement.shares if share.tag == tag)
            part = Settlement(settlement.rid, shares, settlement.force)
            outcomes[tag] = await self._settle_at(tag, part)
        used = {tag: iter(outcome.used) for tag, outcome in outcomes.items()}
        settled: list[Settled] = [outcome.settled for outcome in outcomes.values()]
        # Told again after only a part of it counted, it still did count.
        first: Settled = next((one for one in settled if one != "duplicate"), "duplicate")
        return Outcome(first, tuple(next(used[share.tag]) for share in settlement.shares))

    async def settle_all(
        self, settlements: Sequence[Settlement]
    ) -> Sequence[Outcome | StoreUnavailable]:
        if self._by_tag:
            found = await asyncio.gather(
                *(self.settle(settlement) for settlement in settlements), return_exceptions=True
            )
            return [_unavailable(one) for one in found]
        base = self._base("")
        # Sent in one write; each is waited for in its turn, without a task of its own.
        calls = [self._told(settlement) for settlement in settlements]
        sent = [self._settle.send(base, arguments) for arguments in calls]
        outcomes: list[Outcome | StoreUnavailable] = []
        for arguments, waiting in zip(calls, sent, strict=True):
            try:
                outcomes.append(_outcome(await self._settle.finish(base, arguments, waiting)))
            except StoreUnavailable as error:
                outcomes.append(error)
        return outcomes

    async def renew(self, rids: tuple[tuple[str, str], ...], lease_us: int) -> None:
        by_tag: dict[str, list[str]] = {}
        for tag, rid in rids:
            by_tag.setdefault(tag if self._by_tag else "", []).append(rid)
        for tag, some in by_tag.items():
            await self._renew(self._base(tag), (lease_us, *some))

    async def health(self) -> dict[str, str]:
        """What an operator should know of the server's memory."""
        found: dict[str, str] = {}
        for name in ("maxmemory", "maxmemory-policy"):
            reply = await self._topology.send(self._base(""), ("CONFIG", "GET", name))
            if isinstance(reply, list) and len(reply) == 2:
                found[name] = reply[1].decode()
        if found.get("maxmemory", "0") != "0" and found.get("maxmemory-policy") != "noeviction":
            log.warning(
                "Redis may throw budgets away: its maxmemory-policy is %s, not noeviction",
                found.get("maxmemory-policy"),
            )
        return found

    # ------------------------------------------------------------------ one script each

    async def _reserve_at(self, tag: str, rid: str, asks: Sequence[Ask], lease_us: int) -> Reserved:
        for _ in range(_TRIES):
            arguments: list[Any] = [rid, lease_us, self._new_epoch]
            here_us = self._now_us() + self._offset_us
            for ask in asks:
                self._add(arguments, ask, here_us)
            reply = await self._reserve(self._base(tag), arguments)
            self._offset_us = reply[1] - self._now_us()
            if reply[0] == _IS_OPEN:
                raise ValueError(f"a reservation {rid} is open")
            if reply[0] != _CLOCK:
                states = tuple([State(*reply[i : i + 4]) for i in range(3, len(reply), 4)])
                fit = tuple([fits(ask, state) for ask, state in zip(asks, states, strict=True)])
                return Reserved(reply[0] == 1, reply[1], states, fit, reply[2].decode())
        raise StoreUnavailable("Redis: its clock jumps")

    async def _settle_at(self, tag: str, settlement: Settlement) -> Outcome:
        return _outcome(await self._settle(self._base(tag), self._told(settlement)))

    def _told(self, settlement: Settlement) -> list[Any]:
        arguments: list[Any] = [settlement.rid, int(settlement.force)]
        for share in settlement.shares:
            counter = share.counter
            if counter.kind == "rate":
                amount = counter.cost_us(share.actual) - counter.cost_us(share.held)
                ends = share.until_us
            else:
                amount = share.actual
                ends = (counter.ends_us(share.start_us) + LATE_US) // 1000
            arguments += (_KINDS[counter.kind], share.name, share.start_us, amount, ends)
        return arguments

    def _add(self, arguments: list[Any], ask: Ask, here_us: int) -> None:
        counter = ask.counter
        head = self._heads.get(counter)
        if head is None:
            limit = counter.capacity_us if counter.kind == "rate" else counter.limit
            shadow = counter.mode == "shadow"
            head = self._heads[counter] = (_KINDS[counter.kind], limit, int(shadow))
        kind, limit, shadow = head
        amount = counter.cost_us(ask.amount) if kind == b"r" else ask.amount
        arguments += (kind, ask.name, limit, amount, shadow + 2 * ask.settles)
        if counter.period is not None:
            arguments += counter.period.window(here_us)

    def _base(self, tag: str) -> str:
        """What the names of a tag's keys begin with; a brace in a tag would end the hash tag."""
        if not tag:
            return f"{{{self._prefix}}}:"
        return f"{{{self._prefix}:{tag.replace('}', '_')}}}:"

    # -------------------------------------------------------------------- in a Cluster

    async def _reserve_apart(
        self, tags: Sequence[str], rid: str, asks: Sequence[Ask], lease_us: int
    ) -> Reserved:
        parts = [tuple(ask for ask in asks if ask.tag == tag) for tag in tags]
        made = await asyncio.gather(
            *(
                self._reserve_at(tag, rid, part, lease_us)
                for tag, part in zip(tags, parts, strict=True)
            ),
            return_exceptions=True,
        )
        failed = [one for one in made if isinstance(one, BaseException)]
        good = [one for one in made if isinstance(one, Reserved)]
        granted = not failed and all(one.granted for one in good)
        if not granted:
            for tag, part, one in zip(tags, parts, made, strict=True):
                if isinstance(one, Reserved) and one.granted:
                    self._undo(tag, rid, part, one)
        if failed:
            raise failed[0]
        states = {tag: iter(one.states) for tag, one in zip(tags, good, strict=True)}
        merged = tuple(next(states[ask.tag]) for ask in asks)
        fit = tuple(fits(ask, state) for ask, state in zip(asks, merged, strict=True))
        epoch = ".".join(one.epoch for one in good)
        return Reserved(granted, good[0].now_us, merged, fit, epoch)

    def _undo(self, tag: str, rid: str, asks: Sequence[Ask], made: Reserved) -> None:
        """Gives back all that one slot granted while another one refused, requests included."""
        shares = tuple(
            share_of(ask, state, made.now_us) for ask, state in zip(asks, made.states, strict=True)
        )
        # By force, because a part that only takes rates is not registered.
        task = asyncio.create_task(self._settle_at(tag, Settlement(rid, shares, force=True)))
        self._undone.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._undone.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("a refused reservation was not given back: %s", task.exception())


def _outcome(reply: Sequence[int]) -> Outcome:
    return Outcome(SETTLED[reply[0]], tuple(reply[1:]))


def _unavailable(found: Outcome | BaseException) -> Outcome | StoreUnavailable:
    if isinstance(found, Outcome | StoreUnavailable):
        return found
    raise found
