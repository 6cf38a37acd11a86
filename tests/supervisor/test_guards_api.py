"""Reviews at the admin server: who may report, who may judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from gateway_extproc.stores.reviews import ReviewFile
from gateway_extproc.supervisor.guards_api import GuardsApi
from support.gate import key_of, make_gate

FINDING = {"rule": "a", "fingerprint": "f" * 64}
RECORDS: dict[str, dict[str, Any]] = {
    "d1": {"decision_id": "d1", "findings": [FINDING]},
    "d2": {"decision_id": "d2"},
}


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    api = GuardsApi(ReviewFile(tmp_path, lambda: 5.0), lambda id_: RECORDS.get(id_), lambda: 5.0)
    return TestClient(Starlette(routes=api.routes(make_gate())))


def call(client: TestClient, role: str, path: str = "", **fields: Any) -> Any:
    headers = {"authorization": f"Bearer {key_of(role)}"}
    return client.post(f"/v1/guard/reviews{path}", headers=headers, json=fields)


def test_a_report_is_judged_by_who_may_change_guards(client: TestClient) -> None:
    made = call(client, "auditor", decision_id="d1", note="a recipe")
    assert made.status_code == 201
    review = made.json()["reviews"][0]
    assert (review["state"], review["rule"], review["note"]) == ("reported", "a", "a recipe")
    for role in ("auditor", "platform-admin", "developer", "finops"):
        assert call(client, role, f"/{review['id']}/approve").status_code == 403
    approved = call(client, "security-operator", f"/{review['id']}/approve", days=30)
    assert approved.json()["state"] == "approved"
    assert approved.json()["until_s"] == 5.0 + 30 * 86400
    assert approved.json()["by"] != review["by"]
    again = call(client, "security-operator", f"/{review['id']}/approve")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "review_closed")
    headers = {"authorization": f"Bearer {key_of('auditor')}"}
    listed = client.get("/v1/guard/reviews", headers=headers).json()["reviews"]
    assert listed == [approved.json()]


def test_who_sees_no_decisions_reports_none(client: TestClient) -> None:
    assert call(client, "developer", decision_id="d1").status_code == 403
    assert client.get("/v1/guard/reviews").status_code == 401


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"decision_id": "d9"}, 404), ({"decision_id": "d2"}, 404), ({}, 404),
     ({"decision_id": 7}, 400), ({"decision_id": "d1", "rule": "b"}, 404)],
)  # fmt: skip
def test_a_bad_report_says_why(client: TestClient, fields: dict[str, Any], status: int) -> None:
    answer = call(client, "auditor", **fields)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("days", [0, -1, "x", True, 1e9])
def test_an_approval_ends_at_a_time_that_is_one(client: TestClient, days: Any) -> None:
    review = call(client, "auditor", decision_id="d1").json()["reviews"][0]
    answer = call(client, "security-operator", f"/{review['id']}/approve", days=days)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
