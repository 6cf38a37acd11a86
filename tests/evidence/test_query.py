"""Questions over the recorder's files: filters, doubles, rotation, the kept columns."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evidence import traffic
from gateway_extproc.evidence import parts
from gateway_extproc.evidence.columns import Filter, microseconds
from gateway_extproc.evidence.log import JsonLinesLog
from gateway_extproc.evidence.query import Question
from gateway_extproc.evidence.reading import LogChanged, find_segments
from gateway_extproc.evidence.search import find_decision
from gateway_extproc.evidence.storage import PlainFile


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 decisions of two workers."""
    folder = tmp_path_factory.mktemp("traffic")
    workers = [traffic.recorder(folder, worker) for worker in (0, 1)]
    for number, exchange in enumerate(traffic.mixed(2000)):
        workers[number % 2].record(exchange, traffic.ended_ns(number))
    assert all(worker.close() for worker in workers)
    return folder / "evidence"


def everything(folder: Path) -> list[dict[str, Any]]:
    return [
        record for path in folder.glob("decisions-*.jsonl") for record in traffic.records_in(path)
    ]


FILTERS: list[tuple[Filter, Callable[[dict[str, Any]], bool]]] = [
    (Filter(tenant="beta"), lambda r: r["tenant"] == "beta"),
    (Filter(user="u7", outcome="REFUSED"), lambda r: r["user"] == "u7" and "refusal" in r),
    (Filter(model="large"), lambda r: r["requested_model"] == "large"),
    (Filter(model="west-large"), lambda r: r.get("target_model") == "west-large"),
    (Filter(rule="no-zebras"), lambda r: "refusal" in r),
    (Filter(rule="no-zebra"), lambda r: False),
    (Filter(reason="prompt_blocked", application="batch"),
     lambda r: "refusal" in r and r["application"] == "batch"),
    (Filter(provider="west"), lambda r: r.get("provider") == "west"),
    (Filter(key="k1", route="small", endpoint="chat"), lambda r: r["route"] == "small"),
    (Filter(outcome="ABORTED"), lambda r: r["outcome"] == "ABORTED"),
    (Filter(since_us=traffic.START_NS // 1000 + 5_000_000_000,
            until_us=traffic.START_NS // 1000 + 9_000_000_000),
     lambda r: 500 <= int(r["decision_id"][1:]) < 900),
]  # fmt: skip


@pytest.mark.parametrize(("which", "meant"), FILTERS, ids=lambda x: str(x)[:40])
@pytest.mark.parametrize("keep", [True, False])
def test_a_filter_means_the_same_everywhere(
    written: Path, which: Filter, meant: Callable[[dict[str, Any]], bool], keep: bool
) -> None:
    expected = sorted(
        (r for r in everything(written) if meant(r)), key=lambda r: r["time"], reverse=True
    )
    with Question(written, "decisions", keep=keep) as asked:
        assert list(asked.records(which)) == expected
        assert list(asked.records(which, 7)) == expected[:7]
        assert asked.totals(which).records == len(expected)
    assert [r for r in everything(written) if which.matches(r)] == [
        r for r in everything(written) if meant(r)
    ]


def segments(folder: Path, lines: list[list[dict[str, Any]]]) -> None:
    """Files of worker 0 in order, the last of them the current one."""
    for number, records in enumerate(lines):
        name = f"decisions-0.{number + 1:06d}.jsonl"
        name = "decisions-0.jsonl" if number == len(lines) - 1 else name
        log = JsonLinesLog(PlainFile(folder / name))
        for record in records:
            log.write(record)
        assert log.close()


def record(number: int, **fields: Any) -> dict[str, Any]:
    time = f"2026-09-21T10:{number:02d}:00.000000Z"
    return {"decision_id": f"d{number}", "request_id": f"r{number}", "time": time,
            "tenant": "acme", "outcome": "ALLOWED", **fields}  # fmt: skip


@pytest.mark.parametrize("keep", [True, False])
def test_the_last_word_on_a_decision_counts_over_rotation(tmp_path: Path, keep: bool) -> None:
    header = {"format": 1, "boot": "b1"}
    segments(
        tmp_path,
        [
            [header, record(1, outcome="OPENED"), record(2, outcome="OPENED")],
            [{"checkpoint": "c"}, record(1), record(3, outcome="OPENED"), record(3, status=200)],
            [header | {"boot": "b2"}, record(4, outcome="OPENED")],
        ],
    )
    with (tmp_path / "decisions-0.jsonl").open("ab") as file:
        file.write(b'{"decision_id":"d5","outcome":"ALL')
    for _ in range(2):  # made, then kept
        with Question(tmp_path, "decisions", keep=keep) as asked:
            shown = {r["decision_id"]: r["outcome"] for r in asked.records()}
            assert shown == {
                "d1": "ALLOWED", "d2": "INTERRUPTED", "d3": "ALLOWED", "d4": "INTERRUPTED",
            }  # fmt: skip
            assert asked.totals(Filter(outcome="OPENED")).records == 2
    found = find_decision(tmp_path, "d1")
    assert found is not None
    assert found["outcome"] == "ALLOWED"
    unfinished = find_decision(tmp_path, "r2")
    assert unfinished is not None
    assert unfinished["outcome"] == "OPENED"
    assert find_decision(tmp_path, "d5") is None


def kept_files(folder: Path) -> dict[str, int]:
    return {
        path.name: path.stat().st_mtime_ns for path in sorted((folder / parts.FOLDER).iterdir())
    }


def test_columns_are_kept_privately_and_made_only_for_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SMALLEST", 1000)
    monkeypatch.setattr(parts, "LARGEST", 4000)
    monkeypatch.setattr(parts, "UNUSED_S", -1)
    segments(tmp_path, [[record(n) for n in range(20)], [record(n) for n in range(20, 40)]])

    def ids() -> list[str]:
        with Question(tmp_path, "decisions") as asked:
            return [r["decision_id"] for r in asked.records()]

    assert len(ids()) == 40
    first = kept_files(tmp_path)
    assert first
    assert stat.S_IMODE((tmp_path / parts.FOLDER).stat().st_mode) == 0o700
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / parts.FOLDER).iterdir()}
    assert modes == {0o600}

    # The current file grows, and is given away as it stands.
    log = JsonLinesLog(PlainFile(tmp_path / "decisions-0.jsonl"))
    for number in range(40, 55):
        log.write(record(number))
    assert log.close()
    assert len(ids()) == 55
    os.rename(tmp_path / "decisions-0.jsonl", tmp_path / "decisions-0.000002.jsonl")
    segments(tmp_path / "x", [[record(55)]])
    os.rename(tmp_path / "x" / "decisions-0.jsonl", tmp_path / "decisions-0.jsonl")
    assert ids() == [f"d{n}" for n in range(55, -1, -1)]
    later = kept_files(tmp_path)
    # The file that did not grow was not read again.
    unchanged = first.items() & later.items()
    assert unchanged
    assert later.keys() - dict(unchanged).keys()

    # What retention takes away is gone from the columns, too.
    (tmp_path / "decisions-0.000001.jsonl").unlink()
    assert len(ids()) == 36
    assert len(kept_files(tmp_path)) < len(later)


