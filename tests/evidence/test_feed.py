"""Reading evidence: pages newest first over workers and rotated files, sums, what comes now."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.feed import DecisionFilter, time_text
from gateway_extproc.evidence import feed
from gateway_extproc.evidence.feed import FileFeed

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)
ALL = DecisionFilter()


def decision(number: int, **fields: Any) -> dict[str, Any]:
    """A record of the ``number``th second after noon."""
    began = (NOON + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "decision_id": f"d{number:05d}", "request_id": f"r{number}", "time": began,
        "duration_ms": 5.5, "tenant": "acme", "outcome": "ALLOWED", "status": 200, **fields,
    }  # fmt: skip


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
    page = FileFeed(folder).page(ALL, 100, "")
    assert ids(page.records) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert page.next == ""


@pytest.mark.parametrize("limit", [1, 2, 4, 9])
def test_pages_follow_each_other_without_gap_or_repetition(folder: Path, limit: int) -> None:
    found, before = list[int](), ""
    while True:
        page = FileFeed(folder).page(ALL, limit, before)
        assert len(page.records) <= limit
        found += ids(page.records)
        before = page.next
        if not before:
            break
    assert found == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_pages_go_on_where_they_were_when_files_are_rotated_and_written(folder: Path) -> None:
    first = FileFeed(folder).page(ALL, 4, "")
    (folder / "decisions-0.jsonl").rename(folder / "decisions-0.000002.jsonl")
    write(folder / "decisions-0.jsonl", decision(10))
    second = FileFeed(folder).page(ALL, 100, first.next)
    assert ids(first.records + second.records) == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_the_order_is_that_of_the_ends(tmp_path: Path) -> None:
    """Within a file it is, so pages of several files have to keep to it, too."""
    write(tmp_path / "decisions-0.jsonl", decision(5), decision(1, duration_ms=6000.0))
    write(tmp_path / "decisions-1.jsonl", decision(6))
    assert ids(FileFeed(tmp_path).page(ALL, 9, "").records) == [1, 6, 5]


def test_a_call_looks_at_so_many_lines_and_says_where_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "SCAN_MAX", 4)
    wanted = DecisionFilter(equal=(("request_id", "r2"),))
    pages, before = list[list[int]](), ""
    while not pages or before:
        page = FileFeed(folder).page(wanted, 10, before)
        pages.append(ids(page.records))
        before = page.next
    assert pages == [[], [2], []]


def test_the_last_line_of_a_decision_counts(tmp_path: Path) -> None:
    write(tmp_path / "decisions-0.jsonl", decision(1, status=0), decision(2), decision(1))
    (first, second) = FileFeed(tmp_path).page(ALL, 9, "").records
    assert {first["status"], second["status"]} == {200}


def test_lines_that_are_no_records_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "decisions-0.jsonl"
    write(path, {"segment": 1}, decision(1), {"checkpoint": "x"}, decision(2))
    with path.open("a") as file:
        file.write("[1]\nnot json\n" + json.dumps(decision(3)))  # whose end is not written yet
    (tmp_path / "decisions-1.jsonl").write_text("")
    assert ids(FileFeed(tmp_path).page(ALL, 9, "").records) == [2, 1]


def test_a_record_without_a_time_stands_with_its_neighbour(tmp_path: Path) -> None:
    odd = decision(2)
    del odd["time"]
    write(tmp_path / "decisions-0.jsonl", decision(1), odd, decision(3))
    write(tmp_path / "decisions-1.jsonl", decision(9))
    assert ids(FileFeed(tmp_path).page(ALL, 9, "").records) == [9, 3, 2, 1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (DecisionFilter(equal=(("tenant", "beta"),)), [2]),
        (DecisionFilter(equal=(("tenant", "beta"), ("user", "ann"))), []),
        (DecisionFilter(reason="prompt_blocked"), [3]),
        (DecisionFilter(status=400), [3]),
        (DecisionFilter(since="2026-05-06T12:00:02.000000Z"), [3, 2]),
        (DecisionFilter(until="2026-05-06T12:00:02.000000Z"), [1]),
    ],
)
def test_filters_narrow(tmp_path: Path, wanted: DecisionFilter, found: list[int]) -> None:
    refused = {"status": 400, "refusal": {"reason": "prompt_blocked"}, "outcome": "REFUSED"}
    write(
        tmp_path / "decisions-0.jsonl",
        decision(1, user="ann"), decision(2, tenant="beta"), decision(3, **refused),
    )  # fmt: skip
    assert ids(FileFeed(tmp_path).page(wanted, 9, "").records) == found


@pytest.mark.parametrize("before", ["x", "12", "-d1", "a-b"])
def test_what_no_page_gave_is_no_place_to_go_on(folder: Path, before: str) -> None:
    with pytest.raises(ValueError, match="before"):
        FileFeed(folder).page(ALL, 9, before)


def cost(number: int, **fields: Any) -> dict[str, Any]:
    record = decision(number, **fields)
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "source": "reported"}
    return {"usage": usage, "cost_nanos": 100 * number, "model": "small", **record}


def test_costs_are_summed_by_what_is_asked(tmp_path: Path) -> None:
    write(tmp_path / "costs-0.000001.jsonl", cost(1), cost(2, tenant="beta"))
    write(tmp_path / "costs-0.jsonl", cost(3, labels={"team": "x"}))
    write(tmp_path / "costs-1.jsonl", cost(4), cost(4))  # told twice after a worker died
    reader = FileFeed(tmp_path)
    (total,) = reader.sums((), "", "", "")
    assert (total["requests"], total["cost_nanos"], total["prompt_tokens"]) == (4, 1000, 40)
    by_tenant = reader.sums(("tenant",), "", "", "")
    assert [(row["by"], row["cost_nanos"]) for row in by_tenant] == [
        ({"tenant": "acme"}, 800),
        ({"tenant": "beta"}, 200),
    ]
    assert len(reader.sums(("tenant",), "beta", "", "")) == 1
    (team, none) = reader.sums(("day", "labels.team"), "acme", "", "")
    assert none["by"] == {"day": "2026-05-06", "labels.team": "x"}
    assert team["requests"] == 2
    late = reader.sums((), "", "2026-05-06T12:00:03.000000Z", "2026-05-06T12:00:04.000000Z")
    assert [row["cost_nanos"] for row in late] == [300]


def test_too_many_different_sums_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "ROWS_MAX", 2)
    write(tmp_path / "costs-0.jsonl", *(cost(n, user=f"u{n}") for n in range(3)))
    with pytest.raises(ValueError, match="fewer dimensions"):
        FileFeed(tmp_path).sums(("user",), "", "", "")


def test_a_follower_reads_what_comes_and_nothing_twice(folder: Path) -> None:
    follower = FileFeed(folder).follow(DecisionFilter(equal=(("tenant", "acme"),)))
    assert follower.read() == []
    write(folder / "decisions-0.jsonl", decision(11), decision(12, tenant="beta"))
    write(folder / "decisions-7.jsonl", decision(13))
    assert ids(follower.read()) == [11, 13]
    assert follower.read() == []


def test_a_follower_waits_for_the_end_of_a_line(folder: Path) -> None:
    follower = FileFeed(folder).follow(ALL)
    text = json.dumps(decision(14)) + "\n"
    path = folder / "decisions-1.jsonl"
    with path.open("a") as file:
        file.write(text[:20])
    assert follower.read() == []
    with path.open("a") as file:
        file.write(text[20:])
    assert ids(follower.read()) == [14]


def test_a_follower_loses_nothing_when_a_file_is_rotated(folder: Path) -> None:
    follower = FileFeed(folder).follow(ALL)
    write(folder / "decisions-0.jsonl", decision(15))
    (folder / "decisions-0.jsonl").rename(folder / "decisions-0.000002.jsonl")
    write(folder / "decisions-0.jsonl", decision(16))
    assert ids(follower.read()) == [15, 16]
    assert follower.read() == []


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-05-06T14:00:00+02:00", "2026-05-06T12:00:00.000000Z"),
        ("2026-05-06T12:00:00Z", "2026-05-06T12:00:00.000000Z"),
        ("2026-05-06T12:00:00.123456789Z", "2026-05-06T12:00:00.123456Z"),
    ],
)
def test_times_are_compared_as_records_have_them(text: str, written: str) -> None:
    assert time_text(text) == written


@pytest.mark.parametrize("text", ["yesterday", "2026-05-06T12:00:00"])
def test_a_time_needs_a_zone(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        time_text(text)
