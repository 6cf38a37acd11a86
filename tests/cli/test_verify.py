"""``decisions verify``: what it says, and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evidence.logs import Key, Log, bodies
from gateway_extproc.cli.main import main


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log of forty records, its key and its checkpoints beside it."""
    made = Log(tmp_path / "evidence", Key(), max_bytes=3_000, checkpoint_records=10)
    made.folder.mkdir()
    storage = made.boot()
    for number in range(40):
        storage.append(bodies([number]))
    storage.close()
    assert made.key is not None
    public = made.key.private.public_key()
    (tmp_path / "public.pem").write_bytes(
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    output = b"".join(b"%b\n" % one.encoded() for one in made.shipped)
    (tmp_path / "worker.log").write_bytes(b"INFO worker serves\n" + output + b"{not json\n")
    return made


def verify(log: Log, *options: str) -> int:
    return main(["decisions", "verify", "--evidence", str(log.folder), *options])


def everything(log: Log) -> tuple[str, ...]:
    folder = log.folder.parent
    return (
        "--checkpoints", str(folder / "worker.log"), "--public-key", str(folder / "public.pem"),
    )  # fmt: skip


def test_a_good_log_says_how_much_was_read(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(log, *everything(log)) == 0
    out = capsys.readouterr().out
    assert out.startswith("good: 40 records and ")
    assert "records/s" in out
    assert "note" not in out


def test_what_it_could_not_see_is_said(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(log) == 0
    out = capsys.readouterr().out
    assert "without --checkpoints" in out
    assert "without --public-key" in out


def test_the_first_wrong_record_is_named(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    path = log.paths[1]
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"acme", b"beta")
    path.write_bytes(b"".join(lines))
    assert verify(log, *everything(log)) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    decision = lines[2].split(b'"')[3].decode()
    assert first.startswith(f"{path}:3: this line was changed")
    assert first.endswith(f"(decision {decision})")
    assert last.startswith("BROKEN: ")


def test_a_log_whose_last_segment_is_gone_is_cut_off(
    log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    log.active.unlink()
    assert verify(log) == 0
    assert verify(log, *everything(log)) == 1
    assert "are missing: a checkpoint of" in capsys.readouterr().out


def test_a_log_that_is_gone_altogether_is_missed(
    log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Log(log.folder.parent / "other", log.key)
    storage = other.boot()
    storage.append(bodies([1]))
    storage.close()
    other.active.rename(other.folder / "costs-0.jsonl")
    options = ("--checkpoints", str(log.folder.parent / "worker.log"))
    code = main(["decisions", "verify", "--evidence", str(other.folder), *options])
    assert code == 1
    out = capsys.readouterr().out
    assert "decisions-0: " in out
    assert "a segment of decisions-0" in out  # under a name that is not its own


def test_single_segments_can_be_named(log: Log) -> None:
    first, second, *_ = log.paths
    assert main(["decisions", "verify", str(first)]) == 0
    assert main(["decisions", "verify", str(second)]) == 1
    assert main(["decisions", "verify", str(second), "--archived"]) == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--evidence", "none"], "no logs here"),
        (["--evidence", "{}", "--public-key", "{}/decisions-0.jsonl"], "not a public key in PEM"),
        (["--evidence", "{}", "--checkpoints", "none"], "No such file"),
        (["none/decisions-0.jsonl"], "No such file"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    log: Log, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decisions", "verify", *(option.format(log.folder) for option in options)]) == 1
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
