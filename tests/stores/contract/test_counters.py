"""The contract of a counter store, held by the host's file and by a real Redis alike.

A store's clock may be its own: cases read ``Reserved.now_us``, and use windows and leases
of milliseconds where time must pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from gateway_extproc.core.limits import (
    MAX_AMOUNT,
    SECOND_US,
    Ask,
    Counter,
    CounterStore,
    Mode,
    Outcome,
    Reserved,
    Settlement,
    Share,
    State,
    share_of,
)
from stores.counter_stores import (
    KINDS,
    MS,
    Stretch,
    Subject,
    fresh_tag,
    host_subject,
    redis_subject,
)
from support.redisserver import RedisServer, redis_server

LEASE_US = 600 * SECOND_US
YEARS = Stretch(365 * 86400 * SECOND_US)
"""So long that no test sees one end."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest_asyncio.fixture(params=KINDS)
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    with ExitStack() as stack:
        if request.param == "host":
            yield stack.enter_context(host_subject(tmp_path))
        else:
            running = request.getfixturevalue("server")
            yield stack.enter_context(redis_subject(running))


class Desk:
    """A store with the habits of one test: its tag, its reservations by number."""

    def __init__(self, subject: Subject) -> None:
        self.store: CounterStore = subject.store
        self.subject = subject
        self.tag = fresh_tag()
        self.asked: dict[str, tuple[tuple[Ask, ...], Reserved]] = {}

    def ask(
        self, counter: Counter, amount: int = 1, name: str = "", *, settles: bool = True
    ) -> Ask:
        return Ask(counter, f"{self.tag}/{counter.id}/{name}", amount, self.tag, settles)

    async def reserve(self, rid: str, *asks: Ask, lease_us: int = LEASE_US) -> Reserved:
        reserved = await self.store.reserve(f"{self.tag}-{rid}", asks, lease_us)
        self.asked[rid] = (asks, reserved)
        return reserved

    async def settle(self, rid: str, *actual: int, force: bool = False) -> Outcome:
        """One actual amount for each ask of the reservation, in its order."""
        asks, reserved = self.asked[rid]
        shares = tuple(
            share_of(ask, state, reserved.now_us)._replace(actual=amount)
            for ask, state, amount in zip(asks, reserved.states, actual, strict=True)
        )
        return await self.store.settle(Settlement(f"{self.tag}-{rid}", shares, force))

    async def state(self, counter: Counter, name: str = "") -> State:
        reserved = await self.reserve("look", self.ask(counter, 0, name, settles=False))
        return reserved.states[0]

    async def renew(self, *rids: str, lease_us: int) -> None:
        pairs = tuple((self.tag, f"{self.tag}-{rid}") for rid in rids)
        await self.store.renew(pairs, lease_us)


@pytest.fixture
def desk(subject: Subject) -> Desk:
    return Desk(subject)


def rate(limit: int, window_us: int, burst: int = 0, mode: Mode = "enforce") -> Counter:
    return Counter("rate", "rate", limit, window_us, burst or limit, mode=mode)


def budget(limit: int, period: Stretch = YEARS, mode: Mode = "enforce") -> Counter:
    return Counter("budget", "period", limit, period=period, mode=mode)


def slots(limit: int, mode: Mode = "enforce") -> Counter:
    return Counter("slots", "slots", limit, mode=mode)


# --------------------------------------------------------------------------- all or none


async def test_all_counters_are_taken_from_together(desk: Desk) -> None:
    reserved = await desk.reserve(
        "a", desk.ask(rate(10, 60 * SECOND_US), 4), desk.ask(budget(100), 30), desk.ask(slots(2))
    )
    assert reserved.granted
    start_us, end_us, _ = YEARS.window(reserved.now_us)
    assert reserved.states == (State(0), State(0, 0, start_us, end_us), State(0))
    assert await desk.state(budget(100)) == State(0, 30, start_us, end_us)
    assert await desk.state(slots(2)) == State(0, 1)


