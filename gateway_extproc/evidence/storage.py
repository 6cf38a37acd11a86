"""Where a log's lines go: what a storage is, and the plain one, a single file.

A storage belongs to its log's writer thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

Sync = Callable[[int], object]
"""Makes a file durable, such as ``os.fdatasync``; raises OSError."""


class WriteFailed(Exception):
    """Only the first ``kept`` of the records that were to be written are in the file."""

    def __init__(self, kept: int, cause: OSError) -> None:
        super().__init__(str(cause))
        self.kept = kept


class Storage(Protocol):
    """Takes encoded records in order."""

    @property
    def path(self) -> Path:
        """The file being written."""

    def append(self, bodies: Sequence[bytes]) -> None:
        """Writes records, JSON objects without a line's end; raises ``WriteFailed``.

        None of those that were not kept are in the file.
        """

    def due_s(self) -> float | None:
        """In how many seconds ``append`` should be called even with nothing; None for never."""

    def close(self) -> None:
        """Writes what belongs to the end, and closes the file; never raises."""


class PlainFile:
    """One file of lines that several processes may append to; not synced, not chained."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_private(path)
        self._torn = _ends_torn(self._file)

    def append(self, bodies: Sequence[bytes]) -> None:
        if not bodies:
            return
        # After a torn line (a crash, a full disk) the next record starts on a line of its own.
        data = b"\n" * self._torn + b"".join([body + b"\n" for body in bodies])
        done, error = write_all(self._file, data)
        if error is not None:
            lost = data.count(b"\n", max(done, int(self._torn)))
            if done:
                self._torn = data[done - 1] != 0x0A
            raise WriteFailed(len(bodies) - lost, error)
        self._torn = False

    def due_s(self) -> float | None:
        return None

    def close(self) -> None:
        os.close(self._file)


def open_private(path: Path) -> int:
    """A file to append to, which only its owner may read, whatever its mode was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    os.fchmod(file, 0o600)
    return file


def write_all(file: int, data: bytes) -> tuple[int, OSError | None]:
    """How many bytes were written, and what kept the rest from it."""
    done = 0
    try:
        while done < len(data):
            done += os.write(file, data[done:] if done else data)
    except OSError as error:
        return done, error
    return done, None


def _ends_torn(file: int) -> bool:
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"
