"""The circuit breaker on a model clock, and against a small model of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.health import Circuit as Policy
from gateway_extproc.routing.circuit import (
    Circuit,
    Outcome,
    State,
    advance,
    circuit_share,
    observe,
    outcome_of,
    trip,
)

POLICY = Policy()
NOW = 1_000_000.0


def after(outcomes: list[Outcome], policy: Policy = POLICY) -> Circuit:
    circuit = Circuit()
    for i, outcome in enumerate(outcomes):
        circuit = observe(circuit, outcome, NOW + i, NOW + i, policy)
    return circuit


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0, "failure"), (200, "success"), (204, "success"), (301, "success"),
        (400, "neutral"), (401, "failure"), (402, "neutral"), (403, "failure"),
        (404, "neutral"), (408, "failure"), (409, "neutral"), (413, "neutral"),
        (422, "neutral"), (429, "limited"), (499, "neutral"),
        (500, "failure"), (502, "failure"), (503, "failure"), (529, "failure"),
    ],
)  # fmt: skip
def test_a_status_says_whose_fault_it_was(status: int, outcome: Outcome) -> None:
    assert outcome_of(status) == outcome


@given(st.lists(st.sampled_from(["neutral", "limited"]), max_size=200))
def test_client_errors_and_limits_never_open_it(outcomes: list[Outcome]) -> None:
    assert after(outcomes) == Circuit()


def test_failures_in_a_row_open_it() -> None:
    assert after(["failure"] * (POLICY.in_a_row - 1)).state == State.CLOSED
    assert after(["failure"] * POLICY.in_a_row).state == State.OPEN


def test_client_errors_between_failures_do_not_keep_it_closed() -> None:
    assert after(["failure", "neutral"] * POLICY.in_a_row).state == State.OPEN


def test_a_large_share_of_failures_opens_it_without_five_in_a_row() -> None:
    assert after(["failure", "success"] * 10).state == State.OPEN
    assert after(["failure", "success", "success", "success"] * 20).state == State.CLOSED


def test_old_failures_fade() -> None:
    policy = Policy(half_life_s=1.0)
    circuit = Circuit()
    for i in range(100):
        # A failure and a success every ten half-lives: never ten requests of late.
        circuit = observe(circuit, "failure", NOW + 10 * i, NOW + 10 * i, policy)
        circuit = observe(circuit, "success", NOW + 10 * i, NOW + 10 * i, policy)
    assert circuit.state == State.CLOSED


def test_it_is_back_within_five_seconds_of_recovery() -> None:
    """From the worst moment, a probe that failed just before, to the whole share."""
    circuit = trip(Circuit(), NOW, POLICY)
    for _ in range(10):
        circuit = advance(circuit, circuit.until_s)
        circuit = observe(circuit, "failure", circuit.since_s, circuit.since_s, POLICY)
    recovered_s = now_s = circuit.since_s
    while circuit_share(advance(circuit, now_s), now_s, POLICY) < 1.0:
        now_s += 0.1  # ten requests a second as probes
        circuit = observe(advance(circuit, now_s), "success", now_s, now_s, POLICY)
    assert now_s - recovered_s < 5.0


def test_its_share_rises_bit_by_bit_after_an_outage() -> None:
    circuit = Circuit(State.CLOSED, since_s=NOW)
    shares = [circuit_share(circuit, NOW + i * POLICY.ramp_s / 10, POLICY) for i in range(11)]
    assert shares == sorted(shares)
    assert shares[0] == POLICY.probe_share
    assert shares[-1] == 1.0


def test_what_was_sent_before_an_outage_ended_says_nothing_of_what_comes_after() -> None:
    circuit = advance(trip(Circuit(), NOW, POLICY), NOW + POLICY.open_s)
    late = observe(circuit, "failure", NOW - 1, NOW + 2, POLICY)
    assert late == circuit
    assert observe(circuit, "success", NOW - 1, NOW + 2, POLICY) == circuit


def test_the_pause_doubles_up_to_its_bound_and_begins_anew_after_a_recovery() -> None:
    policy = Policy(open_s=1.0, open_max_s=5.0, close_after=1)
    circuit, pauses = trip(Circuit(), NOW, policy), []
    for _ in range(5):
        pauses.append(circuit.until_s - circuit.since_s)
        circuit = advance(circuit, circuit.until_s)
        circuit = observe(circuit, "failure", circuit.since_s, circuit.since_s, policy)
    assert pauses == [1, 2, 4, 5, 5]
    circuit = advance(circuit, circuit.until_s)
    circuit = observe(circuit, "success", circuit.since_s, circuit.since_s, policy)
    assert circuit.state == State.CLOSED
    again = trip(circuit, circuit.since_s + 60, policy)
    assert again.until_s - again.since_s == 1


def test_an_outage_keeps_its_beginning_however_often_a_probe_fails() -> None:
    circuit = trip(Circuit(), NOW, POLICY)
    for _ in range(3):
        circuit = advance(circuit, circuit.until_s)
        circuit = observe(circuit, "failure", circuit.since_s, circuit.since_s, POLICY)
    assert circuit.opened_s == NOW


# ------------------------------------------------------------------- against a model


@dataclass
class Model:
    """The rule told as a story: whole history kept, nothing clever."""

    policy: Policy
    state: Literal["closed", "open", "half_open"] = "closed"
    since: float = 0.0
    until: float = 0.0
    trips: int = 0
    proved: int = 0
    history: list[tuple[float, bool]] = field(default_factory=list)

    def pass_time(self, now: float) -> None:
        if self.state == "open" and now >= self.until:
            self.state, self.since, self.proved = "half_open", now, 0

    def end(self, failed: bool, sent: float, now: float) -> None:
        self.pass_time(now)
        if self.state == "open" or sent < self.since:
            return
        if self.state == "half_open":
            if failed:
                self._open(now, self.trips + 1)
            else:
                self.proved += 1
                if self.proved == self.policy.close_after:
                    self.state, self.since, self.trips, self.history = "closed", now, 0, []
            return
        self.history.append((now, failed))
        weights = [0.5 ** ((now - at) / self.policy.half_life_s) for at, _ in self.history]
        bad = sum(w for w, (_, f) in zip(weights, self.history, strict=True) if f)
        row = 0
        for _, was_bad in reversed(self.history):
            if not was_bad:
                break
            row += 1
        # Rounding must not decide: nothing is asked of sums that are nearly equal.
        many = sum(weights) >= self.policy.min_requests and bad / sum(weights) >= self.policy.share
        if failed and (row >= self.policy.in_a_row or many):
            self._open(now, 0)

    def _open(self, now: float, trips: int) -> None:
        self.state, self.since, self.trips, self.history = "open", now, trips, []
        self.until = now + min(self.policy.open_s * 2**trips, self.policy.open_max_s)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3000),  # milliseconds that pass
        st.booleans(),  # whether the attempt failed
        st.integers(0, 4000),  # milliseconds since it was sent
    ),
    max_size=120,
)
POLICIES = st.builds(
    Policy,
    in_a_row=st.integers(1, 6),
    # Odd thresholds: no sum of powers of two meets them exactly.
    share=st.sampled_from([0.313, 0.517, 0.709]),
    min_requests=st.integers(3, 12),
    half_life_s=st.sampled_from([0.7, 3.3, 11.0]),
    open_s=st.sampled_from([0.3, 1.0]),
    open_max_s=st.sampled_from([1.0, 2.0, 7.0]),
    close_after=st.integers(1, 4),
)


@given(POLICIES, STEPS)
def test_it_does_what_the_model_does(policy: Policy, steps: list[tuple[int, bool, int]]) -> None:
    circuit, model, now_s = Circuit(), Model(policy), NOW
    for passed_ms, failed, age_ms in steps:
        now_s += passed_ms / 1000
        sent_s = now_s - age_ms / 1000
        circuit = advance(circuit, now_s)
        circuit = observe(circuit, "failure" if failed else "success", sent_s, now_s, policy)
        model.end(failed, sent_s, now_s)
        assert State(int(circuit.state)).name.lower() == model.state
        if model.state != "closed":
            assert circuit.since_s == model.since
        if model.state == "open":
            assert circuit.until_s == model.until
        share = circuit_share(advance(circuit, now_s), now_s, policy)
        assert 0.0 <= share <= 1.0
        assert (share == 0.0) == (model.state == "open")
