"""What is limited: counters, what a request takes from them, and how much fits.

Two kinds of arithmetic, each in one pure function that every store follows to the unit:

* ``rate``: GCRA (ITU-T I.371).  A counter is one time, the theoretical arrival time (TAT),
  in microseconds.  Taking moves it forward, the clock lets it drain.
* ``period`` and ``slots``: a counter is what was ``used`` and what is ``held``.  A period is a
  stretch of the calendar (day, month) with a counter of its own; slots have no end.

All times are microseconds since 1970 on the *store's* clock; all numbers are integers below
2**53, so that Lua's doubles are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

from gateway_extproc.core.ports import StoreUnavailable

Measure = Literal[
    "requests", "prompt_tokens", "completion_tokens", "tokens", "concurrency", "nanos"
]
Kind = Literal["rate", "period", "slots"]
Mode = Literal["enforce", "shadow"]
OnError = Literal["open", "closed", "local"]

SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US
MONTH_US: Final = 31 * DAY_US
LATE_US: Final = 2 * DAY_US
"""How long a window's counter outlives it, for late settlements."""
MAX_AMOUNT: Final = (1 << 53) - 1
"""Largest limit and amount; nano-dollars up to nine million dollars."""


class Period(Protocol):
    """A partition of time into windows, such as the days of a time zone."""

    def window(self, now_us: int) -> tuple[int, int, int]:
        """Start and end of the window around ``now_us``, and the end of the one after it."""


