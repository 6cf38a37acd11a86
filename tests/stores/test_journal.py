"""What a worker leaves behind for its successor."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from gateway_extproc.stores import journal as module
from gateway_extproc.stores.journal import Journal, JournalFull


def reopened(journal: Journal, path: Path) -> Journal:
    journal.close()
    return Journal(path)


def test_what_is_open_or_closed_is_found_again_and_what_is_free_is_not(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    first, second, third = (journal.ask({"rid": name}) for name in "abc")
    fourth = journal.ask({"rid": "d"})
    for ticket in (first, second, third):
        journal.grant(ticket)
    journal.close_entry(second, {"actual": [1]})
    journal.free(third)
    left = [
        (e.opened["rid"], e.ticket, e.closed, e.granted) for e in reopened(journal, path).left()
    ]
    assert sorted(left) == [
        ("a", first, None, True),
        ("b", second, {"actual": [1]}, True),
        ("d", fourth, None, False),
    ]


def test_entries_that_were_left_are_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    journal.ask({"rid": "old"})
    journal = reopened(journal, path)
    for number in range(module.FIRST_ENTRIES + 10):
        journal.ask({"rid": number})
    rids = [entry.opened["rid"] for entry in reopened(journal, path).left()]
    assert len(rids) == module.FIRST_ENTRIES + 11
    assert "old" in rids


def test_a_journal_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 2 * module.FIRST_ENTRIES)
    journal = Journal(tmp_path / "j")
    for number in range(2 * module.FIRST_ENTRIES):
        journal.ask({"rid": number})
    with pytest.raises(JournalFull):
        journal.ask({"rid": "one more"})


def test_an_entry_is_bounded(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    with pytest.raises(JournalFull):
        journal.ask({"rid": "x" * module.OPENED})
    ticket = journal.ask({"rid": "a"})
    with pytest.raises(JournalFull):
        journal.close_entry(ticket, {"bill": "x" * module.ENTRY})
    assert len(journal) == 1


def test_a_torn_entry_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    journal.ask({"rid": "torn"})
    journal.close()
    data = path.read_bytes()
    path.write_bytes(data.replace(b'{"rid"', b'\x00"rid"'))
    journal = Journal(path)
    assert list(journal.left()) == []
    assert len(journal) == 0


def write_for_ever(path: Path, pipe: Connection) -> None:
    journal = Journal(path)
    pipe.send_bytes(b"ready")
    number = 0
    while True:
        ticket = journal.ask({"rid": number, "pad": "x" * (number % 900)})
        journal.close_entry(ticket, {"actual": [number]})
        if number % 3:
            journal.free(ticket)
        if number % 300 == 0:
            for entry in list(journal.left()):
                journal.free(entry.ticket)
        number += 1


@pytest.mark.parametrize("wait_s", [0.0, 0.003, 0.01, 0.03, 0.1])
def test_a_killed_process_leaves_only_whole_entries(tmp_path: Path, wait_s: float) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    writer = context.Process(target=write_for_ever, args=(tmp_path / "j", theirs))
    writer.start()
    assert ours.poll(20)
    writer.join(wait_s)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    for entry in Journal(tmp_path / "j").left():
        assert len(entry.opened["pad"]) == entry.opened["rid"] % 900
        assert entry.closed in (None, {"actual": [entry.opened["rid"]]})
