"""API keys at the admin server: what each call does, and what nobody gets out of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from gateway_extproc.config.compile import key_record
from gateway_extproc.config.keyterms import read_terms
from gateway_extproc.core.keys import KeyRecord
from gateway_extproc.core.secret import Secret
from gateway_extproc.identity.keyring import Keyring
from gateway_extproc.stores.keyfile import KeyFile
from gateway_extproc.supervisor.calls import http_routes
from gateway_extproc.supervisor.keys_api import KeysApi
from support.config import PEPPER, make_config
from support.gate import key_of, make_gate, snapshot_of_roles

SNAPSHOT = snapshot_of_roles()
TERMS = {"tenant": "acme", "user": "new", "roles": ["developer"]}


@dataclass
class World:
    client: TestClient
    store: KeyFile

    def call(self, role: str, method: str, path: str, **fields: Any) -> Any:
        headers = {"authorization": f"Bearer {key_of(role)}"}
        return self.client.request(method, path, headers=headers, json=fields or None)

    def issue(self, role: str = "platform-admin", **fields: Any) -> Any:
        return self.call(role, "POST", "/v1/keys", **{**TERMS, **fields})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = KeyFile(tmp_path)
    config = make_config(roles=[], keys=[])

    def terms(entry: dict[str, Any]) -> KeyRecord:
        return key_record(read_terms(entry, config, frozenset({"from-file"})))

    api = KeysApi(time.time)
    keyring = Keyring(store, SNAPSHOT.keys, Secret(PEPPER), time.time, os.urandom)
    api.use(keyring, terms, SNAPSHOT.roles)
    yield World(TestClient(Starlette(routes=http_routes(make_gate(), api.calls(), []))), store)
    store.close()


def test_an_issued_key_is_shown_once_and_its_hmac_never(world: World) -> None:
    answer = world.issue(labels={"team": "x"}, networks=["10.0.0.0/8"], ttl_s=60)
    assert answer.status_code == 201
    issued = answer.json()
    assert issued["key"].split("_")[2] == issued["id"]
    shown = world.call("auditor", "GET", f"/v1/keys/{issued['id']}")
    listed = world.call("auditor", "GET", "/v1/keys?tenant=acme&state=active")
    assert shown.json()["labels"] == {"team": "x"}
    assert issued["id"] in [key["id"] for key in listed.json()["keys"]]
    hmac = world.store.get(issued["id"]).record.hmac.hex()
    for text in (shown.text, listed.text, answer.text.replace(issued["key"], "")):
        assert issued["key"] not in text
        assert hmac not in text
        assert "hmac" not in text


def test_a_key_is_rotated_suspended_resumed_and_revoked(world: World) -> None:
    one = f"/v1/keys/{world.issue().json()['id']}"
    rotated = world.call("platform-admin", "POST", f"{one}/rotate", overlap_s=60)
    assert rotated.status_code == 201
    assert rotated.json()["record"]["replaces"] in one
    assert world.call("platform-admin", "GET", one).json()["expires_at"]
    assert world.call("security-operator", "POST", f"{one}/suspend", for_s=60).json()["state"] == (
        "suspended"
    )
    assert world.call("platform-admin", "POST", f"{one}/resume").json()["state"] == "active"
    revoked = world.call("security-operator", "POST", f"{one}/revoke", reason="leak").json()
    assert (revoked["state"], revoked["reason"]) == ("revoked", "leak")
    again = world.call("platform-admin", "POST", f"{one}/resume")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "key_revoked")


def test_who_revokes_keys_issues_none(world: World) -> None:
    assert world.issue("security-operator").status_code == 403
    one = f"/v1/keys/{world.issue().json()['id']}"
    assert world.call("security-operator", "POST", f"{one}/resume").status_code == 403
    assert world.call("security-operator", "POST", f"{one}/rotate").status_code == 403
    assert world.call("finops", "GET", one).status_code == 403
    assert world.call("auditor", "POST", f"{one}/revoke").status_code == 403


@pytest.mark.parametrize("role", ["security-operator"])
def test_nobody_hands_out_what_he_does_not_have(world: World, role: str) -> None:
    answer = world.issue(roles=[role])
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_required")
    theirs = next(record.id for record in SNAPSHOT.keys.values() if record.roles == (role,))
    rotated = world.call("platform-admin", "POST", f"/v1/keys/{theirs}/rotate")
    assert rotated.status_code == 403
    assert "key" not in rotated.json()
    for other in ("finops", "auditor", "platform-admin", "developer"):
        assert world.issue(roles=[other]).status_code == 201


@pytest.mark.parametrize(
    ("fields", "phrase"),
    [
        ({"tenant": "nobody"}, "tenant"),
        ({"roles": ["nobody"]}, "role"),
        ({"roles": []}, "roles"),
        ({"user": ""}, "user"),
        ({"networks": ["10.0.0.1/8"]}, "networks"),
        ({"endpoints": ["other"]}, "endpoints"),
        ({"ttl_s": -1}, "ttl_s"),
        ({"ttl_s": True}, "ttl_s"),
        ({"ttl_s": 1e300}, "ttl_s"),
        ({"environment": 7}, "environment"),
        ({"environment": "Prod 1"}, "environment"),
        ({"id": "chosen01"}, "id"),
        ({"hmac": "00" * 32}, "hmac"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_bad_terms_are_told_and_make_no_key(
    world: World, fields: dict[str, Any], phrase: str
) -> None:
    answer = world.issue(**fields)
    assert answer.status_code == 400
    assert phrase in answer.json()["error"]["message"]
    assert world.store.changes(0) == []


def test_tenants_of_the_file_have_keys_too(world: World) -> None:
    assert world.issue(tenant="from-file").status_code == 201


def test_an_unknown_key_is_404(world: World) -> None:
    for method, path in (
        ("GET", ""),
        ("POST", "/revoke"),
        ("POST", "/rotate"),
        ("POST", "/resume"),
    ):
        answer = world.call("platform-admin", method, f"/v1/keys/nobody01{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "key_unknown")


def test_what_is_no_object_is_told(world: World) -> None:
    headers = {"authorization": f"Bearer {key_of('platform-admin')}"}
    for body in (b"[]", b"{", b"\xff"):
        answer = world.client.post("/v1/keys", headers=headers, content=body)
        assert answer.status_code == 400


def test_a_key_expires_as_its_terms_say(world: World) -> None:
    record = world.store.get(world.issue(ttl_s=60).json()["id"]).record
    assert record.expires_at_s == pytest.approx(time.time() + 60, abs=5)
