"""Answers in a form that nobody asked for, through the real Envoy: compressed, and arrays."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway_simulators.replaying import Recorded, ReplayingServer
from support.codings import CODINGS, bombs
from support.gateway import FORGIVING, RunningGateway, running_gateway

CHAT = "/v1/chat/completions"
MODEL = "gpt-4o-mini"
SENT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Tell me"}]}
CARD = "4111 1111 1111 1111"


def _whole(text: str) -> bytes:
    return json.dumps({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL,
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }).encode()  # fmt: skip


def _events(*texts: str) -> list[bytes]:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    deltas: list[tuple[dict[str, str], str | None]] = [({"content": text}, None) for text in texts]
    events = [
        {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in (*deltas, ({}, "stop"))
    ]
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    events.append({**base, "choices": [], "usage": usage})
    return [*(f"data: {json.dumps(event)}\n\n".encode() for event in events), b"data: [DONE]\n\n"]


@pytest.fixture(scope="module")
def replay() -> Iterator[ReplayingServer]:
    with ReplayingServer() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(
    replay: ReplayingServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    def change(document: dict[str, Any]) -> None:
        document["providers"][0]["base_url"] = f"{replay.url}/v1"
        document["models"][0]["targets"] = document["models"][0]["targets"][:1]
        google = {**document["providers"][0], "id": "google", "dialect": "gemini",
                  "base_url": f"{replay.url}/v1beta"}  # fmt: skip
        document["providers"].append(google)
        document["models"].append(
            {"model": "by-google", "targets": [{"provider": "google", "model": "flash"}]}
        )
        document["health"] = FORGIVING
        document["failover"]["attempt_timeout_s"] = 30

    with running_gateway(tmp_path_factory.mktemp("gateway"), change) as running:
        yield running


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    # A client that itself takes compressed answers.
    with gateway.client(**{"accept-encoding": "gzip, br, zstd"}) as client:
        yield client


def _plays(
    gateway: RunningGateway, replay: ReplayingServer, coding: str, body: bytes = b"", *,
    status: int = 200, kind: str = "application/json", **more: Any,
) -> None:  # fmt: skip
    headers = {"content-type": kind, "content-encoding": coding}
    sent = {**SENT, "stream": True} if kind == "text/event-stream" else SENT
    secret = f"Bearer {gateway.provider_secrets['openai']}"
    replay.play(Recorded(CHAT, sent, status, headers, body, **more), ("authorization", secret))


def _ask(client: httpx.Client, *, stream: bool = False) -> httpx.Response:
    return client.post(CHAT, json={**SENT, "stream": True} if stream else SENT)


@pytest.mark.parametrize("coding", [*CODINGS, "x-gzip", "GZIP", "deflate"])
def test_a_compressed_answer_is_read_and_guarded(
    gateway: RunningGateway, replay: ReplayingServer, client: httpx.Client, coding: str
) -> None:
    pack = CODINGS.get(coding, CODINGS["gzip"])
    for text in ("It is plain – all of it. " * 500, f"The card {CARD} is no secret."):
        packed = zlib.compress(_whole(text)) if coding == "deflate" else b"".join(
            pack([_whole(text)])
        )  # fmt: skip
        _plays(gateway, replay, coding, packed)
        answer = _ask(client)
        assert answer.status_code == 200, answer.text
        assert "content-encoding" not in answer.headers
        content = answer.json()["choices"][0]["message"]["content"]
        assert CARD not in content
        assert content == text or CARD in text
        assert answer.json()["usage"]["total_tokens"] == 7
    record = gateway.record_of(answer.headers["x-request-id"])
    assert record["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_refusal_of_a_provider_is_read(
    gateway: RunningGateway, replay: ReplayingServer, client: httpx.Client, coding: str
) -> None:
    error = {"message": "Too hot.", "type": "invalid_request_error", "param": "t", "code": "hot"}
    packed = b"".join(CODINGS[coding]([json.dumps({"error": error}).encode()]))
    _plays(gateway, replay, coding, packed, status=400)
    answer = _ask(client)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


@pytest.mark.parametrize("coding", ["compress", "gzip, br", "aes128gcm", '"gzip"'])
def test_what_nobody_can_decompress_is_refused(
    gateway: RunningGateway, replay: ReplayingServer, client: httpx.Client, coding: str
) -> None:
    _plays(gateway, replay, coding, _whole("Not what the header says."))
    answer = _ask(client)
    assert answer.status_code == 502, answer.text
    assert answer.json()["error"]["code"] == "provider_answer_unreadable"
    _plays(gateway, replay, coding, kind="text/event-stream", pieces=tuple(_events("No.")))
    answer = _ask(client, stream=True)
    assert answer.status_code == 502, answer.text
    assert answer.json()["error"]["code"] == "provider_answer_unreadable"


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_cut_off_or_no_such_coding_is_refused(
    gateway: RunningGateway, replay: ReplayingServer, client: httpx.Client, coding: str
) -> None:
    packed = b"".join(CODINGS[coding]([_whole("It is plain. " * 500)]))
    for body in (packed[: len(packed) // 2], _whole("not packed at all"), b""):
        _plays(gateway, replay, coding, body)
        answer = _ask(client)
        assert answer.status_code == 502, (coding, body[:40], answer.text)
        assert answer.json()["error"]["code"] == "provider_answer_unreadable"


def _most_memory_kib(gateway: RunningGateway) -> int:
    """The largest worker, at its largest."""
    workers = [worker["pid"] for worker in gateway.status()["workers"]]
    lines = [
        line for pid in workers for line in Path(f"/proc/{pid}/status").read_text().split("\n")
    ]
    return max(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_bomb_is_refused_and_takes_no_memory(
    gateway: RunningGateway, replay: ReplayingServer, client: httpx.Client, coding: str, kind: str
) -> None:
    before = _most_memory_kib(gateway)
    _plays(gateway, replay, coding, bombs()[coding], kind=kind)
    answer = _ask(client, stream=kind != "application/json")
    if kind == "application/json":
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "provider_answer_unreadable"
    else:
        assert answer.status_code == 200
        assert "provider_answer_unreadable" in answer.text
        assert len(answer.content) < 10_000
    assert _most_memory_kib(gateway) - before < 48 * 1024


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_stream_flows_event_by_event(
    gateway: RunningGateway, replay: ReplayingServer, client: httpx.Client, coding: str
) -> None:
    words = [f"{number}. " for number in range(12)]
    packed = list(CODINGS[coding](_events(*words)))
    # The provider is at most four pieces ahead of what the client has read.
    read, waits = threading.Semaphore(4), list[bool]()
    _plays(gateway, replay, coding, kind="text/event-stream", pieces=tuple(packed),
           go_on=lambda: waits.append(read.acquire(timeout=5)))  # fmt: skip
    said = ""
    with client.stream("POST", CHAT, json={**SENT, "stream": True}) as answer:
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                (choice,) = json.loads(line[6:])["choices"]
                said += choice["delta"].get("content") or ""
                read.release(len(packed) if choice["finish_reason"] else 1)
    assert said == "".join(words)
    assert all(waits)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_stream_that_breaks_off_says_so(
    gateway: RunningGateway, replay: ReplayingServer, client: httpx.Client, coding: str
) -> None:
    packed = list(CODINGS[coding](_events("It goes", " on and on.")))
    _plays(gateway, replay, coding, kind="text/event-stream", pieces=tuple(packed[:3]))
    answer = _ask(client, stream=True)
    assert answer.status_code == 200
    assert "provider_stream_incomplete" in answer.text


def test_a_provider_is_asked_for_plain_answers(
    gateway: RunningGateway, replay: ReplayingServer, client: httpx.Client
) -> None:
    _plays(gateway, replay, "identity", _whole("Plain."))
    assert _ask(client).status_code == 200
    assert replay.headers.get("accept-encoding") == "identity"


def test_a_google_like_server_may_stream_one_array(
    gateway: RunningGateway, replay: ReplayingServer, client: httpx.Client
) -> None:
    words = [f"{number}. " for number in range(12)]
    documents = [
        {"candidates": [{"content": {"role": "model", "parts": [{"text": word}]}, "index": 0,
                         **({"finishReason": "STOP"} if word is words[-1] else {})}]}
        for word in words
    ]  # fmt: skip
    pieces = [
        (b",\r\n" if number else b"[") + json.dumps(document, indent=2).encode()
        for number, document in enumerate(documents)
    ]
    sent = {"contents": [{"role": "user", "parts": [{"text": "Tell me"}]}],
            "generationConfig": {"maxOutputTokens": 4096}}  # fmt: skip
    read, waits = threading.Semaphore(4), list[bool]()
    replay.play(
        Recorded(
            "/v1beta/models/flash:streamGenerateContent?alt=sse", sent, 200,
            {"content-type": "application/json; charset=UTF-8"}, b"", (*pieces, b"\r\n]"),
            lambda: waits.append(read.acquire(timeout=5)),
        ),
        ("x-goog-api-key", gateway.provider_secrets["openai"]),
    )  # fmt: skip
    said, asked = "", {**SENT, "model": "by-google", "stream": True}
    with client.stream("POST", CHAT, json=asked) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                (choice,) = json.loads(line[6:])["choices"]
                said += choice["delta"].get("content") or ""
                read.release(len(pieces) if choice["finish_reason"] else 1)
    assert not replay.mismatches
    assert said == "".join(words)
    assert all(waits)
