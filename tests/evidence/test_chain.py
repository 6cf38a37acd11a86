"""A log that was changed is found out, at the record that was changed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import json_format

from evidence.logs import Key, Log, bodies
from gateway_extproc.evidence.chain import CHECKPOINT, Head, extend, find_checkpoint, find_line
from gateway_extproc.evidence.verify import FILE, Report, Shipped, verify
from gateway_extproc.pb.gateway.v1 import decision_pb2

KEY = Key()
TAMPERINGS = int(os.environ.get("TAMPERINGS", "1000"))
RECORDS = 90

Place = tuple[str, int]
"""A file's name and a line in it, from 1."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Ninety records of three boots in several segments, with a checkpoint every eight."""
    made = Log(tmp_path_factory.mktemp("log"), KEY, max_bytes=4_500, checkpoint_records=8)
    for begin in range(0, RECORDS, RECORDS // 3):
        storage = made.boot()
        for number in range(begin, begin + RECORDS // 3):
            storage.append(bodies([number]))
        storage.close()
    assert len(made.paths) >= 6
    return made


def check(folder: Path, log: Log, *, elsewhere: bool = True, archived: bool = False) -> Report:
    files = [path for path in sorted(folder.iterdir()) if FILE.fullmatch(path.name)]
    shipped = [Shipped(checkpoint, n) for n, checkpoint in enumerate(log.shipped, 1)]
    return verify(
        files, keys=KEY.public, shipped=(Path("elsewhere"), shipped) if elsewhere else None,
        archived=archived,
    )  # fmt: skip


def test_an_untouched_log_is_good(log: Log) -> None:
    report = check(log.folder, log)
    assert report.problems == []
    assert report.notes == []
    assert (report.records, report.unsigned) == (RECORDS, 0)
    assert report.checkpoints == len(log.shipped) > 10


def test_every_line_parses_into_its_message(log: Log) -> None:
    kinds = []
    for path in log.paths:
        for line in path.read_text().splitlines():
            if "decision_id" in json.loads(line):
                json_format.Parse(line, decision_pb2.DecisionRecord())
            else:
                message = json_format.Parse(line, decision_pb2.ChainLine())
                kinds.append(message.WhichOneof("what"))
    assert {kinds.count("header"), kinds.count("checkpoint")} == {len(log.paths), len(log.shipped)}


def test_the_chain_is_what_the_documentation_says(log: Log) -> None:
    """Recomputed from the text of docs/decision-log.md, with nothing of the gateway's."""
    before, number = "0" * 64, 0
    for path in log.paths:
        for line in path.read_bytes().splitlines():
            hashed, _, claimed = line.rpartition(b',"chain":"')
            number += 1
            before = hashlib.sha256(bytes.fromhex(before) + hashed).hexdigest()
            assert claimed == before.encode() + b'"}'
            assert hashed.endswith(b',"seq":%d' % number)


# ------------------------------------------------------------------------- tampering


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def _records(folder: Path, random_: random.Random) -> tuple[Path, list[bytes], int]:
    """Some file, its lines, and the index of a record in it."""
    path = random_.choice(sorted(folder.iterdir()))
    lines = _lines(path)
    at = [i for i, line in enumerate(lines) if b'"decision_id"' in line]
    return path, lines, random_.choice(at)


def edit(folder: Path, random_: random.Random) -> Place:
    path, lines, at = _records(folder, random_)
    line = bytearray(lines[at])
    spot = random_.randrange(len(line) - 1)  # anywhere: the record, its number, its hash
    line[spot] = random_.choice([b for b in range(32, 127) if b != line[spot]])
    lines[at] = bytes(line)
    path.write_bytes(b"".join(lines))
    return path.name, at + 1


def edit_and_hash_again(folder: Path, random_: random.Random) -> Place:
    """The line is as good as any other; what follows it was made for another one."""
    path, lines, at = _records(folder, random_)
    line = find_line(lines[at])
    before = find_line(lines[at - 1])
    assert line is not None
    assert before is not None
    body = line.hashed.rpartition(b',"seq"')[0].replace(b"acme", b"beta") + b"}"
    lines[at] = extend(Head(line.seq - 1, before.hash), [body])[0][0]
    path.write_bytes(b"".join(lines))
    signed = lines[at + 1].startswith(CHECKPOINT)  # a checkpoint elsewhere is about this line
    return path.name, at + 1 if signed else at + 2


def delete(folder: Path, random_: random.Random) -> Place:
    path, lines, at = _records(folder, random_)
    count = random_.randint(1, 3)
    del lines[at : min(at + count, len(lines) - 1)]
    path.write_bytes(b"".join(lines))
    return path.name, at + 1


def insert(folder: Path, random_: random.Random) -> Place:
    path, lines, at = _records(folder, random_)
    lines.insert(at + 1, lines[at])
    path.write_bytes(b"".join(lines))
    return path.name, at + 2


def swap(folder: Path, random_: random.Random) -> Place:
    path, lines, first = _records(folder, random_)
    second = random_.randrange(first + 1, len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    path.write_bytes(b"".join(lines))
    return path.name, first + 1


def truncate(folder: Path, random_: random.Random) -> Place:
    path, lines, at = _records(folder, random_)
    left = sum(map(len, lines[:at])) + random_.choice([0, random_.randrange(len(lines[at]) - 1)])
    data = path.read_bytes()[:left]
    path.write_bytes(data)
    return path.name, data.count(b"\n") + (not data.endswith(b"\n"))


def drop_segment(folder: Path, random_: random.Random) -> Place:
    paths = sorted(folder.iterdir())
    at = random_.randrange(len(paths))
    paths[at].unlink()
    if at == len(paths) - 1:
        return paths[at - 1].name, len(_lines(paths[at - 1]))
    return paths[at + 1].name, 1


def write_anew(folder: Path, random_: random.Random) -> Place:
    """Changes a record and hashes all that follows again, over all segments, without the key."""
    path, lines, at = _records(folder, random_)
    paths = sorted(folder.iterdir())
    lines[at] = lines[at].replace(b"acme", b"beta")
    path.write_bytes(b"".join(lines))
    head, found = Head(), None
    for one in paths:
        written: list[bytes] = []
        for number, line in enumerate(_lines(one)):
            body = line.rpartition(b',"seq":')[0] + b"}"
            if number == 0:
                document = json.loads(body)
                document["header"]["previous"] = head.hash.hex()
                body = json.dumps(document, separators=(",", ":")).encode()
            (made,), (head,) = extend(head, [body])
            written.append(made)
            changed = one > path or (one == path and number > at)
            if found is None and changed and line.startswith(CHECKPOINT):
                found = one.name, number  # the line that the checkpoint is about
        one.write_bytes(b"".join(written))
    assert found is not None
    return found


WAYS = (edit, edit_and_hash_again, delete, insert, swap, truncate, drop_segment, write_anew)


def test_a_thousand_tamperings_are_all_found_at_the_right_record(log: Log, tmp_path: Path) -> None:
    random_ = random.Random(20)
    for number in range(TAMPERINGS):
        way: Callable[[Path, random.Random], Place] = WAYS[number % len(WAYS)]
        folder = tmp_path / "tampered"
        shutil.copytree(log.folder, folder)
        expected = way(folder, random_)
        found = check(folder, log).problems
        what = f"{way.__name__} number {number}: {found[:3]}"
        assert found, what
        first = found[0]
        assert (first.path.name, first.line) == expected, what
        line = _lines(folder / expected[0])[expected[1] - 1]
        if line.startswith(b'{"decision_id":"d-') and line.endswith(b"}\n") and way is not edit:
            assert first.decision_id == json.loads(line)["decision_id"], what
        shutil.rmtree(folder)


def test_a_hash_in_upper_case_is_another_line(log: Log, tmp_path: Path) -> None:
    folder = tmp_path / "upper"
    shutil.copytree(log.folder, folder)
    path = folder / log.paths[0].name
    lines = _lines(path)
    lines[1] = lines[1][:-67] + lines[1][-67:].upper()
    path.write_bytes(b"".join(lines))
    (problem, *_) = check(folder, log).problems
    assert (problem.path, problem.line) == (path, 2)


def test_without_checkpoints_elsewhere_a_cut_end_is_not_seen(log: Log, tmp_path: Path) -> None:
    """Why they are kept elsewhere: the same files are a good log that is shorter."""
    folder = tmp_path / "cut"
    shutil.copytree(log.folder, folder)
    active = folder / log.active.name
    active.write_bytes(b"".join(_lines(active)[:3]))
    assert check(folder, log, elsewhere=False).problems == []
    assert "are missing" in check(folder, log).problems[0].what


def test_segments_that_were_moved_away_on_purpose_are_no_problem(log: Log, tmp_path: Path) -> None:
    folder = tmp_path / "archived"
    shutil.copytree(log.folder, folder)
    for path in sorted(folder.iterdir())[:2]:
        path.unlink()
    assert "segment 1 to 2 before it is missing" in check(folder, log).problems[0].what
    assert check(folder, log, archived=True).problems == []


def test_a_checkpoint_of_another_key_is_no_checkpoint(log: Log) -> None:
    files = log.paths
    assert verify(files, keys=Key().public).problems[0].what.startswith("this checkpoint is signed")
    forged = log.shipped[-1]._replace(head=bytes(32))
    shipped = (Path("elsewhere"), [Shipped(forged, 7)])
    (problem,) = verify(files, keys=KEY.public, shipped=shipped).problems
    assert (problem.path.name, problem.line) == ("elsewhere", 7)


def test_a_checkpoint_reads_as_it_was_written(log: Log) -> None:
    for checkpoint in log.shipped:
        assert find_checkpoint(checkpoint.encoded()) == checkpoint
