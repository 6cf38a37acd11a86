"""The key store of one host: a SQLite file that all its workers follow.

SQLite, because a change must be atomic over crashes and processes and a reader must
see only what changed: rows carry the number of the change that wrote them.  Readers never
wait for a writer (write-ahead log); the file must lie on a local disk.

With Redis behind it the file is the host's replica, and ``pending`` marks what this host
decided while Redis could not be told.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from gateway_extproc.core.keys import (
    KeyExists,
    KeyRecord,
    KeyUnknown,
    Stored,
    from_document,
    successor,
    to_document,
    unreadable,
)
from gateway_extproc.core.ports import StoreUnavailable

log = logging.getLogger(__name__)

FILE_NAME: Final = "keys.db"
PAGE: Final = 1_000
"""Records of one answer of ``changes``: some milliseconds of a worker's loop."""

_WAIT_S: Final = 5.0
"""For another writer, which may be importing very many keys."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    origin INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0,
    record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keys_version ON keys (version);
CREATE INDEX IF NOT EXISTS keys_pending ON keys (id) WHERE pending;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""


class Seen(NamedTuple):
    """How far the store behind was read, the highest change number it was heard to give,
    and in which of its lives."""

    read: int
    heard: int
    epoch: str


class KeyFile:
    """``KeyStore`` over a file in the state folder; for one thread of one process."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._db = _open(self._path)
        self._inode = os.stat(self._path).st_ino

    def add(self, records: Sequence[KeyRecord], *, pending: bool = False) -> None:
        with self._transaction():
            for record in records:
                try:
                    self._db.execute(
                        "INSERT INTO keys (id, version, pending, record) VALUES (?, ?, ?, ?)",
                        (record.id, self._next_version(), pending, _encode(record)),
                    )
                except sqlite3.IntegrityError:
                    raise KeyExists(f"key {record.id} exists") from None

    def change(
        self, key_id: str, edit: Callable[[KeyRecord], KeyRecord], *, pending: bool = False
    ) -> Stored:
        """As the port says; ``pending`` marks what the store behind must still be told."""
        with self._transaction():
            old = self._get(key_id).record
            new = successor(old, edit(old))
            stored = Stored(new, self._next_version())
            self._db.execute(
                "UPDATE keys SET version = ?, pending = pending OR ?, record = ? WHERE id = ?",
                (stored.version, pending, _encode(new), key_id),
            )
            return stored

    def get(self, key_id: str) -> Stored:
        with _mapped():
            return self._get(key_id)

    def changes(self, since: int) -> Sequence[Stored]:
        with _mapped():
            rows = self._db.execute(
                "SELECT id, record, version FROM keys WHERE version > ? ORDER BY version LIMIT ?",
                (since, PAGE),
            ).fetchall()
        return [Stored(decode(key_id, data), version) for key_id, data, version in rows]

    def last_change(self) -> int:
        """The number of the last change; 0 before the first."""
        with _mapped():
            return int(str(self._meta("version") or 0))

    def close(self) -> None:
        self._db.close()

    # ------------------------------------------------------------ as a replica of Redis

    def replicate(self, changes: Sequence[Stored], seen: Seen) -> None:
        """Takes over changes of the store behind, and notes what was seen of it.

        What is pending here stays: it only takes away, and the store behind is told next.
        An older change never replaces a newer one; but a revocation always counts, because
        nothing follows it and a store that was made anew counts from the beginning.
        """
        with self._transaction():
            for record, origin in changes:
                self._db.execute(
                    "INSERT INTO keys (id, version, origin, record) VALUES (?1, ?2, ?3, ?4)"
                    " ON CONFLICT (id) DO UPDATE SET version = ?2, origin = ?3, record = ?4"
                    " WHERE ?5 OR (NOT pending AND origin < ?3)",
                    (
                        record.id,
                        self._next_version(),
                        origin,
                        _encode(record),
                        record.state == "revoked",
                    ),
                )
            heard = max([seen.heard, *(stored.version for stored in changes)])
            noted = (("read", seen.read), ("heard", heard), ("seen_epoch", seen.epoch))
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", noted)

    def seen(self) -> Seen:
        """What was seen of the store behind."""
        with _mapped():
            read, heard = (int(str(self._meta(name) or 0)) for name in ("read", "heard"))
            return Seen(read, heard, str(self._meta("seen_epoch") or ""))

    def forget_origins(self) -> None:
        """The store behind was made anew: its numbers begin again."""
        with self._transaction():
            self._db.execute("UPDATE keys SET origin = 0")
            self._db.execute("DELETE FROM meta WHERE name IN ('read', 'heard', 'seen_epoch')")

    def pending(self) -> list[Stored]:
        """What the store behind must still be told."""
        with _mapped():
            rows = self._db.execute("SELECT id, record, version FROM keys WHERE pending").fetchall()
        return [Stored(decode(key_id, data), version) for key_id, data, version in rows]

    def settle(self, key_id: str, version: int) -> None:
        """The store behind was told of this change; a later one stays pending."""
        with self._transaction():
            self._db.execute(
                "UPDATE keys SET pending = 0 WHERE id = ? AND version = ?", (key_id, version)
            )

    # ------------------------------------------------------------------------ the file

    def stamp(self) -> int:
        """Changes whenever another connection wrote; costs no look at the disk."""
        with _mapped():
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def is_replaced(self) -> bool:
        """Whether another file, or none, stands where this one stood."""
        try:
            return os.stat(self._path).st_ino != self._inode
        except OSError:
            return True

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _mapped():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _next_version(self) -> int:
        self._db.execute(
            "INSERT INTO meta VALUES ('version', 1)"
            " ON CONFLICT (name) DO UPDATE SET value = value + 1"
        )
        return int(str(self._meta("version")))

    def _meta(self, name: str) -> object:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def _get(self, key_id: str) -> Stored:
        row = self._db.execute(
            "SELECT record, version FROM keys WHERE id = ?", (key_id,)
        ).fetchone()
        if row is None:
            raise KeyUnknown(f"no key {key_id}")
        return Stored(decode(key_id, row[0]), row[1])


