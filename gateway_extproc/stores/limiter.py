"""Reservations and settlements over a store that may be away.

One worker's part of limits and budgets: asks the shared store, falls back to policy when it does
not answer, keeps what is not settled in the journal, settles behind the answer, and makes good
what a dead predecessor or an outage left open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from gateway_extproc.core.limits import (
    SECOND_US,
    Ask,
    Bill,
    Counter,
    CounterStore,
    Crossed,
    Ledger,
    Outcome,
    Reservation,
    Reserved,
    Settlement,
    Share,
    State,
    share_of,
)
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.core.recent import Recent
from gateway_extproc.stores.journal import Entry, Journal, JournalFull

log = logging.getLogger(__name__)

TICK_S: Final = 0.25
BEAT_S: Final = 1.0
BEAT_LEASE_US: Final = 5 * SECOND_US
AT_ONCE: Final = 64
"""Settlements that are sent together."""
REMEMBERED: Final = 10_000
"""Budgets whose use a worker remembers, for a store that forgets it."""

GRACE_PERCENT: Final = 5
GRACE_US: Final = 600 * SECOND_US
"""What a budget with ``local`` gives during one outage, and for how long."""

_LIVE = Counter(id="gateway-workers", kind="slots", limit=1 << 20, on_error="open")


class _Intent(NamedTuple):
    """A reservation as it stands in the journal before the store is asked for it."""

    ticket: int
    entry: dict[str, Any]
    shares: tuple[Share, ...]
    actuals: tuple[int, ...]


class WorkerLimiter:
    """Implements ``core.limits.Limiter`` for one worker.

    ``own`` is this host's table, for ``local``; None where the shared store is that table.
    ``alerts`` holds the thresholds that are told, by budget: per cent, and the use that passes it.
    """

    def __init__(
        self,
        shared: CounterStore,
        journal: Journal,
        ledger: Ledger,
        *,
        now_us: Callable[[], int],
        lease_us: int,
        own: CounterStore | None = None,
        worker: str = "0",
        workers_here: int = 1,
        alerts: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    ) -> None:
        self._shared, self._own, self._journal, self._ledger = shared, own, journal, ledger
        self._now_us, self._lease_us = now_us, lease_us
        self._worker, self._workers_here = worker, workers_here
        self._alerts = dict(alerts or {})
        self._open: dict[str, tuple[Reservation, int]] = {}
        self._pending: deque[tuple[Settlement, int]] = deque()
        self._wake = asyncio.Event()
        self._done: list[int] = []
        self._kept: list[int] = []
        self._mark = 0
        self._away_since_us = 0
        self._live_workers = workers_here
        self._beat_rid = ""
        self._beat_us = 0
        self._epoch = ""
        self._known: Recent[tuple[str, int], tuple[Share, int]] = Recent(REMEMBERED)
        self._shares: dict[tuple[Counter, int], Counter] = {}
        self._tasks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------------ requests

    async def reserve(self, rid: str, asks: tuple[Ask, ...], bill: Bill) -> Reservation:
        intent = self._intend(rid, asks, bill)
        try:
            made = await self._ask(rid, asks)
        except BaseException:
            # Also of a client that left meanwhile: the store may have granted it, or still will.
            self._take_back(rid, asks, intent)
            raise
        if made.shared or made.own:
            if intent is not None:
                made = self._confirm(made, intent)
            self._open[rid] = (made, self._now_us())
        elif made.degraded and not made.granted:
            self._take_back(rid, asks, intent)
        elif intent is not None:
            self._journal.free(intent.ticket)
        return made

    async def _ask(self, rid: str, asks: tuple[Ask, ...]) -> Reservation:
        try:
            reserved = await self._shared.reserve(rid, asks, self._lease_us)
        except StoreUnavailable as error:
            return await self._reserve_without(rid, asks, error)
        self._away_since_us = 0
        if reserved.epoch != self._epoch:
            self._begin_epoch(reserved.epoch)
        shares = _shares(asks, reserved) if reserved.granted else ()
        return Reservation(rid, asks, reserved, shares, epoch=reserved.epoch)

    def settle(self, made: Reservation, actuals: tuple[int, ...], bill: dict[str, Any]) -> None:
        if self._open.pop(made.rid, None) is None:
            return
        shared = _told(made.shared, actuals)
        if made.ticket >= 0:
            told = [share.actual for share in shared]
            with contextlib.suppress(JournalFull):
                self._journal.close_entry(made.ticket, {"actual": told, "bill": bill})
        if shared:
            force = made.degraded or made.epoch != self._epoch
            self._pending.append((Settlement(made.rid, shared, force), made.ticket))
            self._wake.set()
        if made.own:
            self._spawn(self._settle_own(Settlement(made.rid, _told(made.own, actuals))))

    # -------------------------------------------------------------------- outage

    async def _reserve_without(
        self, rid: str, asks: tuple[Ask, ...], error: StoreUnavailable
    ) -> Reservation:
        """What policy says while the shared store does not answer."""
        now_us = self._now_us()
        if not self._away_since_us:
            self._away_since_us = now_us
            log.warning("limits go on without their store: %s", error)
        local = [ask for ask in asks if ask.counter.on_error == "local"]
        if any(self._is_closed(ask, now_us) for ask in asks):
            raise error
        scaled = tuple(self._scaled(ask) for ask in local)
        own = Reserved(True, now_us, (), ())
        if scaled and self._own is not None:
            own = await self._own.reserve(rid, scaled, self._lease_us)
        # In the order of the asks: what the own table said of local ones, nothing of the others.
        said = iter(zip(scaled, own.states, own.fit, strict=True))
        rows = [
            next(said) if ask.counter.on_error == "local" else (ask, _untouched(ask, now_us), True)
            for ask in asks
        ]
        counted, states, fit = (tuple(column) for column in zip(*rows, strict=True))
        made = Reservation(
            rid, counted, Reserved(own.granted, own.now_us, states, fit), degraded=True,
            epoch=self._epoch,
        )  # fmt: skip
        if not own.granted:
            return made
        mine = [i for i, ask in enumerate(asks) if ask.counter.on_error == "local"]
        return made._replace(
            # Nothing is held there, but what it comes to counts there in the end.
            shared=tuple(
                (i, Share(ask.counter, ask.name, ask.tag, states[i].start_us, 0, 0))
                for i, ask in enumerate(asks)
                if ask.settles and ask.counter.kind != "slots"
            ),
            own=tuple((mine[i], share) for i, share in _shares(scaled, own)),
        )

    def _take_back(self, rid: str, asks: Sequence[Ask], intent: _Intent | None) -> None:
        """The store may have granted what it could not say: nothing of it was used."""
        shares = tuple(share._replace(held=0) for share in _expected(asks, self._now_us()))
        ticket = -1 if intent is None else intent.ticket
        if shares:
            self._pending.append((Settlement(rid, shares), ticket))
            self._wake.set()

    def _is_closed(self, ask: Ask, now_us: int) -> bool:
        counter = ask.counter
        if counter.mode == "shadow" or counter.on_error == "open":
            return False
        if counter.on_error == "closed" or self._own is None:
            return True
        return counter.kind == "period" and now_us - self._away_since_us > GRACE_US

    def _scaled(self, ask: Ask) -> Ask:
        """This host's share of a limit; of a period only the grace of one outage."""
        counter = ask.counter
        here = min(self._workers_here, self._live_workers)
        key = (counter, here * (1 << 20) + self._live_workers)
        scaled = self._shares.get(key)
        if scaled is None:
            per = GRACE_PERCENT if counter.kind == "period" else 100
            limit = max(1, counter.limit * here * per // (self._live_workers * 100))
            burst = max(1, counter.burst * here // self._live_workers)
            scaled = self._shares[key] = replace(counter, limit=limit, burst=burst)
        return ask._replace(counter=scaled)

    # ------------------------------------------------------------ settling, behind

    async def start(self) -> None:
        """Makes good what a dead predecessor left, then settles until ``close``."""
        for entry in self._journal.left():
            self._adopt(entry)
        self._tasks = [asyncio.create_task(self._settle_all()), asyncio.create_task(self._tick())]

    async def close(self, patience_s: float = 1.0) -> None:
        """Settles what it can in time; the journal keeps the rest for the successor."""
        self._wake.set()
        for _ in range(int(patience_s / 0.01)):
            if not self._pending:
                break
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._journal.close()

    @property
    def unsettled(self) -> int:
        """Settlements that the shared store has not taken yet."""
        return len(self._pending)

    def _adopt(self, entry: Entry) -> None:
        """A request that died with its worker is charged what was assumed of it.

        One whose reservation was not answered was not sent to anybody: it is charged nothing.
        """
        opened = entry.opened
        # One that had finished may have written the same record itself.
        known = opened if entry.closed is None else entry.closed
        shares = tuple(
            Share(_counter(row), row[5], row[6], row[7], row[8], actual if entry.granted else 0)
            for row, actual in zip(opened["shares"], known["actual"], strict=True)
        )
        self._pending.append((Settlement(opened["rid"], shares, opened["force"]), entry.ticket))
        if entry.granted:
            self._ledger.charge(known["bill"])

    async def _settle_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                batch = [self._pending.popleft() for _ in range(min(AT_ONCE, len(self._pending)))]
                if not await self._settle_batch(batch):
                    break  # until the next tick: the store is away

    async def _settle_batch(self, batch: Sequence[tuple[Settlement, int]]) -> bool:
        """False where the store did not answer; what it did not take waits for its turn."""
        try:
            outcomes = await self._shared.settle_all([settlement for settlement, _ in batch])
        except Exception:
            log.exception("%d settlements are lost", len(batch))
            for _ in batch:
                self._ledger.settled("lost")
            return True
        answered = True
        for (settlement, ticket), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, StoreUnavailable):
                # It may have been made all the same: the store knows by the rid.
                self._pending.append((settlement, ticket))
                answered = False
                continue
            self._ledger.settled(outcome.settled)
            if outcome.settled != "duplicate":
                self._tell(settlement, outcome)
            if ticket >= 0:
                self._done.append(ticket)
        return answered

    async def _settle_own(self, settlement: Settlement) -> None:
        if self._own is not None:
            with contextlib.suppress(StoreUnavailable):
                await self._own.settle(settlement)

    def _tell(self, settlement: Settlement, outcome: Outcome) -> None:
        for share, used in zip(settlement.shares, outcome.used, strict=True):
            if share.counter.kind != "period":
                continue
            self._known.keep((share.name, share.start_us), (share, used))
            for percent, mark in self._alerts.get(share.counter.id, ()):
                # Only one settlement moves the use over a mark, whoever made it.
                if used - share.actual < mark <= used:
                    self._ledger.crossed(
                        Crossed(share.counter.id, subject(share), percent, used, mark)
                    )

    def _begin_epoch(self, epoch: str) -> None:
        """The store is another one than before: what is known of its budgets goes back to it."""
        before, self._epoch = self._epoch, epoch
        if not before:
            return
        log.warning("the store of limits lost what it knew; %d budgets go back", len(self._known))
        for (name, start), (share, used) in self._known.items():
            # One worker's word counts for each budget: the first one's.
            rid = f"restore:{epoch}:{name}:{start}"
            told = share._replace(held=0, actual=used)
            self._pending.append((Settlement(rid, (told,), force=True), -1))
        self._wake.set()

    # ---------------------------------------------------------------- housekeeping

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self._free_kept()
                await self._renew()
                if self._own is not None:
                    await self._beat()
            except StoreUnavailable:
                pass
            except Exception:
                log.exception("limits: a tick failed")
            if self._pending:
                self._wake.set()

    def _free_kept(self) -> None:
        """Entries whose settlement counts and whose cost record is in the file are done with."""
        if self._ledger.costs_kept() >= self._mark:
            for ticket in self._kept:
                self._journal.free(ticket)
            self._kept, self._done = self._done, []
            self._mark = self._ledger.costs_accepted()

    async def _renew(self) -> None:
        """Long answers keep what they hold."""
        now_us = self._now_us()
        due = [
            rid for rid, (_, since) in self._open.items() if now_us - since > self._lease_us // 4
        ]
        if not due:
            return
        for store in (self._shared, self._own):
            rids = tuple(
                {(share.tag, rid) for rid in due for _, share in self._held_in(store, rid)}
            )
            if store is not None and rids:
                await store.renew(rids, self._lease_us)
        for rid in due:
            if rid in self._open:
                self._open[rid] = (self._open[rid][0], now_us)

    def _held_in(self, store: CounterStore | None, rid: str) -> tuple[tuple[int, Share], ...]:
        made = self._open[rid][0] if rid in self._open else None
        if made is None:
            return ()
        if store is self._own:
            return made.own
        return () if made.degraded else made.shared

    async def _beat(self) -> None:
        """Every worker of every host holds a slot while it lives: shares follow their number."""
        now_us = self._now_us()
        if now_us - self._beat_us < BEAT_S * SECOND_US:
            return
        if self._beat_rid and now_us - self._beat_us < BEAT_LEASE_US:
            await self._shared.renew((("", self._beat_rid),), BEAT_LEASE_US)
        else:
            self._beat_rid = f"worker:{self._worker}:{now_us}"
            asks = (Ask(_LIVE, "gateway-workers", 1),)
            await self._shared.reserve(self._beat_rid, asks, BEAT_LEASE_US)
        look = (Ask(_LIVE, "gateway-workers", 0, settles=False),)
        reserved = await self._shared.reserve(f"look:{self._worker}:{now_us}", look, 1)
        self._beat_us = now_us
        self._live_workers = max(1, reserved.states[0].held)

    def _intend(self, rid: str, asks: Sequence[Ask], bill: Bill) -> _Intent | None:
        """Written before the store is asked: a hold must not be made that nobody knows of."""
        if not any(ask.counter.kind == "period" for ask in asks):
            return None
        actuals, record = bill()
        shares = _expected(asks, self._now_us())
        told = [actuals[i] for i, ask in enumerate(asks) if ask.settles]
        entry = {
            "rid": rid,
            "force": False,
            "shares": [_row(share) for share in shares],
            "actual": told,
            "bill": record,
        }
        try:
            return _Intent(self._journal.ask(entry), entry, shares, actuals)
        except JournalFull as error:
            log.error("a reservation would not outlive its worker: %s", error)
            return None

    def _confirm(self, made: Reservation, intent: _Intent) -> Reservation:
        """The reservation was made; what is written of it becomes what was granted."""
        if not made.degraded and [_place(share) for _, share in made.shared] == [
            _place(share) for share in intent.shares
        ]:
            self._journal.grant(intent.ticket)
            return made._replace(ticket=intent.ticket)
        # Another window, a shadow limit that did not fit, or the store is away.
        self._journal.free(intent.ticket)
        entry = intent.entry | {
            "force": made.degraded,
            "shares": [_row(share) for _, share in made.shared],
            "actual": [intent.actuals[i] for i, _ in made.shared],
        }
        ticket = self._journal.ask(entry)
        self._journal.grant(ticket)
        return made._replace(ticket=ticket)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)


