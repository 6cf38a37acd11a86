"""Thresholds by wish: from the shipped table, and from a team's own scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.routing.complexity import shipped, threshold_for
from gateway_extproc.routing.complexitythresholds import Thresholds, threshold_of_scores

TABLE = Thresholds(saving=(0.0, 0.25, 0.25, 0.75, 1.0), quality=(1.0, 0.9, 0.9, 0.4, 0.0))
shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("wish", "threshold"), [(0.0, 0.0), (0.1, 0.25), (0.25, 0.25), (0.26, 0.75), (1.0, 1.0)]
)
def test_a_saving_gets_the_lowest_threshold_that_brings_it(wish: float, threshold: float) -> None:
    assert TABLE.for_saving(wish) == threshold


@pytest.mark.parametrize(
    ("wish", "threshold"), [(1.0, 0.0), (0.95, 0.0), (0.9, 0.5), (0.4, 0.75), (0.0, 1.0)]
)
def test_a_quality_gets_the_highest_threshold_that_keeps_it(wish: float, threshold: float) -> None:
    assert TABLE.for_quality(wish) == threshold


@given(shares, shares)
def test_more_saving_never_lowers_the_threshold_and_more_quality_never_raises_it(
    one: float, other: float
) -> None:
    _, table = shipped()
    low, high = sorted((one, other))
    assert table.for_saving(low) <= table.for_saving(high)
    assert table.for_quality(low) >= table.for_quality(high)


@given(shares)
def test_what_was_wished_is_what_the_table_says(wish: float) -> None:
    _, table = shipped()
    assert table.saving_at(table.for_saving(wish)) >= wish
    assert table.quality_at(table.for_quality(wish)) >= wish


def test_a_threshold_follows_from_exactly_one_wish() -> None:
    _, table = shipped()
    assert threshold_for(saving=0.6) == table.for_saving(0.6)
    assert threshold_for(quality=0.6) == table.for_quality(0.6)
    for wishes in ({}, {"saving": 0.5, "quality": 0.5}):
        with pytest.raises(ValueError, match="one of them"):
            threshold_for(**wishes)


def test_the_shipped_table_goes_from_all_strong_to_all_weak() -> None:
    _, (saving, quality) = shipped()
    assert len(saving) == len(quality)
    assert (saving[0], quality[0], saving[-1], quality[-1]) == (0.0, 1.0, 1.0, 0.0)
    assert list(saving) == sorted(saving)
    assert list(quality) == sorted(quality, reverse=True)


@pytest.mark.parametrize("wish", [-0.1, 1.1, float("nan")])
def test_a_wish_that_is_no_share_is_refused(wish: float) -> None:
    for call in (TABLE.for_saving, TABLE.for_quality, TABLE.saving_at, TABLE.quality_at):
        with pytest.raises(ValueError, match="share"):
            call(wish)
    with pytest.raises(ValueError, match="share"):
        threshold_of_scores([0.5], wish)


@given(st.lists(st.floats(0, 0.9999), min_size=1, max_size=60), shares)
def test_own_scores_give_the_lowest_threshold_that_saves_the_share(
    scores: list[float], saving: float
) -> None:
    threshold = threshold_of_scores(scores, saving)
    assert share_below(scores, threshold) >= saving
    for lower in (score for score in scores if score < threshold):
        assert share_below(scores, lower) < saving


def share_below(scores: list[float], threshold: float) -> float:
    return sum(score < threshold for score in scores) / len(scores)


def test_without_scores_there_is_no_threshold() -> None:
    with pytest.raises(ValueError, match="no scores"):
        threshold_of_scores([], 0.5)
