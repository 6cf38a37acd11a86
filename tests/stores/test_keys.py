"""The contract of a key store, held by the file and by a real Redis alike."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.keys import (
    KeyExists,
    KeyRecord,
    KeyRevoked,
    KeyUnknown,
    from_document,
    to_document,
)
from gateway_extproc.core.ports import KeyStore
from gateway_extproc.stores.keyfile import KeyFile
from gateway_extproc.stores.keyredis import RedisAddress, RedisKeys, ReplicatedKeys
from support.redisserver import RedisServer, redis_server


def record(key_id: str = "aaaa0001", **fields: Any) -> KeyRecord:
    base = KeyRecord(key_id, bytes(32), "acme", "ann", "web", ("developer",))
    return replace(base, **fields)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


def open_store(kind: str, folder: Path, port: int) -> KeyStore:
    if kind == "file":
        return KeyFile(folder)
    remote = RedisKeys(RedisAddress("127.0.0.1", port, timeout_s=2.0), "test")
    return remote if kind == "redis" else ReplicatedKeys(KeyFile(folder), remote)


KINDS = ("file", "redis", "replicated")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path, server: RedisServer) -> Iterator[KeyStore]:
    with server.client() as client:
        client.flushall()
    opened = open_store(kind, tmp_path, server.port)
    yield opened
    opened.close()


def all_of(store: KeyStore) -> list[KeyRecord]:
    found, since = [], 0
    while page := store.changes(since):
        found += [stored.record for stored in page]
        since = page[-1].version
    return found


def test_a_key_comes_back_as_it_went_in(store: KeyStore) -> None:
    full = record(
        endpoints=("chat",),
        models=("small", "pub-*"),
        networks=("192.0.2.0/24", "2001:db8::/32"),
        labels=(("team", "search"), ("unit", "é")),
        expires_at_s=2e9,
        created_at_s=1e9,
        replaces="bbbb0001",
        reason="a reason",
    )
    store.add([full, record("plain001")])
    assert store.get(full.id).record == full
    assert store.get("plain001").record == record("plain001")


def test_an_unknown_key_is_told(store: KeyStore) -> None:
    with pytest.raises(KeyUnknown):
        store.get("nobody01")
    with pytest.raises(KeyUnknown):
        store.change("nobody01", lambda old: old)


def test_of_several_new_keys_all_or_none_are_added(store: KeyStore) -> None:
    store.add([record("aaaa0001")])
    with pytest.raises(KeyExists, match="aaaa0001"):
        store.add([record("cccc0001"), record("aaaa0001", user="eve")])
    assert [r.id for r in all_of(store)] == ["aaaa0001"]
    assert store.get("aaaa0001").record.user == "ann"


def test_a_change_is_one_step_and_gets_the_next_number(store: KeyStore) -> None:
    store.add([record()])
    before = store.get("aaaa0001")
    stored = store.change("aaaa0001", lambda old: replace(old, user=old.user + "a"))
    assert stored.record.user == "anna"
    assert store.get("aaaa0001").record == stored.record
    assert store.get("aaaa0001").version > before.version


def test_changes_since_a_number_are_those_after_it_in_order(store: KeyStore) -> None:
    store.add([record(f"key{i:05d}") for i in range(5)])
    everything = store.changes(0)
    assert [s.record.id for s in everything] == [f"key{i:05d}" for i in range(5)]
    last = everything[-1].version
    assert store.changes(last) == []
    store.change("key00001", lambda old: replace(old, user="bob"))
    later = store.changes(last)
    assert [(s.record.id, s.record.user) for s in later] == [("key00001", "bob")]


def test_nothing_follows_a_revocation(store: KeyStore) -> None:
    store.add([record()])
    revoked = store.change("aaaa0001", lambda old: replace(old, state="revoked", reason="leak"))
    assert revoked.record.state == "revoked"
    for edit in (_activated, _suspended):
        with pytest.raises(KeyRevoked):
            store.change("aaaa0001", edit)
    again = store.change("aaaa0001", lambda old: replace(old, state="revoked", reason="other"))
    assert again.record.reason == "leak"


def _activated(old: KeyRecord) -> KeyRecord:
    return replace(old, state="active")


def _suspended(old: KeyRecord) -> KeyRecord:
    return replace(old, state="suspended")


def test_an_edit_that_fails_changes_nothing(store: KeyStore) -> None:
    def edit(old: KeyRecord) -> KeyRecord:
        raise ZeroDivisionError

    store.add([record()])
    with pytest.raises(ZeroDivisionError):
        store.change("aaaa0001", edit)
    assert store.get("aaaa0001").record == record()
    with pytest.raises(ValueError):
        store.change("aaaa0001", lambda old: replace(old, id="other001"))


def test_more_keys_than_a_page_all_come(store: KeyStore) -> None:
    many = [record(f"key{i:05d}") for i in range(2500)]
    store.add(many)
    assert all_of(store) == many


def _add_labels(kind: str, folder: Path, port: int, who: str, rounds: int) -> None:
    store = open_store(kind, folder, port)
    for i in range(rounds):
        store.change("aaaa0001", partial(_labelled, f"{who}-{i}"))
    store.close()


def _labelled(name: str, old: KeyRecord) -> KeyRecord:
    return replace(old, labels=(*old.labels, (name, "")))


def test_writers_in_several_processes_lose_nothing(
    kind: str, store: KeyStore, tmp_path: Path, server: RedisServer
) -> None:
    store.add([record()])
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_add_labels, args=(kind, tmp_path, server.port, f"w{i}", 20))
        for i in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(store.get("aaaa0001").record.labels) == 60


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
RECORDS = st.builds(
    KeyRecord,
    id=st.from_regex(r"[a-z0-9]{8,32}", fullmatch=True),
    hmac=st.binary(min_size=32, max_size=32),
    tenant=TEXT,
    user=TEXT,
    application=TEXT,
    roles=st.lists(TEXT, max_size=3).map(tuple),
    endpoints=st.lists(TEXT, max_size=3).map(tuple),
    models=st.lists(TEXT, max_size=3).map(tuple),
    networks=st.lists(TEXT, max_size=3).map(tuple),
    labels=st.dictionaries(TEXT, TEXT, max_size=3).map(lambda d: tuple(sorted(d.items()))),
    expires_at_s=st.one_of(st.just(float("inf")), st.floats(0, 1e12)),
    state=st.sampled_from(["active", "suspended", "revoked"]),
    suspended_until_s=st.one_of(st.just(float("inf")), st.floats(0, 1e12)),
    reason=TEXT,
    created_at_s=st.floats(0, 1e12),
    replaces=TEXT,
)


@given(RECORDS)
def test_every_record_survives_its_document(full: KeyRecord) -> None:
    assert from_document(to_document(full)) == full
