"""What can be wrong with limits and budgets beyond the form of their fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway_extproc.config.mistakes import Mistake
from gateway_extproc.config.model import Config
from gateway_extproc.config.scopes import Budget, Limit

LIMIT_MEASURES: Final = (
    "requests", "prompt_tokens", "completion_tokens", "tokens", "concurrency",
)  # fmt: skip
BUDGET_MEASURES: Final = ("nanos", "tokens")
MAX_HOLDS: Final = 16
"""Budgets, periods and concurrency limits that one request may touch; stores keep so many."""


def limit_mistakes(config: Config) -> Iterator[Mistake]:
    """Limits that measure nothing or two things, thresholds that cannot act, one name for two."""
    names = [limit.id for limit in config.limits]
    for i, limit in enumerate(config.limits):
        yield from _limit(f"limits[{i}]", limit)
    models = {route.model for route in config.models}
    for i, budget in enumerate(config.budgets):
        if budget.id in names:
            yield Mistake(f"budgets[{i}].id", repr(budget.id), "a name that no limit has")
        yield from _budget(f"budgets[{i}]", budget, models)
    holds = [x for x in config.limits if x.concurrency or x.period] + list(config.budgets)
    if len(holds) > MAX_HOLDS:
        yield Mistake(
            "budgets",
            f"{len(holds)} budgets, periods and concurrency limits",
            f"at most {MAX_HOLDS} of them together",
        )
    yield from _store(config)


def _store(config: Config) -> Iterator[Mistake]:
    store = config.store
    if store.kind == "redis" and config.redis is None and store.redis is None:
        yield Mistake("store.kind", "'redis'", "'memory', or a section redis")
    if store.redis is None:
        return
    if bool(store.redis.sentinels) != bool(store.redis.service):
        yield Mistake(
            "store.redis.service",
            repr(store.redis.service),
            "a name beside sentinels, and only then",
        )
    if store.redis.cluster and store.redis.sentinels:
        yield Mistake("store.redis.cluster", "true", "either a Cluster or Sentinels")


def _one_measure(path: str, scope: Limit | Budget, measures: tuple[str, ...]) -> Iterator[Mistake]:
    given = [name for name in measures if getattr(scope, name) is not None]
    if len(given) != 1:
        yield Mistake(path, " and ".join(given) or "no measure", f"one of {', '.join(measures)}")


def _limit(path: str, limit: Limit) -> Iterator[Mistake]:
    yield from _one_measure(path, limit, LIMIT_MEASURES)
    if limit.burst is not None and (limit.period or limit.concurrency):
        yield Mistake(f"{path}.burst", str(limit.burst), "none, but for a limit with a window")
    if limit.period and limit.concurrency:
        yield Mistake(f"{path}.period", repr(limit.period), "none for a limit of concurrency")
    if limit.period and "window_s" in limit.model_fields_set:
        yield Mistake(f"{path}.window_s", f"{limit.window_s:g}", "none beside a period")


def _budget(path: str, budget: Budget, models: set[str]) -> Iterator[Mistake]:
    yield from _one_measure(path, budget, BUDGET_MEASURES)
    seen = set()
    for j, threshold in enumerate(budget.thresholds):
        here = f"{path}.thresholds[{j}]"
        if (threshold.percent, threshold.action) in seen:
            yield Mistake(f"{here}.percent", str(threshold.percent), "an action only once")
        seen.add((threshold.percent, threshold.action))
        if threshold.action == "route" and threshold.route not in models:
            known = ", ".join(sorted(models))
            yield Mistake(f"{here}.route", repr(threshold.route), f"a model of this file ({known})")
        if threshold.action != "route" and threshold.route:
            yield Mistake(f"{here}.route", repr(threshold.route), "none, but for 'route'")
        if (threshold.action == "throttle") != (threshold.requests is not None):
            expected = "a number" if threshold.action == "throttle" else "none, but for 'throttle'"
            yield Mistake(f"{here}.requests", repr(threshold.requests), expected)
