"""Whom limits concern, and which counters they name."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_extproc.limits.rules import RuleBook, Who, compile_rules
from support.config import make_config

ANN = Who("acme", "ann", "bot", "key1", "chat", "small", "small", "east")


def book(*limits: dict[str, Any], **sections: Any) -> RuleBook:
    named = [{"id": f"l{i}", "per": [], "requests": 1, **limit} for i, limit in enumerate(limits)]
    return RuleBook(compile_rules(make_config(limits=named, **sections)))


def ids(rules: RuleBook, who: Who) -> list[str]:
    return [named.rule.counter.id for named in rules.of(who)]


def test_limits_apply_by_tenant_and_endpoint() -> None:
    rules = book({}, {"tenants": ["acme"]}, {"endpoints": ["chat"]},
                 {"tenants": ["beta"], "endpoints": ["chat"]})  # fmt: skip
    assert ids(rules, ANN._replace(endpoint="messages")) == ["l0", "l1"]
    assert ids(rules, ANN) == ["l0", "l1", "l2"]
    assert ids(rules, ANN._replace(tenant="beta")) == ["l0", "l2", "l3"]
    assert ids(rules, ANN._replace(tenant="clinic", endpoint="models")) == ["l0"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("applications", "bot"), ("users", "ann"), ("models", "small"), ("models", "sm*"),
        ("endpoints", "chat"), ("tenants", "acme"),
    ],
)  # fmt: skip
def test_each_filter_leaves_others_alone(field: str, value: str) -> None:
    rules = book({field: [value]})
    assert ids(rules, ANN) == ["l0"]
    other = Who("beta", "bob", "web", "key2", "messages", "large", "large", "west")
    assert ids(rules, other) == []


@pytest.mark.parametrize(
    "part",
    ["tenant", "user", "application", "key", "endpoint", "model", "route", "provider"],
)
def test_each_part_of_per_counts_apart(part: str) -> None:
    rules = book({"per": [part]})
    other = ANN._replace(**{part: "other"})
    assert rules.of(ANN)[0].name != rules.of(other)[0].name


def test_a_counter_of_a_tenant_lives_with_its_tenant() -> None:
    rules = book({"per": ["user"]}, {"per": ["provider"]}, {"per": []})
    assert [named.tag for named in rules.of(ANN)] == ["acme", "", ""]


def test_what_has_no_provider_is_not_counted_by_provider() -> None:
    rules = book({"per": ["provider"]}, {"per": ["endpoint"]})
    assert ids(rules, ANN._replace(endpoint="models", route="", provider="")) == ["l1"]


def test_a_budget_refuses_at_its_own_percentage() -> None:
    budget = {"id": "b", "per": [], "nanos": 1000, "thresholds": [
        {"percent": 95, "action": "refuse"}, {"percent": 50, "action": "alert"}]}  # fmt: skip
    rules = book(budgets=[budget])
    (named,) = rules.of(ANN)
    assert named.rule.counter.limit == 950
    assert [t.percent for t in named.rule.thresholds] == [50, 95]
