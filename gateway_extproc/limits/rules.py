"""Limits and budgets of a configuration as rules, and the counters that a request touches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway_extproc.config.limitchecks import BUDGET_MEASURES, LIMIT_MEASURES
from gateway_extproc.config.model import Config
from gateway_extproc.config.scopes import Budget, Limit, Scope, Threshold
from gateway_extproc.core.access import Matcher, name_matcher
from gateway_extproc.core.calendar import CalendarPeriod
from gateway_extproc.core.limits import SECOND_US, Counter, Measure

THROTTLE_S: Final = 60
REMEMBERED: Final = 4096
"""Callers whose counters' names a worker remembers."""
SEPARATOR: Final = "\x1f"
OF_A_TENANT: Final = frozenset({"tenant", "user", "application", "key"})


class Who(NamedTuple):
    """All that rules tell requests apart by; ``route`` and ``provider`` may be empty."""

    tenant: str
    user: str
    application: str
    key: str
    endpoint: str
    model: str = ""
    route: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit or budget, compiled.

    ``whole`` is all of a budget, of which thresholds are percentages; the counter's limit is less
    where it refuses earlier.  ``strict`` holds the worst case; ``throttles`` are the further
    limits of its thresholds, by the per cent from which they count.
    """

    counter: Counter
    measure: Measure
    strict: bool
    budget: bool
    per: tuple[str, ...]
    concerns: Callable[[Who], bool]
    thresholds: tuple[Threshold, ...] = ()
    throttles: tuple[tuple[int, Rule], ...] = ()
    whole: int = 0


class Named(NamedTuple):
    """A rule with the name of this caller's counter."""

    rule: Rule
    name: str
    tag: str


class RuleBook:
    """All rules; remembers which of them concern whom."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._known: OrderedDict[Who, tuple[Named, ...]] = OrderedDict()

    def of(self, who: Who) -> tuple[Named, ...]:
        """The rules that concern this caller, with the names of its counters."""
        found = self._known.get(who)
        if found is not None:
            return found
        found = tuple(_named(rule, who) for rule in self.rules if rule.concerns(who))
        if len(self._known) >= REMEMBERED:
            self._known.popitem(last=False)
        self._known[who] = found
        return found


def compile_rules(config: Config) -> tuple[Rule, ...]:
    """Limits first, then budgets, in the order of the file."""
    return (
        *(_limit(limit) for limit in config.limits),
        *(_budget(budget) for budget in config.budgets),
    )


def alert_marks(rules: Sequence[Rule]) -> dict[str, list[tuple[int, int]]]:
    """The thresholds that are told, by budget: per cent, and the use at which they are passed."""
    return {
        rule.counter.id: [
            (threshold.percent, -(-rule.whole * threshold.percent // 100))
            for threshold in rule.thresholds
            if threshold.action == "alert"
        ]
        for rule in rules
        if rule.budget
    }


def _named(rule: Rule, who: Who) -> Named:
    # Users and applications of the same name in two tenants are two.
    values = who._replace(
        user=f"{who.tenant}/{who.user}", application=f"{who.tenant}/{who.application}"
    )
    name = SEPARATOR.join((rule.counter.id, *(getattr(values, part) for part in rule.per)))
    return Named(rule, name, who.tenant if OF_A_TENANT.intersection(rule.per) else "")


def _limit(limit: Limit) -> Rule:
    measure, amount = _measured(limit, LIMIT_MEASURES)
    window_us = round(limit.window_s * SECOND_US)
    counter = Counter(
        id=limit.id,
        kind="slots" if measure == "concurrency" else "period" if limit.period else "rate",
        limit=amount,
        window_us=window_us,
        burst=limit.burst or amount,
        period=CalendarPeriod(limit.period, limit.time_zone) if limit.period else None,
        mode=limit.mode,
        on_error=limit.on_store_failure,
    )
    return Rule(counter, measure, limit.hold == "strict", False, tuple(limit.per), _concerns(limit))


def _budget(budget: Budget) -> Rule:
    measure, amount = _measured(budget, BUDGET_MEASURES)
    refused = [t.percent for t in budget.thresholds if t.action == "refuse"]
    counter = Counter(
        id=budget.id,
        kind="period",
        limit=max(1, amount * min(refused, default=100) // 100),
        period=CalendarPeriod(budget.period, budget.time_zone),
        mode=budget.mode,
        on_error=budget.on_store_failure,
    )
    return Rule(
        counter, measure, budget.hold == "strict", True, tuple(budget.per), _concerns(budget),
        tuple(sorted(budget.thresholds, key=lambda threshold: threshold.percent)),
        tuple(_throttles(budget)),
        amount,
    )  # fmt: skip


def _throttles(budget: Budget) -> Iterator[tuple[int, Rule]]:
    for threshold in budget.thresholds:
        if threshold.requests is not None:
            counter = Counter(
                id=budget.id,
                kind="rate",
                limit=threshold.requests,
                window_us=THROTTLE_S * SECOND_US,
                burst=threshold.requests,
                mode=budget.mode,
                on_error=budget.on_store_failure,
            )
            yield threshold.percent, Rule(counter, "requests", False, False, (), _everybody)


def _everybody(_: Who) -> bool:
    return True


def _measured(scope: Scope, measures: Sequence[str]) -> tuple[Measure, int]:
    for name in measures:
        amount = getattr(scope, name)
        if amount is not None:
            return name, amount  # type: ignore[return-value]
    raise ValueError(f"{scope.id} measures nothing")


def _concerns(scope: Scope) -> Callable[[Who], bool]:
    tests: list[tuple[int, Matcher]] = [
        (Who._fields.index(field), frozenset(names).__contains__)
        for field, names in (
            ("tenant", scope.tenants),
            ("application", scope.applications),
            ("user", scope.users),
            ("endpoint", scope.endpoints),
        )
        if names
    ]
    if scope.models:
        tests.append((Who._fields.index("model"), name_matcher(scope.models)))
    # What has no route or provider (a list of models) is not counted apart by them.
    needed = [Who._fields.index(part) for part in scope.per if part in ("route", "provider")]
    return lambda who: all(test(who[i]) for i, test in tests) and all(who[i] for i in needed)
