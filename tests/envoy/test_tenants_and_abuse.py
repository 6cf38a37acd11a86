"""Tenants as data, data classes, abuse and the admin server, through the whole gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.gateway import RunningGateway, running_gateway, wait_for

VOLUME = 12
FAILURES = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[RunningGateway]:
    def change(document: dict[str, Any]) -> None:
        identity = document["identity"]
        identity["tenants_file"] = str(folder / "tenants.json")
        identity["data_class_header"] = "x-data-class"
        identity["application_header"] = "x-application"
        identity["abuse"] = [
            {
                "id": "burst", "signal": "volume", "threshold": VOLUME, "window_s": 60.0,
                "action": "suspend", "for_s": 600.0, "tenants": ["watched"],
            },
            {"id": "guessing", "signal": "failures", "threshold": FAILURES, "window_s": 60.0},
        ]  # fmt: skip
        document["roles"].append(
            {
                "id": "daytime",
                "endpoints": ["models"],
                "rules": [
                    {
                        "id": "team-only",
                        "endpoints": ["chat"],
                        "models": ["gpt-4o-mini"],
                        "when": "labels['team'] == 'search' && application != ''",
                    }
                ],
            }
        )

    write_tenants(folder, {"id": "watched"}, {"id": "filed"})
    with running_gateway(folder, change) as running:
        yield running


def write_tenants(folder: Path, *tenants: dict[str, Any]) -> None:
    fresh = folder / "tenants.new"
    fresh.write_text(json.dumps({"version": 1, "tenants": tenants}))
    os.replace(fresh, folder / "tenants.json")


def issue(gateway: RunningGateway, **terms: Any) -> tuple[str, str]:
    """Id and text of a new key that both workers know."""
    terms = {"tenant": "filed", "user": "u", "roles": ["developer"], **terms}
    answer = gateway.admin("POST", "/v1/keys", **terms)
    assert answer.status_code == 201, answer.text
    key_id, key = answer.json()["id"], answer.json()["key"]
    if terms["tenant"] != "watched" and "models" not in terms:
        wait_for(lambda: known_everywhere(gateway, key), 3, "the key is not known")
    return key_id, key


def known_everywhere(gateway: RunningGateway, key: str) -> bool:
    return all(code_of(models(gateway, key)) != "invalid_api_key" for _ in range(8))


def models(gateway: RunningGateway, key: str, **headers: str) -> httpx.Response:
    with gateway.client(None, authorization=f"Bearer {key}", **headers) as client:
        return client.get("/v1/models")


def chat(gateway: RunningGateway, key: str, model: str = "gpt-4o-mini", **headers: str) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    with gateway.client(None, authorization=f"Bearer {key}", **headers) as client:
        return client.post("/v1/chat/completions", json=body)


def code_of(answer: httpx.Response) -> str:
    return "" if answer.status_code == 200 else str(answer.json()["error"]["code"])


def test_tenants_come_and_go_with_their_file(gateway: RunningGateway, folder: Path) -> None:
    _, key = issue(gateway)
    assert chat(gateway, key).status_code == 200
    write_tenants(folder, {"id": "watched"}, {"id": "filed", "suspended": True})
    wait_for(lambda: code_of(chat(gateway, key)) == "tenant_suspended", 3, "still served")
    write_tenants(folder, {"id": "watched"})
    wait_for(lambda: code_of(chat(gateway, key)) == "unknown_tenant", 3, "still served")
    write_tenants(folder, {"id": "watched"}, {"id": "filed"})
    wait_for(lambda: all(chat(gateway, key).status_code == 200 for _ in range(4)), 3, "not back")
    (folder / "tenants.json").write_text("{broken")
    wait_for(lambda: gateway.status()["tenants"]["mistake"], 3, "a bad file is not told")
    assert chat(gateway, key).status_code == 200
    write_tenants(folder, {"id": "watched"}, {"id": "filed"})
    wait_for(lambda: not gateway.status()["tenants"]["mistake"], 3, "still told")


def test_a_request_may_raise_its_class_and_never_lower_it(gateway: RunningGateway) -> None:
    _, key = issue(gateway)
    plain = chat(gateway, key)
    assert gateway.record_of(plain.headers["x-request-id"])["provider"] == "openai"
    raised = chat(gateway, key, **{"x-data-class": "regulated"})
    record = gateway.record_of(raised.headers["x-request-id"])
    assert record["provider"] == "anthropic"
    assert record["data_classes"] == ["regulated", "standard"]
    refused = chat(gateway, key, model="gpt-4o", **{"x-data-class": "regulated"})
    assert (refused.status_code, code_of(refused)) == (403, "no_eligible_target")
    (event,) = gateway.record_of(refused.headers["x-request-id"])["events"]
    assert (event["category"], event["action"]) == ("governance", "refuse")
    for name in ("x-data-class", "x-gateway-data-class"):
        lowered = chat(gateway, gateway.keys["clinic"], model="gpt-4o", **{name: "standard"})
        assert code_of(lowered) == "no_eligible_target"
    metrics = httpx.get(f"{gateway.admin_url}/metrics").text
    assert 'gateway_governance_events_total{action="refuse",kind="data_class"}' in metrics


def test_who_may_use_a_model_sees_it_and_nobody_else(gateway: RunningGateway) -> None:
    _, narrow = issue(gateway, models=["gpt-4o*"])
    wait_for(lambda: known_everywhere(gateway, narrow), 3, "the key is not known")
    _, team = issue(gateway, roles=["daytime"], labels={"team": "search"})
    _, stranger = issue(gateway, roles=["daytime"])

    def listed(key: str) -> list[str]:
        return [model["id"] for model in models(gateway, key).json()["data"]]

    assert listed(narrow) == ["gpt-4o-mini", "gpt-4o"]
    assert listed(team) == ["gpt-4o-mini"]
    assert listed(stranger) == []
    assert code_of(chat(gateway, narrow, model="claude-haiku-4-5")) == "model_not_allowed"


def test_the_record_names_role_rule_and_labels(gateway: RunningGateway) -> None:
    _, team = issue(gateway, roles=["daytime"], labels={"team": "search"})
    allowed = chat(gateway, team)
    record = gateway.record_of(allowed.headers["x-request-id"])
    assert (record["role"], record["rule"]) == ("daytime", "team-only")
    assert record["labels"] == {"team": "search"}
    cost = next(c for c in gateway.costs() if c["request_id"] == record["request_id"])
    assert cost["labels"] == {"team": "search"}
    _, stranger = issue(gateway, roles=["daytime"])
    refused = chat(gateway, stranger)
    record = gateway.record_of(refused.headers["x-request-id"])
    assert record["refusal"]["reason"] == "condition_not_met"
    assert record["refusal"]["rule"] == "daytime/team-only"


def test_a_credential_without_application_needs_the_header(gateway: RunningGateway) -> None:
    _, key = issue(gateway, application="")
    refused = chat(gateway, key)
    assert (refused.status_code, code_of(refused)) == (403, "incomplete_identity")
    named = chat(gateway, key, **{"x-application": "billing"})
    assert gateway.record_of(named.headers["x-request-id"])["application"] == "billing"


def test_sudden_volume_suspends_a_key_until_the_command_line_lifts_it(
    gateway: RunningGateway,
) -> None:
    key_id, key = issue(gateway, tenant="watched")
    wait_for(lambda: models(gateway, key).status_code == 200, 3, "the key is not known")
    seen = wait_for(lambda: _tipped(gateway, key), 5, "no volume was too much")
    assert seen in ("credential_throttled", "suspended_api_key")
    wait_for(
        lambda: all(code_of(models(gateway, key)) == "suspended_api_key" for _ in range(6)),
        15,
        "not suspended everywhere",
    )
    events = [e for r in gateway.records() for e in r.get("events", ()) if e["subject"] == key_id]
    assert {(e["category"], e["kind"], e["action"], e["rule"]) for e in events} == {
        ("abuse", "volume", "suspend", "burst")
    }
    shown = _keys_command(gateway, "show", key_id)
    assert (shown["state"], shown["reason"]) == ("suspended", "abuse rule burst")
    assert _keys_command(gateway, "resume", key_id)["state"] == "active"
    wait_for(lambda: models(gateway, key).status_code == 200, 10, "not lifted")


def _tipped(gateway: RunningGateway, key: str) -> str:
    """Why a request was refused; a worker that has not heard of the key yet is no answer."""
    codes = (code_of(models(gateway, key)) for _ in range(2 * VOLUME))
    return next((code for code in codes if code not in ("", "invalid_api_key")), "")


def test_many_wrong_keys_from_one_address_are_an_event(gateway: RunningGateway) -> None:
    for _ in range(FAILURES + 10):
        assert code_of(models(gateway, "gw_live_guess")) == "invalid_api_key"
    found = wait_for(
        lambda: [
            e for r in gateway.records() for e in r.get("events", ()) if e["rule"] == "guessing"
        ],
        3,
        "no event",
    )
    assert found[0]["kind"] == "failures"
    assert found[0]["subject"]


def _keys_command(gateway: RunningGateway, *arguments: str) -> Any:
    command = [
        sys.executable, "-m", "gateway_extproc.cli.main", "keys", *arguments,
        "--config", str(gateway.run_dir / "gateway.yaml"), "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return json.loads(done.stdout)


def test_the_command_line_and_the_workers_share_their_keys(gateway: RunningGateway) -> None:
    issued = _keys_command(gateway, "issue", "--tenant", "filed", "--user", "cli")
    wait_for(lambda: known_everywhere(gateway, issued["key"]), 3, "the key is not known")
    assert chat(gateway, issued["key"]).status_code == 200
    _keys_command(gateway, "revoke", issued["id"])
    wait_for(lambda: code_of(models(gateway, issued["key"])) == "revoked_api_key", 2, "still good")


def test_the_admin_server_reloads_for_who_may(gateway: RunningGateway) -> None:
    assert gateway.admin("POST", "/v1/reload", key=None).status_code == 401
    assert gateway.admin("POST", "/v1/reload", key="dev").status_code == 403
    before = [worker["pid"] for worker in gateway.status()["workers"]]
    answer = gateway.admin("POST", "/v1/reload", key="security")
    assert answer.status_code == 202
    wait_for(
        lambda: all(w["pid"] not in before and w["ready"] for w in gateway.status()["workers"]),
        30,
        "the workers were not rolled over",
    )
    assert gateway.status()["revision"] == answer.json()["revision"]
    lines = (gateway.run_dir / "evidence" / "admin.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines if '"/v1/reload"' in line]
    assert [(r["status"], r.get("role", "")) for r in told] == [
        (401, ""), (403, ""), (202, "security-operator"),
    ]  # fmt: skip


def test_no_planted_key_is_in_any_file(gateway: RunningGateway) -> None:
    key_id, key = issue(gateway)
    assert chat(gateway, key).status_code == 200
    gateway.admin("POST", f"/v1/keys/{key_id}/revoke")
    for file in Path(gateway.run_dir).rglob("*"):
        if file.is_file():
            assert key.encode() not in file.read_bytes(), file
