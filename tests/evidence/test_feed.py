"""Reading evidence: pages newest first over workers and rotated files, exports, sums."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.evidence import feed
from gateway_extproc.evidence.columns import EVERYTHING, Filter
from gateway_extproc.evidence.feed import FileFeed

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)


def decision(number: int, **fields: Any) -> dict[str, Any]:
    """A record of the ``number``th second after noon."""
    began = (NOON + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "decision_id": f"d{number:05d}", "request_id": f"r{number}", "time": began,
        "duration_ms": 5.5, "tenant": "acme", "outcome": "ALLOWED", "status": 200, **fields,
    }  # fmt: skip


def at_us(number: int) -> int:
    """The ``number``th second after noon."""
    return int((NOON + timedelta(seconds=number)).timestamp()) * 1_000_000


def write(path: Path, *records: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def ids(records: list[dict[str, Any]]) -> list[int]:
    return [int(record["decision_id"][1:]) for record in records]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine records of two workers, one of them with a rotated file."""
    write(tmp_path / "decisions-0.000001.jsonl", decision(1), decision(3))
    write(tmp_path / "decisions-0.jsonl", decision(4), decision(8), decision(9))
    write(tmp_path / "decisions-1.jsonl", *map(decision, (2, 5, 6, 7)))
    return tmp_path


def test_the_newest_come_first_whoever_wrote_them(folder: Path) -> None:
    page = FileFeed(folder).page(EVERYTHING, 100, "")
    assert ids(page.records) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert page.next == ""


@pytest.mark.parametrize("limit", [1, 2, 4, 9])
def test_pages_follow_each_other_without_gap_or_repetition(folder: Path, limit: int) -> None:
    found, before = list[int](), ""
    while True:
        page = FileFeed(folder).page(EVERYTHING, limit, before)
        assert len(page.records) <= limit
        found += ids(page.records)
        before = page.next
        if not before:
            break
    assert found == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_pages_go_on_where_they_were_when_files_are_rotated_and_written(folder: Path) -> None:
    first = FileFeed(folder).page(EVERYTHING, 4, "")
    (folder / "decisions-0.jsonl").rename(folder / "decisions-0.000002.jsonl")
    write(folder / "decisions-0.jsonl", decision(10))
    second = FileFeed(folder).page(EVERYTHING, 100, first.next)
    assert ids(first.records + second.records) == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_the_last_line_of_a_decision_counts(tmp_path: Path) -> None:
    write(tmp_path / "decisions-0.jsonl", decision(1, status=0), decision(2), decision(1))
    (first, second) = FileFeed(tmp_path).page(EVERYTHING, 9, "").records
    assert {first["status"], second["status"]} == {200}


def test_lines_that_are_no_records_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "decisions-0.jsonl"
    write(path, {"segment": 1}, decision(1), {"checkpoint": "x"}, decision(2))
    with path.open("a") as file:
        file.write("[1]\nnot json\n" + json.dumps(decision(3)))  # whose end is not written yet
    (tmp_path / "decisions-1.jsonl").write_text("")
    assert ids(FileFeed(tmp_path).page(EVERYTHING, 9, "").records) == [2, 1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(tenant="beta"), [2]),
        (Filter(tenant="beta", user="ann"), []),
        (Filter(reason="prompt_blocked"), [3]),
        (Filter(status=400), [3]),
        (Filter(since_us=at_us(2)), [3, 2]),
        (Filter(until_us=at_us(2)), [1]),
        (Filter(request_id="r2"), [2]),
        (Filter(rule="no-recipes"), [3]),
    ],
)
def test_filters_narrow(tmp_path: Path, wanted: Filter, found: list[int]) -> None:
    refused = {
        "status": 400,
        "refusal": {"reason": "prompt_blocked", "rule": "no-recipes"},
        "outcome": "REFUSED",
    }
    write(
        tmp_path / "decisions-0.jsonl",
        decision(1, user="ann"), decision(2, tenant="beta"), decision(3, **refused),
    )  # fmt: skip
    assert ids(FileFeed(tmp_path).page(wanted, 9, "").records) == found


