"""New records are seen once, in order, over rotation and new workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gateway_extproc.evidence.following import Follower
from gateway_extproc.evidence.log import JsonLinesLog
from gateway_extproc.evidence.storage import PlainFile


def write(path: Path, *ids: str) -> None:
    log = JsonLinesLog(PlainFile(path))
    for id_ in ids:
        log.write({"decision_id": id_})
    assert log.close()


def ids(follower: Follower) -> list[Any]:
    return [record["decision_id"] for record in follower.poll()]


def test_all_workers_are_followed_over_rotation(tmp_path: Path) -> None:
    current = tmp_path / "decisions-0.jsonl"
    write(current, "old")
    follower = Follower(tmp_path)
    assert ids(follower) == []
    write(current, "a", "b")
    write(tmp_path / "decisions-3.jsonl", "other")
    assert ids(follower) == ["a", "b", "other"]

    # Written after the last look, then given away, twice.
    write(current, "c")
    os.rename(current, tmp_path / "decisions-0.000001.jsonl")
    write(current, "d", "e")
    os.rename(current, tmp_path / "decisions-0.000002.jsonl")
    write(current, "f")
    assert ids(follower) == ["c", "d", "e", "f"]
    assert ids(follower) == []

    # Given away, and nothing new yet.
    os.rename(current, tmp_path / "decisions-0.000003.jsonl")
    assert ids(follower) == []
    write(current, "g")
    assert ids(follower) == ["g"]
    follower.close()


def test_half_a_line_is_no_record_yet(tmp_path: Path) -> None:
    current = tmp_path / "decisions-0.jsonl"
    follower = Follower(tmp_path)
    current.write_bytes(b'{"format":1}\n{"decision_id":"a"}\n{"decision_')
    assert ids(follower) == ["a"]
    with current.open("ab") as file:
        file.write(b'id":"b"}\n')
    assert ids(follower) == ["b"]
    follower.close()
