"""The gate of the admin server: every role against every permission, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from gateway_extproc.core.access import ADMIN_PERMISSIONS, AdminPermission
from gateway_extproc.evidence.log import encode
from gateway_extproc.pb.gateway.v1 import decision_pb2
from gateway_extproc.supervisor.admin import MAX_BODY_BYTES, Caller, document_of, requires
from gateway_extproc.supervisor.gate import IdentityGate
from support.config import api_key, document, key_entry
from support.gate import SHIPPED_ROLES, key_of, make_gate, snapshot_of_roles


async def echo(request: Request, caller: Caller) -> Response:
    return JSONResponse(
        {"user": caller.permit.principal.user, "role": caller.role, "body": document_of(request)}
    )


def client_of(gate: IdentityGate) -> TestClient:
    routes = [
        Route(f"/{permission}", requires(gate, permission, echo), methods=["GET", "POST"])
        for permission in ADMIN_PERMISSIONS
    ]
    return TestClient(Starlette(routes=routes), client=("192.0.2.7", 1))


@pytest.fixture
def records() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def client(records: list[dict[str, Any]]) -> TestClient:
    return client_of(make_gate(records))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("permission", ADMIN_PERMISSIONS)
@pytest.mark.parametrize("role", SHIPPED_ROLES)
def test_every_role_meets_every_permission(
    client: TestClient, role: str, permission: AdminPermission
) -> None:
    roles = snapshot_of_roles().roles
    granted = any(permission in grant.admin for grant in roles[role])
    answer = client.get(f"/{permission}", headers=bearer(key_of(role)))
    assert answer.status_code == (200 if granted else 403)
    if granted:
        assert answer.json()["role"] == role


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer nonsense"},
        bearer(api_key("platformadmin00000000", seed=9)),
        {"x-gateway-role": "platform-admin"},
    ],
)
def test_nobody_without_a_good_credential_passes(
    client: TestClient, headers: dict[str, str]
) -> None:
    for permission in ADMIN_PERMISSIONS:
        assert client.get(f"/{permission}", headers=headers).status_code == 401


def test_two_credentials_are_refused(client: TestClient) -> None:
    headers = [
        ("authorization", f"Bearer {key_of('auditor')}"),
        ("authorization", f"Bearer {key_of('auditor')}"),
    ]
    assert client.get("/view_status", headers=headers).status_code == 401


def test_an_address_that_the_caller_claims_does_not_count() -> None:
    key = api_key("netonly1")
    entry = key_entry(key, "acme", "ann", "auditor", networks=["10.0.0.0/8"])
    gate = make_gate(snapshot=snapshot_of_roles(keys=[entry]))
    for headers in ({}, {"x-forwarded-for": "10.0.0.1"}):
        answer = client_of(gate).get("/view_status", headers={**bearer(key), **headers})
        assert answer.json()["error"]["code"] == "network_not_allowed"


def test_a_key_for_some_client_interfaces_is_none_for_the_admin_server() -> None:
    key = api_key("narrow01")
    entry = key_entry(key, "acme", "ann", "platform-admin", endpoints=["chat"])
    gate = make_gate(snapshot=snapshot_of_roles(keys=[entry]))
    answer = client_of(gate).get("/view_status", headers=bearer(key))
    assert answer.json()["error"]["code"] == "permission_required"


def test_conditions_hold_for_the_admin_server_too() -> None:
    roles = [
        {"id": "here", "endpoints": [], "admin": ["view_status"], "when": "source == '192.0.2.7'"},
        {"id": "there", "endpoints": [], "admin": ["view_status"], "when": "source == '10.0.0.1'"},
    ]
    keys = [key_entry(api_key(f"{role}000001"), "acme", "ann", role) for role in ("here", "there")]
    client = client_of(make_gate(snapshot=snapshot_of_roles(roles=roles, keys=keys)))
    assert client.get("/view_status", headers=bearer(api_key("here000001"))).status_code == 200
    assert client.get("/view_status", headers=bearer(api_key("there000001"))).status_code == 403


def test_every_call_is_recorded_with_who_and_by_which_role(
    client: TestClient, records: list[dict[str, Any]]
) -> None:
    client.get("/view_status?secret=planted", headers=bearer(key_of("auditor")))
    client.get("/reload", headers=bearer(key_of("auditor")))
    client.get("/reload")
    parsed = [json_format.Parse(encode(record), decision_pb2.AdminRecord()) for record in records]
    told = [(r.permission, r.status, r.user, r.role, r.reason, r.source) for r in parsed]
    assert told == [
        ("view_status", 200, "auditor", "auditor", "", "192.0.2.7"),
        ("reload", 403, "", "", "permission_required", "192.0.2.7"),
        ("reload", 401, "", "", "missing_api_key", "192.0.2.7"),
    ]
    assert "planted" not in str(records)


def test_bodies_are_objects_of_a_bounded_size(client: TestClient) -> None:
    headers = bearer(key_of("auditor"))
    answer = client.post("/view_status", headers=headers, json={"a": 1})
    assert answer.json()["body"] == {"a": 1}
    assert client.post("/view_status", headers=headers, content=b"[]").json()["body"] is None
    large = client.post("/view_status", headers=headers, content=b"x" * (MAX_BODY_BYTES + 1))
    assert large.status_code == 413


def test_the_example_has_all_shipped_roles() -> None:
    assert set(snapshot_of_roles().roles) == set(SHIPPED_ROLES)
    assert "keys" in document()