def subject(share: Share) -> str:
    """Whose budget it is: what its name holds behind the rule's id."""
    return "/".join(share.name.split("\x1f")[1:])


def _shares(asks: Sequence[Ask], reserved: Reserved) -> tuple[tuple[int, Share], ...]:
    """What has to be settled of a granted reservation."""
    states, fit = reserved.states, reserved.fit
    return tuple(
        [
            (i, share_of(ask, states[i], reserved.now_us))
            for i, ask in enumerate(asks)
            if ask.settles and fit[i]
        ]
    )


def _expected(asks: Sequence[Ask], now_us: int) -> tuple[Share, ...]:
    """What will have to be settled if all of it is granted now."""
    return tuple(
        [
            Share(ask.counter, ask.name, ask.tag, _untouched(ask, now_us).start_us, ask.amount, 0)
            for ask in asks
            if ask.settles
        ]
    )


def _place(share: Share) -> tuple[str, int]:
    return share.name, share.start_us


def _told(shares: Sequence[tuple[int, Share]], actuals: Sequence[int]) -> tuple[Share, ...]:
    """Shares with what they came to."""
    return tuple([share._replace(actual=actuals[i]) for i, share in shares])


def _untouched(ask: Ask, now_us: int) -> State:
    """An open limit while its store is away: nothing of it is known to be used."""
    if ask.counter.period is None:
        return State(0)
    start_us, end_us, _ = ask.counter.period.window(now_us)
    return State(0, 0, start_us, end_us)


def _row(share: Share) -> list[Any]:
    counter = share.counter
    return [
        counter.id, counter.kind, counter.limit, counter.window_us, counter.burst,
        share.name, share.tag, share.start_us, share.held,
    ]  # fmt: skip


def _counter(row: list[Any]) -> Counter:
    return Counter(id=row[0], kind=row[1], limit=row[2], window_us=row[3], burst=row[4])
