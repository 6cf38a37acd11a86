"""Reservations over a store that may be away, and what a dead worker left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.calendar import CalendarPeriod
from gateway_extproc.core.limits import (
    SECOND_US,
    Ask,
    Counter,
    Outcome,
    Reservation,
    Reserved,
    Settlement,
)
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores import limiter as module
from gateway_extproc.stores.host import HostCounters
from gateway_extproc.stores.journal import Journal
from gateway_extproc.stores.limiter import WorkerLimiter
from support.parts import ListLedger

DAY = CalendarPeriod("day")
BILL = {"decision_id": "d"}


class Away:
    """A real store behind a wire that can be cut: before a call, or behind it."""

    def __init__(self, store: HostCounters) -> None:
        self.store = store
        self.cut = ""

    async def reserve(self, rid: str, asks: tuple[Ask, ...], lease_us: int) -> Reserved:
        self._before()
        reserved = await self.store.reserve(rid, asks, lease_us)
        self._behind()
        return reserved

    async def settle(self, settlement: Settlement) -> Outcome:
        self._before()
        outcome = await self.store.settle(settlement)
        self._behind()
        return outcome

    async def settle_all(
        self, settlements: Sequence[Settlement]
    ) -> list[Outcome | StoreUnavailable]:
        found: list[Outcome | StoreUnavailable] = []
        for settlement in settlements:
            try:
                found.append(await self.settle(settlement))
            except StoreUnavailable as error:
                found.append(error)
        return found

    async def renew(self, rids: tuple[tuple[str, str], ...], lease_us: int) -> None:
        self._before()
        await self.store.renew(rids, lease_us)

    def _before(self) -> None:
        if self.cut == "before":
            raise StoreUnavailable("cut")

    def _behind(self) -> None:
        if self.cut == "behind":
            raise StoreUnavailable("cut")


class Stand:
    """One worker's limiter over a store and this host's own table."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 1_700_000_000 * SECOND_US
        self.shared = Away(HostCounters(folder / "shared", lambda: self.now))
        self.own = HostCounters(folder / "own", lambda: self.now)
        self.ledger = ListLedger()
        self.limiter = self.make()
        self.number = 0

    def make(self, **options: Any) -> WorkerLimiter:
        return WorkerLimiter(
            self.shared, Journal(self.folder / "journal"), self.ledger,
            now_us=lambda: self.now, lease_us=60 * SECOND_US, own=self.own,
            workers_here=2, alerts={"money": [(50, 500)]}, **options,
        )  # fmt: skip

    async def ask(self, *asks: Ask, assumed: int = 90) -> Reservation:
        self.number += 1
        return await self.limiter.reserve(
            f"r{self.number}", asks, lambda: (tuple(assumed for _ in asks), BILL)
        )

    def settle(self, made: Reservation, *actuals: int) -> None:
        self.limiter.settle(made, actuals, BILL)

    def adopt(self) -> None:
        """What a worker does first: it takes over what its predecessor left."""
        for entry in self.limiter._journal.left():
            self.limiter._adopt(entry)

    async def drain(self) -> None:
        for _ in range(len(self.limiter._pending)):
            await self.limiter._settle_batch([self.limiter._pending.popleft()])

    async def used(self, counter: Counter, name: str = "n") -> tuple[int, int]:
        """Used and held of a period, at the shared store."""
        look = (Ask(counter, name, 0, settles=False),)
        self.number += 1
        reserved = await self.shared.store.reserve(f"look{self.number}", look, SECOND_US)
        return reserved.states[0].used, reserved.states[0].held


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.own.close()
    made.shared.store.close()


def money(on_error: Any = "local", limit: int = 1000) -> Counter:
    return Counter(id="money", kind="period", limit=limit, period=DAY, on_error=on_error)


def rate(on_error: Any = "local", limit: int = 10) -> Counter:
    return Counter(id="rate", kind="rate", limit=limit, window_us=60 * SECOND_US, burst=limit,
                   on_error=on_error)  # fmt: skip


def slots() -> Counter:
    return Counter(id="slots", kind="slots", limit=10)


async def test_a_settlement_counts_once_however_often_it_is_told(stand: Stand) -> None:
    made = await stand.ask(Ask(money(), "n", 100))
    stand.settle(made, 40)
    stand.settle(made, 40)
    await stand.drain()
    assert await stand.used(money()) == (40, 0)
    assert stand.ledger.outcomes == ["settled"]


