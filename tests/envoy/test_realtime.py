"""Websockets are refused in words that SDKs parse, by the real Envoy."""

from __future__ import annotations

import base64
import os

import pytest

from support.gateway import RunningGateway

UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": base64.b64encode(os.urandom(16)).decode(),
}


@pytest.mark.parametrize("path", ["/v1/realtime?model=gpt-4o-mini", "/v1/chat/completions"])
def test_an_upgrade_is_refused_on_every_path(media: RunningGateway, path: str) -> None:
    with media.client() as client:
        answer = client.get(path, headers=UPGRADE)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("endpoint_not_served", "invalid_request_error")
    assert "Websockets are not served" in error["message"]
    assert answer.headers["x-request-id"]
    assert not media.openai.requests


def test_without_an_upgrade_the_gateway_says_the_same_and_records_it(
    media: RunningGateway,
) -> None:
    with media.client() as client:
        answer = client.get("/v1/realtime?model=gpt-4o-mini")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "endpoint_not_served")
    record = media.record_of(answer.headers["x-request-id"])
    assert record["refusal"]["reason"] == "endpoint_not_served"
