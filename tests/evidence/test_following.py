"""New records are seen once, in order, over rotation and new workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.evidence import following
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


def test_half_a_line_is_no_record_yet(tmp_path: Path) -> None:
    current = tmp_path / "decisions-0.jsonl"
    follower = Follower(tmp_path)
    current.write_bytes(b'{"format":1}\n{"decision_id":"a"}\n{"decision_')
    assert ids(follower) == ["a"]
    with current.open("ab") as file:
        file.write(b'id":"b"}\n')
    assert ids(follower) == ["b"]


def test_what_was_only_opened_is_not_told(tmp_path: Path) -> None:
    """Strict durability writes such a line before a request goes on; the whole record follows."""
    follower = Follower(tmp_path)
    log = JsonLinesLog(PlainFile(tmp_path / "decisions-0.jsonl"))
    log.write({"decision_id": "a", "outcome": "OPENED"})
    log.write({"decision_id": "a", "outcome": "ALLOWED"})
    assert log.close()
    assert [record["outcome"] for record in follower.poll()] == ["ALLOWED"]


def test_one_look_takes_so_much_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "READ_MAX", 64)
    follower = Follower(tmp_path)
    current = tmp_path / "decisions-0.jsonl"
    current.write_bytes(b'{"decision_id":"a"}\n{"decision_id":"b"}\n{"decision_id":"c"}\n')
    write(current, "d", "e")
    found = [ids(follower) for _ in range(3)]
    assert found == [["a", "b", "c"], ["d", "e"], []]


def test_a_line_that_is_too_long_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "READ_MAX", 64)
    follower = Follower(tmp_path)
    current = tmp_path / "decisions-0.jsonl"
    current.write_bytes(b'{"decision_id":"' + b"x" * 100 + b'"}\n{"decision_id":"after"}\n')
    assert [id_ for _ in range(4) for id_ in ids(follower)] == ["after"]


def test_a_file_that_takes_the_place_of_a_deleted_one_is_read_from_its_start(
    tmp_path: Path,
) -> None:
    """File systems give numbers of deleted files to new ones."""
    current = tmp_path / "decisions-0.jsonl"
    write(current, "old", "older", "oldest")
    follower = Follower(tmp_path)
    with current.open("r+b") as file:  # the same number, certainly
        file.truncate(0)
    write(current, "new")
    assert ids(follower) == ["new"]


def test_a_tail_that_begins_during_a_rotation_shows_nothing_old(tmp_path: Path) -> None:
    current = tmp_path / "decisions-0.jsonl"
    write(current, "a")
    os.rename(current, tmp_path / "decisions-0.000001.jsonl")
    follower = Follower(tmp_path)
    write(current, "b")
    assert ids(follower) == ["b"]
