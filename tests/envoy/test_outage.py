"""An outage of the first provider is a non-event: load goes on, and no client sees an error."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from support.gateway import FORGIVING, RunningGateway, running_gateway, wait_for

ATTEMPT_S = 3.0
A_SECOND = 100
SECONDS = 3

OUTAGES: dict[str, dict[str, Any]] = {
    "times out": {"hang": True},
    "is slow": {"delay_ms": 60_000},
    "begins and says nothing": {"silent": True},
    "breaks off": {"truncate_after_events": 0},
    "resets": {"reset": True},
    "429": {"status": 429, "retry_after": "30"},
    "500": {"status": 500},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    def change(document: dict[str, Any]) -> None:
        document["failover"] = {"attempt_timeout_s": ATTEMPT_S, "max_attempts": 2}
        document["health"] = FORGIVING  # each request meets the outage, none is spared
        # About failures of providers, not about a machine that has too much to do.
        document["server"]["shed"] = {"lag_ms": 1000.0}

    with running_gateway(tmp_path_factory.mktemp("outage"), change) as gateway:
        yield gateway


class Load:
    """``A_SECOND`` requests a second for ``SECONDS``, every other one a stream; on open loop."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.outcomes: list[str] = []
        self.seconds: list[float] = []
        self._lock = threading.Lock()
        self._client = gateway.client()
        self._client.timeout = httpx.Timeout(60)

    def run(self) -> None:
        with self._client, ThreadPoolExecutor(64) as pool:
            began = time.monotonic()
            for number in range(A_SECOND * SECONDS):
                time.sleep(max(0.0, began + number / A_SECOND - time.monotonic()))
                pool.submit(self._ask, number)

    def _ask(self, number: int) -> None:
        stream = number % 2 == 0
        body = {"model": "gpt-4o-mini", "stream": stream,
                "messages": [{"role": "user", "content": f"Number {number}?"}]}  # fmt: skip
        began = time.monotonic()
        outcome = "ok"
        try:
            answer = self._client.post("/v1/chat/completions", json=body)
            if answer.status_code != 200 or f"umber {number}?" not in _text(answer, stream=stream):
                outcome = f"{answer.status_code} {answer.text[:120]}"
        except httpx.HTTPError as error:
            outcome = repr(error)
        with self._lock:
            self.outcomes.append(outcome)
            self.seconds.append(time.monotonic() - began)


def _text(answer: httpx.Response, *, stream: bool) -> str:
    if not stream:
        return str(answer.json()["choices"][0]["message"]["content"])
    assert answer.text.endswith("data: [DONE]\n\n")
    events = [json.loads(line[6:]) for line in answer.text.splitlines()
              if line.startswith("data: {")]  # fmt: skip
    return "".join(
        choice["delta"].get("content") or "" for event in events for choice in event["choices"]
    )


@pytest.mark.parametrize("outage", OUTAGES)
def test_no_client_sees_an_error(running: RunningGateway, outage: str) -> None:
    running.openai.clear()
    running.anthropic.clear()
    running.openai.faults.set(**OUTAGES[outage])
    load = Load(running)
    load.run()
    assert load.outcomes == ["ok"] * (A_SECOND * SECONDS)
    assert len(running.anthropic.requests) == A_SECOND * SECONDS
    assert not running.anthropic.violations


def test_a_provider_that_refuses_connections_is_passed_over(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    def change(document: dict[str, Any]) -> None:
        document["server"]["shed"] = {"lag_ms": 1000.0}
        document["health"] = FORGIVING
        document["providers"][0]["base_url"] = "http://127.0.0.1:1/v1"

    with running_gateway(tmp_path_factory.mktemp("refusing"), change) as gateway:
        load = Load(gateway)
        load.run()
        assert load.outcomes == ["ok"] * (A_SECOND * SECONDS)


def test_what_a_fallback_adds_is_at_most_the_attempts_deadline(running: RunningGateway) -> None:
    """Against the same request whose first provider fails at once, measured beside it."""

    def fastest(**fault: Any) -> float:
        times = []
        for number in range(4):
            running.openai.faults.set(**fault)
            answer = running.chat(f"Number {number}?")
            assert answer.status_code == 200
            times.append(answer.elapsed.total_seconds())
        return min(times)

    at_once = fastest(status=503)
    late = fastest(hang=True)
    assert late - at_once <= ATTEMPT_S * 1.1


def test_a_checked_provider_that_is_gone_is_not_waited_for(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Its requests hang, and so do its checks: after two of them nobody waits any more."""

    def change(document: dict[str, Any]) -> None:
        document["failover"] = {"attempt_timeout_s": 5.0, "max_attempts": 2}
        document["health"] = FORGIVING
        document["providers"][0]["check"] = {
            "path": "/v1/models", "interval_s": 0.2, "timeout_s": 0.2,
        }  # fmt: skip

    with running_gateway(tmp_path_factory.mktemp("checked"), change) as gateway:
        assert gateway.chat("Before?").status_code == 200
        asked = len(gateway.openai.requests)
        gateway.openai.faults.set(hang=True)
        wait_for(lambda: not _healthy(gateway), 20, "the provider is still healthy")
        answers = [gateway.chat("Meanwhile?") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        posts = [r for r in gateway.openai.requests[asked:] if r.method == "POST"]
        assert posts == [], "requests went to a provider that is known to be gone"
        [first, second] = gateway.record_of(answers[0].headers["x-request-id"])["attempts"]
        assert (first["outcome"], second["outcome"]) == ("no_answer", "ok")
        gateway.openai.faults.clear()
        wait_for(lambda: _healthy(gateway), 20, "the provider did not come back")

        def served_again() -> bool:
            """Envoy's workers hear of it a moment after its admin server tells it."""
            assert gateway.chat("After?").status_code == 200
            return any(r.method == "POST" for r in gateway.openai.requests[asked:])

        wait_for(served_again, 20, "nothing went to the provider that is back")


def _healthy(gateway: RunningGateway) -> bool:
    url = f"{gateway.envoy_admin_url}/clusters?format=json"
    for cluster in httpx.get(url).json()["cluster_statuses"]:
        if cluster["name"] == "openai":
            first = next(
                host for host in cluster["host_statuses"]
                if host["address"]["socket_address"]["port_value"] != 1
            )  # fmt: skip
            return "failed_active_health_check" not in first["health_status"]
    raise AssertionError("no cluster of the provider")