@dataclass(frozen=True, slots=True, eq=False)
class Counter:
    """One rule, as stores need to know it; compared by identity, for a rule is made once.

    ``limit`` units in ``window_us`` (rate: at most ``burst`` at once), in a window of
    ``period``, or at any time (slots).  ``capacity_us`` is how far a rate's TAT may run ahead of
    the clock.
    """

    id: str
    kind: Kind
    limit: int
    window_us: int = 0
    burst: int = 0
    period: Period | None = None
    mode: Mode = "enforce"
    on_error: OnError = "local"
    capacity_us: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        capacity_us = self.burst * self.window_us // self.limit if self.limit else 0
        object.__setattr__(self, "capacity_us", capacity_us)

    def cost_us(self, amount: int) -> int:
        """Rate: how far ``amount`` units move a TAT; rounded up, so never too much passes."""
        if not self.limit:
            return MAX_AMOUNT if amount else 0
        return -(-amount * self.window_us // self.limit)

    def ends_us(self, start_us: int) -> int:
        """Where the window that began there ends; of a period that is not known, at most there."""
        return start_us + MONTH_US if self.period is None else self.period.window(start_us)[1]


class Ask(NamedTuple):
    """What a request takes from one counter.

    ``name`` tells the values of the rule's ``per`` apart; ``tag`` says whose counter it is (a
    tenant's id, or empty for one that tenants share): in a Redis Cluster the counters of one tag
    live in one place.  ``settles`` is true where the real amount is only known afterwards.
    """

    counter: Counter
    name: str
    amount: int
    tag: str = ""
    settles: bool = True


class State(NamedTuple):
    """A counter as it stood before a request took from it.

    Rate: ``used`` is how far the TAT ran ahead of the clock, in microseconds.  Others: units used
    and units held; ``start_us`` and ``end_us`` are the window's (0 for slots).
    """

    used: int
    held: int = 0
    start_us: int = 0
    end_us: int = 0


class Reserved(NamedTuple):
    """A store's answer to a reservation.

    ``states`` stand in the order of the asks, ``fit`` beside them tells which of them fit.
    Granted: every ask that fits was applied (one in shadow mode that does not fit was not).
    Else nothing was.  ``epoch`` names the life of the store; another one means that it lost what
    it knew.
    """

    granted: bool
    now_us: int
    states: tuple[State, ...]
    fit: tuple[bool, ...]
    epoch: str = ""


class Share(NamedTuple):
    """What a settlement says of one counter: ``held`` at reservation, ``actual`` in truth.

    ``until_us`` is where a rate's TAT stood right after the reservation: what was held has drained
    by then.  0 where that is not known.
    """

    counter: Counter
    name: str
    tag: str
    start_us: int
    held: int
    actual: int
    until_us: int = 0


class Settlement(NamedTuple):
    """The truth about a reservation; ``rid`` is the one it was made under.

    With ``force`` it counts although the store knows of no hold: the reservation was made
    while the store was away, or the store lost it.  Either way it counts once.
    """

    rid: str
    shares: tuple[Share, ...]
    force: bool = False


Settled = Literal["settled", "late", "duplicate"]
"""``late``: the hold had expired, or was never known; the amounts count all the same."""


class Outcome(NamedTuple):
    """What a settlement did; ``used`` tells for each share what its period stands at now."""

    settled: Settled
    used: tuple[int, ...]


class CounterStore(Protocol):
    """Counters of all limits and budgets; every method is one atomic step.

    A store that cannot answer raises ``StoreUnavailable``; a reservation may have
    been made all the same.
    """

    async def reserve(self, rid: str, asks: tuple[Ask, ...], lease_us: int) -> Reserved:
        """Checks all asks, then applies all of them, or none.

        Holds end by themselves after ``lease_us``, unless they are renewed.
        """

    async def settle(self, settlement: Settlement) -> Outcome:
        """Replaces what was held by what was used, once for each ``rid``."""

    async def settle_all(
        self, settlements: Sequence[Settlement]
    ) -> Sequence[Outcome | StoreUnavailable]:
        """Several settlements, each a step of its own, at the price of one wait."""

    async def renew(self, rids: tuple[tuple[str, str], ...], lease_us: int) -> None:
        """Holds of these (tag, rid) live for another lease; unknown ones stay unknown."""


def fits(ask: Ask, state: State) -> bool:
    """Whether what is asked is still there."""
    counter = ask.counter
    if counter.kind == "rate":
        return state.used + counter.cost_us(ask.amount) <= counter.capacity_us
    return state.used + state.held + ask.amount <= counter.limit


def ahead_us(counter: Counter, tat_us: int, now_us: int) -> int:
    """How far a stored TAT runs ahead of the clock.

    At most twice the capacity: what lies further ahead comes from a clock that was set back, or
    from a wider limit, and nobody may be refused for longer for it.
    """
    return min(max(tat_us - now_us, 0), 2 * counter.capacity_us)


def share_of(ask: Ask, state: State, now_us: int) -> Share:
    """What has to be settled of an ask that was granted at ``now_us`` on the store's clock."""
    until_us = 0
    if ask.counter.kind == "rate":
        until_us = now_us + state.used + ask.counter.cost_us(ask.amount)
    return Share(ask.counter, ask.name, ask.tag, state.start_us, ask.amount, 0, until_us)


def settled_tat(share: Share, tat_us: int, now_us: int) -> int:
    """Where a TAT stands after settlement; at or below ``now_us`` the counter is idle.

    What was held drains from its end, so after ``t`` microseconds no more than
    ``until_us - t`` of it can be left: a late refund must not take away what others took since.
    """
    delta_us = share.counter.cost_us(share.actual) - share.counter.cost_us(share.held)
    if delta_us > 0:
        return max(tat_us, now_us) + delta_us
    return tat_us - min(-delta_us, max(0, share.until_us - now_us))


class Reservation(NamedTuple):
    """What a request got: the store's answer, and what it has to give back.

    ``shared`` holds what the shared store has to be told in the end, ``own`` what this host's table
    granted in its place; each share stands with the index of its ask.
    """

    rid: str
    asks: tuple[Ask, ...]
    reserved: Reserved
    shared: tuple[tuple[int, Share], ...] = ()
    own: tuple[tuple[int, Share], ...] = ()
    degraded: bool = False
    ticket: int = -1
    epoch: str = ""

    @property
    def granted(self) -> bool:
        return self.reserved.granted


class Limiter(Protocol):
    """Reservations and settlements, whatever the stores do."""

    async def reserve(self, rid: str, asks: tuple[Ask, ...], bill: Bill) -> Reservation:
        """One round trip; raises ``StoreUnavailable`` where policy says ``closed``."""

    def settle(
        self, reservation: Reservation, actuals: tuple[int, ...], bill: dict[str, Any]
    ) -> None:
        """Takes the truth (an amount for each ask) and returns at once; it counts exactly once.

        ``bill`` is the cost record, empty where nothing is charged.
        """


class Bill(Protocol):
    """Writes, where it is needed, what a request is charged if its worker dies."""

    def __call__(self) -> tuple[tuple[int, ...], dict[str, Any]]:
        """An amount for each ask, and the cost record."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """A budget's use has passed one of its thresholds; ``subject`` names whose it is."""

    budget: str
    subject: str
    percent: int
    used: int
    limit: int


class Ledger(Protocol):
    """Where bills and news of budgets go."""

    def charge(self, record: dict[str, Any]) -> None:
        """A cost record that a dead worker did not write."""

    def crossed(self, crossed: Crossed) -> None:
        """A threshold was passed; told once over all workers."""

    def settled(self, outcome: str) -> None:
        """A settlement's fate: settled, late, duplicate or lost."""

    def costs_accepted(self) -> int:
        """Cost records that were handed over so far."""

    def costs_kept(self) -> int:
        """How many of them are in the file, or known to be lost."""