def test_a_file_that_grows_under_many_questions_has_few_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SMALLEST", 100)
    monkeypatch.setattr(parts, "LARGEST", 1 << 20)
    monkeypatch.setattr(parts, "UNUSED_S", -1)
    for number in range(40):
        log = JsonLinesLog(PlainFile(tmp_path / "decisions-0.jsonl"))
        log.write(record(number))
        assert log.close()
        covered = parts.cover(tmp_path, "decisions")
        assert len(covered.parts) <= 7
    with Question(tmp_path, "decisions") as asked:
        assert asked.totals().records == 40
    assert len(kept_files(tmp_path)) <= 7


def test_columns_that_do_not_belong_to_a_file_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SMALLEST", 100)
    segments(tmp_path, [[record(n) for n in range(30)]])
    with Question(tmp_path, "decisions") as asked:
        assert asked.totals().records == 30
    path = tmp_path / "decisions-0.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:10]))  # cut off: the last line is another one
    with Question(tmp_path, "decisions") as asked:
        assert asked.totals().records == 10


def test_a_line_that_is_not_what_stood_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SMALLEST", 100)
    monkeypatch.setattr(parts, "CHECKED", 64)
    segments(tmp_path, [[record(n) for n in range(9)]])
    with Question(tmp_path, "decisions"):
        pass
    path = tmp_path / "decisions-0.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"d3"', b'"x3"'))
    with Question(tmp_path, "decisions") as asked, pytest.raises(LogChanged, match="verify"):
        list(asked.records())
    with Question(tmp_path, "decisions", keep=False) as asked:
        assert len(list(asked.records())) == 9


def test_one_odd_line_hides_no_other(tmp_path: Path) -> None:
    odd = {"decision_id": "odd", "status": "x", "tenant": 7, "cost_nanos": 1.5}
    segments(tmp_path, [[record(1), odd, record(2)]])
    with Question(tmp_path, "decisions") as asked:
        assert {r["decision_id"] for r in asked.records()} == {"d1", "d2", "odd"}
        assert asked.totals(Filter(tenant="acme")).records == 2


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    segments(tmp_path, [[record(1)]])
    for name in ("decisions-x.jsonl", "decisions-0.jsonl.bak", "decisions-1.jsonl"):
        (tmp_path / name).write_text("")
    assert [s.path.name for s in find_segments(tmp_path, "decisions")] == [
        "decisions-0.jsonl", "decisions-1.jsonl",
    ]  # fmt: skip
    with Question(tmp_path, "decisions") as asked:
        assert asked.totals().records == 1
    with Question(tmp_path / "none", "decisions") as asked:
        assert asked.totals().records == 0


def test_times_are_exact_to_the_microsecond() -> None:
    assert microseconds("2026-09-21T10:00:00.000001Z") == 1_789_984_800_000_001
    assert microseconds("1970-01-01T00:00:00.999999Z") == 999_999
    assert microseconds("") == 0
