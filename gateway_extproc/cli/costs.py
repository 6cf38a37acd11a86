"""``costs``: what requests cost, by the ledger."""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import yaml
from pydantic import ValidationError

from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.records import BAD_CONFIGURATION, question, read_config
from gateway_extproc.cli.remote import asks_gateway, gateway
from gateway_extproc.cli.sources import cost_sums
from gateway_extproc.cli.tables import clock, dollars, table
from gateway_extproc.config.model import Prices
from gateway_extproc.core.money import Price
from gateway_extproc.evidence import ledger
from gateway_extproc.evidence.columns import Filter
from gateway_extproc.evidence.exports import harmless
from gateway_extproc.limits.rules import compile_rules

SHOWN: Final = (
    "requests", "refused", "failed", "aborted", "cached", "prompt_tokens", "completion_tokens",
    "cost_nanos", "saved_nanos",
)  # fmt: skip


def report(options: argparse.Namespace) -> int:
    """What each series used and cost."""
    which = _filter(options)
    if options.format == "parquet" and options.output is None:
        raise CommandFailure("parquet is written to a file: name it with --output")
    if options.format == "parquet":
        _write_parquet(options, which)
        return 0
    rows = _report_rows(options, which)
    if options.format == "table":
        text = _report_table(options.by, rows)
    elif options.format == "csv":
        text = _csv([*options.by, *ledger.SUMS], [list(row.values()) for row in rows])
    else:
        text = "".join(f"{orjson.dumps(_plain(row)).decode()}\n" for row in rows)
    _write(text, options.output)
    return 0


def _report_rows(options: argparse.Namespace, which: Filter) -> list[dict[str, Any]]:
    if asks_gateway(options):
        with gateway(options) as client:
            return cost_sums(client, options.by, which)
    with question(options, "costs") as asked:
        return ledger.report(asked, options.by, which)


def _write_parquet(options: argparse.Namespace, which: Filter) -> None:
    _private(options.output)
    if asks_gateway(options):
        ledger.write_report(options.by, _report_rows(options, which), options.output)
        return
    with question(options, "costs") as asked:
        sql, values = ledger.report_sql(options.by, which)
        asked.copy(sql, values, options.output)


def budgets(options: argparse.Namespace) -> int:
    """How far each configured budget is used, and where the pace so far leads."""
    config = read_config(options.config)
    rules = [
        rule
        for rule in compile_rules(config)
        if rule.budget and options.budget in ("", rule.counter.id)
    ]
    if not rules:
        what = f"budget {options.budget}" if options.budget else "budget"
        raise CommandFailure(f"the configuration has no {what}")
    with question(options, "costs") as asked:
        burns = ledger.burn(asked, rules, _now_us(), _filter(options))
    if options.json:
        _lines([{**one._asdict(), "percent": round(one.percent, 3)} for one in burns])
        return 0
    money = {"nanos": dollars}
    rows = [
        (
            one.budget,
            one.subject,
            money.get(one.measure, "{:,}".format)(one.used),
            money.get(one.measure, "{:,}".format)(one.limit),
            f"{one.percent:.1f}%",
            clock(one.end_us),
            money.get(one.measure, "{:,}".format)(one.at_end),
            clock(one.empty_us) if one.empty_us else "",
        )
        for one in burns
    ]
    heads = ("budget", "whose", "used", "limit", "burnt", "ends", "at its end", "used up")
    print(table(heads, rows))
    return 0


def forecast(options: argparse.Namespace) -> int:
    """What this month has cost, and what it will have cost."""
    with question(options, "costs") as asked:
        found = ledger.forecast(asked, options.by, _now_us(), _filter(options))
    if options.json:
        _lines([{**_named(options.by, one.series), "month_nanos": one.month_nanos,
                 "week_nanos": one.week_nanos, "month_end_nanos": one.month_end_nanos}
                for one in found])  # fmt: skip
        return 0
    rows = [
        (*one.series, dollars(one.month_nanos), dollars(one.week_nanos),
         dollars(one.month_end_nanos))
        for one in found
    ]  # fmt: skip
    rows.append((
        *_total(options.by),
        *(dollars(sum(one[i] for one in found)) for i in (1, 2, 3)),  # type: ignore[misc]
    ))  # fmt: skip
    print(table((*options.by, "this month", "last 7 days", "by the month's end"), rows))
    return 0


def what_if(options: argparse.Namespace) -> int:
    """What the same tokens cost by the prices of a file."""
    prices = read_prices(options.prices)
    with question(options, "costs") as asked:
        found = ledger.what_if(asked, options.by, prices, _filter(options))
    if options.json:
        _lines([{**_named(options.by, one.series), "model": one.model,
                 "cost_nanos": one.was_nanos, "what_if_nanos": one.now_nanos,
                 "priced": one.priced} for one in found])  # fmt: skip
        return 0
    rows = [
        (*one.series, one.model, dollars(one.was_nanos), dollars(one.now_nanos),
         dollars(one.now_nanos - one.was_nanos), "" if one.priced else "no price there")
        for one in found
    ]  # fmt: skip
    was, now = (sum(one[i] for one in found) for i in (2, 3))  # type: ignore[misc]
    rows.append((*_total(options.by), "", dollars(was), dollars(now), dollars(now - was), ""))
    by = [f"by {name}" if name == "model" else name for name in options.by]
    print(table((*by, "model", "cost", "would cost", "change", "note"), rows))
    return 0


