"""Decisions and costs as JSON over HTTP: what is answered, to whom, and what is logged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from gateway_extproc.evidence.feed import FileFeed
from gateway_extproc.supervisor.calls import http_routes
from gateway_extproc.supervisor.records_api import RecordsApi
from support.adminapi import BETA_AUDITOR, decision, fill, two_tenant_gate, write
from support.gate import key_of


class World:
    def __init__(self, folder: Path) -> None:
        self.log: list[dict[str, Any]] = []
        api = RecordsApi(FileFeed(folder))
        routes = http_routes(two_tenant_gate(self.log), api.calls(), api.streams())
        self.client = TestClient(Starlette(routes=routes))

    def get(self, path: str, key: str = key_of("auditor")) -> Any:
        return self.client.get(path, headers={"authorization": f"Bearer {key}"})

    def ids(self, query: str = "", key: str = key_of("auditor")) -> list[str]:
        answer = self.get(f"/v1/decisions{query}", key)
        assert answer.status_code == 200, answer.text
        return [record["decision_id"] for record in answer.json()["decisions"]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    fill(tmp_path)
    return World(tmp_path)


def test_decisions_come_newest_first(world: World) -> None:
    assert world.ids() == ["d3", "d2", "d1"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?tenant=beta", ["d2"]),
        ("?outcome=refused", ["d3"]),
        ("?reason=prompt_blocked&status=400", ["d3"]),
        ("?user=ann&request_id=r1", ["d1"]),
        ("?since=2026-05-06T14:00:02%2B02:00", ["d3", "d2"]),
        ("?until=2026-05-06T12:00:02Z", ["d1"]),
    ],
)
def test_filters_are_query_parameters(world: World, query: str, found: list[str]) -> None:
    assert world.ids(query) == found


def test_pages_follow_by_next(world: World) -> None:
    first = world.get("/v1/decisions?limit=2").json()
    assert len(first["decisions"]) == 2
    assert world.ids(f"?limit=2&before={first['next']}") == ["d1"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "status=-1", "since=yesterday", "before=x", "usr=ann",
     f"user={'a' * 300}"],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_name(world: World, query: str) -> None:
    answer = world.get(f"/v1/decisions?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert query.partition("=")[0] in answer.json()["error"]["message"]


def test_decisions_are_counted_and_exported(world: World) -> None:
    count = world.get("/v1/decisions/count?tenant=acme").json()
    assert count == {"records": 2, "outcomes": {"ALLOWED": 1, "REFUSED": 1}}
    lines = world.get("/v1/decisions/export").text.splitlines()
    assert [json.loads(line)["decision_id"] for line in lines] == ["d1", "d2", "d3"]
    lines = world.get("/v1/decisions/export", BETA_AUDITOR).text.splitlines()
    assert [json.loads(line)["decision_id"] for line in lines] == ["d2"]


@pytest.mark.parametrize("by", ["labels.x'y", 'labels.x"y', "labels.a) FROM latest; --"])
def test_a_name_is_never_a_part_of_a_question(world: World, by: str) -> None:
    (row,) = world.get("/v1/costs?by=" + quote(by)).json()["sums"]
    assert (row["by"], row["requests"]) == ({by: ""}, 3)


def test_one_decision_is_shown_by_its_id_or_its_requests(world: World) -> None:
    for name in ("d2", "r2"):
        assert world.get(f"/v1/decisions/{name}").json()["decision_id"] == "d2"
    answer = world.get("/v1/decisions/d9")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_costs_are_summed(world: World) -> None:
    (total,) = world.get("/v1/costs").json()["sums"]
    assert (total["requests"], total["cost_nanos"]) == (3, 600)
    rows = world.get("/v1/costs?by=tenant,day").json()["sums"]
    assert [row["by"]["tenant"] for row in rows] == ["acme", "beta"]
    assert world.get("/v1/costs?by=prompt").status_code == 400


def test_who_is_scoped_sees_only_his_tenant_whatever_he_asks(world: World) -> None:
    assert world.ids(key=BETA_AUDITOR) == ["d2"]
    assert world.ids("?tenant=beta", BETA_AUDITOR) == ["d2"]
    assert world.get("/v1/decisions?tenant=acme", BETA_AUDITOR).status_code == 403
    assert world.get("/v1/decisions/d2", BETA_AUDITOR).status_code == 200
    assert world.get("/v1/decisions/d1", BETA_AUDITOR).status_code == 404
    (row,) = world.get("/v1/costs?by=tenant", BETA_AUDITOR).json()["sums"]
    assert (row["by"], row["cost_nanos"]) == ({"tenant": "beta"}, 200)
    assert world.get("/v1/costs?tenant=acme", BETA_AUDITOR).status_code == 403


def test_a_record_whose_tenant_is_masked_is_only_for_who_sees_all(
    world: World, tmp_path: Path
) -> None:
    hidden = decision(7)
    del hidden["tenant"]
    write(tmp_path / "decisions-0.jsonl", hidden)
    assert "d7" in world.ids()
    assert world.ids(key=BETA_AUDITOR) == ["d2"]
    assert world.get("/v1/decisions/d7", BETA_AUDITOR).status_code == 404


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("finops", "/v1/decisions", 403),
        ("finops", "/v1/decisions/d1", 403),
        ("finops", "/v1/decisions/tail", 403),
        ("finops", "/v1/costs", 200),
        ("security-operator", "/v1/decisions", 200),
        ("security-operator", "/v1/costs", 403),
        ("developer", "/v1/decisions", 403),
        ("developer", "/v1/costs", 403),
    ],
)
def test_a_call_needs_its_permission(world: World, role: str, path: str, status: int) -> None:
    assert world.get(path, key_of(role)).status_code == status


def test_each_call_is_one_line_of_the_admin_log(world: World) -> None:
    world.get("/v1/decisions?user=ann")
    world.get("/v1/decisions/d9")
    world.get("/v1/costs", key_of("developer"))
    world.client.get("/v1/decisions")
    seen = [(line["path"], line["permission"], line["status"]) for line in world.log]
    assert seen == [
        ("/v1/decisions", "view_decisions", 200),
        ("/v1/decisions/d9", "view_decisions", 404),
        ("/v1/costs", "view_costs", 403),
        ("/v1/decisions", "view_decisions", 401),
    ]
    assert world.log[0]["user"] == "auditor"
    assert "ann" not in str(world.log[0])
