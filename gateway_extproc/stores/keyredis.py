"""The key store of several hosts: a table in Redis with a number for every change.

For commands and the supervisor, never for a worker: workers follow the file of their
host (``keyfile``), into which ``Replica`` copies what changes here.  So a look-up costs the same
with and without Redis, and a worker that restarts while Redis is down has its keys.

One slot (hash tag) holds all of it; a write is one script, so it is atomic and its
numbers have no holes.  No call is tried twice, and none waits longer than its deadline.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final, NamedTuple

import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway_extproc.core.keys import (
    KeyExists,
    KeyRecord,
    KeyRevoked,
    KeyUnknown,
    Stored,
    successor,
    tightens,
    to_document,
)
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.core.secret import Secret
from gateway_extproc.stores.keyfile import KeyFile, Seen, decode

log = logging.getLogger(__name__)

PAGE: Final = 200
"""Records of one answer of ``changes``: it must fit into the deadline of a call."""
BATCH: Final = 500
"""Records of one write; ``add`` of more is several steps."""
TRIES: Final = 16
"""Writers of one key at the same time; each round one of them gets through."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is and how it is spoken to."""

    host: str
    port: int
    timeout_s: float = 0.02
    username: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    ca_file: str | None = None
    """Authorities that may vouch for it over TLS; None speaks plain."""


def connect(address: RedisAddress) -> redis.Redis:
    """A client that never tries a call again and never waits past its deadline."""
    tls: dict[str, Any] = {} if address.ca_file is None else {
        "ssl": True, "ssl_ca_certs": address.ca_file, "ssl_check_hostname": True,
    }  # fmt: skip
    return redis.Redis(
        host=address.host,
        port=address.port,
        username=address.username or None,
        password=address.password.reveal() or None,
        socket_timeout=address.timeout_s,
        socket_connect_timeout=address.timeout_s,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        **tls,
    )


class Page(NamedTuple):
    """Some changes; ``epoch`` names the life of the store (empty: nothing was ever written),
    ``version`` is the number of its last change."""

    changes: list[Stored]
    epoch: str
    version: int


class RedisKeys:
    """``KeyStore`` in Redis."""

    def __init__(self, address: RedisAddress, prefix: str) -> None:
        self._redis = connect(address)
        self._names = [f"{prefix}:{{keys}}:{part}" for part in ("table", "changes", "meta")]
        self._channel = f"{prefix}:{{keys}}:push"
        folder = resources.files("gateway_extproc.stores").joinpath("lua")
        self._write = self._redis.register_script(folder.joinpath("keys_write.lua").read_text())
        self._read = self._redis.register_script(folder.joinpath("keys_read.lua").read_text())
        self._listener: Any = None

    def add(self, records: Sequence[KeyRecord]) -> None:
        for start in range(0, len(records), BATCH):
            taken = self._put([(record, "") for record in records[start : start + BATCH]])
            if isinstance(taken, str):
                raise KeyExists(f"key {taken} exists")

    def change(self, key_id: str, edit: Callable[[KeyRecord], KeyRecord]) -> Stored:
        for _ in range(TRIES):
            old = self.get(key_id)
            new = successor(old.record, edit(old.record))
            number = self._put([(new, str(old.version))])
            if isinstance(number, int):
                return Stored(new, number)
        raise StoreUnavailable(f"key store: key {key_id} changes too often")

    def get(self, key_id: str) -> Stored:
        table, changes, _ = self._names
        with _mapped():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hget(table, key_id)
            pipe.zscore(changes, key_id)
            data, number = pipe.execute()
        if data is None or number is None:
            raise KeyUnknown(f"no key {key_id}")
        return Stored(decode(key_id, data), int(number))

    def changes(self, since: int) -> Sequence[Stored]:
        return self.read(since).changes

    def read(self, since: int) -> Page:
        """A page of changes, and where the store stands."""
        with _mapped():
            epoch, version, *page = self._read(keys=self._names, args=[since, PAGE])
        rows = zip(page[::3], page[1::3], page[2::3], strict=True)
        changes = [
            Stored(decode(key_id.decode(), data), int(float(number)))
            for number, key_id, data in rows
        ]
        return Page(changes, epoch.decode(), int(version))

    def wait(self, seconds: float) -> None:
        """Returns when somebody wrote, at the latest after ``seconds``."""
        with _mapped():
            if self._listener is None:
                listener: Any = self._redis.pubsub(  # type: ignore[no-untyped-call]
                    ignore_subscribe_messages=True
                )
                listener.subscribe(self._channel)
                self._listener = listener
            try:
                self._listener.get_message(timeout=seconds)
            except redis.RedisError:
                self._drop_listener()
                raise

    def close(self) -> None:
        self._drop_listener()
        with contextlib.suppress(redis.RedisError, OSError):
            self._redis.close()

    def _drop_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                listener.close()

    def _put(self, writes: Sequence[tuple[KeyRecord, str]]) -> int | str:
        """The number of the first write, or the id of a key that stands otherwise."""
        arguments: list[str | bytes] = [self._channel, secrets.token_hex(8)]
        for record, seen in writes:
            arguments += [record.id, seen, orjson.dumps(to_document(record))]
        with _mapped():
            answer = self._write(keys=self._names, args=arguments)
        return answer[0].decode() if isinstance(answer, list) else int(answer)