@pytest.mark.parametrize("full", [0, 1, 2])
async def test_a_refused_request_takes_nothing_anywhere(desk: Desk, full: int) -> None:
    counters = (rate(10, 600 * SECOND_US), budget(10), slots(10))
    asks = [desk.ask(counter, 11 if at == full else 1) for at, counter in enumerate(counters)]
    reserved = await desk.reserve("a", *asks)
    assert not reserved.granted
    states = [await desk.state(counter) for counter in counters]
    assert [(state.used, state.held) for state in states] == [(0, 0)] * 3
    assert (await desk.settle("a", 1, 1, 1)).settled == "duplicate"


async def test_counters_of_two_tags_are_taken_from_together(desk: Desk) -> None:
    shared = Ask(slots(1), f"{desk.tag}/everybody", 1, f"{desk.tag}-all")
    assert (await desk.reserve("a", desk.ask(budget(10), 4), shared)).granted
    assert not (await desk.reserve("b", desk.ask(budget(10), 4), shared)).granted
    assert (await desk.state(budget(10))).held == 4


async def test_no_asks_are_granted(desk: Desk) -> None:
    reserved = await desk.reserve("a")
    assert (reserved.granted, reserved.states) == (True, ())
    assert (await desk.settle("a")).settled == "duplicate"


async def test_a_rid_that_is_open_cannot_be_reserved_again(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(slots(5)))
    with pytest.raises(ValueError):
        await desk.reserve("a", desk.ask(slots(5)))
    assert (await desk.state(slots(5))).held == 1


async def test_names_do_not_share(desk: Desk) -> None:
    assert (await desk.reserve("a", desk.ask(slots(1), name="ann"))).granted
    assert (await desk.reserve("b", desk.ask(slots(1), name="bob"))).granted
    assert not (await desk.reserve("c", desk.ask(slots(1), name="ann"))).granted


async def test_the_store_has_one_life(desk: Desk) -> None:
    epochs = {(await desk.reserve(str(number))).epoch for number in range(3)}
    assert len(epochs) == 1
    assert epochs != {""}


# -------------------------------------------------------------------------------- shadow


async def test_a_shadow_ask_that_fits_is_applied(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(slots(2, "shadow")))
    assert (await desk.state(slots(2, "shadow"))).held == 1


async def test_a_shadow_ask_that_does_not_fit_neither_refuses_nor_takes(desk: Desk) -> None:
    shadow = budget(10, mode="shadow")
    reserved = await desk.reserve("a", desk.ask(shadow, 11), desk.ask(slots(1)))
    assert reserved.granted
    assert (await desk.state(shadow)).held == 0
    assert (await desk.state(slots(1))).held == 1


async def test_a_shadow_ask_takes_nothing_of_a_refused_request(desk: Desk) -> None:
    shadow = budget(10, mode="shadow")
    assert not (await desk.reserve("a", desk.ask(shadow, 3), desk.ask(slots(1), 2))).granted
    assert (await desk.state(shadow)).held == 0


# ---------------------------------------------------------------- the same counter twice


async def test_the_second_ask_of_a_counter_sees_what_the_first_took(desk: Desk) -> None:
    one = rate(10, 600 * SECOND_US)
    asks = (desk.ask(one, 4), desk.ask(one, 3), desk.ask(slots(9), 2), desk.ask(slots(9), 5))
    reserved = await desk.reserve("a", *asks)
    assert reserved.granted
    assert [state.used for state in reserved.states[:2]] == [0, 4 * 60 * SECOND_US]
    assert [state.held for state in reserved.states[2:]] == [0, 2]
    assert (await desk.state(slots(9))).held == 7
    await desk.settle("a", 4, 3, 0, 0)
    assert (await desk.state(slots(9))).held == 0


@pytest.mark.parametrize("counter", [rate(10, 600 * SECOND_US), budget(10), slots(10)])
async def test_two_asks_that_fit_alone_but_not_together_are_refused(
    desk: Desk, counter: Counter
) -> None:
    assert not (await desk.reserve("a", desk.ask(counter, 6), desk.ask(counter, 5))).granted
    assert (await desk.reserve("b", desk.ask(counter, 6), desk.ask(counter, 4))).granted


async def test_two_shares_of_one_budget_add_up(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(budget(100), 30), desk.ask(budget(100), 20))
    outcome = await desk.settle("a", 7, 8)
    assert outcome.used[-1] == 15
    state = await desk.state(budget(100))
    assert (state.used, state.held) == (15, 0)


# ---------------------------------------------------------------------------------- rate


