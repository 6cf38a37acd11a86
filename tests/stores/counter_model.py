"""What a counter store means, in a few dictionaries.

Written from the contract, not from a store: nothing is counted up and down here.  What is held
is the sum over the reservations that are open, what is used the sum over the settlements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway_extproc.core.limits import Ask, Counter, Settlement, Share, State


def ceil_div(number: int, by: int) -> int:
    return (number + by - 1) // by


@dataclass
class Open:
    """A reservation; ``holds`` are (counter's key, amount)."""

    expires_us: int
    holds: list[tuple[object, int]]


@dataclass
class Model:
    tat_us: dict[str, int] = field(default_factory=dict)
    settled: list[tuple[object, int]] = field(default_factory=list)
    open: dict[str, Open] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)
    counted: set[str] = field(default_factory=set)

    # --------------------------------------------------------------------- what stands

    def key(self, counter: Counter, name: str, at_us: int) -> object:
        if counter.period is None:
            return (counter.kind, name)
        return (counter.kind, name, counter.period.window(at_us)[0])

    def used(self, key: object) -> int:
        return sum(amount for known, amount in self.settled if known == key)

    def held(self, key: object) -> int:
        held = (hold for one in self.open.values() for hold in one.holds)
        return sum(amount for known, amount in held if known == key)

    def ahead(self, counter: Counter, name: str, now_us: int) -> int:
        most = 2 * (counter.burst * counter.window_us // counter.limit)
        ahead = self.tat_us.get(name, 0) - now_us
        return 0 if ahead < 0 else min(ahead, most)

    # -------------------------------------------------------------------- what is done

    def reap(self, now_us: int) -> None:
        for rid in [rid for rid, one in self.open.items() if one.expires_us <= now_us]:
            del self.open[rid]
            self.expired.add(rid)

    def reserve(
        self, rid: str, asks: Sequence[Ask], lease_us: int, now_us: int
    ) -> tuple[bool, tuple[State, ...]]:
        self.reap(now_us)
        before = dict(self.tat_us)
        mine = Open(now_us + lease_us, [])
        self.open[rid] = mine
        states, granted, stays = [], True, False
        for ask in asks:
            state, fits = self._look(ask, now_us)
            states.append(state)
            if fits:
                self._take(ask, state, mine, now_us)
                stays = stays or ask.settles or (ask.counter.kind != "rate" and ask.amount > 0)
            elif ask.counter.mode == "enforce":
                granted = False
        if not (granted and stays):
            del self.open[rid]
        if not granted:
            self.tat_us = before
        return granted, tuple(states)

    def _look(self, ask: Ask, now_us: int) -> tuple[State, bool]:
        counter = ask.counter
        if counter.kind == "rate":
            ahead = self.ahead(counter, ask.name, now_us)
            cost = ceil_div(ask.amount * counter.window_us, counter.limit)
            fits = ahead + cost <= counter.burst * counter.window_us // counter.limit
            return State(ahead), fits
        key = self.key(counter, ask.name, now_us)
        start, end = counter.period.window(now_us)[:2] if counter.period else (0, 0)
        used, held = self.used(key), self.held(key)
        return State(used, held, start, end), used + held + ask.amount <= counter.limit

    def _take(self, ask: Ask, state: State, mine: Open, now_us: int) -> None:
        if ask.counter.kind == "rate":
            cost = ceil_div(ask.amount * ask.counter.window_us, ask.counter.limit)
            self.tat_us[ask.name] = now_us + state.used + cost
        else:
            mine.holds.append((self.key(ask.counter, ask.name, now_us), ask.amount))

    def settle(self, settlement: Settlement, now_us: int) -> tuple[str, tuple[int, ...]]:
        rid = settlement.rid
        if rid in self.open:
            del self.open[rid]
            outcome = "settled"
        elif rid not in self.counted and (rid in self.expired or settlement.force):
            outcome = "late"
        else:
            outcome = "duplicate"
        if outcome != "duplicate":
            self.expired.discard(rid)
            if settlement.force:
                self.counted.add(rid)
            for share in settlement.shares:
                self._count(share, now_us)
        return outcome, tuple(self._stands(share) for share in settlement.shares)

    def _count(self, share: Share, now_us: int) -> None:
        counter = share.counter
        if counter.kind == "period":
            key = self.key(counter, share.name, share.start_us)
            self.settled.append((key, share.actual))
        elif counter.kind == "rate":
            held = ceil_div(share.held * counter.window_us, counter.limit)
            actual = ceil_div(share.actual * counter.window_us, counter.limit)
            tat = self.tat_us.get(share.name, 0)
            if actual > held:
                self.tat_us[share.name] = max(tat, now_us) + actual - held
            else:
                # What was held drains from the clock's side: the part behind the clock is gone.
                left = min(held, max(0, share.until_us - now_us))
                self.tat_us[share.name] = tat - min(held - actual, left)

    def _stands(self, share: Share) -> int:
        if share.counter.kind != "period":
            return 0
        return self.used(self.key(share.counter, share.name, share.start_us))

    def renew(self, rids: Sequence[str], lease_us: int, now_us: int) -> None:
        self.reap(now_us)
        for rid in rids:
            if rid in self.open:
                self.open[rid].expires_us = now_us + lease_us