@pytest.mark.parametrize("before", ["x", "12", "-d1", "a-b"])
def test_what_no_page_gave_is_no_place_to_go_on(folder: Path, before: str) -> None:
    with pytest.raises(ValueError, match="before"):
        FileFeed(folder).page(EVERYTHING, 9, before)


def test_a_decision_that_was_opened_on_one_page_is_not_told_again_on_the_next(
    tmp_path: Path,
) -> None:
    """Strict logs hold two lines of it, and a page may end between them."""
    for number in range(1, 5):
        opened = decision(number, outcome="OPENED", status=0)
        write(tmp_path / "decisions-0.jsonl", opened, decision(number))
    found, before = list[tuple[int, str]](), ""
    while not found or before:
        page = FileFeed(tmp_path).page(EVERYTHING, 1, before)
        found += [(*ids(page.records), one["outcome"]) for one in page.records]
        before = page.next
    assert found == [(n, "ALLOWED") for n in (4, 3, 2, 1)]


def test_records_of_one_moment_are_told_once_each_over_pages(tmp_path: Path) -> None:
    same = decision(0)["time"]
    write(tmp_path / "decisions-0.jsonl", *(decision(n, time=same) for n in (3, 1, 2)))
    first = FileFeed(tmp_path).page(EVERYTHING, 2, "")
    second = FileFeed(tmp_path).page(EVERYTHING, 2, first.next)
    assert ids(first.records + second.records) == [3, 2, 1]


def test_an_export_is_everything_oldest_first(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(feed, "BATCH", 4)
    batches = list(FileFeed(folder).export(EVERYTHING, None))
    assert [len(batch) for batch in batches] == [4, 4, 1]
    assert ids([record for batch in batches for record in batch]) == list(range(1, 10))
    assert ids(next(FileFeed(folder).export(Filter(since_us=at_us(3)), 2))) == [3, 4]


def test_decisions_are_counted_by_how_they_ended(folder: Path) -> None:
    write(folder / "decisions-2.jsonl", decision(10, outcome="REFUSED"))
    totals = FileFeed(folder).totals(EVERYTHING)
    assert (totals.records, totals.outcomes) == (10, {"ALLOWED": 9, "REFUSED": 1})


def cost(number: int, **fields: Any) -> dict[str, Any]:
    record = decision(number, **fields)
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "source": "reported"}
    return {"usage": usage, "cost_nanos": 100 * number, "model": "small", **record}


def test_costs_are_summed_by_what_is_asked(tmp_path: Path) -> None:
    write(tmp_path / "costs-0.000001.jsonl", cost(1), cost(2, tenant="beta"))
    write(tmp_path / "costs-0.jsonl", cost(3, labels={"team": "x"}))
    write(tmp_path / "costs-1.jsonl", cost(4), cost(4))  # told twice after a worker died
    reader = FileFeed(tmp_path)
    (total,) = reader.sums((), EVERYTHING)
    assert (total["requests"], total["cost_nanos"], total["prompt_tokens"]) == (4, 1000, 40)
    by_tenant = reader.sums(("tenant",), EVERYTHING)
    assert [(row["by"], row["cost_nanos"]) for row in by_tenant] == [
        ({"tenant": "acme"}, 800),
        ({"tenant": "beta"}, 200),
    ]
    assert len(reader.sums(("tenant",), Filter(tenant="beta"))) == 1
    (team, none) = reader.sums(("day", "labels.team"), Filter(tenant="acme"))
    assert none["by"] == {"day": "2026-05-06", "labels.team": "x"}
    assert team["requests"] == 2
    late = reader.sums((), Filter(since_us=at_us(3), until_us=at_us(4)))
    assert [row["cost_nanos"] for row in late] == [300]


def test_too_many_different_sums_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "ROWS_MAX", 2)
    write(tmp_path / "costs-0.jsonl", *(cost(n, user=f"u{n}") for n in range(3)))
    with pytest.raises(ValueError, match="fewer dimensions"):
        FileFeed(tmp_path).sums(("user",), EVERYTHING)
