"""Texts whose time is over are deleted, by whatever clock is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway_extproc.evidence.retention import remove_expired
from gateway_extproc.evidence.texts import last_day


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "texts-0-20260310.jsonl", "texts-1-20260310.jsonl", "texts-0-20260311.jsonl",
        "decisions-0.jsonl", "texts-0-20260101.jsonl.bak", "texts-x-20260101.jsonl",
    ):  # fmt: skip
        (tmp_path / name).write_text("{}\n")
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_kept_to_the_last_second_of_its_last_day(folder: Path) -> None:
    assert remove_expired(folder, at("2026-03-10T23:59:59")) == []
    assert len(names(folder)) == 6


def test_a_file_is_gone_when_its_last_day_is_over(folder: Path) -> None:
    removed = remove_expired(folder, at("2026-03-11T00:00:00"))
    assert removed == ["texts-0-20260310.jsonl", "texts-1-20260310.jsonl"]
    assert "texts-0-20260311.jsonl" in names(folder)


def test_nothing_else_is_ever_deleted(folder: Path) -> None:
    remove_expired(folder, at("2036-01-01T00:00:00"))
    assert names(folder) == {
        "decisions-0.jsonl", "texts-0-20260101.jsonl.bak", "texts-x-20260101.jsonl",
    }  # fmt: skip


def test_a_folder_that_is_not_there_has_nothing_to_delete(tmp_path: Path) -> None:
    assert remove_expired(tmp_path / "none", at("2036-01-01T00:00:00")) == []


def test_a_file_that_cannot_be_deleted_does_not_save_the_others(folder: Path) -> None:
    (folder / "texts-0-20260101.jsonl").mkdir()
    with pytest.raises(OSError, match="texts-0-20260101"):
        remove_expired(folder, at("2026-03-11T00:00:00"))
    assert "texts-1-20260310.jsonl" not in names(folder)


@pytest.mark.parametrize(
    ("written", "days", "last"),
    [
        ("2026-03-04T00:00:00", 1, "20260305"),
        ("2026-03-04T23:59:59", 1, "20260305"),
        ("2026-12-31T12:00:00", 30, "20270130"),
    ],
)
def test_texts_are_kept_for_whole_days(written: str, days: int, last: str) -> None:
    assert f"{last_day(int(at(written)) * 1_000_000_000, days):%Y%m%d}" == last
