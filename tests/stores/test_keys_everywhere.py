"""Two hosts, one Redis, outages and losses in any order: a revocation is never undone.

A state machine over a real Redis.  An outage is a host whose address for Redis leads
nowhere; a loss is FLUSHALL.  What a host acknowledged holds on that host at once, and on both
once they can talk.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from gateway_extproc.core.keys import KeyExists, KeyRecord, KeyRevoked, KeyUnknown
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.keyfile import KeyFile
from gateway_extproc.stores.keyredis import RedisAddress, RedisKeys, ReplicatedKeys
from support.redisserver import RedisServer, redis_server, refused_port

HOSTS = st.sampled_from([0, 1])
IDS = st.sampled_from([f"key{i:05d}" for i in range(4)])


class Host:
    """One host's replica, with Redis in reach or not."""

    def __init__(self, folder: Path, port: int, nowhere: int) -> None:
        self.file = KeyFile(folder)
        stores = (RedisKeys(RedisAddress("127.0.0.1", p, 1.0), "test") for p in (port, nowhere))
        self._near, self._away = (ReplicatedKeys(self.file, remote) for remote in stores)
        self.keys = self._near

    def reach(self, *, redis: bool) -> None:
        self.keys = self._near if redis else self._away

    def state(self, key_id: str) -> str | None:
        try:
            return self.file.get(key_id).record.state
        except KeyUnknown:
            return None


def record(key_id: str) -> KeyRecord:
    return KeyRecord(key_id, bytes(32), "acme", "ann", "web", ("developer",))


class Everywhere(RuleBasedStateMachine):
    server: RedisServer
    acknowledged = 0

    @initialize()
    def start(self) -> None:
        with self.server.client() as client:
            client.flushall()
        self.folder = tempfile.TemporaryDirectory()
        nowhere = refused_port()
        self.hosts = [
            Host(Path(self.folder.name) / str(n), self.server.port, nowhere) for n in range(2)
        ]
        self.revoked: dict[str, set[int]] = {}
        self.added = {f"key{i:05d}" for i in range(3)}
        self.hosts[0].keys.add([record(key_id) for key_id in sorted(self.added)])
        self.hosts[1].keys.sync()

    def teardown(self) -> None:
        if not hasattr(self, "hosts"):
            return
        for host in self.hosts:
            host.reach(redis=True)
        for _ in range(2):
            for host in self.hosts:
                host.keys.sync()
        for key_id in self.revoked:
            assert [host.state(key_id) for host in self.hosts] == ["revoked"] * 2, key_id
        for key_id in self.added:
            states = {host.state(key_id) for host in self.hosts}
            assert len(states) == 1, (key_id, states)
            assert states != {None}, key_id
        for host in self.hosts:
            host.keys.close()
        self.folder.cleanup()

    @rule(host=HOSTS, redis=st.booleans())
    def an_outage_begins_or_ends(self, host: int, *, redis: bool) -> None:
        self.hosts[host].reach(redis=redis)

    @rule()
    def redis_loses_everything(self) -> None:
        with self.server.client() as client:
            client.flushall()

    @rule(host=HOSTS)
    def a_host_syncs(self, host: int) -> None:
        with contextlib.suppress(StoreUnavailable):
            self.hosts[host].keys.sync()

    @rule(host=HOSTS, key_id=IDS)
    def a_key_is_added(self, host: int, key_id: str) -> None:
        if key_id in self.added:
            return  # ids are random outside of tests: nobody issues one twice
        try:
            self.hosts[host].keys.add([record(key_id)])
        except (StoreUnavailable, KeyExists):
            return
        self.added.add(key_id)

    @rule(host=HOSTS, key_id=IDS, state=st.sampled_from(["revoked", "suspended", "active"]))
    def a_key_changes(self, host: int, key_id: str, state: str) -> None:
        def edit(old: KeyRecord) -> KeyRecord:
            return replace(old, state=state)  # type: ignore[arg-type]

        try:
            stored = self.hosts[host].keys.change(key_id, edit)
        except (StoreUnavailable, KeyUnknown, KeyRevoked):
            return
        if stored.record.state == "revoked":
            Everywhere.acknowledged += 1
            self.revoked.setdefault(key_id, set()).add(host)

    @invariant()
    def what_was_acknowledged_holds_where_it_was(self) -> None:
        for key_id, hosts in getattr(self, "revoked", {}).items():
            for host in hosts:
                assert self.hosts[host].state(key_id) == "revoked", (key_id, host)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


def test_a_revocation_is_never_undone(server: RedisServer) -> None:
    Everywhere.server = server
    Everywhere.acknowledged = 0
    run_state_machine_as_test(
        Everywhere,
        settings=settings(
            max_examples=100,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Everywhere.acknowledged > 20, "hardly anything was revoked: this proves nothing"
