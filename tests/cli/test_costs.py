"""``costs``: what finance sees, over a ledger of the real recorder."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from evidence import traffic
from gateway_extproc.cli.main import main
from gateway_extproc.core.usage import Usage
from support import config


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A ledger's folder, and what all of it cost."""
    folder = tmp_path_factory.mktemp("costs")
    recorder = traffic.recorder(folder)
    total = 0
    for number, exchange in enumerate(traffic.mixed(200)):
        recorder.record(exchange, traffic.ended_ns(number))
        total += exchange.cost_nanos
    assert recorder.close()
    return folder / "evidence", total


def out_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["costs", *arguments]) == 0
    return capsys.readouterr().out


def test_a_report_adds_up_in_every_format(
    books: tuple[Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, total = books
    where = ["report", "--dir", str(folder), "--by", "tenant,label:team"]
    rows = [json.loads(line) for line in out_of(capsys, *where, "--format", "json").splitlines()]
    assert sum(row["cost_nanos"] for row in rows) == total
    assert sum(row["requests"] for row in rows) == 200
    assert all(isinstance(row["cost_nanos"], int) for row in rows)
    text = out_of(capsys, *where, "--format", "csv")
    assert sum(int(r["cost_nanos"]) for r in csv.DictReader(io.StringIO(text))) == total
    target = tmp_path / "costs.parquet"
    out_of(capsys, *where, "--format", "parquet", "-o", str(target))
    with duckdb.connect() as database:
        [(cost,)] = database.execute(f"SELECT sum(cost_nanos) FROM '{target}'").fetchall()
    assert int(cost) == total
    table = out_of(capsys, *where)
    whole, nanos = divmod(total, 10**9)
    assert f"${whole:,}.{nanos:09d}" in table.splitlines()[-1]


def test_only_what_is_asked_for_is_added(
    books: tuple[Path, int], capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["report", "--dir", str(books[0]), "--format", "json", "--by", "tenant"]
    [row] = out_of(capsys, *where, "--tenant", "beta").splitlines()
    assert json.loads(row)["tenant"] == "beta"
    assert out_of(capsys, *where, "--until", "2026-01-01") == ""


@pytest.mark.parametrize("by", ["nobody", "tenant,tenant", "label:", ""])
def test_a_series_that_is_none_is_told(by: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["costs", "report", f"--by={by}"])
    assert "--by" in capsys.readouterr().err


def now_books(folder: Path, **sections: Any) -> Path:
    """A ledger of the last two hours, and the configuration that it belongs to."""
    recorder = traffic.recorder(folder)
    ago_s = time.time() - traffic.START_NS / 1e9
    for number in range(20):
        one = traffic.exchange(number, usage=Usage(1000, 0), at_s=ago_s - number)
        recorder.record(one, traffic.ended_ns(number))
    assert recorder.close()
    file = folder / "gateway.yaml"
    document = config.document(evidence={"dir": str(folder / "evidence")}, **sections)
    file.write_text(yaml.safe_dump(document))
    return file


def test_budgets_are_shown_with_where_they_lead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = {"id": "team", "per": ["tenant"], "nanos": 4_000_000, "period": "month"}
    file = now_books(tmp_path, budgets=[budget])
    [line] = out_of(capsys, "budgets", "--config", str(file), "--json").splitlines()
    burn = json.loads(line)
    assert (burn["budget"], burn["subject"], burn["used"]) == ("team", "acme", 20 * 1000 * 100)
    assert burn["percent"] == 50
    assert burn["at_end"] >= burn["used"]
    table = out_of(capsys, "budgets", "--config", str(file))
    assert "50.0%" in table
    assert "$0.002000000" in table
    assert main(["costs", "budgets", "--config", str(file), "--budget", "none"]) == 1
    assert capsys.readouterr().err == "gateway-extproc: the configuration has no budget none\n"


def test_other_prices_come_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = now_books(tmp_path)
    prices = tmp_path / "prices.yaml"
    model = {"model": "east-small", "prompt_nanos": 250, "completion_nanos": 1}
    prices.write_text(yaml.safe_dump({"prices": {"version": "next", "models": [model]}}))
    ask = ["what-if", "--config", str(file), "--prices"]
    [line] = out_of(capsys, *ask, str(prices), "--json").splitlines()
    assert json.loads(line) == {
        "tenant": "acme", "model": "east-small", "cost_nanos": 2_000_000,
        "what_if_nanos": 5_000_000, "priced": True,
    }  # fmt: skip
    assert "$0.003000000" in out_of(capsys, *ask, str(prices))
    for text, told in (
        ("prices: {models: [{model: x}]}", "prices.models.0.prompt_nanos: Field required"),
        ("models: []", "no section 'prices'"),
    ):
        prices.write_text(text)
        assert main(["costs", *ask, str(prices)]) == 2
        assert told in capsys.readouterr().err


def test_forecast_movers_and_anomalies_have_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = now_books(tmp_path)
    where = ["--config", str(file)]
    assert "by the month's end" in out_of(capsys, "forecast", *where)
    moved = json.loads(out_of(capsys, "movers", *where, "--by", "tenant", "--json"))
    assert moved["change_nanos"] == moved["after_nanos"] == 2_000_000
    assert "acme" in out_of(capsys, "movers", *where)
    assert "deviations" in out_of(capsys, "anomalies", *where)
    assert main(["costs", "movers", *where, "--since", "1h", "--until", "2h"]) == 1
    assert capsys.readouterr().err == "gateway-extproc: --since lies after --until\n"
