"""Nonces of signed requests, remembered by all workers of one host together.

A table in a file that every worker maps, under a POSIX lock, like the limits'
(``memory.py``): a replay reaches another worker as often as not, so memory of one's own would
let every second one pass.  Unlike a limit, a live nonce must never make room: where all
its slots are taken by nonces that still count, the request is refused.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway_extproc.core.identity import Nonce
from gateway_extproc.core.ports import NonceOutcome

SLOTS: Final = 1 << 19
"""12 MiB, of which only pages that were used exist."""
PROBES: Final = 64
"""Slots looked at for one nonce: at half the table in use, one in 10^19 finds no room."""

LOCK_TRIES: Final = 250
LOCK_PAUSE_S: Final = 0.001

_SLOT: Final = struct.Struct("<16sd")


class SharedNonces:
    """``NonceStore`` over a table in a file; open it once in each worker."""

    def __init__(self, path: Path, now_s: Callable[[], float], slots: int = SLOTS) -> None:
        self._now_s = now_s
        self._slots = slots
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size < slots * _SLOT.size:
            os.ftruncate(self._fd, slots * _SLOT.size)
        self._table = mmap.mmap(self._fd, slots * _SLOT.size)

    async def take(self, nonce: Nonce) -> NonceOutcome:
        """Whether the nonce is new; from then on it is not, until it expires."""
        name = hashlib.blake2b(nonce.key, digest_size=16).digest()
        if not await self._locked():
            return "unavailable"
        try:
            return self._take(name, nonce.until_s)
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Unmaps the table; its content stays in the file, for the next worker."""
        self._table.close()
        os.close(self._fd)

    async def _locked(self) -> bool:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Never wait inside a system call: the loop has other requests.
                await asyncio.sleep(LOCK_PAUSE_S)
            else:
                return True
        return False

    def _take(self, name: bytes, until_s: float) -> NonceOutcome:
        start, now_s = int.from_bytes(name[:8], "little"), self._now_s()
        free = -1
        for probe in range(PROBES):
            at = ((start + probe) % self._slots) * _SLOT.size
            stored, expires_s = _SLOT.unpack_from(self._table, at)
            if stored == name and expires_s > now_s:
                return "seen"
            if free < 0 and expires_s <= now_s:
                free = at
            if expires_s == 0.0:
                # Never used: nothing was ever put behind it.
                break
        if free < 0:
            return "unavailable"
        _SLOT.pack_into(self._table, free, name, until_s)
        return "fresh"
