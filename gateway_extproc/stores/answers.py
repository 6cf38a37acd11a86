"""Kept answers: one database that the workers of a host share, or a Redis that hosts share.

Whatever is kept is sealed: neither a file nor a Redis shows what was asked or answered, and an
entry that was moved to another key does not open.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import hiredis
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway_extproc.core.ports import AnswerCache, StoreUnavailable
from gateway_extproc.stores.memory import CacheBounds
from gateway_extproc.stores.redistopology import Topology

ANSWERS_NAME: Final = "answers.sqlite"
NONCE_BYTES: Final = 12
READ_WAIT_MS: Final = 2
"""Readers do not wait for writers of a WAL; only a file that is being repaired keeps them."""
WRITE_WAIT_MS: Final = 250
PENDING: Final = 64
"""Answers that may wait to be written; with more waiting the next one is not kept."""
TOUCHES: Final = 256
"""Used answers that are noted at once."""

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, sealed BLOB NOT NULL,"
    " until_ms INTEGER NOT NULL, used INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS answers_used ON answers (used)",
    "CREATE INDEX IF NOT EXISTS answers_until ON answers (until_ms)",
    "CREATE TABLE IF NOT EXISTS totals (bytes INTEGER, entries INTEGER, used INTEGER)",
    "INSERT INTO totals SELECT 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM totals)",
    "CREATE TRIGGER IF NOT EXISTS answers_in AFTER INSERT ON answers BEGIN UPDATE totals"
    " SET bytes = bytes + length(new.sealed), entries = entries + 1; END",
    "CREATE TRIGGER IF NOT EXISTS answers_out AFTER DELETE ON answers BEGIN UPDATE totals"
    " SET bytes = bytes - length(old.sealed), entries = entries - 1; END",
)
_SETTINGS: Final = (
    # What a crash of the machine loses is asked again.
    "journal_mode=WAL", "synchronous=OFF", "recursive_triggers=ON", "cache_size=-8000",
)  # fmt: skip


class HostAnswers:
    """``AnswerCache`` of all workers of a host: least recently used leaves first.

    Reads are made where they are asked for: one look into the page cache.  Writes are made in a
    thread of their own.  When an answer was used is noted with the next write.
    """

    def __init__(self, path: Path, bounds: CacheBounds, now_s: Callable[[], float]) -> None:
        self._path, self._bounds, self._now_s = path, bounds, now_s
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, "answers")
        self._pending = 0
        self._touched: dict[bytes, None] = {}

    async def get(self, key: bytes) -> bytes | None:
        try:
            if self._reader is None:
                self._reader = _connect(self._path, READ_WAIT_MS)
            row = self._reader.execute(
                "SELECT sealed, until_ms FROM answers WHERE key = ?", (key,)
            ).fetchone()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path}: {error}") from None
        if row is None or row[1] <= self._now_ms():
            return None
        self._touched.pop(key, None)
        self._touched[key] = None
        if len(self._touched) > TOUCHES:
            await self._run(self._note_used, self._taken_touches())
        sealed: bytes = row[0]
        return sealed

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        if len(value) > self._bounds.entry_bytes or self._pending >= PENDING:
            return False
        until_ms = self._now_ms() + int(ttl_s * 1000)
        await self._run(self._write, key, value, until_ms, self._taken_touches())
        return True

    def close(self) -> None:
        """Closes the file; what is kept stays for the next process."""
        self._thread.shutdown()
        for database in (self._reader, self._writer):
            if database is not None:
                database.close()

    def _now_ms(self) -> int:
        return int(self._now_s() * 1000)

    def _taken_touches(self) -> list[bytes]:
        touched = list(self._touched)
        self._touched.clear()
        return touched

    async def _run(self, step: Callable[..., None], *args: Any) -> None:
        self._pending += 1
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._transaction, step, args)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path}: {error}") from None
        finally:
            self._pending -= 1

    # ---------------------------------------------------------------- in the thread

    def _transaction(self, step: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self._writer is None:
            self._writer = _connect(self._path, WRITE_WAIT_MS)
        database = self._writer
        database.execute("BEGIN IMMEDIATE")
        try:
            step(database, *args)
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def _note_used(self, database: sqlite3.Connection, touched: list[bytes]) -> None:
        """Uses are counted, not timed: their order is all that matters."""
        for key in touched:
            database.execute("UPDATE totals SET used = used + 1")
            database.execute(
                "UPDATE answers SET used = (SELECT used FROM totals) WHERE key = ?", (key,)
            )

    def _write(
        self,
        database: sqlite3.Connection,
        key: bytes,
        value: bytes,
        until_ms: int,
        touched: list[bytes],
    ) -> None:
        self._note_used(database, touched)
        database.execute("DELETE FROM answers WHERE until_ms <= ?", (self._now_ms(),))
        database.execute("UPDATE totals SET used = used + 1")
        database.execute(
            "INSERT OR REPLACE INTO answers SELECT ?, ?, ?, used FROM totals",
            (key, value, until_ms),
        )
        while self._too_much(database):
            database.execute(
                "DELETE FROM answers WHERE rowid IN"
                " (SELECT rowid FROM answers ORDER BY used LIMIT 1)"
            )

    def _too_much(self, database: sqlite3.Connection) -> bool:
        size, entries = database.execute("SELECT bytes, entries FROM totals").fetchone()
        return bool(size > self._bounds.max_bytes or entries > self._bounds.max_entries)


def _connect(path: Path, wait_ms: int) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(
        path, timeout=WRITE_WAIT_MS / 1000, isolation_level=None, check_same_thread=False
    )
    for setting in _SETTINGS:
        database.execute(f"PRAGMA {setting}")
    for statement in _SCHEMA:
        database.execute(statement)
    database.execute(f"PRAGMA busy_timeout={wait_ms}")
    return database


class RedisAnswers:
    """``AnswerCache`` of all hosts that share a Redis, which bounds it by its ``maxmemory``."""

    def __init__(self, topology: Topology, prefix: str, entry_bytes: int) -> None:
        self._topology, self._prefix, self._entry_bytes = topology, prefix, entry_bytes

    async def open(self) -> None:
        """Tries once to be connected when it returns; a Redis that is away is no error."""
        await self._topology.open()

    async def get(self, key: bytes) -> bytes | None:
        name = self._name(key)
        reply = await self._topology.send(name, ("GET", name))
        _raise_for(reply)
        return reply if isinstance(reply, bytes) else None

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        if len(value) > self._entry_bytes:
            return False
        name = self._name(key)
        _raise_for(
            await self._topology.send(name, ("SET", name, value, "PX", max(1, int(ttl_s * 1000))))
        )
        return True

    async def close(self) -> None:
        await self._topology.close()

    def _name(self, key: bytes) -> str:
        return f"{self._prefix}:answer:{key.hex()}"


def _raise_for(reply: Any) -> None:
    if isinstance(reply, hiredis.ReplyError):
        raise StoreUnavailable(f"Redis: {reply}")


class SealedAnswers:
    """``AnswerCache`` that hands another one sealed values only; ``key`` is of 32 bytes."""

    def __init__(self, store: AnswerCache, key: bytes) -> None:
        self._store = store
        self._cipher = AESGCM(key)

    async def get(self, key: bytes) -> bytes | None:
        sealed = await self._store.get(key)
        if sealed is None:
            return None
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key)
        except (InvalidTag, ValueError):  # sealed under another pepper, or not ours
            return None

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        nonce = os.urandom(NONCE_BYTES)
        return await self._store.put(key, nonce + self._cipher.encrypt(nonce, value, key), ttl_s)
