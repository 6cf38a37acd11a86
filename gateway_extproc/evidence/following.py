"""New records of all workers as they are written, over rotation and over workers' deaths.

The only reader of what is appended: ``decisions tail`` and the admin API's tail both poll it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Final

from gateway_extproc.evidence.reading import OPENED, find_segments, read_record

READ_MAX: Final = 4 * 1024 * 1024
"""Bytes that one look takes from one file at most; the rest waits for the next look."""


class Follower:
    """Reads what was not read before; ``poll`` it as often as it matters.

    What stands in the files when it is made is skipped, and so are lines that were only opened:
    the complete record follows.  A file is known by its inode, so that a rotated one goes on where
    it was; nothing is held open between two looks.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before: dict[int, int] = {}
        self._offsets = _sizes(folder)

    def poll(self) -> list[dict[str, Any]]:
        """The records that were written since the last time, for each worker in order."""
        known = {**self._before, **self._offsets}
        seen: dict[int, int] = {}
        found: list[dict[str, Any]] = []
        for segment in find_segments(self._folder, "decisions"):
            # One that was renamed since it was listed is found under its new name next time.
            with contextlib.suppress(FileNotFoundError):
                found += self._new_in(segment.path, known, seen)
        # A file that was renamed between listing and looking is missed by one look, not by two;
        # the inode of one that was deleted may come again with another file.
        self._before = {inode: at for inode, at in self._offsets.items() if inode not in seen}
        self._offsets = seen
        return found

    def _new_in(
        self, path: Path, known: dict[int, int], seen: dict[int, int]
    ) -> list[dict[str, Any]]:
        status = path.stat()
        if status.st_size == known.get(status.st_ino, 0):
            seen[status.st_ino] = status.st_size
            return []
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            at = seen.get(status.st_ino, known.get(status.st_ino, 0))
            if status.st_size < at:
                at = 0  # another file with the number of one that was deleted
            file.seek(at)
            lines, seen[status.st_ino] = _whole(file.read(READ_MAX), at)
        records = map(read_record, lines)
        return [r for r in records if r is not None and r.get("outcome") != OPENED]


def _sizes(folder: Path) -> dict[int, int]:
    """How long each file is, by its inode; none is missed that is renamed meanwhile."""
    while True:
        listed = find_segments(folder, "decisions")
        sizes = {}
        with contextlib.suppress(FileNotFoundError):
            for segment in listed:
                status = segment.path.stat()
                sizes[status.st_ino] = status.st_size
            if find_segments(folder, "decisions") == listed:
                return sizes


def _whole(data: bytes, at: int) -> tuple[list[bytes], int]:
    """The whole lines of what stands at an offset, and where the next ones begin."""
    end = data.rfind(b"\n") + 1
    if not end and len(data) == READ_MAX:
        return [], at + READ_MAX  # no record is as long
    return data[:end].splitlines(), at + end