async def test_a_settlement_whose_answer_was_lost_counts_once(stand: Stand) -> None:
    made = await stand.ask(Ask(money(), "n", 100))
    stand.settle(made, 40)
    stand.shared.cut = "behind"
    await stand.drain()
    assert stand.limiter.unsettled == 1
    stand.shared.cut = ""
    await stand.drain()
    assert (await stand.used(money()), stand.ledger.outcomes) == ((40, 0), ["duplicate"])


async def test_the_successor_of_a_dead_worker_charges_what_was_assumed(stand: Stand) -> None:
    await stand.ask(Ask(money(), "n", 100), assumed=90)
    finished = await stand.ask(Ask(money(), "n", 100))
    stand.settle(finished, 7)
    stand.limiter._journal.close()  # as the kernel does
    successor = stand.limiter = stand.make()
    stand.adopt()
    await stand.drain()
    assert await stand.used(money()) == (97, 0)
    assert stand.ledger.charged == [BILL, BILL]
    for _ in range(3):
        successor._free_kept()
    assert len(successor._journal) == 0


class Deaf(Away):
    """The store does what it is asked and its answer never arrives."""

    async def reserve(self, rid: str, asks: tuple[Ask, ...], lease_us: int) -> Reserved:
        await super().reserve(rid, asks, lease_us)
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


async def test_a_worker_that_dies_before_its_reservation_is_answered_holds_nothing(
    stand: Stand,
) -> None:
    stand.shared = Deaf(stand.shared.store)
    stand.limiter = stand.make()
    asks = (Ask(money(), "n", 100),)
    dying = stand.limiter.reserve("r1", asks, lambda: ((90,), BILL))
    dying.send(None)  # up to where it waits, and no further: nothing of it runs again
    assert await stand.used(money()) == (0, 100)
    stand.limiter = stand.make()
    stand.adopt()
    await stand.drain()
    assert await stand.used(money()) == (0, 0)
    assert (stand.ledger.charged, stand.ledger.outcomes) == ([], ["settled"])
    dying.close()


