"""Who asks a provider now: a small table that the workers of a host share.

A claim is the first 16 bytes of a key and a time at which it ends by itself, because whoever
made it may die.  A table without room lets everybody ask: it saves work, it decides nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway_extproc.stores.words import FIRST, WordFile

FORMAT: Final = 0x434C41494D530001
PLACES: Final = 4096
PROBES: Final = 8
_WORDS: Final = 3
_NAME: Final = struct.Struct("<qq")


class HostClaims:
    """``Claims`` of one host; open it once in each worker.  Raises ``StoreUnavailable``."""

    def __init__(self, path: Path, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._file = WordFile(path, PLACES * _WORDS, FORMAT)

    async def take(self, key: bytes, life_s: float) -> bool:
        first, second = _NAME.unpack_from(key)
        await self._file.lock()
        try:
            now_us = self._now_us()
            free = 0
            for at in _places(first):
                words = self._file.words
                if words[at + 2] <= now_us:
                    free = free or at
                elif (words[at], words[at + 1]) == (first, second):
                    return False
            if free:
                until_us = now_us + int(life_s * 1e6)
                self._file.commit({free: first, free + 1: second, free + 2: until_us})
            return True
        finally:
            self._file.unlock()

    async def held(self, key: bytes) -> bool:
        """Read without the lock: who sees half of a change looks again soon."""
        return self._find(key) != 0

    async def drop(self, key: bytes) -> None:
        await self._file.lock()
        try:
            at = self._find(key)
            if at:
                self._file.commit({at + 2: 0})
        finally:
            self._file.unlock()

    def close(self) -> None:
        """Lets go of the table."""
        self._file.close()

    def _find(self, key: bytes) -> int:
        first, second = _NAME.unpack_from(key)
        words, now_us = self._file.words, self._now_us()
        for at in _places(first):
            if words[at] == first and words[at + 1] == second and words[at + 2] > now_us:
                return at
        return 0


def _places(first: int) -> range:
    start = FIRST + first % (PLACES - PROBES) * _WORDS
    return range(start, start + PROBES * _WORDS, _WORDS)
