"""Plans: what filters forbid is in none of them, whatever strategy and standing say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.access import name_matcher
from gateway_extproc.core.money import Price
from gateway_extproc.core.planning import (
    CAUSES,
    STRATEGIES,
    Choice,
    Plan,
    Policy,
    Query,
    Shadow,
)
from gateway_extproc.core.route import CAPABILITIES, ModelFacts, Target
from gateway_extproc.core.standing import Standing
from gateway_extproc.routing.filters import JSON_MODES, REFUSALS, refusal_of
from gateway_extproc.routing.planner import TOO_MANY, Planner
from support.plans import Stands, planned, policy, query, target

CLASSES = ("standard", "health", "legal")
REGIONS = ("", "eu", "eu-west", "us", "us-east")


def subsets(values: tuple[str, ...], least: int = 0) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(values), min_size=least)


FACTS = st.builds(
    ModelFacts,
    quality=st.none() | st.floats(0, 1),
    context_tokens=st.none() | st.integers(1, 2000),
    max_output_tokens=st.none() | st.integers(1, 2000),
    capabilities=st.none() | subsets(CAPABILITIES),
    endpoints=st.none() | subsets(("chat", "messages")),
    regions=subsets(("eu-west", "us-east")),
)
TARGETS = st.builds(
    Target,
    provider=st.sampled_from("abcd"),
    dialect=st.sampled_from(["openai", "anthropic"]),
    model=st.sampled_from(["m1", "m2"]),
    cluster=st.just("c"),
    fallback_cluster=st.just("f"),
    base_path=st.just(""),
    region=st.sampled_from(REGIONS),
    data_classes=subsets(CLASSES),
    price=st.none() | st.builds(Price, st.integers(0, 999), st.integers(0, 999)),
    facts=FACTS,
)
UNIQUE = st.lists(TARGETS, max_size=8, unique_by=lambda t: t.name)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    targets = draw(UNIQUE)
    choices = tuple(
        Choice(t, draw(st.integers(0, 9)), draw(st.sampled_from(["below", "above"])))
        for t in targets
    )
    patterns = draw(st.none() | st.lists(st.sampled_from(["eu*", "us*", "eu-west"]), min_size=1))
    return Policy(
        "p",
        choices,
        draw(st.sampled_from(STRATEGIES)),
        draw(st.sampled_from(["none", "user", "conversation"])),
        draw(st.sampled_from(["p50", "p95"])),
        regions=None if patterns is None else name_matcher(patterns),
        shadows=tuple(Shadow(t, draw(st.floats(0, 1))) for t in draw(UNIQUE)),
    )


DRAWS = st.floats(0, 1, exclude_max=True)
QUERIES = st.builds(
    Query,
    endpoint=st.sampled_from(["chat", "messages"]),
    dialect=st.sampled_from(["openai", "anthropic"]),
    classes=subsets(CLASSES),
    needs=subsets(CAPABILITIES),
    same_dialect=st.booleans(),
    json_mode=st.booleans(),
    region=st.sampled_from(REGIONS),
    region_required=st.booleans(),
    prompt_tokens=st.integers(0, 2000),
    cap_tokens=st.integers(1, 2000),
    named_cap=st.booleans(),
    expected_tokens=st.integers(0, 2000),
    complexity=st.floats(0, 1),
    share_draw=DRAWS,
    choice_draw=DRAWS,
    user=st.sampled_from(["", "ann"]),
    conversation=st.sampled_from(["", "c1"]),
    grant=st.just("role/base"),
    may_use_target=st.sampled_from([name_matcher(["*"]), name_matcher(["a/*", "b/m1"])]),
)
MILLISECONDS = st.none() | st.floats(1, 1e4)
STANDING = st.builds(
    Standing,
    share=st.sampled_from([0.0, 0.3, 1.0]),
    why=st.sampled_from(["", "circuit open", "drained"]),
    p50_ms=MILLISECONDS,
    p95_ms=MILLISECONDS,
)
STANDS = st.dictionaries(st.sampled_from("abcd"), STANDING).map(lambda given: Stands(**given))


def forbidden(at: Target, how: Policy, asked: Query) -> bool:
    """The rules again, said otherwise than the filters say them."""
    facts, places = at.facts, at.facts.regions or {at.region}
    answer = min(asked.cap_tokens, facts.max_output_tokens or asked.cap_tokens)
    wanted = asked.region if asked.region_required else ""
    return any((
        not asked.may_use_target(at.name),
        bool(asked.classes - at.data_classes),
        how.regions is not None and any(not how.regions(place) for place in places),
        bool(wanted) and any(not f"{place}-".startswith(f"{wanted}-") for place in places),
        facts.endpoints is not None and asked.endpoint not in facts.endpoints,
        asked.same_dialect and at.dialect != asked.dialect,
        asked.json_mode and at.dialect not in (asked.dialect, *JSON_MODES),
        facts.capabilities is not None and bool(asked.needs - facts.capabilities),
        asked.named_cap and asked.cap_tokens > (facts.max_output_tokens or asked.cap_tokens),
        facts.context_tokens is not None and asked.prompt_tokens + answer > facts.context_tokens,
    ))  # fmt: skip


@given(policies(), QUERIES, STANDS, st.integers(1, 8))
def test_no_plan_holds_what_data_class_region_capability_window_or_permission_forbids(
    how: Policy, asked: Query, stands: Stands, most: int
) -> None:
    plan = Planner(stands, most).plan(how, asked)
    for chosen in (*plan.targets, *plan.shadows):
        assert not forbidden(chosen, how, asked)
        standing = stands.of(chosen)
        assert not (standing.share == 0 and standing.why == "drained")
    names = [chosen.name for chosen in plan.targets]
    assert len(set(names)) == len(names) <= most
    assert not ({drop.target.name for drop in plan.dropped} & {t.name for t in plan.targets})


@given(policies(), QUERIES, STANDS, st.integers(1, 8))
def test_a_plan_is_empty_only_where_nobody_may_be_tried(
    how: Policy, asked: Query, stands: Stands, most: int
) -> None:
    plan = Planner(stands, most).plan(how, asked)
    if not plan.targets:
        for choice in how.choices:
            standing = stands.of(choice.target)
            drained = standing.share == 0 and standing.why == "drained"
            assert forbidden(choice.target, how, asked) or drained
        assert refusal_of(plan, "m").reason in {reason for reason, *_ in REFUSALS.values()}


@given(policies(), QUERIES, STANDS, st.integers(1, 8))
def test_what_explain_tells_is_what_the_plan_does(
    how: Policy, asked: Query, stands: Stands, most: int
) -> None:
    planner = Planner(stands, most)
    plan = planner.plan(how, asked)
    told = planner.explain(plan)
    assert [c.target for c in told] == [choice.target for choice in how.choices]
    tried = sorted((c.attempt, c.target.name) for c in told if c.attempt)
    assert tried == [(n, t.name) for n, t in enumerate(plan.targets, 1)]
    dropped = {drop.target.name: drop.why for drop in plan.dropped}
    for candidate in told:
        if not candidate.attempt:
            expected = {dropped.get(candidate.target.name), TOO_MANY}
            assert candidate.why in expected


@given(policies(), st.lists(QUERIES, min_size=2, max_size=4), STANDS)
def test_what_is_remembered_changes_no_plan(
    how: Policy, asked: list[Query], stands: Stands
) -> None:
    planner = Planner(stands, 3)
    for each in (*asked, *asked):
        assert planner.plan(how, each) == Planner(stands, 3).plan(how, each)


OUT = Standing(share=0.0, why="circuit open")
DRAINED = Standing(share=0.0, why="drained")
ABC = [target(provider) for provider in "abc"]


def test_a_target_that_is_out_goes_behind_all_others_and_stays() -> None:
    assert planned(policy(*ABC), query(), {"a": OUT}) == ["b", "c", "a"]
    assert planned(policy(*ABC), query(), {"a": OUT}, 2) == ["b", "c"]
    assert planned(policy(*ABC), query(), dict.fromkeys("abc", OUT)) == ["a", "b", "c"]


def test_a_drained_target_is_not_tried_even_alone() -> None:
    assert planned(policy(*ABC), query(), {"a": DRAINED}) == ["b", "c"]
    plan = Planner(Stands(a=DRAINED), 3).plan(policy(ABC[0]), query())
    assert plan.targets == ()
    assert refusal_of(plan, "m").reason == "targets_drained"


def test_another_model_of_a_provider_serves_where_the_first_is_out() -> None:
    class Stand:
        def of(self, at: Target) -> Standing:
            return OUT if at.model == "m1" else Standing()

    how = policy(target("a", "m1"), target("a", "m2"), target("b", "m2"))
    plan = Planner(Stand(), 3).plan(how, query())
    assert [t.name for t in plan.targets] == ["a/m2", "b/m2", "a/m1"]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_of_the_requests_keeps_a_targets_place(share: float) -> None:
    slow = Standing(share=share, why="slow")
    plans = [planned(policy(*ABC), query(share_draw=n / 1000), {"a": slow}) for n in range(1000)]
    assert sum(plan[0] == "a" for plan in plans) == 1000 * share
    assert all(sorted(plan) == ["a", "b", "c"] for plan in plans)


def test_shadows_get_their_share_and_are_filtered_like_targets() -> None:
    near, far = target("b"), target("c", data_classes=frozenset({"health"}))
    how = policy(ABC[0], shadows=(Shadow(near, 0.25), Shadow(far, 1.0)))
    planner = Planner(Stands(), 3)
    copies = [
        planner.plan(how, query(share_draw=n / 997 % 1, choice_draw=n * 0.618 % 1)).shadows
        for n in range(4000)
    ]
    assert set(copies) == {(), (near,)}
    assert copies.count((near,)) / 4000 == pytest.approx(0.25, abs=0.02)


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("permission", {}, {"may_use_target": name_matcher(["b/*"]), "grant": "r/base"}),
    ("data_class", {}, {"classes": frozenset({"standard", "health"})}),
    ("region", {"region": "us"}, {"region": "eu", "region_required": True}),
    ("endpoint", {"endpoints": frozenset({"messages"})}, {}),
    ("dialect", {"dialect": "anthropic"}, {"json_mode": True}),
    ("dialect", {"dialect": "gemini"}, {"same_dialect": True}),
    ("capability", {"capabilities": frozenset()}, {"needs": frozenset({"tools"})}),
    ("max_tokens", {"max_output_tokens": 5}, {"cap_tokens": 6, "named_cap": True}),
    ("context", {"context_tokens": 9}, {"prompt_tokens": 5, "cap_tokens": 5}),
]


@pytest.mark.parametrize(("cause", "facts", "asked"), CASES, ids=[case[0] for case in CASES])
def test_each_cause_is_named_and_has_its_refusal(
    cause: str, facts: dict[str, Any], asked: dict[str, Any]
) -> None:
    plan = Planner(Stands(), 3).plan(policy(target("a", **facts)), query(**asked))
    [drop] = plan.dropped
    assert (drop.cause, plan.targets) == (cause, ())
    refusal = refusal_of(plan, "small")
    reasons = {c: reason for c, (reason, _, _) in REFUSALS.items()}
    assert refusal.reason == reasons[drop.cause]


def test_every_cause_is_tried_and_has_a_refusal() -> None:
    assert {case[0] for case in CASES} | {"drained"} == set(CAUSES) == set(REFUSALS)


def test_a_refusal_names_what_the_nearest_target_fell_by() -> None:
    secret, small = target("a", data_classes=frozenset()), target("b", context_tokens=1)
    plan: Plan = Planner(Stands(), 3).plan(policy(secret, small), query(prompt_tokens=2))
    assert [drop.cause for drop in plan.dropped] == ["data_class", "context"]
    assert refusal_of(plan, "m").reason == "context_length_exceeded"


def test_an_answer_that_nobody_asked_for_takes_no_more_room_than_the_model_gives() -> None:
    small = target("a", context_tokens=100, max_output_tokens=40)
    assert planned(policy(small), query(prompt_tokens=60, cap_tokens=8000)) == ["a"]
    assert planned(policy(small), query(prompt_tokens=61, cap_tokens=8000)) == []
