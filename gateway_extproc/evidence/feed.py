"""``core.feed.Feed`` over the files of ``evidence.dir``, rotated ones included.

Lines that are no records (without ``decision_id``, or not yet whole) are passed over; of several
lines of one decision the last one counts.
"""

from __future__ import annotations

import heapq
import mmap
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gateway_extproc.core.feed import DecisionFilter, Page, Record, within
from gateway_extproc.evidence.reading import read_record
from gateway_extproc.evidence.search import find_decision

SCAN_MAX: Final = 100_000
"""Lines that one call for a page looks at."""
ROWS_MAX: Final = 10_000
READ_MAX: Final = 4 * 1024 * 1024
"""Bytes that a follower takes from one file at once."""

NUMBERS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")

Position = tuple[int, str]
"""When a request ended, in microseconds since 1970, and its decision: pages follow this order."""


class FileFeed:
    """The files of one folder, opened anew at each call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def page(self, wanted: DecisionFilter, limit: int, before: str) -> Page:
        start = _position(before) if before else None
        files = [_newest_first(path) for path in self._folder.glob("decisions-*.jsonl")]
        found: list[Record] = []
        seen: set[str] = set()
        looked = 0
        for position, record in heapq.merge(*files, key=lambda pair: pair[0], reverse=True):
            if start is not None and position >= start:
                continue  # of an earlier page
            looked += 1
            if position[1] not in seen and wanted.fits(record):
                found.append(record)
            seen.add(position[1])
            if len(found) == limit or looked == SCAN_MAX:
                return Page(found, f"{position[0]}-{position[1]}")
        return Page(found, "")

    def find(self, id_: str) -> Record | None:
        return find_decision(self._folder, id_)

    def sums(self, by: Sequence[str], tenant: str, since: str, until: str) -> list[Record]:
        rows: dict[tuple[str, ...], Record] = {}
        seen: set[str] = set()
        for path in self._folder.glob("costs-*.jsonl"):
            for _, record in _newest_first(path):
                if record["decision_id"] in seen:
                    continue
                seen.add(record["decision_id"])
                if tenant and record.get("tenant") != tenant:
                    continue
                if within(record.get("time", ""), since, until):
                    _add(rows, by, record)
        return sorted(rows.values(), key=lambda row: -int(row["cost_nanos"]))

    def follow(self, wanted: DecisionFilter) -> FileFollower:
        return FileFollower(self._folder, wanted)


class FileFollower:
    """Reads what is appended; knows a file by its inode, so a rotated one goes on where it was."""

    def __init__(self, folder: Path, wanted: DecisionFilter) -> None:
        self._folder, self._wanted = folder, wanted
        self._offsets: dict[int, int] = {}
        for path in folder.glob("decisions-*.jsonl"):
            status = path.stat()
            self._offsets[status.st_ino] = status.st_size

    def read(self) -> list[Record]:
        found: list[Record] = []
        known: dict[int, int] = {}
        for path in sorted(self._folder.glob("decisions-*.jsonl")):
            try:
                with path.open("rb") as file:
                    inode = os.fstat(file.fileno()).st_ino
                    lines, known[inode] = _lines_after(file, self._offsets.get(inode, 0))
            except FileNotFoundError:
                continue  # renamed since it was listed: found under its new name next time
            found += [record for line in lines if (record := read_record(line)) is not None]
        self._offsets = {**self._offsets, **known}
        return [record for record in found if self._wanted.fits(record)]


def _lines_after(file: Any, offset: int) -> tuple[list[bytes], int]:
    """Whole lines behind an offset, and where the next ones begin."""
    file.seek(offset)
    data: bytes = file.read(READ_MAX)
    end = data.rfind(b"\n") + 1
    if not end and len(data) == READ_MAX:
        return [], offset + READ_MAX  # no record is as long
    return data[:end].splitlines(), offset + end


def _newest_first(path: Path) -> Iterator[tuple[Position, Record]]:
    """The records of a file from its end, each with its position."""
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
                ended_us = int(os.fstat(file.fileno()).st_mtime * 1e6)
                for line in _lines_backwards(data):
                    record = read_record(line)
                    if record is not None:
                        ended_us = _ended_us(record, ended_us)
                        yield (ended_us, record["decision_id"]), record
    except FileNotFoundError:
        return


def _lines_backwards(data: mmap.mmap) -> Iterator[bytes]:
    end = data.rfind(b"\n") + 1
    while end > 0:
        start = data.rfind(b"\n", 0, end - 1) + 1
        yield data[start:end]
        end = start


def _ended_us(record: Record, otherwise: int) -> int:
    """When a request ended; one without a time stands where the line behind it stands."""
    try:
        began = datetime.fromisoformat(record["time"])
    except (KeyError, ValueError):
        return otherwise
    return int(began.timestamp() * 1e6) + int(record.get("duration_ms", 0) * 1000)


def _position(text: str) -> Position:
    ended, _, decision = text.partition("-")
    if not ended.isdecimal() or not decision:
        raise ValueError("before: the 'next' of an earlier page")
    return int(ended), decision


def _add(rows: dict[tuple[str, ...], Record], by: Sequence[str], record: Record) -> None:
    key = tuple(_value(record, name) for name in by)
    row = rows.get(key)
    if row is None:
        if len(rows) == ROWS_MAX:
            raise ValueError(f"more than {ROWS_MAX} different sums: fewer dimensions, or less time")
        row = rows[key] = {
            "by": dict(zip(by, key, strict=True)), "requests": 0, "cost_nanos": 0,
            **dict.fromkeys(NUMBERS, 0),
        }  # fmt: skip
    row["requests"] += 1
    row["cost_nanos"] += record.get("cost_nanos", 0)
    for name in NUMBERS:
        row[name] += record.get("usage", {}).get(name, 0)


def _value(record: Record, name: str) -> str:
    if name == "day":
        return str(record.get("time", "")[:10])
    if name == "hour":
        return str(record.get("time", "")[:13])
    section, _, key = name.partition(".")
    value = record.get(section, "")
    return str(value.get(key, "") if key and isinstance(value, dict) else value)
