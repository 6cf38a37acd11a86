"""Draws keep shares early, and the two of a pair say nothing of each other."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.routing.draws import Draws

STARTS = st.floats(0, 1, exclude_max=True)


@given(STARTS, st.floats(0.01, 0.99), st.integers(100, 3000))
def test_a_share_is_kept_to_within_a_few_requests(start: float, share: float, count: int) -> None:
    draws = Draws(start)
    drawn = [draws() for _ in range(count)]
    for values in ([d.share for d in drawn], [d.choice for d in drawn]):
        assert all(0 <= value < 1 for value in values)
        assert abs(sum(value < share for value in values) - share * count) < 12


@given(STARTS, st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_both_draws_of_a_pair_are_spread_within_each_other(
    start: float, share: float, choice: float
) -> None:
    draws = Draws(start)
    drawn = [draws() for _ in range(4000)]
    both = sum(d.share < share and d.choice < choice for d in drawn)
    assert abs(both - share * choice * 4000) < 80


def test_no_draw_comes_twice_in_a_row() -> None:
    draws = Draws()
    assert all(one != other for one, other in pairwise([draws() for _ in range(1000)]))
