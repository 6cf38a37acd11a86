"""Columns of long files, kept beside them so that a question need not read a file twice.

A part holds the rows of one stretch of whole lines of one file.  Its name says of which: the file's
first line (which no rotation changes), where the stretch begins and ends, and a check of its last
bytes.  Whatever does not fit is not used, and what is not there is made; without a folder that can
be written everything is read anew.  Parts hold names of tenants and users, so they are as private
as the log, and go when their file goes.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple
from zlib import crc32

import duckdb

from gateway_extproc.evidence.columns import COLUMNS, ROWS, Row, typed
from gateway_extproc.evidence.reading import (
    Kind,
    find_segments,
    identity_of,
    read_record,
    whole_lines_end,
)

FOLDER: Final = "query-cache"
FORMAT: Final = 1
"""Part of each name; another one makes all parts anew."""
SMALLEST: Final = 1 << 20
"""Bytes of a growing file that are not worth a part of their own yet."""
LARGEST: Final = 32 << 20
CHECKED: Final = 4096
UNUSED_S: Final = 600
"""For how long a part that is not used any more stays: another question may be reading it."""
IN_PARALLEL: Final = 2 * LARGEST
"""With more than that to read, several processes do."""

_NAME: Final = re.compile(r"(decisions|costs)-v(\d+)-(\w{24})-(\d{14})-(\d{14})-(\w{8})\.parquet")


class Stretch(NamedTuple):
    """Whole lines of a file, from one offset to another; nobody writes to a ``sealed`` one."""

    path: Path
    identity: str
    sealed: bool
    start: int
    end: int


class Covered(NamedTuple):
    """What all files of a kind hold: kept parts, and stretches that must be read."""

    parts: tuple[Path, ...]
    rest: tuple[Stretch, ...]
    files: dict[str, tuple[int, Path]]
    """By identity: the file's rank and where it is now."""


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory that fetches nothing from anywhere."""
    return duckdb.connect(
        ":memory:",
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False},
    )


def cover(folder: Path, kind: Kind, *, keep: bool = True) -> Covered:
    """Finds or makes the parts of all files; with ``keep`` false nothing is kept or used."""
    place = folder / FOLDER if keep and os.access(folder, os.W_OK) else None
    known = _known(place, kind) if place is not None else {}
    parts: list[Path] = []
    rest: list[Stretch] = []
    files: dict[str, tuple[int, Path]] = {}
    for rank, segment in enumerate(find_segments(folder, kind)):
        with contextlib.suppress(FileNotFoundError), segment.path.open("rb") as file:
            identity = identity_of(file)
            if not identity:
                continue
            files[identity] = (rank, segment.path)
            end = whole_lines_end(file, 0, os.fstat(file.fileno()).st_size)
            kept, at = _chain(file, known.get(identity, []), end)
            small = segment.is_current and end - at < SMALLEST
            if not small:
                at = _merged(kept, at, end)
            parts += [part.path for part in kept]
            step = end - at if small else LARGEST
            while at < end:
                upto = end if at + step >= end else whole_lines_end(file, at, at + step)
                upto = end if upto == at else upto
                rest.append(Stretch(segment.path, identity, not segment.is_current, at, upto))
                at = upto
    if place is not None:
        _forget(known, frozenset(parts))
        made, rest = _make(place, kind, rest)
        parts += made
    return Covered(tuple(parts), tuple(rest), files)


def load(
    database: duckdb.DuckDBPyConnection, table: str, kind: Kind, stretches: Iterable[Stretch]
) -> None:
    """Reads stretches into a new table, the last of several rows with one id only."""
    columns = ", ".join(f'"{name}" {kind_}' for name, kind_ in _all_columns(kind).items())
    database.execute(f"CREATE TABLE {table} ({columns})")
    for stretch in stretches:
        frame = _frame(stretch, kind)  # noqa: F841 (found by its name)
        database.execute(f"INSERT INTO {table} SELECT * FROM frame")


def _all_columns(kind: Kind) -> dict[str, str]:
    place = {"identity": "VARCHAR", "begins": "BIGINT", "size": "BIGINT"}
    return {**COLUMNS[kind], **place}


# ---------------------------------------------------------------------------- parts


class Part(NamedTuple):
    """A kept part: the stretch of its file, the check of that stretch's end, and where it is."""

    start: int
    end: int
    check: str
    path: Path


Known = dict[str, list[Part]]
"""By the identity of the file, the longest first."""


def _known(place: Path, kind: Kind) -> Known:
    known: Known = {}
    for path in place.glob(f"{kind}-*"):
        match = _NAME.fullmatch(path.name)
        if match is not None and int(match[2]) == FORMAT and os.access(path, os.R_OK):
            part = Part(int(match[4]), int(match[5]), match[6], path)
            known.setdefault(match[3], []).append(part)
    for parts in known.values():
        parts.sort(reverse=True)
    return known


