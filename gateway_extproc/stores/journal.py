"""What a worker has reserved and not settled yet, where its successor finds it.

A file that the worker maps into its memory: what was written there outlives a ``kill -9`` of
the process without a system call for each request.  An entry is two JSON texts: what is to be
reserved, written before the store is asked, and later what it came to.  A worker owns its file;
its successor adopts it.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

log = logging.getLogger(__name__)

ENTRY: Final = 4096
OPENED: Final = 2560
"""Bytes for what was reserved; the rest is for what it came to."""
FIRST_ENTRIES: Final = 1024
MAX_ENTRIES: Final = 65_536

_FREE, _OPEN, _CLOSED, _ASKED = 0, 1, 2, 3
_HEAD = struct.Struct("<BxHH")  # state, length of either text
_LENGTH = struct.Struct("<H")


class JournalFull(Exception):
    """No entry is free, or this one is larger than an entry."""


class Entry(NamedTuple):
    """What a dead process left; ``closed`` is None for a request that it did not finish.

    ``granted`` is false where the store's answer did not arrive.
    """

    ticket: int
    opened: dict[str, Any]
    closed: dict[str, Any] | None
    granted: bool


class Journal:
    """The journal of one worker; open it in the worker, after its predecessor's death."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        entries = max(FIRST_ENTRIES, os.fstat(self._fd).st_size // ENTRY)
        os.ftruncate(self._fd, entries * ENTRY)
        self._map = mmap.mmap(self._fd, entries * ENTRY)
        self._free = [t for t in range(entries - 1, -1, -1) if self._map[t * ENTRY] == _FREE]
        self._entries = entries

    def __len__(self) -> int:
        return self._entries - len(self._free)

    def ask(self, opened: dict[str, Any]) -> int:
        """Keeps what is to be reserved; raises ``JournalFull``."""
        text = orjson.dumps(opened)
        if len(text) > OPENED - _HEAD.size:
            raise JournalFull(f"a reservation of {len(text)} bytes")
        if not self._free:
            self._grow()
        ticket = self._free.pop()
        at = ticket * ENTRY
        start = at + _HEAD.size
        self._map[start : start + len(text)] = text
        _HEAD.pack_into(self._map, at, _FREE, len(text), 0)
        # Last, so that a half-written entry is none.
        self._map[at] = _ASKED
        return ticket

    def grant(self, ticket: int) -> None:
        """The store has reserved it."""
        self._map[ticket * ENTRY] = _OPEN

    def close_entry(self, ticket: int, closed: dict[str, Any]) -> None:
        """Keeps what a reservation came to; it stays until ``free``."""
        text = orjson.dumps(closed)
        if len(text) > ENTRY - OPENED:
            raise JournalFull(f"a settlement of {len(text)} bytes")
        at = ticket * ENTRY
        start = at + OPENED
        self._map[start : start + len(text)] = text
        _LENGTH.pack_into(self._map, at + 4, len(text))
        self._map[at] = _CLOSED

    def free(self, ticket: int) -> None:
        """Settled, and its cost record is kept."""
        self._map[ticket * ENTRY] = _FREE
        self._free.append(ticket)

    def left(self) -> Iterator[Entry]:
        """What the predecessor left; read it before anything is opened."""
        for ticket in range(self._entries):
            state, opened, closed = _HEAD.unpack_from(self._map, ticket * ENTRY)
            if state == _FREE:
                continue
            try:
                start = ticket * ENTRY + _HEAD.size
                first = orjson.loads(self._map[start : start + opened])
                start = ticket * ENTRY + OPENED
                second = orjson.loads(self._map[start : start + closed]) if closed else None
            except orjson.JSONDecodeError:
                log.error("journal entry %d is unreadable and dropped", ticket)
                self.free(ticket)
                continue
            closed_text = second if state == _CLOSED else None
            yield Entry(ticket, first, closed_text, granted=state != _ASKED)

    def close(self) -> None:
        """Lets go of the file; its entries stay."""
        self._map.close()
        os.close(self._fd)

    def _grow(self) -> None:
        entries = 2 * self._entries
        if entries > MAX_ENTRIES:
            raise JournalFull(f"{self._entries} reservations are not settled")
        os.ftruncate(self._fd, entries * ENTRY)
        self._map.resize(entries * ENTRY)
        self._free = list(range(entries - 1, self._entries - 1, -1))
        self._entries = entries
