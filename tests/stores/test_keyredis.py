"""Redis and this host's replica: outages, losses, and what must reach workers all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway_extproc.core.keys import KeyRecord
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.keyfile import KeyFile
from gateway_extproc.stores.keyredis import RedisAddress, RedisKeys, ReplicatedKeys
from support.redisserver import RedisServer, redis_server, refused_port

ANN = KeyRecord("ann00001", bytes(32), "acme", "ann", "web", ("developer",))
BOB = replace(ANN, id="bob00001", user="bob")


@dataclass
class Host:
    """One host: its replica, and its file as a worker sees it."""

    keys: ReplicatedKeys
    file: KeyFile

    def state(self, key_id: str) -> str:
        return self.file.get(key_id).record.state


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def host(folder: Path, server: RedisServer, timeout_s: float = 0.5) -> Host:
    remote = RedisKeys(RedisAddress("127.0.0.1", server.port, timeout_s=timeout_s), "test")
    return Host(ReplicatedKeys(KeyFile(folder), remote), KeyFile(folder))


def revoke(record: KeyRecord) -> KeyRecord:
    return replace(record, state="revoked")


def test_what_one_host_writes_another_one_copies(tmp_path: Path, server: RedisServer) -> None:
    a, b = host(tmp_path / "a", server), host(tmp_path / "b", server)
    a.keys.add([ANN, BOB])
    b.keys.sync()
    assert b.file.get("ann00001").record == ANN
    a.keys.change("ann00001", revoke)
    b.keys.sync()
    assert (b.state("ann00001"), b.state("bob00001")) == ("revoked", "active")


def test_a_write_wakes_who_waits(tmp_path: Path, server: RedisServer) -> None:
    a, b = host(tmp_path / "a", server), host(tmp_path / "b", server)
    b.keys.wait(0.01)
    threading.Timer(0.2, a.keys.add, [[ANN]]).start()
    began = time.monotonic()
    b.keys.wait(10)
    assert time.monotonic() - began < 3
    b.keys.sync()
    assert b.state("ann00001") == "active"


def test_a_revocation_reaches_this_host_while_redis_is_down_and_redis_later(
    tmp_path: Path, server: RedisServer
) -> None:
    a, b = host(tmp_path / "a", server), host(tmp_path / "b", server)
    a.keys.add([ANN, BOB])
    b.keys.sync()
    server.kill()
    a.keys.change("ann00001", revoke)
    assert a.state("ann00001") == "revoked"
    with pytest.raises(StoreUnavailable):
        a.keys.sync()
    server.start()
    a.keys.sync()
    b.keys.sync()
    assert b.state("ann00001") == "revoked"
    a.keys.sync()
    assert (a.state("ann00001"), a.state("bob00001")) == ("revoked", "active")


def test_while_redis_is_down_nothing_is_widened(tmp_path: Path, server: RedisServer) -> None:
    a = host(tmp_path / "a", server)
    a.keys.add([replace(ANN, state="suspended")])
    server.kill()
    with pytest.raises(StoreUnavailable):
        a.keys.add([BOB])
    with pytest.raises(StoreUnavailable):
        a.keys.change("ann00001", lambda old: replace(old, state="active"))
    assert a.state("ann00001") == "suspended"
    a.keys.add([replace(BOB, state="revoked")])
    assert a.state("bob00001") == "revoked"


def test_what_is_pending_here_is_not_undone_by_what_redis_says(
    tmp_path: Path, server: RedisServer
) -> None:
    a, b = host(tmp_path / "a", server), host(tmp_path / "b", server)
    a.keys.add([ANN])
    server.kill()
    a.keys.change("ann00001", lambda old: replace(old, state="suspended"))
    server.start()
    b.keys.change("ann00001", lambda old: replace(old, user="annette"))
    a.keys.sync()
    assert a.state("ann00001") == "suspended"
    b.keys.sync()
    assert b.state("ann00001") == "suspended"


def test_an_older_answer_never_replaces_a_newer_one(tmp_path: Path, server: RedisServer) -> None:
    a = host(tmp_path / "a", server)
    a.keys.add([ANN])
    old = a.keys.get("ann00001")
    a.keys.change("ann00001", revoke)
    a.file.replicate([old], a.file.seen())
    assert a.state("ann00001") == "revoked"


def test_a_redis_that_lost_everything_gets_it_back(tmp_path: Path, server: RedisServer) -> None:
    a, b = host(tmp_path / "a", server), host(tmp_path / "b", server)
    a.keys.add([ANN, BOB])
    a.keys.change("ann00001", revoke)
    b.keys.sync()
    with server.client() as client:
        client.flushall()
    b.keys.sync()
    a.keys.sync()
    for known in (a, b):
        assert (known.state("ann00001"), known.state("bob00001")) == ("revoked", "active")
    b.keys.change("bob00001", revoke)
    a.keys.sync()
    assert a.state("bob00001") == "revoked"


def test_a_redis_that_lost_its_last_writes_hears_of_revocations_again(
    tmp_path: Path, server: RedisServer
) -> None:
    """As after a failover to a replica that was behind."""
    a = host(tmp_path / "a", server)
    a.keys.add([ANN, BOB])
    with server.client() as client:
        before = {name: client.dump(name) for name in client.keys("*")}
        a.keys.change("ann00001", revoke)
        for name, value in before.items():
            client.restore(name, 0, value, replace=True)
    a.keys.sync()
    assert a.keys.get("ann00001").record.state == "revoked"
    assert a.state("ann00001") == "revoked"


def test_keys_of_a_host_without_redis_move_into_it(tmp_path: Path, server: RedisServer) -> None:
    KeyFile(tmp_path / "a").add([ANN, replace(BOB, state="revoked")])
    a, b = host(tmp_path / "a", server), host(tmp_path / "b", server)
    a.keys.sync()
    b.keys.sync()
    assert (b.state("ann00001"), b.state("bob00001")) == ("active", "revoked")


def test_a_call_waits_no_longer_than_its_deadline(tmp_path: Path, server: RedisServer) -> None:
    frozen = RedisKeys(RedisAddress("127.0.0.1", server.port, timeout_s=0.02), "test")
    refused = RedisKeys(RedisAddress("127.0.0.1", refused_port(), timeout_s=0.02), "test")
    server.freeze()
    try:
        for store in (frozen, refused):
            began = time.perf_counter()
            with pytest.raises(StoreUnavailable):
                store.get("ann00001")
            assert time.perf_counter() - began < 0.5
    finally:
        server.thaw()


def test_an_unreadable_record_in_redis_is_refused_and_hides_no_later_change(
    tmp_path: Path, server: RedisServer
) -> None:
    a, b = host(tmp_path / "a", server), host(tmp_path / "b", server)
    a.keys.add([ANN, BOB])
    with server.client() as client:
        client.hset("test:{keys}:table", "ann00001", "garbage")
    a.keys.change("bob00001", revoke)
    b.keys.sync()
    assert (b.state("ann00001"), b.state("bob00001")) == ("revoked", "revoked")
