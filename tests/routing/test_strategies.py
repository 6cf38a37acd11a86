"""Each strategy's order, and shares that are kept."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.money import Price, Rates
from gateway_extproc.core.planning import Choice, Policy, ScoreWeights, Tier
from gateway_extproc.core.standing import Standing
from gateway_extproc.routing.draws import Draws
from gateway_extproc.routing.planner import Planner
from gateway_extproc.routing.strategies import EXPLORED, distance, order, scores, threshold_of
from support.plans import Stands, planned, policy, priced, query, target

DECISIONS = 100_000
SHARES = {"a": 90, "b": 9, "c": 1}
THREE = [target(provider) for provider in SHARES]


def firsts(how: Policy, **names: str) -> Counter[str]:
    """Who is tried first, over many decisions: of one caller, or of as many callers."""
    draws, plans = Draws(0.5), Planner(Stands(), 3)
    counted: Counter[str] = Counter()
    for number in range(DECISIONS):
        draw = draws()
        asked = query(
            share_draw=draw.share,
            choice_draw=draw.choice,
            **{name: f"{text}{number}" for name, text in names.items()},
        )
        counted[plans.plan(how, asked).targets[0].provider] += 1
    return counted


def test_priority_keeps_the_files_order() -> None:
    assert planned(policy(*THREE), query()) == ["a", "b", "c"]


def test_weights_are_kept_within_a_hundredth_over_100_000_decisions() -> None:
    counted = firsts(policy(*THREE, weights=SHARES, strategy="weighted"))
    for provider, weight in SHARES.items():
        assert counted[provider] == pytest.approx(DECISIONS * weight / 100, rel=0.01)


def test_weights_are_kept_among_users_who_stay_where_they_are() -> None:
    how = policy(*THREE, weights=SHARES, strategy="weighted", sticky="user")
    counted = firsts(how, user="user-")
    for provider, weight in SHARES.items():
        # Each user draws once, so a share is as exact as that many draws can be: 4 deviations.
        share = weight / 100
        deviation = math.sqrt(share * (1 - share) / DECISIONS)
        assert abs(counted[provider] / DECISIONS - share) < 4 * deviation
        assert abs(counted[provider] / DECISIONS - share) < 0.01


@given(st.text(min_size=1), st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=5))
def test_a_user_is_served_by_the_same_target_whatever_is_drawn(
    user: str, draws: list[float]
) -> None:
    how = policy(*THREE, weights=SHARES, strategy="weighted", sticky="user")
    plans = {tuple(planned(how, query(user=user, choice_draw=draw))) for draw in draws}
    assert len(plans) == 1


def test_conversations_of_one_user_are_spread_and_each_stays() -> None:
    how = policy(*THREE, weights=dict.fromkeys("abc", 1), strategy="weighted",
                 sticky="conversation")  # fmt: skip
    places = {
        name: [planned(how, query(user="ann", conversation=name))[0] for _ in range(3)]
        for name in map(str, range(200))
    }
    assert all(len(set(place)) == 1 for place in places.values())
    assert {place[0] for place in places.values()} == {"a", "b", "c"}


def test_a_target_that_goes_moves_only_its_own_users() -> None:
    before = policy(*THREE, strategy="weighted", sticky="user")
    # The same rule before and after a change of the file.
    after = Policy(before.key, before.choices[:2], strategy="weighted", sticky="user")
    for number in range(500):
        asked = query(user=f"user-{number}")
        was = planned(before, asked)[0]
        if was != "c":
            assert planned(after, asked)[0] == was


def test_those_of_a_target_that_is_out_are_spread_by_the_others_weights() -> None:
    how = policy(*THREE, weights=SHARES, strategy="weighted")
    draws, plans = Draws(), Planner(Stands(a=Standing(share=0.0, why="circuit open")), 3)
    counted: Counter[str] = Counter()
    for _ in range(20_000):
        draw = draws()
        asked = query(share_draw=draw.share, choice_draw=draw.choice)
        counted[plans.plan(how, asked).targets[0].provider] += 1
    assert set(counted) == {"b", "c"}
    assert counted["c"] == pytest.approx(2_000, rel=0.05)


def test_a_weight_of_nothing_is_only_tried_behind_all_others() -> None:
    how = policy(*THREE, weights={"a": 0, "b": 1, "c": 1}, strategy="weighted")
    plans = [planned(how, query(choice_draw=draw / 50)) for draw in range(50)]
    assert {plan[2] for plan in plans} == {"a"}


def test_quality_first_begins_with_the_best_and_takes_the_unknown_for_average() -> None:
    how = policy(
        target("low", quality=0.2), target("unknown"), target("best", quality=0.9),
        strategy="quality_first",
    )  # fmt: skip
    assert planned(how, query()) == ["best", "unknown", "low"]


def test_the_cheapest_depends_on_how_long_prompt_and_answer_are() -> None:
    talks, reads = priced("talks", 1000, 100), priced("reads", 100, 4000)
    how = policy(target("free?"), talks, reads, strategy="cost_optimized")
    asked = query(prompt_tokens=1000, expected_tokens=10)
    assert planned(how, asked) == ["reads", "talks", "free?"]
    asked = query(prompt_tokens=100, expected_tokens=1000)
    assert planned(how, asked) == ["talks", "reads", "free?"]


def test_the_cheapest_knows_the_rates_of_long_prompts() -> None:
    price = Price(100, 400, long_above_tokens=1000, long=Rates(300, 400))
    how = policy(target("tiers", price=price), priced("flat", 200, 400), strategy="cost_optimized")
    assert planned(how, query(prompt_tokens=1000)) == ["tiers", "flat"]
    assert planned(how, query(prompt_tokens=1001)) == ["flat", "tiers"]


def test_the_fastest_is_first_by_the_percentile_that_the_rule_names() -> None:
    steady, jumpy = Standing(p50_ms=300, p95_ms=400), Standing(p50_ms=100, p95_ms=5000)
    seen = {"b": steady, "c": jumpy}
    asked = query(choice_draw=0.5)
    assert planned(policy(*THREE, strategy="latency"), asked, seen) == ["c", "b", "a"]
    tail = policy(*THREE, strategy="latency", percentile="p95")
    assert planned(tail, asked, seen) == ["b", "c", "a"]


def test_what_nobody_has_measured_is_tried_now_and_then() -> None:
    seen = {"b": Standing(p50_ms=300), "c": Standing(p50_ms=100)}
    how = policy(*THREE, strategy="latency")
    draws = Draws()
    tried = [planned(how, query(choice_draw=draws().choice), seen)[0] for _ in range(2000)]
    assert tried.count("a") / 2000 == pytest.approx(EXPLORED, rel=0.1)
    assert tried.count("b") == 0


def test_a_score_is_the_weighed_mean_of_quality_cheapness_and_speed() -> None:
    good = priced("a", 400, 0, quality=0.8)
    fast = priced("b", 100, 0, quality=0.5)
    how = policy(good, fast, strategy="score", score=ScoreWeights(2, 1, 1))
    stands = Stands(a=Standing(p50_ms=900), b=Standing(p50_ms=300))
    asked = query(prompt_tokens=10)
    values = scores(how.choices, how, asked, stands)
    assert values[0] == pytest.approx((2 * 0.8 + 100 / 400 + 300 / 900) / 4)
    assert values[1] == pytest.approx((2 * 0.5 + 1 + 1) / 4)
    assert [c.target.provider for c in order(how.choices, how, asked, stands)] == ["b", "a"]


def test_a_score_of_one_weight_is_that_strategy() -> None:
    targets = [priced("a", 300, 0, quality=0.9), priced("b", 100, 0, quality=0.1)]
    asked = query(prompt_tokens=10)
    for weights, first in ((ScoreWeights(1, 0, 0), "a"), (ScoreWeights(0, 1, 0), "b")):
        assert planned(policy(*targets, strategy="score", score=weights), asked)[0] == first


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 1)), min_size=1, max_size=6))
def test_scores_lie_between_0_and_1(models: list[tuple[int, float]]) -> None:
    targets = [priced(str(n), nanos, 0, quality=q) for n, (nanos, q) in enumerate(models)]
    how = policy(*targets, strategy="score")
    asked = query(prompt_tokens=100)
    assert all(0 <= value <= 1 for value in scores(how.choices, how, asked, Stands()))


def test_the_nearest_region_is_first() -> None:
    how = policy(
        target("us", region="us-east"), target("near", region="eu-north"),
        target("here", region="eu-west-1"), target("none"), strategy="region",
    )  # fmt: skip
    assert planned(how, query(region="eu-west")) == ["here", "near", "us", "none"]
    assert planned(how, query()) == ["us", "near", "here", "none"]
    assert (distance("eu", "eu"), distance("eu-west-1", "eu"), distance("europe", "eu")) == (
        0,
        0,
        2,
    )


@pytest.mark.parametrize(("score", "first"), [(0.29, "cheap"), (0.3, "strong"), (0.31, "strong")])
def test_hard_requests_go_above_the_threshold_and_simple_ones_below(
    score: float, first: str
) -> None:
    tiers: tuple[tuple[str, Tier], ...] = (("cheap", "below"), ("strong", "above"))
    choices = tuple(Choice(target(name), 1, tier) for name, tier in tiers)
    how = Policy("tiers", choices, strategy="complexity", threshold=0.3)
    plan = planned(how, query(complexity=score))
    assert plan[0] == first
    assert sorted(plan) == ["cheap", "strong"]


@pytest.mark.parametrize(
    ("wish", "low", "high"),
    [
        ({"target_saving": 0.25}, 0.0, 0.4),
        ({"target_saving": 0.75}, 0.6, 1.0),
        ({"target_quality": 0.9}, 0.0, 0.3),
        ({"target_quality": 0.5}, 0.5, 1.0),
        ({"threshold": 0.33}, 0.33, 0.33),
    ],
)
def test_a_wish_becomes_a_threshold(wish: dict[str, float], low: float, high: float) -> None:
    choices = (Choice(target("a"), 1, "below"), Choice(target("b"), 1, "above"))
    how = Policy("tiers", choices, strategy="complexity", **wish)  # type: ignore[arg-type]
    found = threshold_of(how)
    assert low <= found <= high
    assert planned(how, query(complexity=found))[0].startswith("b")
    assert planned(how, query(complexity=max(0.0, found - 0.01)))[0].startswith("a")
