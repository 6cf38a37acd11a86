"""A websocket that policy lets pass, through the real Envoy: who opens it is held to all rules."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve

from support.gateway import RunningGateway, running_gateway

SECRET = "the-providers-own"
REALTIME = "/v1/realtime?model=gpt-realtime"


class Speaker:
    """A provider that says what it hears, and nothing before it hears something."""

    def __init__(self) -> None:
        self.opened: list[dict[str, str]] = []
        self.server: Server = serve(self._talk, "127.0.0.1", 0)
        self.port = self.server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def _talk(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        self.opened.append({":path": request.path, **dict(request.headers.raw_items())})
        for message in connection:
            connection.send(message)

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    made = Speaker()
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(speaker: Speaker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("websockets")
    (folder / "speaker.secret").write_text(SECRET)

    def change(document: dict[str, Any]) -> None:
        document["providers"].append({
            "id": "speaker", "dialect": "openai", "base_url": f"http://127.0.0.1:{speaker.port}/v1",
            "credential_file": str(folder / "speaker.secret"),
        })  # fmt: skip
        document["passthrough"] = [
            {"id": "realtime", "provider": "speaker", "paths": ["/v1/realtime"],
             "methods": ["GET"], "websockets": True},
            {"id": "tuning", "provider": "openai", "paths": ["/v1/fine_tuning/jobs"]},
        ]  # fmt: skip
        for role in document["roles"]:
            if role["id"] == "developer":
                role["endpoints"] += ["passthrough:realtime", "passthrough:tuning"]

    with running_gateway(folder, change) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(gateway: RunningGateway, speaker: Speaker) -> None:
    speaker.opened.clear()
    gateway.openai.clear()


def opened(gateway: RunningGateway, key: str | None = "dev", path: str = REALTIME, **more: Any
           ) -> ClientConnection:  # fmt: skip
    headers = {} if key is None else {"authorization": f"Bearer {gateway.keys[key]}"}
    url = gateway.base_url.replace("http", "ws", 1) + path
    socket: ClientConnection = connect(url, additional_headers=headers, open_timeout=10, **more)
    return socket


def test_what_is_said_passes_both_ways(gateway: RunningGateway, speaker: Speaker) -> None:
    with opened(gateway, subprotocols=None) as socket:
        pieces = [f"piece {n}" for n in range(50)]
        messages: list[str | bytes] = ["hello", b"\0\1\2", "x" * 100_000, *pieces]
        for message in messages:
            socket.send(message)
            assert socket.recv(timeout=10) == message
        answer = socket.response
    assert answer is not None
    (asked,) = speaker.opened
    assert asked[":path"] == REALTIME
    told = {name.lower(): value for name, value in asked.items()}
    assert told["authorization"] == f"Bearer {SECRET}"
    assert gateway.keys["dev"] not in json.dumps(asked)
    assert not [name for name in told if name.startswith(("x-gateway-", "x-envoy-"))]
    record = gateway.record_of(answer.headers["x-request-id"])
    assert (record["endpoint"], record["provider"], record["outcome"], record["status"]) == (
        "passthrough:realtime", "speaker", "ALLOWED", 101,
    )  # fmt: skip
    assert {limit["id"] for limit in record["limits"]} == {"per-user"}


@pytest.mark.parametrize(
    ("key", "path", "more", "status", "code"),
    [
        (None, REALTIME, {}, 401, "missing_api_key"),
        ("visitor", REALTIME, {}, 403, "endpoint_not_allowed"),
        ("dev", "/v1/chat/completions", {}, 400, "endpoint_not_served"),
        ("dev", "/v1/fine_tuning/jobs", {}, 400, "endpoint_not_served"),
        ("dev", "/v1/realtime/sessions", {}, 400, "endpoint_not_served"),
        ("dev", REALTIME, {"subprotocols": ["realtime", "openai-insecure-api-key.sk-1"]}, 400,
         "invalid_request"),
    ],
)  # fmt: skip
def test_nobody_else_and_nothing_else_becomes_one(
    gateway: RunningGateway, speaker: Speaker, key: str | None, path: str,
    more: dict[str, Any], status: int, code: str,
) -> None:  # fmt: skip
    with pytest.raises(InvalidStatus) as caught:
        opened(gateway, key, path, **more)
    answer = caught.value.response
    assert answer.status_code == status
    assert json.loads(answer.body)["error"]["code"] == code
    assert gateway.record_of(answer.headers["x-request-id"])["refusal"]["reason"] == code
    assert not speaker.opened
    assert not gateway.openai.requests


@pytest.mark.parametrize("connection", ["upgrade", "keep-alive"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/realtime"])
def test_a_word_about_upgrades_lets_no_body_pass_unread(
    gateway: RunningGateway, speaker: Speaker, connection: str, path: str
) -> None:
    """Envoy sends no body of an upgrade to the gateway: so none may go on.  Without the word in
    ``connection`` it is none, and is read like any other request."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"upgrade": "websocket", "connection": connection}
    with gateway.client() as client:
        answer = client.post(path, json=body, headers=headers)
    assert not speaker.opened
    if answer.status_code == 200:
        assert connection == "keep-alive"
        assert gateway.record_of(answer.headers["x-request-id"])["prompt"]["bytes"] == 2
        return
    assert answer.status_code in (400, 405)
    assert answer.json()["error"]["code"] in ("endpoint_not_served", "method_not_allowed")
    assert not gateway.openai.requests


def test_a_plain_request_of_such_a_path_passes_like_any_other(
    gateway: RunningGateway, speaker: Speaker
) -> None:
    with gateway.client() as client:
        answer = client.get(REALTIME)
    assert answer.status_code in (400, 426)  # the provider wants a websocket
    assert not speaker.opened


def test_a_provider_that_refuses_is_told_in_the_clients_form(gateway: RunningGateway) -> None:
    headers = {"authorization": f"Bearer {gateway.keys['dev']}", "upgrade": "websocket",
               "connection": "upgrade", "sec-websocket-version": "13"}  # fmt: skip
    answer = httpx.get(gateway.base_url + REALTIME, headers=headers, timeout=20)  # without a key
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
