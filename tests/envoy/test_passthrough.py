"""Paths that policy lets pass: identity, roles, limits and records hold; nothing is read."""

from __future__ import annotations

import pytest

from support.gateway import RunningGateway, wait_for

JOBS = "/v1/fine_tuning/jobs"


def test_a_request_passes_as_it_is_with_the_providers_credential(media: RunningGateway) -> None:
    body = b'{"zeta": 1,  "model": "any", "note": "4111 1111 1111 1111"}'
    headers = {"content-type": "application/json", "cookie": "a=b", "x-gateway-priority": "high"}
    with media.client() as client:
        answer = client.post(f"{JOBS}?limit=2", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"method": "POST", "path": f"{JOBS}?limit=2", "body": body.decode(),
                             "object": "fine_tuning.job"}  # fmt: skip
    (sent,) = media.openai.requests
    assert sent.header("authorization") == f"Bearer {media.provider_secrets['openai']}"
    assert sent.header("cookie") is None
    record = media.record_of(answer.headers["x-request-id"])
    assert (record["endpoint"], record["outcome"], record["provider"]) == (
        "passthrough:tuning", "ALLOWED", "openai",
    )  # fmt: skip
    assert record["role"] == "developer"
    assert record["delivered_bytes"] == len(answer.content)
    assert {limit["id"] for limit in record["limits"]} == {"per-user"}
    (cost,) = wait_for(
        lambda: [c for c in media.costs() if c["request_id"] == record["request_id"]], 10, "none"
    )
    assert (cost.get("cost_nanos", 0), cost.get("price_version", "")) == (0, "")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_request_without_a_body_passes(media: RunningGateway, method: str) -> None:
    with media.client() as client:
        answer = client.request(method, f"{JOBS}/ftjob-1")
    assert answer.status_code == 200, answer.text
    assert answer.json()["method"] == method
    assert media.openai.requests[-1].header("authorization") != f"Bearer {media.keys['dev']}"


@pytest.mark.parametrize(
    ("key", "method", "path", "status", "code"),
    [
        ("visitor", "GET", JOBS, 403, "endpoint_not_allowed"),
        (None, "GET", JOBS, 401, "missing_api_key"),
        ("clinic", "GET", JOBS, 403, "no_eligible_target"),
        ("dev", "PUT", JOBS, 405, "method_not_allowed"),
        ("dev", "GET", "/v1/fine_tuning", 404, "unknown_endpoint"),
        ("dev", "GET", "/v1/fine_tuning/other", 404, "unknown_endpoint"),
        ("dev", "GET", "/v1/fine_tuning/jobs/../../models/x", 404, "unknown_endpoint"),
        ("dev", "GET", "/v1/fine_tuning/jobs/a%20b", 404, "unknown_endpoint"),
        ("dev", "GET", "/v1/fine_tuning/jobs/a;b", 404, "unknown_endpoint"),
    ],
)
def test_nothing_else_passes(
    media: RunningGateway, key: str | None, method: str, path: str, status: int, code: str
) -> None:
    with media.client(key) as client:
        answer = client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert not media.openai.requests


def test_a_providers_error_is_told_as_always(media: RunningGateway) -> None:
    media.openai.faults.set(status=401)
    with media.client() as client:
        answer = client.get(JOBS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "provider_error")
    media.openai.faults.set(status=500)
    with media.client() as client:
        answer = client.post(JOBS, json={})
    assert answer.status_code == 500
    assert len(media.openai.requests) == 2
