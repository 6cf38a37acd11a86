"""Sums over the ledger are exact to the nano-dollar, whatever stands twice."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from evidence import traffic
from gateway_extproc.core.money import Price
from gateway_extproc.core.usage import Usage
from gateway_extproc.evidence import ledger
from gateway_extproc.evidence.columns import Filter
from gateway_extproc.evidence.query import Question
from gateway_extproc.limits.rules import compile_rules
from support.config import make_config

RECORDS = 50_000
START_US = traffic.START_NS // 1000


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A ledger of two workers, and the exchanges behind it.

    Every seventh request was also settled by a worker's successor, and every eleventh only by it.
    """
    folder = tmp_path_factory.mktemp("books")
    workers = [traffic.recorder(folder, worker) for worker in (0, 1)]
    kept = []
    for number, exchange in enumerate(traffic.mixed(RECORDS)):
        worker = workers[number % 2]
        bill = worker.bill(exchange, exchange.usage, exchange.cost_nanos)
        if number % 11 != 0:
            worker.record(exchange, traffic.ended_ns(number))
        if number % 7 == 0 or number % 11 == 0:
            worker.charge(bill)
        kept.append(exchange)
    assert all(worker.close(timeout_s=60) for worker in workers)
    return folder / "evidence", kept


def test_every_request_stands_in_the_ledger_and_some_twice(books: tuple[Path, list[Any]]) -> None:
    folder, exchanges = books
    lines = [record for path in folder.glob("costs-*.jsonl") for record in traffic.records_in(path)]
    assert len({line["decision_id"] for line in lines}) == len(exchanges) == RECORDS
    assert len(lines) > RECORDS + 5000


@pytest.mark.parametrize("by", [("tenant",), ("model", "user"), ("label:team", "provider")])
def test_sums_are_those_of_the_requests(books: tuple[Path, list[Any]], by: tuple[str, ...]) -> None:
    folder, exchanges = books
    expected: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * 7)
    for one in exchanges:
        who = one.permit.principal
        values = {
            "tenant": who.tenant.id,
            "user": who.user,
            "model": one.targets[0].model,
            "provider": one.targets[0].provider,
            "label:team": dict(who.labels).get("team", ""),
        }
        usage = one.usage or Usage()
        row = expected[tuple(values[name] for name in by)]
        figures = (
            1, one.outcome == "refused", one.cache_hit, usage.prompt_tokens,
            usage.completion_tokens, one.cost_nanos, one.saved_nanos,
        )  # fmt: skip
        row[:] = [a + int(b) for a, b in zip(row, figures, strict=True)]
    names = (
        "requests", "refused", "cached", "prompt_tokens", "completion_tokens", "cost_nanos",
        "saved_nanos",
    )  # fmt: skip
    for keep in (True, False):
        with Question(folder, "costs", keep=keep) as asked:
            rows = ledger.report(asked, by)
        found = {tuple(row[n] for n in by): [int(row[n]) for n in names] for row in rows}
        assert found == dict(expected)


def test_other_prices_are_exact_too(books: tuple[Path, list[Any]]) -> None:
    folder, exchanges = books
    price = Price(123, 457, 11)
    with Question(folder, "costs") as asked:
        same = ledger.what_if(
            asked, ("tenant",), {t.model: t.price for t in traffic.TARGETS.values() if t.price},
            Filter(),
        )  # fmt: skip
        other = ledger.what_if(asked, ("tenant",), {"east-small": price}, Filter(tenant="beta"))
    assert all(one.was_nanos == one.now_nanos and one.priced for one in same)
    assert sum(one.was_nanos for one in same) == sum(e.cost_nanos for e in exchanges)
    mine = [
        e.usage for e in exchanges
        if e.usage and e.permit.principal.tenant.id == "beta" and e.asked.model == "small"
    ]  # fmt: skip
    [small] = [one for one in other if one.model == "east-small"]
    assert small.now_nanos == sum(
        (u.prompt_tokens - u.cached_tokens) * 123 + u.cached_tokens * 11 + u.completion_tokens * 457
        for u in mine
    )
    [large] = [one for one in other if one.model == "west-large"]
    assert (large.now_nanos, large.priced) == (0, False)


