"""A decision is found by its id, whichever worker wrote it."""

from __future__ import annotations

from pathlib import Path

import orjson

from gateway_extproc.evidence.search import find_decision


def test_a_record_is_found_by_either_id_and_only_by_that(tmp_path: Path) -> None:
    records = [
        {"decision_id": f"d{number}", "request_id": f"r{number}", "path": "d3"}
        for number in range(9)
    ]
    lines = [orjson.dumps(record) + b"\n" for record in records]
    (tmp_path / "decisions-0.jsonl").write_bytes(b"".join(lines[:5]))
    (tmp_path / "decisions-1.jsonl").write_bytes(b"".join(lines[5:]) + b'{"decision_id":"d9"')
    (tmp_path / "decisions-2.jsonl").touch()
    assert [find_decision(tmp_path, f"d{n}") for n in range(9)] == records
    assert [find_decision(tmp_path, f"r{n}") for n in range(9)] == records
    assert find_decision(tmp_path, "d9") is None
    assert find_decision(tmp_path, "d") is None
    assert find_decision(tmp_path / "none", "d1") is None


def test_the_last_record_of_a_decision_is_found_whichever_segment_holds_it(tmp_path: Path) -> None:
    (tmp_path / "decisions-0.000001.jsonl").write_bytes(
        b'{"decision_id":"d1","outcome":"OPENED"}\n'
    )
    (tmp_path / "decisions-0.000002.jsonl").write_bytes(b'{"decision_id":"d1","status":1}\n')
    (tmp_path / "decisions-0.000003.jsonl").write_bytes(b'{"decision_id":"d2"}\n')
    (tmp_path / "decisions-0.jsonl").write_bytes(b'{"header":{"segment":4}}\n')
    assert find_decision(tmp_path, "d1") == {"decision_id": "d1", "status": 1}
