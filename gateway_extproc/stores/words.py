"""A file of 64-bit words that several processes share, changed in whole transactions only.

Every worker maps the file.  A transaction holds a POSIX record lock, which the kernel drops when
its process dies.  It is written to the redo area first and then applied; a mark says that the redo
area is complete.  Whoever takes the lock next and finds the mark applies the area once more, so
a process that is killed at any point leaves all of its transaction behind, or nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import mmap
import os
from array import array
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Final

from gateway_extproc.core.ports import StoreUnavailable

log = logging.getLogger(__name__)

LOCK_WAIT_S: Final = 0.25
"""Longer than any holder is kept off its core; only a stopped process holds on so long."""
LOCK_PAUSE_S: Final = 0.001

WORD: Final = 8
HEADER_WORDS: Final = 8
REDO_WORDS: Final = 8192
"""Two words for each word that a transaction may change."""
FIRST: Final = HEADER_WORDS + REDO_WORDS
"""Index of the first word that belongs to the user of the file."""

_FORMAT, _EPOCH, _MARK = 0, 1, 2


class WordFile:
    """The file, its lock and its redo area; ``words`` is read freely under the lock.

    ``format`` names the layout: a file of another one is made anew.
    """

    def __init__(self, path: Path, size: int, format_: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.size = FIRST + size
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self.locked():
            self._map = self._open_map()
            self.words = memoryview(self._map).cast("q")
            if self.words[_FORMAT] != format_:
                self._make_anew(format_)
            self._finish_redo()

    @property
    def epoch(self) -> str:
        """Names this file; one that was made anew has another."""
        return f"{self.words[_EPOCH]:016x}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The lock, waited for inside a system call: for a process that does not serve yet."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    async def lock(self) -> None:
        """Waits for the other workers, but never inside a system call."""
        waited_s = 0.0
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waited_s >= LOCK_WAIT_S:
                    raise StoreUnavailable("the table stayed locked") from None
                await asyncio.sleep(LOCK_PAUSE_S)
                waited_s += LOCK_PAUSE_S
            else:
                if self.words[_MARK]:
                    self._finish_redo()
                return

    def try_lock(self) -> bool:
        """Takes the lock if nobody has it; for what can as well be done a moment later."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if self.words[_MARK]:
            self._finish_redo()
        return True

    def unlock(self) -> None:
        """Others may go on."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def commit(self, changes: Mapping[int, int]) -> None:
        """All of these words change, or none; under the lock."""
        words = self.words
        if 2 * len(changes) > REDO_WORDS:
            raise ValueError(f"a transaction of {len(changes)} words")
        redo = array("q", chain.from_iterable(changes.items()))
        words[HEADER_WORDS : HEADER_WORDS + len(redo)] = memoryview(redo)
        words[_MARK] = len(changes)
        for index, value in changes.items():
            words[index] = value
        words[_MARK] = 0

    def close(self) -> None:
        """Lets go of the file; its content stays."""
        self.words.release()
        self._map.close()
        os.close(self._fd)

    def _finish_redo(self) -> None:
        """What a process began that died over it."""
        words = self.words
        for at in range(HEADER_WORDS, HEADER_WORDS + 2 * words[_MARK], 2):
            words[words[at]] = words[at + 1]
        words[_MARK] = 0

    def _open_map(self) -> mmap.mmap:
        size = os.fstat(self._fd).st_size
        if size not in (0, self.size * WORD):
            log.warning("a shared table has another size; it is made anew")
            os.ftruncate(self._fd, 0)
        os.ftruncate(self._fd, self.size * WORD)
        return mmap.mmap(self._fd, self.size * WORD)

    def _make_anew(self, format_: int) -> None:
        if self.words[_FORMAT]:
            log.warning("a shared table has another format; it is made anew")
            self._map[:] = bytes(self.size * WORD)
        self.words[_EPOCH] = int.from_bytes(os.urandom(7), "little")
        self.words[_FORMAT] = format_
