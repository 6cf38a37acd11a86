"""A counter store beside its model, in any order of reservations, settlements, renewals and time.

``COUNTER_STEPS=100000`` makes at least so many steps on each store and prints how many.

A store with a clock of its own tells it only with a reservation.  So a settlement stands between
two reservations that take nothing: what depends on its time is known to lie between theirs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway_extproc.core.limits import (
    SECOND_US,
    Ask,
    Counter,
    Reserved,
    Settlement,
    Share,
    fits,
    share_of,
)
from stores.counter_model import Model
from stores.counter_stores import (
    KINDS,
    MS,
    Stretch,
    Subject,
    fresh_tag,
    host_subject,
    redis_subject,
)
from support.redisserver import redis_server

STEPS = int(os.environ.get("COUNTER_STEPS", "600"))
STEPS_OF_ONE = 60
MOST_OPEN = 40
"""Fewer than one call reaps."""
LONG_US = 3600 * SECOND_US

SHORT, LONG = Stretch(30 * MS), Stretch(400 * MS)
MOST_ASKS = 6
COUNTERS = (
    Counter("requests", "rate", 20, 60 * MS, 5),
    Counter("tokens", "rate", 7, 50 * MS, 10),
    Counter("watched", "rate", 3, 100 * MS, 2, mode="shadow"),
    Counter("day", "period", 50, period=SHORT),
    Counter("month", "period", 120, period=LONG),
    Counter("watched month", "period", 30, period=LONG, mode="shadow"),
    Counter("slots", "slots", 6),
    Counter("watched slots", "slots", 2, mode="shadow"),
)
ASKS = st.lists(
    st.tuples(
        st.sampled_from(COUNTERS),
        st.sampled_from(("ann", "bob")),
        st.sampled_from((0, 1, 1, 2, 3, 5, 8, 13, 40)),
        st.booleans(),
    ),
    max_size=MOST_ASKS,
)
PICK = st.integers(0, 999)
ACTUAL = st.lists(
    st.sampled_from((None, None, 0, 1, 2, 5, 9, 20)), min_size=MOST_ASKS, max_size=MOST_ASKS
)
"""None: what was held.  Draws never depend on what happened, for time is not hypothesis'."""
T = TypeVar("T")


def nth(things: Sequence[str], number: int) -> str:
    return things[-1 - number % len(things)]


class Stand:
    """One store for all examples of a run."""

    subject: Subject
    loop: asyncio.AbstractEventLoop
    steps = 0

    def run(self, call: Awaitable[T]) -> T:
        return self.loop.run_until_complete(call)


