"""Who is turned away, and that it ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.ports import Load
from gateway_extproc.core.shedding import MOST, Shedding

TARGET_S = 0.03


def made(in_flight: int = 0) -> Shedding:
    return Shedding(Load(in_flight), 100, TARGET_S)


def share_shed(shedding: Shedding, priority: str, of: int = 400) -> float:
    return sum(shedding.turns_away(priority) for _ in range(of)) / of  # type: ignore[arg-type]


def test_a_loop_on_time_turns_nobody_away_however_many_wait_for_providers() -> None:
    shedding = made(in_flight=79)
    for _ in range(1000):
        shedding.tick(0.005)
    assert share_shed(shedding, "batch") == share_shed(shedding, "interactive") == 0


def test_a_single_slow_turn_is_forgiven() -> None:
    shedding = made()
    shedding.tick(0.2)
    for _ in range(5):
        shedding.tick(0.0)
    assert share_shed(shedding, "interactive") == 0


def test_batch_goes_first_and_interactive_only_when_none_of_it_is_left() -> None:
    shedding = made()
    while shedding.pressure < 0.5:
        shedding.tick(0.06)
    assert 0.4 < share_shed(shedding, "batch") < 0.75
    assert share_shed(shedding, "interactive") == 0
    while shedding.pressure < 1.5:
        shedding.tick(0.06)
    assert share_shed(shedding, "batch") == 1
    assert 0.4 < share_shed(shedding, "interactive") < 0.75


def test_it_is_over_within_a_second_when_the_loop_is_on_time_again() -> None:
    shedding = made()
    for _ in range(500):
        shedding.tick(0.5)
    assert shedding.pressure == MOST
    ticks = 0
    while shedding.pressure > 0:
        shedding.tick(0.0)
        ticks += 1
    assert ticks * 0.02 < 2.0


@given(st.lists(st.floats(0, 10), max_size=300))
def test_some_always_pass_and_the_pressure_stays_in_its_bounds(lates: list[float]) -> None:
    shedding = made()
    for late in lates:
        shedding.tick(late)
        assert 0 <= shedding.pressure <= MOST
    assert share_shed(shedding, "interactive") < 1


def test_places_are_kept_for_those_that_cannot_wait() -> None:
    shedding = made(in_flight=80)
    assert shedding.turns_away("batch")
    assert not shedding.turns_away("interactive")
    shedding.load.in_flight = 100
    assert shedding.turns_away("interactive")
    assert shedding.shed == {"interactive": 1, "batch": 1}


def test_those_that_are_refused_do_not_come_back_together() -> None:
    shedding = made()
    assert len({shedding.retry_after_s() for _ in range(8)}) == 4