async def test_a_rate_counts_to_the_microsecond(desk: Desk) -> None:
    seven = rate(7, 90 * SECOND_US, burst=5)
    tat_us = 0
    for number, amount in enumerate((1, 2, 0, 1)):
        reserved = await desk.reserve(str(number), desk.ask(seven, amount, settles=False))
        assert reserved.granted
        assert reserved.states[0].used == max(tat_us - reserved.now_us, 0)
        # 90 s / 7, rounded up for each request.
        tat_us = max(tat_us, reserved.now_us) + -(-amount * 90_000_000 // 7)


async def test_a_rate_drains_with_the_clock_and_admits_what_has_drained(desk: Desk) -> None:
    fast = rate(10, 400 * MS, burst=2)
    first = await desk.reserve("a", desk.ask(fast, 2))
    assert first.granted
    second = await desk.reserve("b", desk.ask(fast))
    assert second.granted == (second.now_us >= first.now_us + 40 * MS)
    await desk.subject.let_pass(40 * MS)
    third = await desk.reserve("c", desk.ask(fast))
    assert third.granted


async def test_a_rate_is_refused_up_to_its_very_microsecond(subject: Subject) -> None:
    if subject.clock is None:
        pytest.skip("the store's clock does not stand still")
    desk, one = Desk(subject), rate(10, 10 * SECOND_US)
    await desk.reserve("a", desk.ask(one, 10))
    subject.clock.now_us += SECOND_US - 1
    assert not (await desk.reserve("b", desk.ask(one))).granted
    subject.clock.now_us += 1
    assert (await desk.reserve("c", desk.ask(one))).granted


async def test_a_rate_of_which_nothing_settles_leaves_nothing_open(desk: Desk) -> None:
    one = rate(10, 600 * SECOND_US)
    await desk.reserve("a", desk.ask(one, settles=False))
    assert (await desk.settle("a", 5)).settled == "duplicate"
    assert (await desk.reserve("a", desk.ask(one, settles=False))).granted


async def test_a_time_far_ahead_counts_as_twice_the_capacity(desk: Desk) -> None:
    wide, narrow = rate(10, 36_000 * SECOND_US), rate(10, 10 * SECOND_US)
    await desk.reserve("a", desk.ask(wide, 10))
    assert (await desk.state(narrow)).used == 20 * SECOND_US


async def test_a_refund_gives_the_rate_back_what_was_not_used(desk: Desk) -> None:
    one = rate(100, 1000 * SECOND_US)
    first = await desk.reserve("a", desk.ask(one, 80))
    assert (await desk.settle("a", 30)).settled == "settled"
    look = await desk.reserve("b", desk.ask(one, 70 - 1))
    assert look.states[0].used == first.now_us + 300 * SECOND_US - look.now_us
    assert look.granted


async def test_a_refund_never_gives_more_than_the_capacity(desk: Desk) -> None:
    one = rate(10, 400 * MS)
    await desk.reserve("a", desk.ask(one, 10))
    await desk.subject.let_pass(400 * MS)
    await desk.settle("a", 0)
    assert not (await desk.reserve("b", desk.ask(one, 11))).granted
    reserved = await desk.reserve("c", desk.ask(one, 10))
    assert reserved.granted
    assert reserved.states[0].used == 0
    after = await desk.reserve("d", desk.ask(one, 0))
    assert after.states[0].used == max(0, reserved.now_us + 400 * MS - after.now_us)


async def test_what_has_drained_is_not_given_back(desk: Desk) -> None:
    """Else a late refund would take away what others took since."""
    one = rate(10, 1000 * MS)
    await desk.reserve("a", desk.ask(one, 2))
    await desk.subject.let_pass(220 * MS)
    await desk.reserve("b", desk.ask(one, 10))
    before = await desk.state(one)
    began_us = desk.asked["look"][1].now_us
    await desk.settle("a", 0)
    after = await desk.state(one)
    took_us = desk.asked["look"][1].now_us - began_us
    assert after.used == before.used - took_us


async def test_only_what_has_not_drained_is_given_back(desk: Desk) -> None:
    one = rate(10, 4000 * MS)
    made = await desk.reserve("a", desk.ask(one, 5))
    await desk.subject.let_pass(500 * MS)
    await desk.settle("a", 0)
    left = await desk.state(one)
    assert left.used == 0
    assert desk.asked["look"][1].now_us - made.now_us >= 500 * MS


async def test_a_rate_can_fall_into_debt_and_pays_it_with_time(desk: Desk) -> None:
    one = rate(10, 1000 * SECOND_US)
    first = await desk.reserve("a", desk.ask(one, 4))
    await desk.settle("a", 15)
    look = await desk.reserve("b", desk.ask(one))
    assert not look.granted
    assert look.states[0].used == first.now_us + 1500 * SECOND_US - look.now_us


async def test_a_debt_of_an_idle_rate_counts_from_now(desk: Desk) -> None:
    one = rate(10, 100 * MS)
    first = await desk.reserve("a", desk.ask(one, 1))
    await desk.subject.let_pass(50 * MS)
    before = await desk.reserve("look", desk.ask(one, 0, settles=False))
    await desk.settle("a", 16)
    after = await desk.reserve("b", desk.ask(one, 0, settles=False))
    assert before.now_us >= first.now_us + 50 * MS
    left_us = after.now_us + after.states[0].used - 150 * MS
    assert before.now_us <= left_us <= after.now_us


# -------------------------------------------------------------------------------- period


async def test_a_budget_admits_to_the_unit(desk: Desk) -> None:
    assert not (await desk.reserve("a", desk.ask(budget(10), 11))).granted
    assert (await desk.reserve("b", desk.ask(budget(10), 6))).granted
    assert not (await desk.reserve("c", desk.ask(budget(10), 5))).granted
    assert (await desk.settle("b", 3)).used == (3,)
    assert (await desk.reserve("d", desk.ask(budget(10), 7))).granted
    assert not (await desk.reserve("e", desk.ask(budget(10), 1))).granted


async def test_more_may_be_used_than_was_held(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(budget(10), 1))
    assert (await desk.settle("a", 25)).used == (25,)
    state = await desk.state(budget(10))
    assert (state.used, state.held) == (25, 0)
    assert not (await desk.reserve("b", desk.ask(budget(10), 1))).granted


async def test_a_window_has_a_counter_of_its_own_and_is_settled_into(desk: Desk) -> None:
    short = budget(10, Stretch(120 * MS))
    first = await desk.reserve("a", desk.ask(short, 10))
    assert first.granted
    await desk.subject.let_pass(first.states[0].end_us - first.now_us)
    second = await desk.reserve("b", desk.ask(short, 10))
    assert second.granted
    assert second.states[0].start_us >= first.states[0].end_us
    assert (second.states[0].used, second.states[0].held) == (0, 0)
    assert (await desk.settle("a", 8)).used == (8,)
    assert (await desk.settle("b", 5)).used == (5,)
    assert (await desk.settle("a", 8)).used == (8,)


# --------------------------------------------------------------------------------- slots


async def test_slots_are_given_back_by_settlement(desk: Desk) -> None:
    for rid in "ab":
        assert (await desk.reserve(rid, desk.ask(slots(2)))).granted
    assert not (await desk.reserve("c", desk.ask(slots(2)))).granted
    outcome = await desk.settle("a", 0)
    assert (outcome.settled, outcome.used) == ("settled", (0,))
    assert (await desk.reserve("c", desk.ask(slots(2)))).granted


async def test_a_slot_is_given_back_whatever_was_used(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(slots(1)))
    await desk.settle("a", 1)
    assert await desk.state(slots(1)) == State(0)


async def test_a_slot_of_which_nothing_settles_is_held_all_the_same(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(slots(1), settles=False))
    assert (await desk.state(slots(1))).held == 1
    assert (await desk.settle("a", 0)).settled == "settled"


# -------------------------------------------------------------------------------- leases


async def test_a_hold_ends_with_its_lease_and_nothing_was_used(desk: Desk) -> None:
    asks = (desk.ask(slots(1)), desk.ask(budget(10), 10))
    assert (await desk.reserve("a", *asks, lease_us=30 * MS)).granted
    await desk.subject.let_pass(30 * MS)
    reserved = await desk.reserve("b", *asks)
    assert reserved.granted
    assert [(state.used, state.held) for state in reserved.states] == [(0, 0), (0, 0)]


async def test_a_hold_lasts_as_long_as_its_lease(subject: Subject) -> None:
    if subject.clock is None:
        pytest.skip("the store's clock does not stand still")
    desk = Desk(subject)
    await desk.reserve("a", desk.ask(slots(1)), lease_us=50)
    subject.clock.now_us += 49
    assert not (await desk.reserve("b", desk.ask(slots(1)))).granted
    subject.clock.now_us += 1
    assert (await desk.reserve("c", desk.ask(slots(1)))).granted


async def test_many_holds_end_in_some_calls(desk: Desk) -> None:
    for number in range(120):
        await desk.reserve(str(number), desk.ask(slots(1000)), lease_us=40 * MS)
    await desk.subject.let_pass(40 * MS)
    held = [(await desk.state(slots(1000))).held for _ in range(4)]
    assert held[-1] == 0
    # At most 50 a call; some of the 120 may have ended while the others were made.
    assert held[0] <= 70


async def test_a_late_settlement_counts_and_frees_nothing(desk: Desk) -> None:
    asks = (desk.ask(budget(10), 10), desk.ask(slots(2)))
    await desk.reserve("a", *asks, lease_us=20 * MS)
    await desk.subject.let_pass(20 * MS)
    assert (await desk.reserve("b", desk.ask(budget(10), 2), desk.ask(slots(2)))).granted
    outcome = await desk.settle("a", 7, 0)
    assert (outcome.settled, outcome.used) == ("late", (7, 0))
    state = await desk.state(budget(10))
    assert (state.used, state.held) == (7, 2)
    assert (await desk.state(slots(2))).held == 1
    again = await desk.settle("a", 7, 0)
    assert (again.settled, again.used) == ("duplicate", (7, 0))


async def test_a_late_settlement_of_a_rate_gives_back_what_was_not_used(desk: Desk) -> None:
    one = rate(100, 1000 * SECOND_US)
    first = await desk.reserve("a", desk.ask(one, 80), lease_us=10 * MS)
    await desk.subject.let_pass(10 * MS)
    await desk.state(one)
    assert (await desk.settle("a", 10)).settled == "late"
    look = await desk.reserve("b", desk.ask(one, 0, settles=False))
    assert look.states[0].used == first.now_us + 100 * SECOND_US - look.now_us


async def test_a_renewed_hold_lives_on(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(slots(2)), lease_us=150 * MS)
    await desk.reserve("b", desk.ask(slots(2)), lease_us=150 * MS)
    await desk.renew("a", "nobody", lease_us=LEASE_US)
    await desk.subject.let_pass(150 * MS)
    assert (await desk.state(slots(2))).held == 1
    assert (await desk.settle("a", 0)).settled == "settled"
    assert (await desk.settle("b", 0)).settled == "late"


async def test_a_renewed_hold_ends_with_its_new_lease(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(slots(1)))
    await desk.renew("a", lease_us=20 * MS)
    await desk.subject.let_pass(20 * MS)
    assert (await desk.state(slots(1))).held == 0


async def test_a_hold_that_has_ended_cannot_be_renewed(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(slots(1)), lease_us=10 * MS)
    await desk.subject.let_pass(10 * MS)
    await desk.renew("a", lease_us=LEASE_US)
    assert (await desk.state(slots(1))).held == 0
    assert (await desk.settle("a", 0)).settled == "late"


# --------------------------------------------------------------------- counted once


async def test_a_settlement_counts_once(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(budget(100), 10), desk.ask(rate(100, 600 * SECOND_US), 10))
    assert (await desk.settle("a", 6, 6)).used == (6, 0)
    before = await desk.state(rate(100, 600 * SECOND_US))
    for _ in range(3):
        outcome = await desk.settle("a", 6, 6)
        assert (outcome.settled, outcome.used) == ("duplicate", (6, 0))
    assert (await desk.state(rate(100, 600 * SECOND_US))).used <= before.used
    assert (await desk.state(budget(100))).used == 6


async def test_an_unknown_settlement_counts_nothing_unless_it_is_forced(desk: Desk) -> None:
    start_us = (await desk.state(budget(100))).start_us
    name = desk.ask(budget(100)).name
    shares = (Share(budget(100), name, desk.tag, start_us, 0, 9),)
    rid = f"{desk.tag}-unknown"
    assert await desk.store.settle(Settlement(rid, shares)) == Outcome("duplicate", (0,))
    assert await desk.store.settle(Settlement(rid, shares, force=True)) == Outcome("late", (9,))
    for force in (True, False):
        again = await desk.store.settle(Settlement(rid, shares, force=force))
        assert again == Outcome("duplicate", (9,))


async def test_a_forced_settlement_of_what_is_open_counts_once(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(budget(100), 10))
    assert await desk.settle("a", 4, force=True) == Outcome("settled", (4,))
    assert await desk.settle("a", 4, force=True) == Outcome("duplicate", (4,))
    assert (await desk.state(budget(100))).held == 0


async def test_a_forced_settlement_of_what_expired_counts_once(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(budget(100), 10), lease_us=5 * MS)
    await desk.subject.let_pass(5 * MS)
    await desk.state(budget(100))
    assert await desk.settle("a", 4, force=True) == Outcome("late", (4,))
    assert await desk.settle("a", 4, force=True) == Outcome("duplicate", (4,))


# ------------------------------------------------------------------------------- numbers


async def test_zero_amounts_fit_in_a_full_counter_and_take_nothing(desk: Desk) -> None:
    for counter in (budget(3), slots(3)):
        await desk.reserve(counter.id, desk.ask(counter, 3))
        reserved = await desk.reserve(f"{counter.id} zero", desk.ask(counter, 0))
        assert reserved.granted
        assert (await desk.state(counter)).held == 3


async def test_a_zero_ask_that_settles_is_open(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(budget(3), 0))
    assert await desk.settle("a", 2) == Outcome("settled", (2,))


async def test_a_zero_ask_of_which_nothing_settles_is_not_open(desk: Desk) -> None:
    await desk.reserve("a", desk.ask(budget(3), 0, settles=False))
    assert (await desk.settle("a", 2)).settled == "duplicate"


async def test_a_limit_of_zero_admits_zero(desk: Desk) -> None:
    assert (await desk.reserve("a", desk.ask(budget(0), 0))).granted
    assert not (await desk.reserve("b", desk.ask(budget(0), 1))).granted


@pytest.mark.parametrize("counter", [budget(MAX_AMOUNT), slots(MAX_AMOUNT)])
async def test_the_largest_numbers_are_exact(desk: Desk, counter: Counter) -> None:
    assert (await desk.reserve("a", desk.ask(counter, MAX_AMOUNT - 1))).granted
    assert not (await desk.reserve("b", desk.ask(counter, 2))).granted
    assert (await desk.reserve("c", desk.ask(counter, 1))).granted
    assert (await desk.state(counter)).held == MAX_AMOUNT
    await desk.settle("a", MAX_AMOUNT - 1)
    state = await desk.state(counter)
    used = MAX_AMOUNT - 1 if counter.kind == "period" else 0
    assert (state.used, state.held) == (used, 1)


async def test_a_rate_with_a_large_limit_is_exact(desk: Desk) -> None:
    large = rate(MAX_AMOUNT // 60_000_000, 60 * SECOND_US)
    assert (await desk.reserve("a", desk.ask(large, large.limit))).granted
    assert not (await desk.reserve("b", desk.ask(large, large.limit // 2))).granted


# --------------------------------------------------------------------------- concurrency


@pytest.mark.parametrize("counter", [budget(50), slots(50), rate(50, 600 * SECOND_US)])
async def test_many_at_once_never_pass_the_limit(desk: Desk, counter: Counter) -> None:
    replies = await asyncio.gather(
        *(desk.reserve(str(number), desk.ask(counter)) for number in range(200))
    )
    assert sum(reply.granted for reply in replies) == 50


async def test_many_settlements_at_once_add_up_and_duplicates_do_not(desk: Desk) -> None:
    for number in range(100):
        await desk.reserve(str(number), desk.ask(budget(10_000), 20))
    outcomes = await asyncio.gather(
        *(desk.settle(str(number % 100), number % 100) for number in range(200))
    )
    assert sum(outcome.settled == "settled" for outcome in outcomes) == 100
    state = await desk.state(budget(10_000))
    assert (state.used, state.held) == (sum(range(100)), 0)
