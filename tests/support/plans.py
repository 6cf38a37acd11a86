"""Targets, policies and queries for tests of planning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_extproc.core.money import Price
from gateway_extproc.core.planning import Choice, Policy, Query
from gateway_extproc.core.route import ModelFacts, Target
from gateway_extproc.core.standing import IN_ORDER, Standing
from gateway_extproc.routing.planner import Planner

STANDARD = frozenset({"standard"})


def target(provider: str, model: str = "m", **fields: Any) -> Target:
    facts = {
        name: fields.pop(name)
        for name in ("quality", "context_tokens", "max_output_tokens", "capabilities", "endpoints",
                     "regions")
        if name in fields
    }  # fmt: skip
    return Target(
        provider, fields.pop("dialect", "openai"), model, provider, f"{provider}:fallback", "/v1",
        facts=ModelFacts(**facts), **fields,
    )  # fmt: skip


def priced(provider: str, prompt: int, completion: int, **fields: Any) -> Target:
    return target(provider, price=Price(prompt, completion), **fields)


def policy(*targets: Target, weights: Mapping[str, int] | None = None, **fields: Any) -> Policy:
    """A policy of its own key for its values."""
    choices = tuple(Choice(t, (weights or {}).get(t.provider, 1)) for t in targets)
    key = str(hash((choices, tuple(sorted(map(str, fields.items()))))))
    return Policy(key, choices, **fields)


def query(**fields: Any) -> Query:
    return Query(**{"endpoint": "chat", "dialect": "openai", "classes": STANDARD, **fields})


class Stands:
    """Standings as a test gives them, by provider."""

    def __init__(self, **standings: Standing) -> None:
        self._standings = standings

    def of(self, target: Target) -> Standing:
        return self._standings.get(target.provider, IN_ORDER)


def planned(
    how: Policy, asked: Query, standings: Mapping[str, Standing] | None = None, most: int = 8
) -> list[str]:
    """The providers of a plan, in order."""
    plan = Planner(Stands(**(standings or {})), most).plan(how, asked)
    return [target.provider for target in plan.targets]
