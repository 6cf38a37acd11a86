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
