"""``evidence keygen`` and ``evidence open`` as a reviewer runs them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.cli.main import main
from gateway_extproc.evidence.log import encode
from gateway_extproc.evidence.sealing import read_public, seal

TEXTS = {"request": [{"path": ["messages", 0, "content"], "role": "user", "text": "Why rain?"}]}


def keygen(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["evidence", "keygen", "--out", str(path)]) == 0
    return capsys.readouterr().out.strip()


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    reader = read_public("rita", keygen(tmp_path / "rita.key", capsys))
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    for day, expires in (("20991231", "2100-01-01"), ("20200101", "2020-01-02")):
        head: dict[str, Any] = {
            "decision_id": f"d-{day}", "time": "2019-12-31T00:00:00.000000Z",
            "expires": f"{expires}T00:00:00Z", "rule": "all", "directions": ["request"],
        }  # fmt: skip
        line = seal(head, json.dumps(TEXTS).encode(), [reader], os.urandom)
        (evidence / f"texts-0-{day}.jsonl").write_bytes(encode(line))
    record = {"decision_id": "d-20991231", "request_id": "r-1"}
    (evidence / "decisions-0.jsonl").write_text(json.dumps(record) + "\n")
    return tmp_path


def reveal(folder: Path, wanted: str, key: str = "rita.key") -> int:
    return main(
        ["evidence", "open", wanted, "--identity", str(folder / key),
         "--evidence", str(folder / "evidence")]
    )  # fmt: skip


def test_a_private_key_is_its_owners_and_the_public_one_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = keygen(tmp_path / "a.key", capsys)
    text = (tmp_path / "a.key").read_text()
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert public in text
    assert read_public("a", public).raw
    assert text.splitlines()[-1].partition(":")[2] not in public


def test_a_key_file_is_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keygen(tmp_path / "a.key", capsys)
    before = (tmp_path / "a.key").read_text()
    assert main(["evidence", "keygen", "--out", str(tmp_path / "a.key")]) == 1
    assert (tmp_path / "a.key").read_text() == before
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", ["d-20991231", "r-1"])
def test_texts_are_opened_by_decision_or_request(
    folder: Path, capsys: pytest.CaptureFixture[str], wanted: str
) -> None:
    assert reveal(folder, wanted) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["decision_id"] == "d-20991231"
    assert shown["request"] == TEXTS["request"]


def test_an_opening_is_a_line_of_the_admin_log(folder: Path) -> None:
    reveal(folder, "d-20991231")
    line = json.loads((folder / "evidence" / "admin.jsonl").read_text())
    assert (line["path"], line["permission"]) == ("evidence open d-20991231", "reveal_evidence")


def test_another_key_opens_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keygen(folder / "eve.key", capsys)
    assert reveal(folder, "d-20991231", "eve.key") == 1
    captured = capsys.readouterr()
    assert "sealed for others: rita" in captured.err
    assert "rain" not in captured.out + captured.err
    assert not (folder / "evidence" / "admin.jsonl").exists()


@pytest.mark.parametrize(
    ("wanted", "key", "why"),
    [
        ("d-20200101", "rita.key", "its retention ended"),
        ("d-none", "rita.key", "no texts of d-none"),
        ("d-20991231", "none.key", "No such file"),
        ("d-20991231", "evidence/decisions-0.jsonl", "not an identity file"),
    ],
)
def test_why_nothing_is_shown_is_told_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], wanted: str, key: str, why: str
) -> None:
    assert reveal(folder, wanted, key) == 1
    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1