def movers(options: argparse.Namespace) -> int:
    """Whose costs changed most between two periods of the same length."""
    until_us = options.until or _now_us()
    since_us = until_us - ledger.WEEK_US if options.since is None else options.since
    if since_us >= until_us:
        raise CommandFailure("--since lies after --until")
    which = _filter(options, times=False)
    with question(options, "costs") as asked:
        found = ledger.movers(asked, options.by, since_us, until_us, which)[: options.limit]
    if options.json:
        _lines([{**_named(options.by, one.series), "before_nanos": one.before_nanos,
                 "after_nanos": one.after_nanos, "change_nanos": one.change_nanos,
                 "before_requests": one.before_requests, "after_requests": one.after_requests}
                for one in found])  # fmt: skip
        return 0
    rows = [
        (*one.series, dollars(one.before_nanos), dollars(one.after_nanos),
         dollars(one.change_nanos), one.before_requests, one.after_requests)
        for one in found
    ]  # fmt: skip
    print(f"{clock(since_us)} to {clock(until_us)}, beside as long before\n")
    heads = ("before", "after", "change", "requests before", "requests after")
    print(table((*options.by, *heads), rows))
    return 0


def anomalies(options: argparse.Namespace) -> int:
    """Hours that cost far more than the same series usually does."""
    with question(options, "costs") as asked:
        found = ledger.anomalies(asked, options.by, options.threshold, _filter(options))
    if options.json:
        _lines([{**_named(options.by, one.series), "hour": clock(one.hour_us),
                 "cost_nanos": one.nanos, "median_nanos": one.median_nanos,
                 "deviations": round(one.deviations, 3)} for one in found])  # fmt: skip
        return 0
    rows = [
        (clock(one.hour_us), *one.series, dollars(one.nanos), dollars(one.median_nanos),
         f"{one.deviations:.1f}")
        for one in found
    ]  # fmt: skip
    print(table(("hour", *options.by, "cost", "usual", "deviations"), rows))
    return 0


def read_prices(path: Path) -> dict[str, Price]:
    """The prices of a configuration, or of a file that holds nothing else, by target model.

    Raises ``CommandFailure``.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text"
        raise CommandFailure(f"{path}: {reason}", BAD_CONFIGURATION) from None
    except yaml.YAMLError as error:
        where = str(error).replace("\n", " ")
        raise CommandFailure(f"{path}: not YAML: {where}", BAD_CONFIGURATION) from None
    section = document.get("prices") if isinstance(document, dict) else None
    if section is None:
        raise CommandFailure(f"{path}: no section 'prices'", BAD_CONFIGURATION)
    try:
        prices = Prices.model_validate(section, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("prices", *first["loc"])))
        raise CommandFailure(f"{path}: {where}: {first['msg']}", BAD_CONFIGURATION) from None
    return {
        price.model: Price(
            price.prompt_nanos, price.completion_nanos, price.cached_nanos, prices.version
        )
        for price in prices.models
    }


# --------------------------------------------------------------------------- helpers


def _filter(options: argparse.Namespace, *, times: bool = True) -> Filter:
    return Filter(
        tenant=options.tenant,
        user=options.user,
        key=options.key,
        application=options.application,
        since_us=getattr(options, "since", None) if times else None,
        until_us=getattr(options, "until", None) if times else None,
    )


def _report_table(by: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    heads = [name.removesuffix("_nanos").replace("_", " ") for name in SHOWN]
    shown = [
        (*(row[name] for name in by), *(_money(name, int(row[name])) for name in SHOWN))
        for row in rows
    ]
    sums = (_money(name, sum(int(row[name]) for row in rows)) for name in SHOWN)
    shown.append((*_total(by), *sums))
    return table((*by, *heads), shown) + "\n"


def _money(name: str, value: int) -> Any:
    return dollars(value) if name.endswith("_nanos") else value


def _total(by: Sequence[str]) -> tuple[str, ...]:
    return ("total", *[""] * (len(by) - 1))


def _named(by: Sequence[str], series: Sequence[str]) -> dict[str, str]:
    return dict(zip(by, series, strict=True))


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, str) else int(value) for name, value in row.items()}


def _csv(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(heads)
    writer.writerows([[harmless(value) for value in row] for row in rows])
    return buffer.getvalue()


def _lines(rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        print(orjson.dumps(row).decode())


def _write(text: str, path: Path | None) -> None:
    if path is None:
        sys.stdout.write(text)
        return
    _private(path)
    path.write_text(text)


def _private(path: Path) -> None:
    try:
        path.touch(0o600)
        path.chmod(0o600)
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror}") from None


def _now_us() -> int:
    return time.time_ns() // 1000
