"""Reviews at the admin server: who may report, who may judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from gateway_extproc.stores.reviews import ReviewFile
from gateway_extproc.supervisor.guards_api import GuardsApi
from support.config import api_key, key_entry
from support.gate import SHIPPED_ROLES, key_of, make_gate, snapshot_of_roles

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


# ------------------------------------------------------------------------ whose reviews

BEA = api_key("beareviews000")
"""Judges guards of the tenant beta, and no other's."""
REVIEWER = {"id": "tenant-reviewer", "endpoints": [], "admin": ["view_decisions", "change_guards"]}
OF_TENANTS: dict[str, dict[str, Any]] = {
    "a1": {"decision_id": "a1", "tenant": "acme", "findings": [FINDING]},
    "b1": {"decision_id": "b1", "tenant": "beta", "findings": [FINDING]},
    "m1": {"decision_id": "m1", "findings": [FINDING]},  # whose tenant is masked
}


class Scoped:
    """Reviews of three decisions, reported by who sees all; and Bea, who sees one tenant."""

    def __init__(self, folder: Path) -> None:
        keys = [key_entry(key_of(role), "acme", role, role) for role in SHIPPED_ROLES]
        keys.append(key_entry(BEA, "beta", "bea", "tenant-reviewer"))
        self.log: list[dict[str, Any]] = []
        gate = make_gate(self.log, snapshot_of_roles(roles=[REVIEWER], keys=keys))
        self.records = dict(OF_TENANTS)
        api = GuardsApi(ReviewFile(folder, lambda: 5.0), self.records.get, lambda: 5.0)
        self.client = TestClient(Starlette(routes=api.routes(gate)))
        self.ids = {
            name: call(self.client, "auditor", decision_id=name).json()["reviews"][0]["id"]
            for name in OF_TENANTS
        }

    def post(self, path: str, key: str = BEA, **fields: Any) -> Any:
        headers = {"authorization": f"Bearer {key}"}
        return self.client.post(f"/v1/guard/reviews{path}", headers=headers, json=fields)

    def states(self, key: str = BEA) -> dict[str, str]:
        headers = {"authorization": f"Bearer {key}"}
        listed = self.client.get("/v1/guard/reviews", headers=headers).json()["reviews"]
        return {review["decision_id"]: review["state"] for review in listed}


@pytest.fixture
def scoped(tmp_path: Path) -> Scoped:
    return Scoped(tmp_path)


def test_who_is_scoped_sees_his_tenants_reviews_only(scoped: Scoped) -> None:
    assert scoped.states(key_of("auditor")) == dict.fromkeys(("a1", "b1", "m1"), "reported")
    assert scoped.states() == {"b1": "reported"}


def test_a_review_of_a_decision_that_is_gone_is_nobodys_but_of_who_sees_all(scoped: Scoped) -> None:
    del scoped.records["b1"]
    assert scoped.states() == {}
    assert set(scoped.states(key_of("auditor"))) == {"a1", "b1", "m1"}


@pytest.mark.parametrize("decision", ["a1", "m1", "none"])
def test_another_tenants_decision_cannot_be_reported(scoped: Scoped, decision: str) -> None:
    """In the very words of one that is not there."""
    answer = scoped.post("", decision_id=decision)
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        {"code": "review_unknown", "message": f"no decision '{decision}' on this host"},
    )


@pytest.mark.parametrize("verb", ["approve", "reject", "withdraw"])
def test_another_tenants_review_cannot_be_judged(scoped: Scoped, verb: str) -> None:
    before = scoped.states(key_of("auditor"))
    for name in ("a1", "m1"):
        answer = scoped.post(f"/{scoped.ids[name]}/{verb}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "review_unknown")
    assert scoped.states(key_of("auditor")) == before
    assert [line["status"] for line in scoped.log if line.get("user") == "bea"] == [404, 404]


def test_who_is_scoped_judges_his_own_tenants_reviews(scoped: Scoped) -> None:
    assert scoped.post("", decision_id="b1").status_code == 201
    answer = scoped.post(f"/{scoped.ids['b1']}/approve", days=1)
    assert (answer.status_code, answer.json()["by"]) == (200, "beta/bea")
    assert scoped.states() == {"b1": "approved"}
    assert scoped.states(key_of("auditor"))["a1"] == "reported"
