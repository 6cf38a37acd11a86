"""Sums over the cost ledger: exact, in integers, each request once.

SQL groups and adds; what is a matter of arithmetic on few numbers (medians, forecasts, prices) is
plain Python over the groups.  Times are microseconds since 1970, money is nano-dollars.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from gateway_extproc.core.calendar import CalendarPeriod
from gateway_extproc.core.money import Price, cost
from gateway_extproc.core.usage import Usage
from gateway_extproc.evidence.columns import EVERYTHING, Filter
from gateway_extproc.evidence.parts import connect
from gateway_extproc.evidence.query import Question, copy_to
from gateway_extproc.limits.rules import Rule, Who

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
WEEK_US: Final = 7 * DAY_US

SUMS: Final = {
    "requests": "count(*)",
    "allowed": "count(*) FILTER (outcome = 'ALLOWED')",
    "refused": "count(*) FILTER (outcome = 'REFUSED')",
    "failed": "count(*) FILTER (outcome = 'FAILED')",
    "aborted": "count(*) FILTER (outcome = 'ABORTED')",
    "cached": "coalesce(sum(cached), 0)",
    "prompt_tokens": "coalesce(sum(prompt_tokens), 0)",
    "cached_tokens": "coalesce(sum(cached_tokens), 0)",
    "completion_tokens": "coalesce(sum(completion_tokens), 0)",
    "reasoning_tokens": "coalesce(sum(reasoning_tokens), 0)",
    "cost_nanos": "coalesce(sum(cost_nanos), 0)",
    "saved_nanos": "coalesce(sum(saved_nanos), 0)",
}
"""What a report adds up; sums of BIGINT are 128 bits wide, so nothing is rounded."""

Key = tuple[str, ...]


TIMES: Final = {"day": "%Y-%m-%d", "hour": "%Y-%m-%dT%H"}
"""What is told apart by time, in UTC."""


def grouping(by: Sequence[str]) -> list[str]:
    """SQL for what rows are told apart by; ``label:NAME`` is the value of a label."""
    return [_one_grouping(name) for name in by]


def _one_grouping(name: str) -> str:
    if name.startswith("label:"):
        return _label(name[6:])
    if name in TIMES:
        text = f"strftime(make_timestamp(time_us), '{TIMES[name]}')"
        return f"CASE WHEN time_us > 0 THEN {text} ELSE '' END"
    return f'"{name}"'


def _label(name: str) -> str:
    quoted = name.replace("'", "''")
    begin = f"chr(31) || '{quoted}='"
    return (
        f"CASE WHEN contains(labels, {begin}) "
        f"THEN string_split(string_split(labels, {begin})[2], chr(31))[1] ELSE '' END"
    )


def report_sql(by: Sequence[str], which: Filter) -> tuple[str, list[Any]]:
    """One row for each series, the dearest first, and the parameters."""
    test, values = which.sql("costs")
    groups = [
        f'{sql} AS "{name.replace(chr(34), chr(34) * 2)}"'
        for name, sql in zip(by, grouping(by), strict=True)
    ]
    sums = ", ".join(f"{sql} AS {name}" for name, sql in SUMS.items())
    order = [str(i + 1) for i in range(len(by))]
    grouped = f" GROUP BY {', '.join(order)}" if by else " HAVING count(*) > 0"
    return (
        f"SELECT {', '.join([*groups, sums])} FROM latest WHERE {test}{grouped} "
        f"ORDER BY {', '.join(['cost_nanos DESC', 'requests DESC', *order])}",
        values,
    )


def report(
    asked: Question, by: Sequence[str], which: Filter = EVERYTHING, limit: int | None = None
) -> list[dict[str, Any]]:
    """The sums of each series, by name; of the first ``limit`` series, if it is given."""
    sql, values = report_sql(by, which)
    if limit is not None:
        sql += f" LIMIT {int(limit)}"
    names = (*by, *SUMS)
    return [dict(zip(names, row, strict=True)) for row in asked.ask(sql, values)]


def write_report(by: Sequence[str], rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Rows of a report as Parquet, with the types that a question's own answer has."""
    names = [*(f'"{name.replace(chr(34), chr(34) * 2)}" VARCHAR' for name in by)]
    names += [f"{name} {'BIGINT' if sql.startswith('count') else 'HUGEINT'}"
              for name, sql in SUMS.items()]  # fmt: skip
    marks = ", ".join("?" * (len(by) + len(SUMS)))
    with connect() as database:
        database.execute(f"CREATE TABLE report ({', '.join(names)})")
        for row in rows:
            database.execute(f"INSERT INTO report VALUES ({marks})", list(row.values()))
        copy_to(database, "SELECT * FROM report", [], file)


