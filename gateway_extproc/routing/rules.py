"""Which route rule holds: by tenant, endpoint and model from an index, then by condition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from gateway_extproc.core.access import name_matcher
from gateway_extproc.core.planning import RouteRule
from gateway_extproc.core.recent import Recent

REMEMBERED: Final = 4096
"""Combinations of tenant, endpoint and model whose rules a worker remembers."""

FactOf = Callable[[str], Any]
"""The value of one variable of conditions, worked out only when it is asked for."""


class Match(NamedTuple):
    """The rule that holds, and shadow rules that would have held before it."""

    rule: RouteRule | None
    shadows: tuple[str, ...] = ()


NO_RULE: Final = Match(None)


class RuleIndex:
    """All route rules in order, found by what they are indexed by."""

    def __init__(self, rules: Iterable[RouteRule], most: int = REMEMBERED) -> None:
        self._places: dict[tuple[str, str], list[tuple[int, RouteRule]]] = {}
        self._candidates: Recent[tuple[str, str, str], tuple[RouteRule, ...]] = Recent(most)
        self._empty = True
        for number, rule in enumerate(rules):
            self._empty = False
            for place in _places(rule):
                self._places.setdefault(place, []).append((number, rule))

    def find(self, tenant: str, endpoint: str, model: str, fact_of: FactOf) -> Match:
        """The first rule that holds."""
        if self._empty:
            return NO_RULE
        facts: dict[str, Any] = {}
        shadows: tuple[str, ...] = ()
        for rule in self.candidates(tenant, endpoint, model):
            if rule.condition is not None:
                for name in rule.uses:
                    if name not in facts:
                        facts[name] = fact_of(name)
                if not rule.condition(facts):
                    continue
            if rule.mode == "enforce":
                return Match(rule, shadows)
            shadows = (*shadows, rule.id)
        return Match(None, shadows) if shadows else NO_RULE

    def candidates(self, tenant: str, endpoint: str, model: str) -> tuple[RouteRule, ...]:
        """The rules whose condition decides, in order."""
        key = (tenant, endpoint, model)
        found = self._candidates.get(key)
        return found if found is not None else self._candidates.keep(key, self._merged(*key))

    def _merged(self, tenant: str, endpoint: str, model: str) -> tuple[RouteRule, ...]:
        found = [
            numbered
            for place in ((tenant, model), (tenant, ""), ("", model), ("", ""))
            for numbered in self._places.get(place, ())
            if not numbered[1].endpoints or endpoint in numbered[1].endpoints
        ]
        found.sort(key=lambda numbered: numbered[0])
        return tuple(rule for _, rule in found if _means(rule, model))


def _places(rule: RouteRule) -> Iterator[tuple[str, str]]:
    """Where a rule stands in the index: under each tenant and model, empty for any."""
    exact = not any(model.endswith("*") for model in rule.models)
    models = tuple(dict.fromkeys(rule.models)) if rule.models and exact else ("",)
    for tenant in rule.tenants or ("",):
        for model in models:
            yield tenant, model


def _means(rule: RouteRule, model: str) -> bool:
    return not rule.models or name_matcher(rule.models)(model)