class ReplicatedKeys:
    """``KeyStore`` in Redis with a replica on this host, for commands and the supervisor.

    What only takes away (revoke, suspend, end earlier) also reaches this host's workers
    while Redis is down; ``sync`` tells Redis later.  Everything else needs Redis.
    """

    def __init__(self, local: KeyFile, remote: RedisKeys) -> None:
        self._local, self._remote = local, remote

    def add(self, records: Sequence[KeyRecord]) -> None:
        try:
            self._remote.add(records)
        except StoreUnavailable:
            if any(record.state == "active" for record in records):
                raise
            self._local.add(records, pending=True)
        with contextlib.suppress(StoreUnavailable):
            self.sync()

    def change(self, key_id: str, edit: Callable[[KeyRecord], KeyRecord]) -> Stored:
        try:
            stored = self._remote.change(key_id, edit)
        except StoreUnavailable:
            return self._change_here(key_id, edit)
        self._local.replicate([stored], self._local.seen())
        return stored

    def get(self, key_id: str) -> Stored:
        try:
            return self._remote.get(key_id)
        except StoreUnavailable:
            return self._local.get(key_id)

    def changes(self, since: int) -> Sequence[Stored]:
        """This host's view, which is all that its workers know."""
        if since == 0:
            with contextlib.suppress(StoreUnavailable):
                self.sync()
        return self._local.changes(since)

    def close(self) -> None:
        self._local.close()
        self._remote.close()

    def wait(self, seconds: float) -> None:
        """Returns when somebody wrote to Redis, at the latest after ``seconds``."""
        self._remote.wait(seconds)

    def sync(self) -> None:
        """Tells Redis what is pending here, then copies what changed there.

        Raises ``StoreUnavailable``; what was copied before stays.
        """
        for stored in self._local.pending():
            self._tell(stored.record)
            self._local.settle(*_name(stored))
        seen = self._local.seen()
        page = self._remote.read(seen.read)
        if page.epoch != seen.epoch or not page.epoch or page.version < seen.heard:
            if seen.epoch:
                log.warning("Redis lost keys: this host's keys go back to it")
            self._reseed()
            page = self._remote.read(0)
        while page.changes:
            read = page.changes[-1].version
            self._local.replicate(page.changes, Seen(read, page.version, page.epoch))
            page = self._remote.read(read)

    def _change_here(self, key_id: str, edit: Callable[[KeyRecord], KeyRecord]) -> Stored:
        def tighten(old: KeyRecord) -> KeyRecord:
            new = edit(old)
            if not tightens(old, new):
                raise StoreUnavailable("Redis does not answer, and only it can widen a key")
            return new

        return self._local.change(key_id, tighten, pending=True)

    def _reseed(self) -> None:
        """Brings this host's keys into a store that has none of them, or was made anew."""
        self._local.forget_origins()
        since = 0
        while page := self._local.changes(since):
            since = page[-1].version
            for stored in page:
                self._tell(stored.record)

    def _tell(self, mine: KeyRecord) -> None:
        """Redis learns a record: added where it has none, else only what takes away."""

        def merged(theirs: KeyRecord) -> KeyRecord:
            return mine if tightens(theirs, mine) else theirs

        with contextlib.suppress(KeyRevoked):
            try:
                theirs = self._remote.get(mine.id).record
                if theirs != successor(theirs, merged(theirs)):
                    self._remote.change(mine.id, merged)
            except KeyUnknown:
                with contextlib.suppress(KeyExists):
                    self._remote.add([mine])


def _name(stored: Stored) -> tuple[str, int]:
    return stored.record.id, stored.version


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    """No error of the client leaves this room."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise StoreUnavailable(f"Redis: {type(error).__name__}: {error}") from None