# -------------------------------------------------------------------------- budgets


class Burn(NamedTuple):
    """One budget of one subject in the window around now.

    ``at_end`` is where it leads by the window's end at the pace so far; ``empty_us`` when it is
    used up at that pace, 0 if not in this window.
    """

    budget: str
    subject: str
    measure: str
    used: int
    limit: int
    start_us: int
    end_us: int
    at_end: int
    empty_us: int

    @property
    def percent(self) -> float:
        return self.used * 100 / self.limit


def burn(asked: Question, rules: Iterable[Rule], now_us: int, which: Filter) -> list[Burn]:
    """How far budgets are used, by the ledger; the fullest first.

    ``rules`` are compiled budgets, which say themselves whom they concern and what they count
    apart.  The ledger knows who answered, a budget ``per`` provider counts whom it asked first.
    """
    found = []
    for rule in rules:
        period = rule.counter.period
        assert period is not None
        start_us, end_us, _ = period.window(now_us)
        since = max(start_us, which.since_us or start_us)
        used: dict[str, int] = defaultdict(int)
        for who, nanos, tokens in _by_caller(asked, which, since, now_us + 1):
            if rule.concerns(who):
                subject = "/".join(getattr(who, part) for part in rule.per)
                used[subject] += nanos if rule.measure == "nanos" else tokens
        for subject, amount in used.items():
            at_end, empty_us = pace(amount, rule.whole, start_us, now_us, end_us)
            found.append(
                Burn(rule.counter.id, subject, rule.measure, amount, rule.whole,
                     start_us, end_us, at_end, empty_us)
            )  # fmt: skip
    return sorted(found, key=lambda one: (-one.percent, one.budget, one.subject))


def _by_caller(
    asked: Question, which: Filter, since_us: int, until_us: int
) -> Iterable[tuple[Who, int, int]]:
    test, values = which.sql("costs")
    rows = asked.ask(
        'SELECT tenant, "user", application, key, endpoint, requested_model, route, provider, '
        "sum(cost_nanos), sum(prompt_tokens + completion_tokens) FROM latest "
        f"WHERE {test} AND time_us >= ? AND time_us < ? AND tenant <> '' GROUP BY ALL",
        [*values, since_us, until_us],
    )
    for *names, nanos, tokens in rows:
        yield Who(*names), nanos, tokens


