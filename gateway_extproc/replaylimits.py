"""Limits judged again over recorded traffic.

A limit that did not change says what it said.  One that did, or that is new, counts the recorded
requests in the embedded store, on the clock of the records: its counters begin empty with the first
record, and a request takes what it turned out to use.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway_extproc.config.model import Config
from gateway_extproc.config.scopes import Budget, Limit
from gateway_extproc.core.limits import DAY_US, Ask, Settlement, share_of
from gateway_extproc.limits.amounts import Amounts
from gateway_extproc.limits.rules import Named, Rule, RuleBook, Who, compile_rules
from gateway_extproc.stores.host import HostCounters

LEASE_US: Final = 30 * DAY_US

NAMES_NOTHING: Final = frozenset({"mode", "on_store_failure"})
"""Fields of a limit that do not change what it counts."""


class Verdict(NamedTuple):
    """The limit that refuses, as (reason, id), and those that could not be judged."""

    refused: tuple[str, str] | None
    unknown: frozenset[str]


class LimitReplay:
    """Limits of a new configuration over traffic under an old one; records in order of time."""

    def __init__(self, old: Config | None, new: Config, table: Path) -> None:
        before = {} if old is None else _sections(old)
        same = {id_ for id_, counted in _sections(new).items() if before.get(id_) == counted}
        rules = compile_rules(new)
        self._kept = RuleBook([rule for rule in rules if rule.counter.id in same])
        self._counted = RuleBook([rule for rule in rules if rule.counter.id not in same])
        self._now_us = 0
        self._store = HostCounters(table, lambda: self._now_us)
        self._ending: list[tuple[int, Settlement]] = []

    def close(self) -> None:
        """Lets go of the table."""
        self._store.close()

    async def judge(self, record: Mapping[str, Any], who: Who, time_us: int) -> Verdict:
        """What limits say of a request that came then."""
        refused, unknown = self._as_recorded(record, who)
        named = self._counted.of(who)
        if not named or refused is not None:
            return Verdict(refused, frozenset(unknown))
        used = _used(record)
        if used is None:
            # Nobody knows what a request that was refused would have used.
            unknown |= {n.rule.counter.id for n in named if _needs_usage(n.rule)}
            named = tuple(n for n in named if not _needs_usage(n.rule))
            used = Amounts()
        if named:
            refused = await self._count(record, named, used, time_us)
        return Verdict(refused, frozenset(unknown))

    def _as_recorded(
        self, record: Mapping[str, Any], who: Who
    ) -> tuple[tuple[str, str] | None, set[str]]:
        """Of limits that count as before; their mode may be another one."""
        stood: dict[str, list[Mapping[str, Any]]] = {}
        for state in record.get("limits") or ():
            stood.setdefault(state["id"], []).append(state)
        refused: list[Rule] = []
        unknown: set[str] = set()
        for named in self._kept.of(who):
            counter = named.rule.counter
            states = stood.get(counter.id)
            if states is None:
                unknown.add(counter.id)
            elif counter.mode == "enforce" and not all(state["allowed"] for state in states):
                refused.append(named.rule)
        if not refused:
            return None, unknown
        before = record.get("refusal") or {}
        if any(rule.counter.id == before.get("rule") for rule in refused):
            return (before["reason"], before["rule"]), unknown
        return (_reason(refused[0]), refused[0].counter.id), unknown

    async def _count(
        self, record: Mapping[str, Any], named: tuple[Named, ...], used: Amounts, time_us: int
    ) -> tuple[str, str] | None:
        await self._advance(time_us)
        rid = record["decision_id"]
        asks = tuple(
            Ask(n.rule.counter, n.name, used.of(n.rule.measure), n.tag, settles=True) for n in named
        )
        made = await self._store.reserve(rid, asks, LEASE_US)
        if made.granted:
            rows = zip(asks, made.states, made.fit, strict=True)
            shares = tuple(
                share_of(ask, state, made.now_us)._replace(actual=ask.amount)
                for ask, state, fit in rows
                if fit
            )
            if shares:
                ends_us = time_us + int(record.get("duration_ms", 0.0) * 1000)
                heapq.heappush(self._ending, (ends_us, Settlement(rid, shares)))
            return None
        for n, fit in zip(named, made.fit, strict=True):
            if not fit and n.rule.counter.mode == "enforce":
                return _reason(n.rule), n.rule.counter.id
        return None

    async def _advance(self, time_us: int) -> None:
        """Requests that are over by then give back their places."""
        while self._ending and self._ending[0][0] <= time_us:
            self._now_us, settlement = heapq.heappop(self._ending)
            await self._store.settle(settlement)
        self._now_us = time_us


def _sections(config: Config) -> dict[str, tuple[str, dict[str, Any]]]:
    sections: list[Limit | Budget] = [*config.limits, *config.budgets]
    return {
        section.id: (type(section).__name__, section.model_dump(exclude=set(NAMES_NOTHING)))
        for section in sections
    }


def _needs_usage(rule: Rule) -> bool:
    return rule.measure not in ("requests", "concurrency")


def _used(record: Mapping[str, Any]) -> Amounts | None:
    usage = record.get("usage")
    if usage is not None:
        prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
        return Amounts(prompt, completion, record.get("cost_nanos", 0))
    answered = record.get("cache_hit") or record.get("outcome") in ("ALLOWED", "FAILED")
    return Amounts() if answered else None


def _reason(rule: Rule) -> str:
    spends = rule.budget and rule.measure in ("nanos", "tokens")
    return "insufficient_quota" if spends else "rate_limit_exceeded"
