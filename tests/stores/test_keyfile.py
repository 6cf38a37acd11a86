"""The file that a host's workers follow."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from gateway_extproc.core.keys import KeyRecord
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.keyfile import FILE_NAME, PAGE, FollowedKeys, KeyFile

ANN = KeyRecord("ann00001", bytes(32), "acme", "ann", "web", ("developer",))
BOB = replace(ANN, id="bob00001", user="bob")


def follow(folder: Path) -> FollowedKeys:
    keys = FollowedKeys(folder, {ANN.id: ANN})
    catch_up(keys)
    return keys


def catch_up(keys: FollowedKeys) -> None:
    while keys.refresh():
        pass


def test_the_configurations_keys_are_known_beside_the_files(tmp_path: Path) -> None:
    store = KeyFile(tmp_path)
    store.add([BOB])
    keys = follow(tmp_path)
    assert (keys.find("ann00001"), keys.find("bob00001")) == (ANN, BOB)
    assert keys.find("nobody01") is None


def test_a_change_by_another_connection_is_seen_at_the_next_look(tmp_path: Path) -> None:
    keys = follow(tmp_path)
    store = KeyFile(tmp_path)
    store.add([BOB])
    catch_up(keys)
    assert keys.find("bob00001") == BOB
    store.change("bob00001", lambda old: replace(old, state="revoked"))
    catch_up(keys)
    found = keys.find("bob00001")
    assert found is not None
    assert found.state == "revoked"


def test_the_files_record_of_a_configured_key_wins(tmp_path: Path) -> None:
    KeyFile(tmp_path).add([replace(ANN, state="revoked")])
    found = follow(tmp_path).find("ann00001")
    assert found is not None
    assert found.state == "revoked"


def test_a_look_takes_a_page_so_that_no_loop_stands_still(tmp_path: Path) -> None:
    keys = follow(tmp_path)
    KeyFile(tmp_path).add([replace(BOB, id=f"key{i:05d}") for i in range(PAGE + 1)])
    assert keys.refresh()
    assert keys.find(f"key{PAGE - 1:05d}") is not None
    assert keys.find(f"key{PAGE:05d}") is None
    catch_up(keys)
    assert keys.find(f"key{PAGE:05d}") is not None


def test_while_the_file_is_gone_the_last_table_stays(tmp_path: Path) -> None:
    KeyFile(tmp_path).add([BOB])
    keys = follow(tmp_path)
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(StoreUnavailable):
        keys.refresh()
    assert keys.find("bob00001") == BOB


def test_another_file_in_its_place_is_read_whole(tmp_path: Path) -> None:
    KeyFile(tmp_path).add([BOB])
    keys = follow(tmp_path)
    other = tmp_path / "other"
    KeyFile(other).add([replace(BOB, id="cat00001")])
    for file in tmp_path.glob("keys.db*"):
        file.unlink()
    os.replace(other / FILE_NAME, tmp_path / FILE_NAME)
    for file in other.glob("keys.db-*"):
        os.replace(file, tmp_path / file.name)
    catch_up(keys)
    assert keys.find("cat00001") is not None
    assert keys.find("bob00001") is None
    assert keys.find("ann00001") == ANN


def test_a_file_that_is_none_is_told_and_keeps_nobody_out_of_what_was_known(
    tmp_path: Path,
) -> None:
    KeyFile(tmp_path).add([BOB])
    keys = follow(tmp_path)
    for file in tmp_path.glob("keys.db*"):
        file.unlink()
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable):
        keys.refresh()
    assert keys.find("bob00001") == BOB


def test_an_unreadable_record_is_refused_and_hides_no_later_change(tmp_path: Path) -> None:
    store = KeyFile(tmp_path)
    store.add([BOB, replace(BOB, id="cat00001")])
    keys = follow(tmp_path)
    for damage in ("{}", "garbage", '{"id": "other"}'):
        with sqlite3.connect(tmp_path / FILE_NAME) as db:
            db.execute(
                "UPDATE keys SET record = ?, version = (SELECT max(version) + 1 FROM keys)"
                " WHERE id = 'bob00001'",
                (damage,),
            )
            db.execute("UPDATE meta SET value = value + 1 WHERE name = 'version'")
        store.change("cat00001", lambda old: replace(old, user=old.user + "x"))
        catch_up(keys)
        bob, cat = keys.find("bob00001"), keys.find("cat00001")
        assert bob is not None
        assert (bob.state, bob.reason) == ("revoked", "unreadable")
        assert cat is not None
        seen = cat.user
    assert seen == "bobxxx"


def test_an_older_file_in_its_place_is_read_whole(tmp_path: Path) -> None:
    store = KeyFile(tmp_path)
    store.add([BOB])
    backup = sqlite3.connect(tmp_path / "backup")
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.backup(backup)
    store.add([replace(BOB, id=f"later{i:04d}") for i in range(5)])
    keys = follow(tmp_path)
    assert keys.find("later0001") is not None
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        backup.backup(db)
    store.change("bob00001", lambda old: replace(old, state="revoked"))
    catch_up(keys)
    bob = keys.find("bob00001")
    assert bob is not None
    assert bob.state == "revoked"
    assert keys.find("later0001") is None


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    KeyFile(tmp_path / "state")
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / FILE_NAME).stat().st_mode & 0o777 == 0o600