class Counting(RuleBasedStateMachine):
    stand: Stand

    @initialize()
    def begin(self) -> None:
        if self.stand.subject.clock is not None:
            # Windows of each example begin alike.
            self.stand.subject.clock.now_us += LONG_US - self.stand.subject.clock.now_us % LONG_US
        self.tag = fresh_tag()
        self.model = Model()
        self.rids = 0
        self.made: dict[str, tuple[Share, ...]] = {}
        self.now_us = self.probe()

    # ---------------------------------------------------------------------- the rules

    @rule(chosen=ASKS, lease_us=st.sampled_from((2 * MS, 20 * MS, 300 * MS, LONG_US)))
    def reserve(self, chosen: list[tuple[Counter, str, int, bool]], lease_us: int) -> None:
        self.stand.steps += 1
        if len(self.model.open) >= MOST_OPEN:
            lease_us = 0
        asks = tuple(
            Ask(counter, f"{self.tag}/{counter.id}/{name}", amount, self.tag, settles)
            for counter, name, amount, settles in chosen
        )
        rid, reserved = self.reserved(asks, lease_us)
        if reserved.granted:
            self.made[rid] = tuple(
                share_of(ask, state, reserved.now_us)._replace(actual=ask.amount)
                for ask, state in zip(asks, reserved.states, strict=True)
                if fits(ask, state)
            )

    @rule(pick=PICK, actual=ACTUAL, force=st.booleans())
    def settle(self, pick: int, actual: list[int | None], force: bool) -> None:
        self.stand.steps += 1
        if not self.made:
            return
        rid = nth(list(self.made), pick)
        shares = tuple(
            share if amount is None else share._replace(actual=amount)
            for share, amount in zip(self.made[rid], actual, strict=False)
        )
        self.settled(Settlement(rid, shares, force))

    @rule(pick=PICK)
    def reserve_what_is_open(self, pick: int) -> None:
        self.stand.steps += 1
        self.now_us = self.probe()
        surely = [r for r, o in self.model.open.items() if o.expires_us > self.now_us + SECOND_US]
        if surely:
            with pytest.raises(ValueError):
                self.stand.run(self.stand.subject.store.reserve(nth(surely, pick), (), SECOND_US))
            self.now_us = self.probe()

    @rule(amount=st.integers(0, 30))
    def settle_what_was_never_reserved(self, amount: int) -> None:
        self.stand.steps += 1
        counter = COUNTERS[4]
        start_us = LONG.window(self.now_us)[0]
        share = Share(counter, f"{self.tag}/{counter.id}/ann", self.tag, start_us, 0, amount)
        rid = self.new_rid()
        self.settled(Settlement(rid, (share,), force=True))
        self.settled(Settlement(rid, (share,), force=True))

    @rule(picks=st.lists(PICK, max_size=5), lease_us=st.sampled_from((1 * MS, 50 * MS, LONG_US)))
    def renew(self, picks: list[int], lease_us: int) -> None:
        self.stand.steps += 1
        if self.stand.subject.clock is None:
            lease_us = LONG_US  # else nobody knows when exactly it ends
        chosen = list({nth(list(self.made), pick): None for pick in picks if self.made})
        before_us = self.probe()
        pairs = tuple((self.tag, rid) for rid in chosen)
        self.stand.run(self.stand.subject.store.renew(pairs, lease_us))
        doubtful = self.doubtful(chosen, before_us)
        self.model.renew([rid for rid in chosen if rid not in doubtful], lease_us, before_us)
        for rid in doubtful:
            self.close(rid)
        self.now_us = self.probe()

    @rule(time_us=st.sampled_from((1, 500, 3 * MS, 15 * MS, 40 * MS)))
    def wait(self, time_us: int) -> None:
        self.stand.steps += 1
        self.stand.run(self.stand.subject.let_pass(time_us))

    @precondition(lambda self: self.stand.subject.clock is not None)
    @rule(time_us=st.sampled_from((1 * SECOND_US, 3600 * SECOND_US)))
    def wait_long(self, time_us: int) -> None:
        self.wait(time_us)

    # --------------------------------------------------------------- store beside model

    def new_rid(self) -> str:
        self.rids += 1
        return f"{self.tag}-{self.rids}"

    def reserved(self, asks: tuple[Ask, ...], lease_us: int) -> tuple[str, Reserved]:
        rid = self.new_rid()
        told = self.stand.run(self.stand.subject.store.reserve(rid, asks, lease_us))
        granted, states = self.model.reserve(rid, asks, lease_us, told.now_us)
        assert (told.granted, told.states) == (granted, states)
        self.now_us = told.now_us
        return rid, told

    def probe(self) -> int:
        """The time; what has expired is reaped."""
        ask = Ask(COUNTERS[0], f"{self.tag}/probe", 0, self.tag, settles=False)
        return self.reserved((ask,), SECOND_US)[1].now_us

    def settled(self, settlement: Settlement) -> None:
        before_us = self.now_us if self.stand.subject.clock is None else self.stand.subject.clock()
        tats = dict(self.model.tat_us)
        told = self.stand.run(self.stand.subject.store.settle(settlement))
        settled, used = self.model.settle(settlement, before_us)
        assert told.settled == settled
        last = {share.name + str(share.start_us): at for at, share in enumerate(settlement.shares)}
        for at in last.values():
            assert told.used[at] == used[at]
        if self.stand.subject.clock is None and settled != "duplicate":
            self.learn_times(settlement, tats, before_us)

    def learn_times(self, settlement: Settlement, tats: dict[str, int], before_us: int) -> None:
        """A debt of an idle rate counts from the store's time of settlement: ask what it was."""
        names = {s.name: s.counter for s in settlement.shares if s.counter.kind == "rate"}
        for name, counter in names.items():
            ask = Ask(counter, name, 0, self.tag, settles=False)
            told = self.stand.run(
                self.stand.subject.store.reserve(self.new_rid(), (ask,), SECOND_US)
            )
            later = Model(tat_us=dict(tats))
            for share in settlement.shares:
                if share.name == name:
                    later._count(share, told.now_us)
            least = self.model.ahead(counter, name, told.now_us)
            assert least <= told.states[0].used <= later.ahead(counter, name, told.now_us)
            if later.tat_us.get(name) != self.model.tat_us.get(name):
                self.adopt(counter, name, told, later)
            self.model.reap(told.now_us)
            self.now_us = told.now_us

    def adopt(self, counter: Counter, name: str, told: Reserved, later: Model) -> None:
        """From here on the model's time is the store's."""
        most = 2 * counter.capacity_us
        if told.states[0].used < most:
            self.model.tat_us[name] = told.now_us + told.states[0].used
            return
        # Beyond what a store tells; wait until it is less.
        far = later.tat_us[name] - told.now_us - most
        self.stand.run(self.stand.subject.let_pass(far + MS))
        ask = Ask(counter, name, 0, self.tag, settles=False)
        again = self.stand.run(self.stand.subject.store.reserve(self.new_rid(), (ask,), SECOND_US))
        self.model.tat_us[name] = again.now_us + again.states[0].used
        self.model.reap(again.now_us)
        self.now_us = again.now_us

    def doubtful(self, rids: list[str], before_us: int) -> list[str]:
        """Reservations that expired while they were renewed, or did not quite."""
        if self.stand.subject.clock is not None:
            return []
        near = before_us + SECOND_US
        known = self.model.open
        return [rid for rid in rids if rid in known and before_us < known[rid].expires_us < near]

    def close(self, rid: str) -> None:
        """Settles with nothing: whatever it was before, it is over now."""
        del self.model.open[rid]
        self.model.expired.discard(rid)
        shares = tuple(s._replace(held=0, actual=0) for s in self.made[rid])
        told = self.stand.run(self.stand.subject.store.settle(Settlement(rid, shares)))
        assert told.settled in ("settled", "late")


@pytest.fixture(params=KINDS)
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    stand = Stand()
    stand.loop = asyncio.new_event_loop()
    with ExitStack() as stack:
        if request.param == "host":
            stand.subject = stack.enter_context(host_subject(tmp_path))
        else:
            server = stack.enter_context(redis_server(tmp_path))
            stand.subject = stack.enter_context(redis_subject(server))
        yield stand
    stand.loop.close()


def test_the_store_is_its_model_in_any_order(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    Counting.stand = stand
    rounds = 0
    while stand.steps < STEPS:
        run_state_machine_as_test(
            Counting,
            settings=settings(
                max_examples=max(10, min(200, STEPS // STEPS_OF_ONE)),
                stateful_step_count=STEPS_OF_ONE,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        rounds += 1
    with capsys.disabled():
        if STEPS >= 10_000:
            print(f"\n{stand.steps} steps in {rounds} rounds, no divergence")