class FollowedKeys:
    """``KeyTable`` of one worker: the configuration's keys, and over them those of the file.

    A look-up reads a dict; ``refresh`` brings in what changed.  While the file
    cannot be read the last known table stays.
    """

    def __init__(self, folder: Path, fixed: Mapping[str, KeyRecord]) -> None:
        self._folder = folder
        self._fixed = dict(fixed)
        self._keys = dict(fixed)
        self._file = KeyFile(folder)
        self._version = 0
        self._stamp = -1
        self.find = self._keys.get

    def refresh(self) -> bool:
        """Brings in one page of changes; True when there may be more.

        Raises ``StoreUnavailable`` and keeps what it has.
        """
        if self._file.is_replaced():
            self._reopen()
        stamp = self._file.stamp()
        if stamp == self._stamp:
            return False
        if self._file.last_change() < self._version:
            self._reopen()  # an older file was copied over this one
        page = self._file.changes(self._version)
        for record, version in page:
            self._keys[record.id] = record
            self._version = version
        if not page:
            self._stamp = stamp
        return bool(page)

    def close(self) -> None:
        self._file.close()

    def _reopen(self) -> None:
        """Another file: read whole, before anything of the old table goes."""
        if not (self._folder / FILE_NAME).exists():
            raise StoreUnavailable(f"{self._folder / FILE_NAME} is gone")
        fresh = KeyFile(self._folder)
        keys = dict(self._fixed)
        version = 0
        while page := fresh.changes(version):
            keys.update((record.id, record) for record, _ in page)
            version = page[-1].version
        self._file.close()
        self._file, self._version, self._stamp = fresh, version, -1
        self._keys = keys
        self.find = keys.get


def _open(path: Path) -> sqlite3.Connection:
    with _mapped():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.executescript(_SCHEMA)
        except BaseException:
            db.close()
            raise
    return db


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    """No error of SQLite or of the file system leaves this room."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"key store: {type(error).__name__}: {error}") from None


def _encode(record: KeyRecord) -> bytes:
    return orjson.dumps(to_document(record))


def decode(key_id: str, data: bytes) -> KeyRecord:
    """A record as it is stored; one that cannot be read must not keep others from being seen."""
    try:
        record = from_document(orjson.loads(data))
    except (KeyError, TypeError, ValueError) as error:
        log.error("key %s is refused: its record is unreadable (%s)", key_id, error)
        return unreadable(key_id)
    return record if record.id == key_id else unreadable(key_id)
