"""The index finds what going through all rules in order finds."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.condition import compile_route_condition
from gateway_extproc.core.access import name_matcher
from gateway_extproc.core.planning import RouteRule
from gateway_extproc.routing.rules import RuleIndex

TENANTS, ENDPOINTS = ("acme", "beta", "gamma"), ("chat", "messages")
MODELS = ("small", "smart", "large")
CONDITIONS = (None, lambda facts: facts["tools"], lambda facts: not facts["tools"])

RULES = st.lists(
    st.builds(
        RouteRule,
        id=st.integers(0, 999).map(str),
        mode=st.sampled_from(["enforce", "enforce", "shadow"]),
        policies=st.just({}),
        tenants=st.frozensets(st.sampled_from(TENANTS), max_size=2),
        endpoints=st.frozensets(st.sampled_from(ENDPOINTS), max_size=1),
        models=st.lists(st.sampled_from((*MODELS, "sm*", "*")), max_size=2).map(tuple),
        condition=st.sampled_from(CONDITIONS),
        uses=st.just(frozenset({"tools"})),
    ),
    max_size=12,
    unique_by=lambda rule: rule.id,
)


def first_that_holds(
    rules: list[RouteRule], tenant: str, endpoint: str, model: str, facts: dict[str, Any]
) -> tuple[RouteRule | None, tuple[str, ...]]:
    shadows: tuple[str, ...] = ()
    for rule in rules:
        if rule.tenants and tenant not in rule.tenants:
            continue
        if rule.endpoints and endpoint not in rule.endpoints:
            continue
        if rule.models and not name_matcher(rule.models)(model):
            continue
        if rule.condition is not None and not rule.condition(facts):
            continue
        if rule.mode == "enforce":
            return rule, shadows
        shadows += (rule.id,)
    return None, shadows


@given(RULES, st.sampled_from((*TENANTS, "other")), st.sampled_from(ENDPOINTS),
       st.sampled_from((*MODELS, "other")), st.booleans())  # fmt: skip
def test_the_index_finds_the_first_rule_that_holds(
    rules: list[RouteRule], tenant: str, endpoint: str, model: str, tools: bool
) -> None:
    facts = {"tools": tools}
    index = RuleIndex(rules)
    for _ in range(2):  # the second time from memory
        found = index.find(tenant, endpoint, model, facts.__getitem__)
        assert found == first_that_holds(rules, tenant, endpoint, model, facts)


def test_facts_are_only_worked_out_for_conditions_that_ask() -> None:
    asked = list[str]()

    def fact_of(name: str) -> object:
        asked.append(name)
        return {"complexity": 0.9, "stream": True}[name]

    def rule(id_: str, when: str, **fields: Any) -> RouteRule:
        condition, uses = compile_route_condition(when)
        return RouteRule(id_, "enforce", {}, condition=condition, uses=uses, **fields)

    index = RuleIndex(
        [
            rule("elsewhere", "language == 'de'", tenants=frozenset({"beta"})),
            rule("hard", "complexity > 0.95 && stream"),
            rule("harder", "complexity > 0.5"),
            rule("late", "region == 'eu'"),
        ]
    )
    found = index.find("acme", "chat", "small", fact_of)
    assert found.rule is not None
    assert found.rule.id == "harder"
    assert sorted(asked) == ["complexity", "stream"]


def test_a_condition_that_cannot_be_evaluated_does_not_hold() -> None:
    condition, uses = compile_route_condition('labels["team"] == "search"')
    index = RuleIndex([RouteRule("r", "enforce", {}, condition=condition, uses=uses)])
    assert index.find("acme", "chat", "small", lambda name: {}).rule is None
    assert index.find("acme", "chat", "small", lambda name: {"team": "search"}).rule is not None
