"""Segments: nothing is lost or split on the way from one file to the next."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import stat
from pathlib import Path
from typing import Any

import pytest

from evidence.logs import Key, Log, bodies, ids_in
from gateway_extproc.evidence import segments
from gateway_extproc.evidence.segments import SegmentRules, Segments
from gateway_extproc.evidence.storage import WriteFailed
from gateway_extproc.evidence.verify import verify

IDS = [f"d-{n:06d}" for n in range(10_000)]


def header(path: Path) -> dict[str, Any]:
    with path.open() as file:
        fields: dict[str, Any] = json.loads(file.readline())["header"]
    return fields


def test_rotation_loses_and_splits_nothing(tmp_path: Path) -> None:
    log = Log(tmp_path, max_bytes=20_000)
    storage = log.boot()
    for begin in range(0, 2_000, 37):
        storage.append(bodies(range(begin, min(begin + 37, 2_000))))
    storage.close()
    assert log.ids() == IDS[:2_000]
    assert len(log.paths) > 10
    assert all(path.stat().st_size <= 20_000 for path in log.paths)
    assert all(path.read_bytes().endswith(b"}\n") for path in log.paths)
    assert verify(log.paths).problems == []


def test_files_are_named_by_worker_and_number_and_private(tmp_path: Path) -> None:
    log = Log(tmp_path, max_bytes=1_000)
    storage = log.boot()
    for number in range(20):
        storage.append(bodies([number]))
    storage.close()
    names = [path.name for path in log.paths]
    assert names[:2] == ["decisions-0.000001.jsonl", "decisions-0.000002.jsonl"]
    assert names[-1] == "decisions-0.jsonl"
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert [header(path)["segment"] for path in log.paths] == list(range(1, len(names) + 1))


def test_a_segment_ends_by_age(tmp_path: Path) -> None:
    now = [0.0]
    rules = SegmentRules(max_age_s=60.0)
    storage = Segments(tmp_path, "decisions", 0, rules, clock_s=lambda: now[0])
    assert storage.due_s() is None  # nothing is in it
    storage.append(bodies([1]))
    assert storage.due_s() == 60.0
    now[0] = 61.0
    storage.append([])
    assert storage.due_s() is None
    storage.append(bodies([2]))
    storage.close()
    assert ids_in([tmp_path / "decisions-0.000001.jsonl"]) == ["d-000001"]
    assert ids_in([tmp_path / "decisions-0.jsonl"]) == ["d-000002"]


def test_each_process_begins_a_segment_and_the_chain_goes_on(tmp_path: Path) -> None:
    log = Log(tmp_path, Key())
    for boot in range(3):
        storage = log.boot()
        storage.append(bodies(range(boot * 5, boot * 5 + 5)))
        storage.close()
    assert log.ids() == IDS[:15]
    assert len(log.paths) == 3
    assert len({header(path)["boot_id"] for path in log.paths}) == 3
    assert verify(log.paths).problems == []


def test_processes_that_record_nothing_leave_no_segments(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for _ in range(5):
        log.boot().close()
    storage = log.boot()
    storage.append(bodies([1]))
    storage.close()
    log.boot().close()
    assert [header(path)["segment"] for path in log.paths] == [1, 2]
    assert verify(log.paths).problems == []


@pytest.mark.parametrize("torn", [1, 40, 150])
def test_a_torn_line_is_left_and_told_in_the_next_header(tmp_path: Path, torn: int) -> None:
    log = Log(tmp_path)
    storage = log.boot()
    storage.append(bodies(range(4)))
    storage.close()
    data = log.active.read_bytes()
    half = data + data.splitlines()[-1][:torn]
    log.active.write_bytes(half)
    storage = log.boot()
    storage.append(bodies([4]))
    storage.close()
    first, second = log.paths
    assert first.read_bytes() == half
    assert header(second)["previous_torn_bytes"] == torn
    assert log.ids() == IDS[:5]
    assert verify(log.paths).problems == []


def test_a_worker_that_died_between_two_segments_is_followed(tmp_path: Path) -> None:
    log = Log(tmp_path)
    storage = log.boot()
    storage.append(bodies([0]))
    storage.close()
    log.active.rename(segments.rotated(log.active, 1))
    storage = log.boot()
    storage.append(bodies([1]))
    storage.close()
    assert log.ids() == IDS[:2]
    assert verify(log.paths).problems == []


def test_a_file_of_before_there_were_chains_is_kept_and_named(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.active.write_text('{"decision_id":"old"}\n')
    storage = log.boot()
    storage.append(bodies([1]))
    storage.close()
    assert log.ids() == ["old", "d-000001"]
    (problem,) = verify(log.paths).problems
    assert (problem.path.name, problem.line) == ("decisions-0.000001.jsonl", 1)


def test_two_processes_never_write_one_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "LOCK_S", 0.2)
    log = Log(tmp_path)
    storage = log.boot()
    with pytest.raises(BlockingIOError, match="another process"):
        log.boot()
    storage.close()
    log.boot().close()


def test_what_was_not_synced_does_not_count_and_is_not_there(tmp_path: Path) -> None:
    fails = [False]

    def sync(file: int) -> None:
        if fails[0]:
            raise OSError(errno.EIO, "Input/output error")
        os.fdatasync(file)

    log = Log(tmp_path)
    storage = log.boot(sync=sync)
    storage.append(bodies([0]))
    fails[0] = True
    with pytest.raises(WriteFailed) as failure:
        storage.append(bodies([1, 2]))
    assert failure.value.kept == 0
    fails[0] = False
    storage.append(bodies([3]))
    storage.close()
    assert log.ids() == ["d-000000", "d-000003"]
    assert verify(log.paths).problems == []


def test_what_cannot_be_taken_back_ends_the_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_sync(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def no_truncate(file: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    log = Log(tmp_path)
    storage = log.boot()
    storage.append(bodies([0]))
    with monkeypatch.context() as broken:
        broken.setattr(os, "ftruncate", no_truncate)
        storage._sync = no_sync
        with pytest.raises(WriteFailed):
            storage.append(bodies([1, 2]))
    storage._sync = os.fdatasync
    storage.append(bodies([1, 2]))
    storage.close()
    report = verify(log.paths)
    assert report.problems == []
    assert report.records == 3  # the two that did not count stand behind the first segment's end
    assert header(log.active)["previous_torn_bytes"] > 300


def _fill(folder: Path, results: Any) -> None:
    """In a process whose files may not grow beyond 6,000 bytes, until they may again."""
    log = Log(folder, Key())
    storage = log.boot()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, hard))
    kept: list[int] = []
    for begin in range(0, 70, 7):
        numbers = range(begin, begin + 7)
        try:
            storage.append(bodies(numbers))
            kept += numbers
        except WriteFailed as failure:
            kept += numbers[: failure.kept]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    full = len(kept)
    storage.append(bodies([70, 71]))
    storage.close()
    results.send((full, [*kept, 70, 71]))


def test_a_file_that_may_not_grow_keeps_whole_records(tmp_path: Path) -> None:
    """The kernel itself refuses to write, in the middle of a line, as a full disk does."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_fill, args=(tmp_path, theirs))
    process.start()
    full, kept = ours.recv()
    process.join()
    log = Log(tmp_path)
    assert 20 < full < 70
    assert log.ids() == [IDS[number] for number in kept]
    assert verify(log.paths).problems == []
