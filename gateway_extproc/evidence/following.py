"""New records of all workers as they are written, over rotation and over workers' deaths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gateway_extproc.evidence.reading import Segment, find_segments, read_record


class Follower:
    """Reads what was not read before; ``poll`` it as often as it matters.

    What stands in the files when it is made is skipped.  Holds the file that each worker writes to
    open, so that lines which were written just before a rotation are not missed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, tuple[BinaryIO, bytes]] = {}
        for segment in self._current():
            file = segment.path.open("rb")
            file.seek(0, os.SEEK_END)
            self._open[segment.worker] = (file, b"")

    def poll(self) -> Iterator[dict[str, Any]]:
        """The records that were written since the last time, for each worker in order."""
        for segment in self._current():
            known = self._open.get(segment.worker)
            if known is None:
                known = (segment.path.open("rb"), b"")
            yield from self._of_worker(segment, *known)

    def close(self) -> None:
        """Lets go of all files."""
        for file, _ in self._open.values():
            file.close()

    def _current(self) -> list[Segment]:
        return [s for s in find_segments(self._folder, "decisions") if s.is_current]

    def _of_worker(self, segment: Segment, file: BinaryIO, left: bytes) -> Iterator[dict[str, Any]]:
        rotated = not _is_at(file, segment.path)
        records, left = _whole(left + file.read())
        yield from records
        if rotated:
            for path in self._since(segment, file):
                file.close()
                file = path.open("rb")
                records, left = _whole(file.read())
                yield from records
        self._open[segment.worker] = (file, left)

    def _since(self, current: Segment, file: BinaryIO) -> list[Path]:
        """The worker's files after the one that was open, the current one last."""
        mine = [
            s.path for s in find_segments(self._folder, "decisions") if s.worker == current.worker
        ]
        for i, path in enumerate(mine):
            if _is_at(file, path):
                return mine[i + 1 :]
        return mine[-1:]  # it was taken away meanwhile


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _whole(data: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """The records in whole lines, and what is left of the last one."""
    *lines, left = data.split(b"\n")
    found = (read_record(line) for line in lines)
    return [record for record in found if record is not None], left