async def test_a_client_that_leaves_before_its_reservation_is_answered_holds_nothing(
    stand: Stand,
) -> None:
    stand.shared = Deaf(stand.shared.store)
    stand.limiter = stand.make()
    task = asyncio.create_task(stand.ask(Ask(money(), "n", 100), Ask(slots(), "s", 1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stand.drain()
    assert (await stand.used(money()), await stand.used(slots(), "s")) == ((0, 0), (0, 0))


async def test_a_refused_reservation_leaves_nothing_in_the_journal(stand: Stand) -> None:
    made = await stand.ask(Ask(money(limit=10), "n", 11))
    assert (made.granted, len(stand.limiter._journal)) == (False, 0)


async def test_a_shadow_limit_that_does_not_fit_is_no_part_of_what_is_left(stand: Stand) -> None:
    shadow = Counter(
        id="small", kind="period", limit=10, period=DAY, mode="shadow", on_error="open"
    )
    await stand.ask(Ask(shadow, "small", 100), Ask(money(), "n", 100), assumed=90)
    stand.limiter._journal.close()
    stand.limiter = stand.make()
    stand.adopt()
    await stand.drain()
    assert await stand.used(money()) == (90, 0)
    assert await stand.used(shadow, "small") == (0, 0)
    assert stand.ledger.charged == [BILL]


async def test_what_does_not_settle_is_no_part_of_what_a_successor_settles(stand: Stand) -> None:
    rates = Ask(rate(), "r", 1, settles=False)
    made = await stand.ask(rates, Ask(money(), "n", 100), rates._replace(name="s"))
    stand.settle(made, 1, 30, 1)
    stand.limiter._journal.close()
    stand.limiter = stand.make()
    stand.adopt()
    await stand.drain()
    assert await stand.used(money()) == (30, 0)


async def test_a_successor_that_dies_too_charges_nothing_twice(stand: Stand) -> None:
    await stand.ask(Ask(money(), "n", 100))
    for _ in range(3):
        stand.limiter._journal.close()
        stand.limiter = stand.make()
        stand.adopt()
        await stand.drain()
    assert await stand.used(money()) == (90, 0)


async def test_closed_refuses_while_the_store_is_away(stand: Stand) -> None:
    stand.shared.cut = "before"
    with pytest.raises(StoreUnavailable):
        await stand.ask(Ask(rate("open"), "n", 1), Ask(money("closed"), "m", 1))


async def test_open_lets_pass_and_still_counts_in_the_end(stand: Stand) -> None:
    stand.shared.cut = "before"
    made = await stand.ask(Ask(money("open", limit=10), "n", 100))
    assert (made.granted, made.degraded) == (True, True)
    stand.settle(made, 70)
    stand.shared.cut = ""
    await stand.drain()
    assert await stand.used(money("open", limit=10)) == (70, 0)
    assert stand.ledger.outcomes == ["late"]


async def test_local_gives_this_host_its_share_of_a_rate(stand: Stand) -> None:
    stand.limiter._live_workers = 4  # two here, two elsewhere
    stand.shared.cut = "before"
    granted = [(await stand.ask(Ask(rate(limit=10), "n", 1))).granted for _ in range(8)]
    assert granted == [True] * 5 + [False] * 3


async def test_local_gives_a_budget_its_grace_and_then_closes(stand: Stand) -> None:
    stand.limiter._live_workers = 2
    stand.shared.cut = "before"
    spent = 0
    while (made := await stand.ask(Ask(money(limit=1000), "n", 10))).granted:
        spent += 10
        stand.settle(made, 10)
    assert spent == 50
    stand.now += module.GRACE_US + 1
    with pytest.raises(StoreUnavailable):
        await stand.ask(Ask(money(limit=1000), "n", 1))
    stand.shared.cut = ""
    await stand.drain()
    assert await stand.used(money()) == (50, 0)


async def test_a_reservation_whose_answer_was_lost_is_not_counted_twice(stand: Stand) -> None:
    stand.shared.cut = "behind"
    made = await stand.ask(Ask(money("open"), "n", 100))
    stand.shared.cut = ""
    assert await stand.used(money("open")) == (0, 100)
    stand.settle(made, 40)
    await stand.drain()
    assert await stand.used(money("open")) == (40, 0)


async def test_a_refused_request_whose_hold_was_made_gives_it_back(stand: Stand) -> None:
    stand.shared.cut = "behind"
    with pytest.raises(StoreUnavailable):
        await stand.ask(Ask(money("closed"), "n", 100))
    stand.shared.cut = ""
    await stand.drain()
    assert await stand.used(money("closed")) == (0, 0)


async def test_a_store_that_forgot_is_told_what_was_known_once(stand: Stand) -> None:
    made = await stand.ask(Ask(money(), "n", 100))
    stand.settle(made, 60)
    await stand.drain()
    running = await stand.ask(Ask(money(), "n", 100))
    stand.shared.store.close()
    stand.shared.store = HostCounters(stand.folder / "emptied", lambda: stand.now)
    await stand.ask(Ask(rate(), "other", 1))
    stand.settle(running, 5)
    await stand.drain()
    assert await stand.used(money()) == (65, 0)


async def test_a_long_answer_keeps_what_it_holds(stand: Stand) -> None:
    made = await stand.ask(Ask(money(), "n", 100))
    for _ in range(10):
        stand.now += 20 * SECOND_US
        await stand.limiter._renew()
    assert await stand.used(money()) == (0, 100)
    stand.settle(made, 40)
    await stand.drain()
    assert stand.ledger.outcomes == ["settled"]


async def test_workers_know_how_many_live(stand: Stand) -> None:
    others = [stand.make(worker=f"w{i}") for i in range(3)]
    for one in (*others, stand.limiter):
        await one._beat()
    assert stand.limiter._live_workers == 4
    stand.now += 4 * SECOND_US
    await stand.limiter._beat()
    stand.now += 4 * SECOND_US
    await stand.limiter._beat()
    assert stand.limiter._live_workers == 1


async def test_a_crossed_threshold_is_told_by_who_crossed_it(stand: Stand) -> None:
    for actual in (300, 150, 100, 200):
        made = await stand.ask(Ask(money(), "money\x1facme", 250))
        stand.settle(made, actual)
        await stand.drain()
    assert [(a.subject, a.percent, a.used) for a in stand.ledger.alerts] == [("acme", 50, 550)]


async def test_it_settles_by_itself_behind_the_answer(stand: Stand) -> None:
    await stand.limiter.start()
    made = await stand.ask(Ask(money(), "n", 100))
    stand.settle(made, 40)
    await stand.limiter.close()
    assert await stand.used(money()) == (40, 0)
