"""The circuit breaker of one target: a value, and what an attempt or time makes of it.

What may follow what:

    closed     too many failures                 -> open
    open       its pause is over                 -> half-open
    half-open  enough probes succeeded           -> closed, its share rising from the probes' one
    half-open  a probe failed                    -> open, for twice as long

An attempt that was sent before the state began says nothing about it: what still fails after an
outage is known already, and what still succeeds was not asked of the target as it is now.  Pure.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Literal, NamedTuple

from gateway_extproc.config.health import Circuit as Policy


class State(IntEnum):
    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


Outcome = Literal["success", "failure", "limited", "neutral"]

NEUTRAL: Final[Outcome] = "neutral"

FAILING_STATUSES: Final = frozenset({401, 403, 408})
"""4xx that speak of the gateway's credential at the provider, or of the provider's patience."""
LIMITED: Final = 429


def outcome_of(status: int) -> Outcome:
    """What an attempt's status says of the target; 0 for one that no headers came of.

    ===================  ========  =====================================================
    0                    failure   refused, reset, or no answer within the deadline
    100 to 399           success
    401, 403             failure   the provider does not take the gateway's credential
    408                  failure   the provider gave up
    429                  limited   works, and wants rest: a matter of quota, not of health
    other 4xx            neutral   the client's mistake: says nothing of the target
    500 and above        failure   529 (overloaded) included
    ===================  ========  =====================================================
    """
    if status == 0 or status >= 500 or status in FAILING_STATUSES:
        return "failure"
    if status == LIMITED:
        return "limited"
    return "neutral" if status >= 400 else "success"


class Circuit(NamedTuple):
    """Times are seconds since 1970; numbers are floats, so that all of it lies in one row."""

    state: float = State.CLOSED
    since_s: float = 0.0
    until_s: float = 0.0
    """Open: when probes may begin."""
    opened_s: float = 0.0
    """When the outage began, however often a probe failed since; 0 before the first one."""
    failed: float = 0.0
    seen: float = 0.0
    """Failures and requests of late, decayed to ``at_s``."""
    at_s: float = 0.0
    in_a_row: float = 0.0
    trips: float = 0.0
    """Probes that failed since the outage began."""
    proved: float = 0.0
    """Probes that succeeded."""


def observe(
    circuit: Circuit, outcome: Outcome, sent_s: float, now_s: float, policy: Policy
) -> Circuit:
    """The circuit after an attempt ended."""
    if outcome not in ("success", "failure") or circuit.state == State.OPEN:
        return circuit
    if sent_s < circuit.since_s:
        return circuit
    if circuit.state == State.HALF_OPEN:
        return _probed(circuit, outcome, now_s, policy)
    return _counted(circuit, outcome, now_s, policy)


def count_successes(circuit: Circuit, count: int, now_s: float, policy: Policy) -> Circuit:
    """The circuit after that many successes that came while nothing was wrong.

    For those who count a while before they tell: it ends no row of failures, because these may
    have come since.
    """
    if circuit.state != State.CLOSED:
        return circuit
    left = _left(circuit, now_s, policy)
    return circuit._replace(
        failed=circuit.failed * left, seen=circuit.seen * left + count, at_s=now_s
    )


def advance(circuit: Circuit, now_s: float) -> Circuit:
    """The circuit after time has passed: an open one turns half-open when its pause is over."""
    if circuit.state != State.OPEN or now_s < circuit.until_s:
        return circuit
    return circuit._replace(state=State.HALF_OPEN, since_s=now_s, proved=0.0)


def trip(circuit: Circuit, now_s: float, policy: Policy, opened_s: float = 0.0) -> Circuit:
    """The circuit open, whatever it was; ``opened_s`` where the outage is known to be older."""
    again = circuit.state == State.HALF_OPEN
    trips = circuit.trips + 1 if again else 0.0
    pause_s = min(policy.open_s * 2.0**trips, policy.open_max_s)
    began_s = circuit.opened_s if again else opened_s or now_s
    return Circuit(State.OPEN, now_s, now_s + pause_s, began_s, trips=trips)


def circuit_share(circuit: Circuit, now_s: float, policy: Policy) -> float:
    """The part of its traffic that a circuit lets through."""
    if circuit.state == State.CLOSED:
        return ramp(circuit.since_s, now_s, policy) if circuit.since_s else 1.0
    return policy.probe_share if circuit.state == State.HALF_OPEN else 0.0


def ramp(since_s: float, now_s: float, policy: Policy) -> float:
    """From the probes' share to all of it."""
    passed_s = now_s - since_s
    if passed_s >= policy.ramp_s:
        return 1.0
    return policy.probe_share + (1.0 - policy.probe_share) * max(0.0, passed_s) / policy.ramp_s


def _left(circuit: Circuit, now_s: float, policy: Policy) -> float:
    """What is left of the counts; a clock that was set back loses none."""
    passed_s = now_s - circuit.at_s
    left: float = 2.0 ** (-passed_s / policy.half_life_s) if passed_s > 0 else 1.0
    return left


def _counted(circuit: Circuit, outcome: Outcome, now_s: float, policy: Policy) -> Circuit:
    left = _left(circuit, now_s, policy)
    bad = outcome == "failure"
    failed = circuit.failed * left + bad
    seen = circuit.seen * left + 1.0
    in_a_row = circuit.in_a_row + 1.0 if bad else 0.0
    many = seen >= policy.min_requests and failed / seen >= policy.share
    if bad and (in_a_row >= policy.in_a_row or many):
        return trip(circuit, now_s, policy)
    return Circuit(
        State.CLOSED, circuit.since_s, 0.0, circuit.opened_s, failed, seen, now_s, in_a_row
    )


def _probed(circuit: Circuit, outcome: Outcome, now_s: float, policy: Policy) -> Circuit:
    if outcome == "failure":
        return trip(circuit, now_s, policy)
    proved = circuit.proved + 1.0
    if proved >= policy.close_after:
        return Circuit(State.CLOSED, now_s, opened_s=circuit.opened_s)
    return circuit._replace(proved=proved)
