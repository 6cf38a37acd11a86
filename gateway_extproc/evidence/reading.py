"""The files of the decision log and of the cost ledger, as whoever reads them sees them.

A worker writes ``decisions-{worker}.jsonl`` and gives it away when it has grown, as
``decisions-{worker}.{number}.jsonl``; costs likewise.  A line that holds a ``decision_id`` is a
record.  Others (headers, checkpoints) and a torn last line are no records and are skipped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from sys import maxsize
from typing import Any, BinaryIO, Final, Literal

import orjson

Kind = Literal["decisions", "costs"]

OPENED: Final = "OPENED"
"""The outcome of a request that had begun when its line was written."""
INTERRUPTED: Final = "INTERRUPTED"
"""How a request is shown of which nothing but its beginning is known."""

_NAME: Final = re.compile(r"(decisions|costs)-(\d+)(?:\.(\d+))?\.jsonl")
_FIRST_LINE_BYTES: Final = 1 << 20


class LogChanged(Exception):
    """A line is not where it was: somebody else than the gateway has changed a file."""


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file; sorts as it was written: by worker, rotated ones first, the current one last."""

    worker: int
    number: int
    path: Path

    @property
    def is_current(self) -> bool:
        """Whether a worker may still write there."""
        return self.number == maxsize


def find_segments(folder: Path, kind: Kind) -> list[Segment]:
    """All files of a kind, oldest first for each worker; none for a folder that is not there."""
    found = []
    for path in folder.glob(f"{kind}-*.jsonl"):
        match = _NAME.fullmatch(path.name)
        if match is not None:
            number = maxsize if match[3] is None else int(match[3])
            found.append(Segment(int(match[2]), number, path))
    return sorted(found)


def read_record(line: bytes) -> dict[str, Any] | None:
    """The record in a line; None for a line that holds none."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) and record.get("decision_id") else None


def records_in(data: bytes) -> Iterator[dict[str, Any]]:
    """The records in some lines, in order."""
    for line in data.splitlines():
        record = read_record(line)
        if record is not None:
            yield record


def shown(record: dict[str, Any]) -> dict[str, Any]:
    """The record as it is shown: one that was only opened was interrupted."""
    return {**record, "outcome": INTERRUPTED} if record.get("outcome") == OPENED else record


def whole_lines_end(file: BinaryIO, start: int, end: int) -> int:
    """Where the last whole line between two offsets ends; ``start`` where there is none."""
    step = 1 << 16
    at = end
    while at > start:
        begin = max(start, at - step)
        file.seek(begin)
        found = file.read(at - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        at = begin
    return start


def identity_of(file: BinaryIO) -> str:
    """Names a file by its first line, which no rotation changes; empty for one without a line."""
    file.seek(0)
    line, ended, _ = file.read(_FIRST_LINE_BYTES).partition(b"\n")
    return hashlib.sha256(line).hexdigest()[:24] if ended else ""
