"""Tenants as data: a good file is copied, a bad one changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.config.compile import tenant_table
from gateway_extproc.config.load import load_tenants
from gateway_extproc.core.identity import Tenant
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.tenants import COPY_NAME, FollowedTenants, TenantPublisher
from support.config import make_config

CONFIG = make_config()
FIXED = tenant_table(CONFIG.tenants)


class World:
    def __init__(self, folder: Path) -> None:
        self.source = folder / "tenants.json"
        self.state = folder / "state"
        self.publisher = TenantPublisher(
            self.source,
            self.state,
            lambda data: list(tenant_table(load_tenants(data, CONFIG)).values()),
        )
        self.followed = FollowedTenants(self.state, FIXED)

    def write(self, *tenants: dict[str, Any], **top: Any) -> None:
        text = json.dumps({"version": 1, "tenants": tenants, **top})
        fresh = self.source.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, self.source)
        self.look()

    def look(self) -> None:
        self.publisher.publish()
        self.followed.refresh()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_files_tenants_stand_beside_the_configurations(world: World) -> None:
    world.write(
        {"id": "t1", "data_class": "health", "applications": [{"id": "a", "data_class": "health"}]},
        {"id": "t2", "suspended": True},
    )
    assert world.followed.find("t1") == Tenant("t1", "health", {"a": "health"})
    assert world.followed.find("t2") == Tenant("t2", suspended=True)
    assert world.followed.find("acme") == FIXED["acme"]
    assert world.publisher.status.tenants == 2


def test_a_changed_file_is_seen_and_changes_the_version(world: World) -> None:
    world.write({"id": "t1"})
    version = world.followed.version
    world.write({"id": "t2"})
    assert world.followed.version != version
    assert world.followed.find("t1") is None
    assert world.followed.find("t2") is not None


@pytest.mark.parametrize(
    ("tenants", "phrase"),
    [
        ([{"id": "Upper"}], "tenants[0].id"),
        ([{"id": "t1"}, {"id": "t1"}], "stands only once"),
        ([{"id": "acme"}], "stands only once"),
        ([{"id": "t1", "data_class": "secret"}], "a class that some provider is approved for"),
        ([{"id": "t1", "data_clas": "health"}], "no such field"),
        ([7], "tenants[0]"),
    ],
)
def test_a_bad_file_is_told_and_the_last_good_one_stays(
    world: World, tenants: list[Any], phrase: str
) -> None:
    world.write({"id": "good1"})
    world.write(*tenants)
    assert phrase in world.publisher.status.mistake
    assert world.followed.find("good1") is not None
    later = FollowedTenants(world.state, FIXED)
    later.refresh()
    assert later.find("good1") is not None
    world.write({"id": "good2"})
    assert world.publisher.status.mistake == ""
    assert world.followed.find("good2") is not None


def test_garbage_and_a_file_that_is_gone_are_told(world: World) -> None:
    world.write({"id": "good1"})
    world.source.write_bytes(b"\xff{")
    world.look()
    assert world.publisher.status.mistake
    world.source.unlink()
    world.look()
    assert "No such file" in world.publisher.status.mistake
    assert world.followed.find("good1") is not None


def test_a_damaged_copy_leaves_the_table_as_it_was(world: World) -> None:
    world.write({"id": "good1"})
    (world.state / COPY_NAME).write_text("[[1]]")
    with pytest.raises(StoreUnavailable):
        world.followed.refresh()
    assert world.followed.find("good1") is not None


def test_thousands_are_read_at_once(world: World) -> None:
    world.write(*({"id": f"tenant-{i}"} for i in range(5000)))
    assert world.publisher.status.tenants == 5000
    assert world.followed.find("tenant-4999") is not None


def test_the_copy_is_for_its_owner_only(world: World) -> None:
    world.write({"id": "t1"})
    assert (world.state / COPY_NAME).stat().st_mode & 0o777 == 0o600
