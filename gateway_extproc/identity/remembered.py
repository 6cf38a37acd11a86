"""Tokens that were verified before, so that the next request need not do it again."""

from __future__ import annotations

from typing import NamedTuple

from gateway_extproc.core.identity import Proven
from gateway_extproc.identity.trust import Trust


class Entry(NamedTuple):
    """What a token proved, whose it was, and under which trust it was verified."""

    proven: Proven
    issuer: str
    trust: Trust


class Remembered:
    """Verified tokens by their SHA-256; bounded, and none outlives its ``exp``.

    Who finds an entry compares its trust with today's: after a change of keys or
    denials every token is verified anew.  When full, the oldest entry leaves.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: dict[bytes, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, digest: bytes, now_s: float) -> Entry | None:
        """The entry of a token that has not expired."""
        entry = self._entries.get(digest)
        if entry is not None and now_s >= entry.proven.expires_at_s:
            del self._entries[digest]
            return None
        return entry

    def keep(self, digest: bytes, entry: Entry) -> None:
        """Remembers a token that was just verified."""
        self._entries.pop(digest, None)
        if len(self._entries) >= self._max_entries:
            del self._entries[next(iter(self._entries))]
        self._entries[digest] = entry
