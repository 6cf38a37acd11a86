"""The embedded store: counters that all workers of one host share, exactly, without a server.

Three tables in one file (``words``): counters, open reservations, and marks of reservations that
expired or were settled by force.  All are open hash tables with a bounded search.  A counter that
says nothing any more (its time is over and nothing is held) is as good as unknown, so places
free themselves; one that still says something is never given away.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from gateway_extproc.core.limits import (
    DAY_US,
    LATE_US,
    Ask,
    Outcome,
    Reserved,
    Settled,
    Settlement,
    Share,
    State,
    ahead_us,
    fits,
    settled_tat,
)
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.words import FIRST, WordFile

FORMAT: Final = 0x4C494D4954000002
COUNTERS: Final = 1 << 17
RESERVATIONS: Final = 1 << 14
MARKS: Final = 1 << 15
PROBES: Final = 32
"""Places looked at for one name."""
MAX_HOLDS: Final = 16
"""Periods and slots that one reservation may touch."""
REAPED_AT_ONCE: Final = 50

NEVER: Final = (1 << 62) - 1

# A counter: its name in two words, then until when it says something (rate: its TAT), units used,
# units held, and whether it is a rate.
_UNTIL, _USED, _HELD, _RATE = 2, 3, 4, 5
_COUNTER_WORDS: Final = 6
# A reservation: its id in two words, the number of its holds, then name and amount of each.
_COUNT, _HOLDS = 2, 3
_RESERVATION_WORDS: Final = _HOLDS + 3 * MAX_HOLDS
# A mark: the id in two words, until when it counts, and whether the hold had expired.
_MARK_UNTIL, _EXPIRED = 2, 3
_MARK_WORDS: Final = 4

_NEXT_EXPIRY: Final = FIRST
_COUNTERS_AT: Final = FIRST + 8
_EXPIRIES_AT: Final = _COUNTERS_AT + COUNTERS * _COUNTER_WORDS
"""Expiry of each reservation in a column of its own: one look finds the earliest."""
_RESERVATIONS_AT: Final = _EXPIRIES_AT + RESERVATIONS
_MARKS_AT: Final = _RESERVATIONS_AT + RESERVATIONS * _RESERVATION_WORDS
_END: Final = _MARKS_AT + MARKS * _MARK_WORDS

_TWO_WORDS: Final = struct.Struct("<qq")
Hash = tuple[int, int]


class HostCounters:
    """``CounterStore`` over a table in a file; open it once in each worker."""

    def __init__(self, path: Path, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._file = WordFile(path, _END - FIRST, FORMAT)
        self._words = self._file.words
        self._epoch = self._file.epoch
        if not self._words[_NEXT_EXPIRY]:
            self._words[_NEXT_EXPIRY] = NEVER

    async def reserve(self, rid: str, asks: tuple[Ask, ...], lease_us: int) -> Reserved:
        await self._file.lock()
        try:
            now_us = self._now_us()
            self._reap(now_us)
            return self._reserve(rid, asks, lease_us, now_us)
        finally:
            self._file.unlock()

    async def settle(self, settlement: Settlement) -> Outcome:
        await self._file.lock()
        try:
            return self._settle(settlement, self._now_us())
        finally:
            self._file.unlock()

    async def settle_all(
        self, settlements: Sequence[Settlement]
    ) -> Sequence[Outcome | StoreUnavailable]:
        try:
            await self._file.lock()
        except StoreUnavailable as error:
            return [error] * len(settlements)
        try:
            now_us = self._now_us()
            return [self._settle(settlement, now_us) for settlement in settlements]
        finally:
            self._file.unlock()

    async def renew(self, rids: tuple[tuple[str, str], ...], lease_us: int) -> None:
        await self._file.lock()
        try:
            now_us = self._now_us()
            self._reap(now_us)
            for _, rid in rids:
                place = self._find_reservation(_hash(rid))
                if place is not None:
                    expiry_us = now_us + lease_us
                    next_us = min(self._words[_NEXT_EXPIRY], expiry_us)
                    self._file.commit({_EXPIRIES_AT + place: expiry_us, _NEXT_EXPIRY: next_us})
        finally:
            self._file.unlock()

    def close(self) -> None:
        """Unmaps the table; its content stays in the file."""
        self._file.close()

    # ------------------------------------------------------------------- reserving

    def _reserve(self, rid: str, asks: tuple[Ask, ...], lease_us: int, now_us: int) -> Reserved:
        id_ = _hash(rid)
        if self._find_reservation(id_) is not None:
            raise ValueError(f"a reservation {rid} is open")
        changes: dict[int, int] = {}
        states: list[State] = []
        fit: list[bool] = []
        holds: list[tuple[Hash, int]] = []
        granted, registered = True, False
        for ask in asks:
            counter = ask.counter
            start_us = end_us = 0
            if counter.period is not None:
                start_us, end_us, _ = counter.period.window(now_us)
            name = _counter_hash(counter.kind, ask.name, start_us)
            at = self._claim(name, now_us, changes, is_rate=counter.kind == "rate")
            state = self._state(ask, at, now_us, start_us, end_us, changes)
            states.append(state)
            fit.append(fits(ask, state))
            if not fit[-1]:
                granted = granted and counter.mode == "shadow"
                continue
            registered = registered or ask.settles
            if counter.kind == "rate":
                changes[at + _UNTIL] = now_us + state.used + counter.cost_us(ask.amount)
            elif ask.amount:
                changes[at + _UNTIL] = end_us + LATE_US if end_us else 0
                changes[at + _HELD] = state.held + ask.amount
                holds.append((name, ask.amount))
        if granted:
            if registered or holds:
                self._register(id_, holds, now_us + lease_us, changes)
            self._file.commit(changes)
        return Reserved(granted, now_us, tuple(states), tuple(fit), self._epoch)

    def _state(
        self, ask: Ask, at: int, now_us: int, start_us: int, end_us: int, changes: dict[int, int]
    ) -> State:
        if ask.counter.kind == "rate":
            return State(ahead_us(ask.counter, self._get(at + _UNTIL, changes), now_us))
        return State(
            self._get(at + _USED, changes), self._get(at + _HELD, changes), start_us, end_us
        )

    def _register(
        self, rid: Hash, holds: list[tuple[Hash, int]], expiry_us: int, changes: dict[int, int]
    ) -> None:
        if len(holds) > MAX_HOLDS:
            raise ValueError(f"{len(holds)} periods and slots in one reservation")
        words = self._words
        first = rid[0] % (RESERVATIONS - PROBES)
        column = words[_EXPIRIES_AT + first : _EXPIRIES_AT + first + PROBES].tolist()
        if 0 not in column:
            raise StoreUnavailable("no place for another reservation")
        place = first + column.index(0)
        at = _RESERVATIONS_AT + place * _RESERVATION_WORDS
        changes[at], changes[at + 1] = rid
        changes[at + _COUNT] = len(holds)
        for i, (name, amount) in enumerate(holds):
            field = at + _HOLDS + 3 * i
            changes[field], changes[field + 1] = name
            changes[field + 2] = amount
        changes[_EXPIRIES_AT + place] = expiry_us
        if expiry_us < words[_NEXT_EXPIRY]:
            changes[_NEXT_EXPIRY] = expiry_us

    def _find_reservation(self, rid: Hash) -> int | None:
        words = self._words
        first = rid[0] % (RESERVATIONS - PROBES)
        column = words[_EXPIRIES_AT + first : _EXPIRIES_AT + first + PROBES].tolist()
        if any(column):
            for place, expiry in enumerate(column, first):
                at = _RESERVATIONS_AT + place * _RESERVATION_WORDS
                if expiry and words[at] == rid[0] and words[at + 1] == rid[1]:
                    return place
        return None

    # -------------------------------------------------------------------- settling

    def _settle(self, settlement: Settlement, now_us: int) -> Outcome:
        changes: dict[int, int] = {}
        settled = self._take_out(_hash(settlement.rid), now_us, settlement.force, changes)
        used = tuple(
            self._settle_share(share, settled, now_us, changes) for share in settlement.shares
        )
        if changes:
            self._file.commit(changes)
        return Outcome(settled, used)

    def _take_out(self, rid: Hash, now_us: int, force: bool, changes: dict[int, int]) -> Settled:
        """Whether the settlement counts; its holds end, and it cannot count again."""
        place = self._find_reservation(rid)
        if place is not None:
            self._release(place, changes)
            if force:
                self._mark(rid, now_us, expired=0, changes=changes)
            return "settled"
        mark = self._find_mark(rid, now_us)
        if mark is not None and self._words[mark + _EXPIRED]:
            changes[mark + _EXPIRED] = 0
            if not force:
                changes[mark + _MARK_UNTIL] = 0
            return "late"
        if mark is not None or not force:
            return "duplicate"
        self._mark(rid, now_us, expired=0, changes=changes)
        return "late"

    def _settle_share(
        self, share: Share, settled: Settled, now_us: int, changes: dict[int, int]
    ) -> int:
        """What the share's period stands at now; 0 for others."""
        kind = share.counter.kind
        if kind == "slots":
            return 0
        name = _counter_hash(kind, share.name, share.start_us)
        if settled == "duplicate":
            known = self._find(name, changes)
            return self._get(known + _USED, changes) if known and kind == "period" else 0
        at = self._claim(name, now_us, changes, is_rate=kind == "rate")
        if kind == "rate":
            tat = settled_tat(share, self._get(at + _UNTIL, changes), now_us)
            changes[at + _UNTIL] = max(0, tat)
            return 0
        used = self._get(at + _USED, changes) + share.actual
        changes[at + _USED] = used
        ends_us = share.counter.ends_us(share.start_us)
        changes[at + _UNTIL] = max(self._get(at + _UNTIL, changes), ends_us + LATE_US)
        return used

    def _release(self, place: int, changes: dict[int, int]) -> None:
        """A reservation ends: what it held is free again."""
        words = self._words
        at = _RESERVATIONS_AT + place * _RESERVATION_WORDS
        changes[_EXPIRIES_AT + place] = 0
        for i in range(words[at + _COUNT]):
            field = at + _HOLDS + 3 * i
            counter = self._find((words[field], words[field + 1]), changes)
            if counter:
                held = self._get(counter + _HELD, changes) - words[field + 2]
                changes[counter + _HELD] = max(0, held)

    def _reap(self, now_us: int) -> None:
        """Ends reservations whose lease is over, the earliest first."""
        words = self._words
        if now_us < words[_NEXT_EXPIRY]:
            return
        column = words[_EXPIRIES_AT:_RESERVATIONS_AT].tolist()
        due = sorted((expiry, p) for p, expiry in enumerate(column) if 0 < expiry <= now_us)
        for _, place in due[:REAPED_AT_ONCE]:
            changes: dict[int, int] = {}
            at = _RESERVATIONS_AT + place * _RESERVATION_WORDS
            self._release(place, changes)
            self._mark((words[at], words[at + 1]), now_us, expired=1, changes=changes)
            self._file.commit(changes)
            column[place] = 0
        self._file.commit({_NEXT_EXPIRY: min((e for e in column if e), default=NEVER)})

    # ----------------------------------------------------------------------- marks

    def _find_mark(self, rid: Hash, now_us: int) -> int | None:
        words = self._words
        for probe in range(PROBES):
            at = _MARKS_AT + (rid[0] + probe) % MARKS * _MARK_WORDS
            if words[at] == rid[0] and words[at + 1] == rid[1]:
                return at if words[at + _MARK_UNTIL] > now_us else None
        return None

    def _mark(self, rid: Hash, now_us: int, *, expired: int, changes: dict[int, int]) -> None:
        """Remembers a reservation for a day; the mark that ends first makes room."""
        words = self._words
        places = [_MARKS_AT + (rid[0] + probe) % MARKS * _MARK_WORDS for probe in range(PROBES)]
        same = [at for at in places if (words[at], words[at + 1]) == rid]
        at = same[0] if same else min(places, key=lambda place: words[place + _MARK_UNTIL])
        changes[at], changes[at + 1] = rid
        changes[at + _MARK_UNTIL], changes[at + _EXPIRED] = now_us + DAY_US, expired

    # -------------------------------------------------------------------- counters

    def _get(self, index: int, changes: dict[int, int]) -> int:
        """A word as this transaction will leave it."""
        changed = changes.get(index)
        return self._words[index] if changed is None else changed

    def _find(self, name: Hash, changes: dict[int, int]) -> int:
        """Where a counter stands; 0 where it is unknown."""
        for probe in range(PROBES):
            at = _COUNTERS_AT + (name[0] + probe) % COUNTERS * _COUNTER_WORDS
            if self._get(at, changes) == name[0] and self._get(at + 1, changes) == name[1]:
                return at
        return 0

    def _claim(self, name: Hash, now_us: int, changes: dict[int, int], *, is_rate: bool) -> int:
        """A counter's own place, cleared if it is new to it; raises ``StoreUnavailable``.

        Its name among the changes keeps the place from others of the same transaction.  Of places
        that are taken only a rate's may be given away: it drains in its window anyway.
        """
        words = self._words
        free, best = 0, (NEVER, 0)
        for probe in range(PROBES):
            at = _COUNTERS_AT + (name[0] + probe) % COUNTERS * _COUNTER_WORDS
            first = changes[at] if at in changes else words[at]
            if first == name[0] and self._get(at + 1, changes) == name[1]:
                changes[at], changes[at + 1] = name
                return at
            if at in changes:
                continue
            until = words[at + _UNTIL]
            if not free and until <= now_us and not words[at + _HELD]:
                free = at
                if not first and not words[at + 1]:
                    break  # never used: what stands behind it cannot be ours
            if words[at + _RATE]:
                best = min(best, (until, at))
        at = free or best[1]
        if not at:
            raise StoreUnavailable("no place for another counter")
        changes[at], changes[at + 1] = name
        changes[at + _UNTIL] = changes[at + _USED] = changes[at + _HELD] = 0
        changes[at + _RATE] = int(is_rate)
        return at


@lru_cache(maxsize=16_384)
def _counter_hash(kind: str, name: str, start_us: int) -> Hash:
    return _hash(f"{kind}\x1f{start_us}\x1f{name}")


def _hash(name: str) -> Hash:
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    first, second = _TWO_WORDS.unpack(digest)
    return first, second
