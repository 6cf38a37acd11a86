from __future__ import annotations

import errno
import json
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.evidence.log import JsonLinesLog
from gateway_extproc.evidence.storage import PlainFile


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_ten_thousand_records_are_all_written_in_order(tmp_path: Path) -> None:
    path = tmp_path / "evidence" / "log.jsonl"
    log = JsonLinesLog(PlainFile(path))
    for number in range(10_000):
        log.write({"number": number})
    assert log.close()
    assert [line["number"] for line in lines(path)] == list(range(10_000))
    assert (log.written, log.dropped, log.failed) == (10_000, 0, 0)


def test_records_reach_the_file_without_a_close(tmp_path: Path) -> None:
    log = JsonLinesLog(PlainFile(tmp_path / "log"))
    log.write({"n": 1})
    deadline = time.monotonic() + 5
    while log.written < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lines(tmp_path / "log") == [{"n": 1}]
    log.close()


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch(mode=0o644)
    JsonLinesLog(PlainFile(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_torn_line_of_a_crash_spoils_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'{"n":1}\n{"n":2,"half')
    log = JsonLinesLog(PlainFile(path))
    log.write({"n": 3})
    log.write({"n": 4})
    log.close()
    assert path.read_bytes() == b'{"n":1}\n{"n":2,"half\n{"n":3}\n{"n":4}\n'


def test_a_whole_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for number in (1, 2):
        log = JsonLinesLog(PlainFile(path))
        log.write({"n": number})
        log.close()
    assert path.read_bytes() == b'{"n":1}\n{"n":2}\n'


def test_what_does_not_fit_is_counted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    gate, real = threading.Event(), os.write

    def slow(file: int, data: bytes) -> int:
        gate.wait(5)
        return real(file, data)

    monkeypatch.setattr(os, "write", slow)
    log = JsonLinesLog(PlainFile(tmp_path / "log"), bound=10, linger_s=0.0, on_loss=told.append)
    for number in range(500):
        log.write({"n": number})
    assert log.dropped > 0
    gate.set()
    assert log.close()
    assert sum(told) == log.dropped
    assert log.written + log.dropped == 500


def test_a_full_disk_is_counted_and_the_log_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    real, full = os.write, True
    path = tmp_path / "log"

    def failing(file: int, data: bytes) -> int:
        if not full:
            return real(file, data)
        if data.startswith(b'{"n":0}'):
            return real(file, data[:12])  # one line and a half, then no more
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", failing)
    log = JsonLinesLog(PlainFile(path), linger_s=0.05, on_loss=told.append)
    for number in range(3):
        log.write({"n": number})
    deadline = time.monotonic() + 5
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    full = False
    log.write({"n": 3})
    log.close()
    assert (log.written, log.failed, told) == (2, 2, [2])
    assert path.read_bytes() == b'{"n":0}\n{"n"\n{"n":3}\n'


def test_texts_that_are_no_unicode_do_not_hide_a_request(tmp_path: Path) -> None:
    log = JsonLinesLog(PlainFile(tmp_path / "log"))
    log.write({"path": "/\udc80", "roles": ("a\ud800",), "trail": [{"rule": "\udfff"}]})
    log.close()
    assert lines(tmp_path / "log") == [{"path": "/?", "roles": ["a?"], "trail": [{"rule": "?"}]}]


def test_a_record_that_cannot_be_encoded_is_counted(tmp_path: Path) -> None:
    log = JsonLinesLog(PlainFile(tmp_path / "log"))
    log.write({"n": object()})
    log.write({"n": 1})
    log.close()
    assert (log.written, log.failed) == (1, 1)


def test_a_closed_log_counts_what_comes_late(tmp_path: Path) -> None:
    log = JsonLinesLog(PlainFile(tmp_path / "log"))
    assert log.close()
    assert log.close()
    log.write({"n": 1})
    assert (log.written, log.dropped) == (0, 1)