def test_budgets_burn_by_the_rules_of_the_configuration(books: tuple[Path, list[Any]]) -> None:
    folder, exchanges = books
    config = make_config(
        budgets=[
            {"id": "team", "per": ["tenant"], "nanos": 10**14, "period": "day"},
            {"id": "small-tokens", "per": ["user"], "tokens": 10**9, "models": ["sm*"],
             "tenants": ["acme"], "period": "month"},
        ]
    )  # fmt: skip
    now_us = START_US + 200_000 * 1_000_000
    rules = compile_rules(config)
    with Question(folder, "costs") as asked:
        burns = ledger.burn(asked, rules, now_us, Filter())
    assert rules[0].counter.period is not None
    start_us, end_us, _ = rules[0].counter.period.window(now_us)
    used: dict[str, int] = defaultdict(int)
    tokens: dict[str, int] = defaultdict(int)
    for one in exchanges:
        at_us, who = one.started_wall_ns // 1000, one.permit.principal
        if start_us <= at_us <= now_us:
            used[who.tenant.id] += one.cost_nanos
        in_month = 1_788_220_800_000_000 <= at_us <= now_us  # 1 September 2026
        if in_month and who.tenant.id == "acme" and one.asked.model == "small":
            tokens[f"acme/{who.user}"] += one.usage.total_tokens if one.usage else 0
    assert {b.subject: b.used for b in burns if b.budget == "team"} == used
    named = {b.subject: b.used for b in burns if b.budget == "small-tokens"}
    assert named == {name.partition("/")[2]: value for name, value in tokens.items()}
    team = next(b for b in burns if b.budget == "team")
    assert team.at_end == team.used * (end_us - start_us) // (now_us - start_us)
    assert [b.percent for b in burns] == sorted((b.percent for b in burns), reverse=True)


@pytest.mark.parametrize(
    ("used", "at_end", "empty_h"), [(0, 0, 0), (40, 80, 0), (60, 120, 20), (120, 240, 10)]
)
def test_a_pace_leads_to_the_end_of_the_window(used: int, at_end: int, empty_h: int) -> None:
    hour = 3_600_000_000
    assert ledger.pace(used, 100, 0, 12 * hour, 24 * hour) == (at_end, empty_h * hour)


def hourly(folder: Path, costs: dict[tuple[str, int], int]) -> None:
    """One request for each tenant and hour, of so many prompt tokens of 100 nano-dollars."""
    worker = traffic.recorder(folder)
    for number, ((tenant, hour), tokens) in enumerate(costs.items()):
        one = traffic.exchange(number, tenant=tenant, usage=Usage(tokens, 0), at_s=hour * 3600.0)
        worker.record(one, traffic.ended_ns(number))
    assert worker.close()


def test_one_hour_that_is_far_above_the_others_is_an_anomaly(tmp_path: Path) -> None:
    dice = random.Random(3)
    costs = {(t, h): dice.randrange(900, 1100) for t in ("acme", "beta") for h in range(72)}
    costs["acme", 50] = 20_000
    costs["young", 3] = 10**6
    hourly(tmp_path, costs)
    with Question(tmp_path / "evidence", "costs") as asked:
        [found] = ledger.anomalies(asked, ("tenant",), 6.0, Filter())
    first_hour = START_US // ledger.HOUR_US
    assert found.series == ("acme",)
    assert found.hour_us // ledger.HOUR_US == first_hour + 50
    assert found.nanos == 2_000_000
    assert 95_000 < found.median_nanos < 105_000
    assert found.deviations > 100


def test_movers_compare_two_periods_of_the_same_length(tmp_path: Path) -> None:
    costs = {("acme", h): 100 if h < 24 else 1000 for h in range(48)}
    costs |= {("beta", h): 500 for h in range(48)}
    costs |= {("gone", h): 300 for h in range(12)}
    hourly(tmp_path, costs)
    since_us = START_US + 24 * ledger.HOUR_US
    with Question(tmp_path / "evidence", "costs") as asked:
        found = ledger.movers(asked, ("tenant",), since_us, since_us + ledger.DAY_US, Filter())
    assert [(m.series, m.change_nanos, m.before_requests, m.after_requests) for m in found] == [
        (("acme",), 24 * 900 * 100, 24, 24),
        (("gone",), -12 * 300 * 100, 12, 0),
    ]


def test_a_month_goes_on_at_the_pace_of_the_last_seven_days(tmp_path: Path) -> None:
    hourly(tmp_path, {("acme", h): 1000 if h >= 24 else 50_000 for h in range(8 * 24)})
    now_us = START_US + 8 * ledger.DAY_US - 1
    with Question(tmp_path / "evidence", "costs") as asked:
        [found] = ledger.forecast(asked, ("tenant",), now_us, Filter())
    an_hour = 1000 * 100
    assert found.week_nanos == 7 * 24 * an_hour
    assert found.month_nanos == 7 * 24 * an_hour + 24 * 50 * an_hour
    end_us = 1_790_812_800_000_000  # 1 October 2026
    to_come = found.week_nanos * (end_us - now_us) // ledger.WEEK_US
    assert found.month_end_nanos == found.month_nanos + to_come