def pace(used: int, limit: int, start_us: int, now_us: int, end_us: int) -> tuple[int, int]:
    """Where a use leads by the window's end, and when it reaches the limit (0: not before)."""
    gone_us = max(1, now_us - start_us)
    at_end = used * (end_us - start_us) // gone_us
    if at_end <= limit or not used:
        return at_end, 0
    return at_end, start_us + max(gone_us * limit // used, 0)


# -------------------------------------------------------------------------- forecast


class Forecast(NamedTuple):
    """One series: what this month has cost, the last seven days, and what the month will cost."""

    series: Key
    month_nanos: int
    week_nanos: int
    month_end_nanos: int


def forecast(
    asked: Question, by: Sequence[str], now_us: int, which: Filter, zone: str = "UTC"
) -> list[Forecast]:
    """What is spent so far, and the pace of the last seven days until the month's end.

    A series that is younger than seven days goes on at the pace that it has had since it began.
    """
    start_us, end_us, _ = CalendarPeriod("month", zone).window(now_us)
    week_us = now_us - WEEK_US
    test, values = which.sql("costs")
    groups = ", ".join(grouping(by))
    order = ", ".join(str(i + 1) for i in range(len(by)))
    rows = asked.ask(
        f"SELECT {groups}, sum(cost_nanos) FILTER (time_us >= ?), "
        f"sum(cost_nanos) FILTER (time_us >= ?), min(time_us) FROM latest "
        f"WHERE {test} AND time_us > 0 AND time_us <= ? GROUP BY {order}",
        [start_us, week_us, *values, now_us],
    )
    found = []
    for *series, month, week, first_us in rows:
        span_us = max(HOUR_US, min(WEEK_US, now_us - first_us))
        to_come = int(week or 0) * (end_us - now_us) // span_us
        month_nanos = int(month or 0)
        found.append(Forecast(tuple(series), month_nanos, int(week or 0), month_nanos + to_come))
    return sorted(found, key=lambda one: (-one.month_end_nanos, one.series))


# --------------------------------------------------------------------------- what if


class Repriced(NamedTuple):
    """One series: what its tokens cost, and what they cost by other prices."""

    series: Key
    model: str
    was_nanos: int
    now_nanos: int
    priced: bool


def what_if(
    asked: Question, by: Sequence[str], prices: Mapping[str, Price], which: Filter
) -> list[Repriced]:
    """Recorded tokens by other prices, by series and target model.

    A price is linear in its tokens, so the price of a sum is the sum of the prices, exactly.
    """
    test, values = which.sql("costs")
    groups = ", ".join((*grouping(by), "model"))
    rows = asked.ask(
        f"SELECT {groups}, sum(prompt_tokens), sum(completion_tokens), "
        "sum(least(cached_tokens, prompt_tokens)), sum(cost_nanos) FROM latest "
        f"WHERE {test} GROUP BY ALL HAVING sum(prompt_tokens + completion_tokens) > 0",
        values,
    )
    found = []
    for *series, model, prompt, completion, cached, was in rows:
        price = prices.get(model)
        usage = Usage(int(prompt), int(completion), int(cached))
        now = 0 if price is None else cost(usage, price)
        found.append(Repriced(tuple(series), model, int(was), now, price is not None))
    return sorted(found, key=lambda one: (one.was_nanos - one.now_nanos, one.series, one.model))


# ---------------------------------------------------------------------------- movers


class Mover(NamedTuple):
    """One series in two periods."""

    series: Key
    before_nanos: int
    after_nanos: int
    before_requests: int
    after_requests: int

    @property
    def change_nanos(self) -> int:
        return self.after_nanos - self.before_nanos


def movers(
    asked: Question, by: Sequence[str], since_us: int, until_us: int, which: Filter
) -> list[Mover]:
    """The period from ``since_us`` beside the one as long before it; the largest change first."""
    before_us = since_us - (until_us - since_us)
    test, values = which.sql("costs")
    groups = ", ".join(grouping(by))
    order = ", ".join(str(i + 1) for i in range(len(by)))
    rows = asked.ask(
        f"SELECT {groups}, coalesce(sum(cost_nanos) FILTER (time_us < ?), 0), "
        "coalesce(sum(cost_nanos) FILTER (time_us >= ?), 0), count(*) FILTER (time_us < ?), "
        f"count(*) FILTER (time_us >= ?) FROM latest "
        f"WHERE {test} AND time_us >= ? AND time_us < ? GROUP BY {order}",
        [*[since_us] * 4, *values, before_us, until_us],
    )
    found = [Mover(tuple(row[:-4]), *(int(value) for value in row[-4:])) for row in rows]
    found = [mover for mover in found if mover.change_nanos]
    return sorted(found, key=lambda mover: (-abs(mover.change_nanos), mover.series))


# ------------------------------------------------------------------------- anomalies

MAD_TO_DEVIATION: Final = 1.4826
"""Median absolute deviation to standard deviation, for a normal distribution."""
LEAST_SPREAD: Final = 0.1
"""Of the median: a series that hardly varies is no anomaly for it."""
ENOUGH_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One hour of one series; ``deviations`` is how far above the median it lies."""

    series: Key
    hour_us: int
    nanos: int
    median_nanos: int
    deviations: float


def anomalies(asked: Question, by: Sequence[str], threshold: float, which: Filter) -> list[Anomaly]:
    """Hours whose cost lies so far above the series' median; the furthest first.

    Only hours with any cost count: a series that sleeps at night has no median of 0 for it.
    """
    test, values = which.sql("costs")
    groups = ", ".join(grouping(by))
    rows = asked.ask(
        f"SELECT {groups}, time_us // {HOUR_US} AS hour, sum(cost_nanos) FROM latest "
        f"WHERE {test} AND time_us > 0 GROUP BY ALL HAVING sum(cost_nanos) > 0",
        values,
    )
    hours: dict[Key, dict[int, int]] = defaultdict(dict)
    for *series, hour, nanos in rows:
        hours[tuple(series)][int(hour)] = int(nanos)
    found = [
        Anomaly(series, hour * HOUR_US, costs[hour], round(middle), deviations)
        for series, costs in hours.items()
        if len(costs) >= ENOUGH_HOURS
        for middle, hour, deviations in _far_above(costs)
        if deviations >= threshold
    ]
    return sorted(found, key=lambda one: (-one.deviations, one.series, one.hour_us))


def _far_above(costs: Mapping[int, int]) -> Iterable[tuple[float, int, float]]:
    middle = median(costs.values())
    deviation = MAD_TO_DEVIATION * median(abs(value - middle) for value in costs.values())
    spread = max(deviation, LEAST_SPREAD * middle)
    for hour, value in costs.items():
        yield middle, hour, (value - middle) / spread
