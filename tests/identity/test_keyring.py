"""What is done with keys: issue, rotate with overlap, revoke, suspend, resume, import."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway_extproc.core.apikey import key_hmac, parse_key
from gateway_extproc.core.keys import KeyExists, KeyRecord, KeyRevoked, KeyUnknown
from gateway_extproc.core.secret import Secret
from gateway_extproc.identity.keyring import Keyring
from gateway_extproc.stores.keyfile import KeyFile
from support.clock import FakeClock

TERMS = KeyRecord("", b"", "acme", "ann", "web", ("developer",), labels=(("team", "x"),))
FIXED = replace(TERMS, id="fixed001", hmac=bytes(32), user="fix")
PEPPER = "pepper"


class World:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.store = KeyFile(folder)
        counter = itertools.count(1)
        self.keys = Keyring(
            self.store,
            {FIXED.id: FIXED},
            Secret(PEPPER),
            self.clock.now_s,
            lambda n: next(counter).to_bytes(n, "big"),
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def test_an_issued_key_is_stored_as_its_hmac_only(world: World) -> None:
    issued = world.keys.issue(TERMS, "live")
    key = issued.key.reveal()
    parsed = parse_key(key)
    assert parsed is not None
    assert parsed.id == issued.record.id
    assert world.keys.get(parsed.id).hmac == key_hmac(PEPPER.encode(), key)
    assert world.keys.get(parsed.id).created_at_s == world.clock.now_s()
    assert key not in repr(issued)


def test_a_rotated_key_works_beside_its_successor_until_the_overlap_ends(world: World) -> None:
    old = world.keys.issue(TERMS, "live").record
    new = world.keys.rotate(old.id, 3600, "live").record
    assert (new.replaces, new.labels, new.roles) == (old.id, old.labels, old.roles)
    assert world.keys.get(old.id).expires_at_s == world.clock.now_s() + 3600
    assert world.keys.get(new.id).expires_at_s == float("inf")


def test_an_overlap_never_makes_a_key_live_longer(world: World) -> None:
    ends_s = world.clock.now_s() + 60
    old = world.keys.issue(replace(TERMS, expires_at_s=ends_s), "live").record
    world.keys.rotate(old.id, 3600, "live")
    assert world.keys.get(old.id).expires_at_s == ends_s


def test_what_is_not_active_is_not_rotated(world: World) -> None:
    record = world.keys.issue(TERMS, "live").record
    world.keys.suspend(record.id, 60, "why")
    with pytest.raises(KeyRevoked, match="suspended"):
        world.keys.rotate(record.id, 60, "live")
    world.keys.revoke(record.id, "leak")
    with pytest.raises(KeyRevoked):
        world.keys.rotate(record.id, 60, "live")
    assert len(list(world.keys.all())) == 2


def test_a_suspension_is_lifted_and_a_longer_one_is_not_shortened(world: World) -> None:
    record = world.keys.issue(TERMS, "live").record
    world.keys.suspend(record.id, float("inf"), "by hand")
    suspended = world.keys.suspend(record.id, 60, "by a rule")
    assert suspended.suspended_until_s == float("inf")
    resumed = world.keys.resume(record.id)
    assert (resumed.state, resumed.suspended_until_s, resumed.reason) == (
        "active", float("inf"), "",
    )  # fmt: skip


def test_a_key_of_the_configuration_can_be_revoked_without_touching_it(world: World) -> None:
    assert world.keys.get("fixed001").state == "active"
    world.keys.revoke("fixed001", "leak")
    assert world.keys.get("fixed001").state == "revoked"
    assert [record.state for record in world.keys.all()] == ["revoked"]


def test_all_keys_are_those_of_the_store_and_of_the_configuration(world: World) -> None:
    issued = world.keys.issue(TERMS, "live").record
    assert {record.id for record in world.keys.all()} == {issued.id, "fixed001"}


def test_imports_are_all_or_none(world: World) -> None:
    good = replace(TERMS, id="import01", hmac=bytes(32))
    for clash in (FIXED, world.keys.issue(TERMS, "live").record):
        with pytest.raises(KeyExists):
            world.keys.import_records([good, clash])
        with pytest.raises(KeyUnknown):
            world.keys.get("import01")
    world.keys.import_records([good])
    assert world.keys.get("import01").user == "ann"


def test_an_unknown_key_is_told(world: World) -> None:
    for act in (world.keys.get, world.keys.resume, lambda key_id: world.keys.revoke(key_id, "")):
        with pytest.raises(KeyUnknown):
            act("nobody01")


def test_no_key_has_an_impossible_environment(world: World) -> None:
    with pytest.raises(ValueError, match="environment"):
        world.keys.issue(TERMS, "Prod 1")
    assert [record.id for record in world.keys.all()] == ["fixed001"]
