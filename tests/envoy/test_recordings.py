"""Recorded exchanges pass through Envoy and the gateway: the client gets the same values."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from gateway_simulators.replaying import Recorded, ReplayingServer
from support.exchanges import HEARS, Spoken, all_kinds
from support.gateway import FORGIVING, RunningGateway, running_gateway

BESIDE_THE_PROJECT = Path(__file__).parents[3] / "shared" / "data"
DATA = Path(os.environ.get("GATEWAY_TEST_DATA", BESIDE_THE_PROJECT))
FOLDER = DATA / "openai-recordings"
AZURE: Final = "/openai/deployments/"
VERSION: Final = "2024-10-21"


def _recordings() -> list[Spoken]:
    found = []
    for file in sorted(FOLDER.glob("*.json")):
        document = json.loads(file.read_text())
        for number, exchange in enumerate(document["exchanges"]):
            request, answer = exchange["request"], exchange["response"]
            name = document["name"] + (f"-{number + 1}" if number else "")
            # Of a form the recording left all of it out.
            is_form = request["headers"]["content-type"].startswith("multipart/")
            sent = {"model": HEARS} if is_form else json.loads(request["body"])
            found.append(
                Spoken(name, request["path"], sent, answer["status"],
                       answer["headers"]["content-type"], answer["body"].encode(),
                       b"\0\r\nsound" if is_form else b"")
            )  # fmt: skip
    return found


RECORDED: Final = _recordings() if FOLDER.is_dir() else []
OWN: Final = list(all_kinds())


def _models(exchanges: list[Spoken], *, azure: bool) -> list[str]:
    return sorted(
        {
            spoken.sent["model"]
            for spoken in exchanges
            if spoken.path.startswith(AZURE) is azure and "model" in spoken.sent
        }
    )


AZURES_OWN: Final = Spoken(
    "azure-own", f"{AZURE}ours/chat/completions?api-version=2025-01-01-preview",
    {"model": "ours", "messages": [{"role": "user", "content": "Good day"}]}, 200,
    "application/json",
    json.dumps({
        "id": "chatcmpl-azure", "object": "chat.completion", "created": 1, "model": "gpt-4o",
        "choices": [{"index": 0, "finish_reason": "stop", "content_filter_results": {
            "hate": {"filtered": False, "severity": "safe"}}, "message": {
            "role": "assistant", "content": "Good day to you."}}],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    }).encode(),
)  # fmt: skip


@pytest.fixture(scope="module")
def replay() -> Iterator[ReplayingServer]:
    with ReplayingServer() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(
    replay: ReplayingServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    everything = [*RECORDED, *OWN, AZURES_OWN]
    names = sorted({*_models(everything, azure=False), *_models(everything, azure=True)})

    def change(document: dict[str, Any]) -> None:
        openai = document["providers"][0]
        openai |= {"base_url": f"{replay.url}/v1", "family": "openai",
                   "data_classes": ["standard", "regulated"]}  # fmt: skip
        azure = {**openai, "id": "azure", "base_url": replay.url, "family": "azure"}
        document["providers"].append(azure)
        document["models"] = [
            {"model": name, "targets": [{"provider": "openai", "model": name}],
             "mistakes": "provider", "unread_tokens": "allow"}
            for name in names
        ]  # fmt: skip
        # Clients of the tenant trial are served by Azure.
        document["routing"] = {"rules": [
            {"id": f"azure-{number}", "tenants": ["trial"], "models": [name],
             "targets": [{"provider": "azure", "model": name}]}
            for number, name in enumerate(_models(everything, azure=True))
        ]}  # fmt: skip
        del document["limits"][1]
        trial = next(key for key in document["keys"] if key["tenant"] == "trial")
        trial["roles"] = ["developer"]
        # A rule on answers may hold the end of a text back, and so cut a stream elsewhere: for
        # this tenant none does, and streams are compared event by event.
        rule = next(one for one in document["guards"] if one["id"] == "personal-data-out")
        rule["tenants"] = ["clinic"]
        document["health"] = FORGIVING
        document["failover"]["attempt_timeout_s"] = 30

    with running_gateway(tmp_path_factory.mktemp("gateway"), change) as running:
        yield running


def _ask(
    gateway: RunningGateway, replay: ReplayingServer, spoken: Spoken, key: str = "dev"
) -> httpx.Response:
    is_azure = spoken.path.startswith(AZURE)
    path = f"{spoken.path.partition('?')[0]}?api-version={VERSION}" if is_azure else spoken.path
    secret = gateway.provider_secrets["openai"]
    credential = ("api-key", secret) if is_azure else ("authorization", f"Bearer {secret}")
    headers = {"content-type": spoken.kind, "x-request-id": "req_of_the_provider",
               "openai-organization": "an-account"}  # fmt: skip
    replay.play(
        Recorded(path, spoken.sent, spoken.status, headers, spoken.body, sound=spoken.sound),
        credential,
    )
    key = gateway.keys["trial" if is_azure else key]
    own = {"api-key": key} if is_azure else {"authorization": f"Bearer {key}"}
    with gateway.client(None, **own) as client:
        if spoken.sound:
            files = {"file": ("said.wav", spoken.sound, "audio/wav")}
            return client.post(spoken.path, data=dict(spoken.sent), files=files)
        return client.post(spoken.path, json=dict(spoken.sent))


def _values(kind: str, body: bytes) -> list[Any]:
    """The documents of an answer, the end mark included."""
    if not kind.startswith("text/event-stream"):
        return [json.loads(body)]
    events = [line.removeprefix("data:").strip() for line in body.decode().split("\n") if line]
    return [event if event == "[DONE]" else json.loads(event) for event in events]


def _passes(gateway: RunningGateway, replay: ReplayingServer, spoken: Spoken) -> None:
    answer = _ask(gateway, replay, spoken)
    assert not replay.mismatches
    assert replay.answered == 1, answer.text
    assert answer.status_code == spoken.status, answer.text
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind == spoken.kind.partition(";")[0]
    assert _values(kind, answer.content) == _values(kind, spoken.body)
    assert "openai-organization" not in answer.headers
    assert answer.headers["x-request-id"] != "req_of_the_provider"


@pytest.mark.skipif(not RECORDED, reason="no recordings: set GATEWAY_TEST_DATA to their folder")
@pytest.mark.parametrize("spoken", RECORDED, ids=lambda spoken: spoken.name)
def test_a_recorded_exchange_comes_out_as_it_was(
    gateway: RunningGateway, replay: ReplayingServer, spoken: Spoken
) -> None:
    _passes(gateway, replay, spoken)


@pytest.mark.parametrize("spoken", [*OWN, AZURES_OWN], ids=lambda spoken: spoken.name)
def test_every_kind_of_exchange_comes_out_as_it_was(
    gateway: RunningGateway, replay: ReplayingServer, spoken: Spoken
) -> None:
    _passes(gateway, replay, spoken)


STREAMS: Final = [one for one in (*RECORDED, *OWN) if one.sent.get("stream")]


@pytest.mark.parametrize("spoken", STREAMS, ids=lambda spoken: spoken.name)
def test_under_a_rule_on_answers_a_stream_says_the_same_all_in_all(
    gateway: RunningGateway, replay: ReplayingServer, spoken: Spoken
) -> None:
    answer = _ask(gateway, replay, spoken, key="clinic")
    assert _said(answer.content) == _said(spoken.body)


def _said(body: bytes) -> dict[str, Any]:
    """What a stream says, however it is cut: its text, what it cites, how it ends, its usage."""
    said: dict[str, Any] = {"text": "", "cited": [], "finish": [], "rest": []}
    for event in _values("text/event-stream", body):
        if event == "[DONE]" or not event["choices"]:
            said["rest"].append(event)
            continue
        (choice,) = event["choices"]
        delta = choice.get("delta") or {"content": choice.get("text")}
        said["text"] += delta.get("content") or ""
        said["cited"] += delta.get("annotations") or []
        said["finish"] += [choice["finish_reason"]] if choice["finish_reason"] else []
        said["model"] = event["model"]
    return said


def test_another_request_than_the_recorded_one_would_be_noticed(
    gateway: RunningGateway, replay: ReplayingServer
) -> None:
    spoken = next(one for one in OWN if one.name == "web-search")
    secret = f"Bearer {gateway.provider_secrets['openai']}"
    replay.play(
        Recorded(spoken.path, {**spoken.sent, "temperature": 1}, 200, {}, spoken.body),
        ("authorization", secret),
    )
    with gateway.client() as client:
        answer = client.post(spoken.path, json=dict(spoken.sent))
    assert answer.status_code == 409
    assert len(replay.mismatches) == 1
