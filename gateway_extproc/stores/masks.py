"""What conversations keep between their requests: sealed values by name, until they expire.

The stores see neither whose they are nor what they hold.  A value takes the place of the one
that was read, or of none: of two requests at once the later one reads again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import hiredis

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.redisscript import Script
from gateway_extproc.stores.redistopology import Topology

MASKS_NAME: Final = "masks.sqlite"
BUSY_MS: Final = 250
"""Longest wait for another worker of this host."""

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS masks (
  name TEXT PRIMARY KEY, sealed BLOB NOT NULL, until_s REAL NOT NULL) WITHOUT ROWID"""
_BY_END: Final = "CREATE INDEX IF NOT EXISTS masks_until ON masks (until_s)"


class HostMasks:
    """``MaskStore`` of one host, in one database that its workers share."""

    def __init__(self, folder: Path, now_s: Callable[[], float]) -> None:
        self._path, self._now_s = folder / MASKS_NAME, now_s
        self._one_at_a_time = asyncio.Lock()
        self._database: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Nothing to connect to: the file is opened by the first conversation."""

    async def get(self, name: str) -> bytes | None:
        row = await self._run(
            "SELECT sealed FROM masks WHERE name = ? AND until_s > ?", (name, self._now_s())
        )
        return row[0] if row else None

    async def put(self, name: str, sealed: bytes, life_s: float, instead_of: bytes | None) -> bool:
        now_s = self._now_s()
        await self._run("DELETE FROM masks WHERE until_s <= ?", (now_s,))
        fields: tuple[Any, ...] = (sealed, now_s + life_s, name)
        if instead_of is None:
            change = "INSERT OR IGNORE INTO masks (sealed, until_s, name) VALUES (?, ?, ?)"
        else:
            change = "UPDATE masks SET sealed = ?, until_s = ? WHERE name = ? AND sealed = ?"
            fields = (*fields, instead_of)
        return bool(await self._run(f"{change} RETURNING 1", fields))

    async def close(self) -> None:
        if self._database is not None:
            await asyncio.to_thread(self._database.close)

    async def _run(self, statement: str, fields: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """One statement, a transaction of its own, beside the loop; its first row."""
        try:
            async with self._one_at_a_time:
                return await asyncio.to_thread(self._execute, statement, fields)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path}: {error}") from None

    def _execute(self, statement: str, fields: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._database is None:
            self._database = _connect(self._path)
        rows = self._database.execute(statement, fields).fetchall()
        return rows[0] if rows else None


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(
        path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
    )
    # What expired is overwritten, not only forgotten; a lost last second costs placeholders only.
    for setting in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON"):
        database.execute(f"PRAGMA {setting}")
    database.execute(_TABLE)
    database.execute(_BY_END)
    return database


class RedisMasks:
    """``MaskStore`` of all hosts that share a Redis."""

    def __init__(self, topology: Topology, prefix: str) -> None:
        self._topology, self._prefix = topology, prefix
        self._keep = Script(topology, "masks_keep")

    async def open(self) -> None:
        """Tries once to be connected when it returns; a Redis that is away is no error."""
        await self._topology.open()

    async def get(self, name: str) -> bytes | None:
        key = self._key(name)
        reply = await self._topology.send(key, ("GET", key))
        if isinstance(reply, hiredis.ReplyError):
            raise StoreUnavailable(f"Redis: {reply}")
        return reply if isinstance(reply, bytes) else None

    async def put(self, name: str, sealed: bytes, life_s: float, instead_of: bytes | None) -> bool:
        read = _sha1(instead_of) if instead_of is not None else ""
        return bool(await self._keep(self._key(name), (read, sealed, int(life_s * 1000))))

    async def close(self) -> None:
        await self._topology.close()

    def _key(self, name: str) -> str:
        return f"{self._prefix}:masks:{name}"


def _sha1(data: bytes) -> str:
    """As Redis's scripts can make it; tells two states of a value apart, no more."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
