"""Quantiles that forget, and when a target counts as slow."""

from __future__ import annotations

import random
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.health import Slowness
from gateway_extproc.routing.latency import (
    CELLS,
    GROWTH,
    add,
    is_slow,
    next_share,
    quantile,
    weight_of,
)

NOW = 1_000_000.0
RULE = Slowness()


def histogram(values: list[float], half_life_s: float = 1e9, gap_s: float = 0.0) -> list[float]:
    cells = [0.0] * CELLS
    for i, value in enumerate(values):
        add(cells, 0, value, NOW + i * gap_s, half_life_s)
    return cells


@given(
    st.lists(st.floats(1.01, 200_000.0), min_size=1, max_size=300),
    st.sampled_from([0.5, 0.9, 0.95]),
)
def test_a_quantile_is_as_near_as_its_bucket_is_wide(values: list[float], share: float) -> None:
    found = quantile(histogram(values), share)
    ranked = sorted(values)
    rank = ceil(len(ranked) * share)
    # Weights are rounded: where the rank is met exactly, the next value is as right.
    exact, following = ranked[rank - 1], ranked[min(rank, len(ranked) - 1)]
    assert exact / GROWTH * 0.999 <= found <= following * GROWTH * 1.001


def test_the_median_follows_what_is_recent() -> None:
    draw = random.Random(7)
    values = [draw.gauss(200, 20) for _ in range(500)] + [draw.gauss(2000, 200) for _ in range(100)]
    quick = quantile(histogram(values, half_life_s=2.0, gap_s=0.1), 0.5)
    slow = quantile(histogram(values, half_life_s=600.0, gap_s=0.1), 0.5)
    assert quick == pytest.approx(2000, rel=0.2)
    assert slow == pytest.approx(200, rel=0.2)


def test_a_histogram_lives_through_long_pauses_and_clocks_that_are_set_back() -> None:
    cells = histogram([100.0] * 10, half_life_s=2.0)
    assert weight_of(cells, NOW, 2.0) == pytest.approx(10)
    assert weight_of(cells, NOW + 2.0, 2.0) == pytest.approx(5)
    add(cells, 0, 400.0, NOW + 1e6, 2.0)
    assert weight_of(cells, NOW + 1e6, 2.0) == pytest.approx(1)
    assert quantile(cells, 0.5) == pytest.approx(400, rel=0.25)
    add(cells, 0, 400.0, NOW - 1e9, 2.0)
    assert weight_of(cells, NOW + 1e6, 2.0) == pytest.approx(1, rel=0.01)


@given(
    st.lists(st.tuples(st.floats(0.0, 1e7), st.floats(0.0, 50.0)), max_size=200),
)
def test_weights_stay_finite(steps: list[tuple[float, float]]) -> None:
    cells, now_s = [0.0] * CELLS, NOW
    for ms, passed_s in steps:
        now_s += passed_s
        add(cells, 0, ms, now_s, 0.5)
    assert 0.0 <= weight_of(cells, now_s, 0.5) <= len(steps) + 1e-6
    assert all(0.0 <= cell < 1e300 for cell in cells)


@pytest.mark.parametrize(
    ("recent", "usual", "others", "slow"),
    [
        (900, 300, 300, True),
        (900, 300, 0, True),  # nobody knows the other: worth a try
        (900, 300, None, False),  # nobody else could serve
        (900, 300, 1000, False),  # the other one is slower still
        (800, 300, 100, False),  # not three times its usual
        (60, 10, 5, False),  # three times nearly nothing
        (900, 900, 100, False),  # as slow as always: the route's own business
    ],
)
def test_slow_is_against_its_own_past_and_against_the_others(
    recent: float, usual: float, others: float | None, slow: bool
) -> None:
    assert is_slow(recent, usual, others, RULE) is slow


def test_traffic_leaves_in_seconds_and_comes_back_bit_by_bit() -> None:
    share, steps = 1.0, 0
    while share > RULE.floor:
        share, steps = next_share(share, 0.5, RULE, slow=True), steps + 1
    assert steps * 0.5 <= 3.0
    assert share == RULE.floor
    back = 0
    while share < 1.0:
        grown = next_share(share, 0.5, RULE, slow=False)
        assert 0 < grown - share <= 0.5 / RULE.return_s + 1e-9
        share, back = grown, back + 1
    assert back * 0.5 == pytest.approx(RULE.return_s, abs=1)