def _chain(file: BinaryIO, known: list[Part], end: int) -> tuple[list[Part], int]:
    """Parts that follow each other from the beginning, and where they end."""
    starts: dict[int, list[Part]] = {}
    for part in known:
        starts.setdefault(part.start, []).append(part)
    kept: list[Part] = []
    at = 0
    while True:
        for part in starts.get(at, ()):
            if at < part.end <= end and part.check == _check(file, part.end):
                kept.append(part)
                at = part.end
                break
        else:
            return kept, at


def _merged(kept: list[Part], at: int, end: int) -> int:
    """Takes away small parts before what is to be read, and says where to read from instead.

    A file that grows while it is asked about has a few parts then, each far longer than the next.
    """
    while kept and at < end:
        last = kept[-1]
        if last.end - last.start >= 2 * (end - at) or end - last.start > LARGEST:
            break
        at = kept.pop().start
    return at


def _check(file: BinaryIO, end: int) -> str:
    begin = max(0, end - CHECKED)
    file.seek(begin)
    return f"{crc32(file.read(end - begin)):08x}"


def _forget(known: Known, used: frozenset[Path]) -> None:
    """Parts of files that are gone go, too, and those that were merged."""
    for part in (part for parts in known.values() for part in parts):
        with contextlib.suppress(OSError):
            if part.path not in used and time.time() - part.path.stat().st_mtime > UNUSED_S:
                part.path.unlink()


def _make(place: Path, kind: Kind, rest: list[Stretch]) -> tuple[list[Path], list[Stretch]]:
    """Parts of all stretches that are worth it, and the stretches that are not."""
    worth = [s for s in rest if s.sealed or s.end - s.start >= SMALLEST]
    if not worth:
        return [], rest
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        paths = list(_written(place, kind, worth))
    except (OSError, BrokenProcessPool):
        return [], rest  # a full disk, or a folder of somebody else's: read, and not kept
    return paths, [s for s in rest if s not in worth]


def _written(place: Path, kind: Kind, worth: list[Stretch]) -> Iterator[Path]:
    workers = min(len(worth), len(os.sched_getaffinity(0)))
    if workers < 2 or sum(s.end - s.start for s in worth) < IN_PARALLEL:
        for stretch in worth:
            yield write_part(place, kind, stretch)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(write_part, [place] * len(worth), [kind] * len(worth), worth)


def write_part(place: Path, kind: Kind, stretch: Stretch) -> Path:
    """Writes one part, readable by its owner only; whole or not at all."""
    with stretch.path.open("rb") as file:
        check = _check(file, stretch.end)
    name = f"{kind}-v{FORMAT}-{stretch.identity}-{stretch.start:014d}-{stretch.end:014d}-{check}"
    draft = place / f".{name}.{os.getpid()}"
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    frame = _frame(stretch, kind)  # noqa: F841 (found by its name)
    try:
        with connect() as database:
            database.execute("SET threads = 1")
            database.execute(
                f"COPY (SELECT * FROM frame) TO '{_quoted(draft)}' (FORMAT parquet, "
                "COMPRESSION zstd)"
            )
        draft.chmod(0o600)
        done = place / f"{name}.parquet"
        draft.replace(done)
    except duckdb.Error as error:
        raise OSError(f"{place}: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return done


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


# ----------------------------------------------------------------------------- rows


def _frame(stretch: Stretch, kind: Kind) -> dict[str, Any]:
    """The rows of a stretch, by column."""
    import numpy as np  # a quarter of a second, which most questions need not wait

    row_of = ROWS[kind]
    last: dict[str, tuple[Row, int, int]] = {}
    with stretch.path.open("rb") as file:
        file.seek(stretch.start)
        data = file.read(stretch.end - stretch.start)
    at = stretch.start
    for line in data.splitlines(keepends=True):
        record = read_record(line)
        if record is not None:
            # Of the decisions that stand twice the last counts; equal costs count once, and
            # the first was written by who knew it.
            id_ = record["decision_id"]
            if kind == "decisions" or id_ not in last:
                last[id_] = (typed(row_of(record), kind), at, len(line))
        at += len(line)
    rows = [(*row, stretch.identity, offset, size) for row, offset, size in last.values()]
    names = _all_columns(kind)
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    return {
        name: np.array(values, dtype=_DTYPES[type_])
        for (name, type_), values in zip(names.items(), columns, strict=True)
    }


_DTYPES: Final = {"VARCHAR": "object", "BIGINT": "int64", "DOUBLE": "float64"}
