"""What is tried again, how long, and what never is: by policy, through the real Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.gateway import FORGIVING, RunningGateway, running_gateway

ATTEMPT_S = 0.6
REFUSED_ON = ["context_window", "content_policy"]
ROUTES: dict[str, dict[str, Any]] = {
    "strict": {"statuses": [503], "no_answer": "unsent"},
    "never": {"statuses": [], "no_answer": "never"},
    "lenient": {"refusals": REFUSED_ON},
    "wordy": {"refusals": ["context_window"]},
    "unkeyed": {"repeat_keyed": True},
    "hurried": {"total_timeout_s": 0.9},
    "quick": {"first_byte_timeout_s": 0.3, "attempt_timeout_s": 20.0},
    "once": {"repeat": []},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    def change(document: dict[str, Any]) -> None:
        document["failover"] = {"attempt_timeout_s": ATTEMPT_S, "max_attempts": 3}
        pair = [
            {"provider": "openai", "model": "gpt-4o-mini"},
            {"provider": "anthropic", "model": "claude-haiku-4-5"},
        ]
        document["health"] = FORGIVING
        document["models"] += [
            {"model": name, "targets": pair, "failover": said} for name, said in ROUTES.items()
        ]
        larger = {"provider": "openai", "model": "gpt-4o"}
        document["models"].append(
            {
                "model": "growing",
                "targets": [pair[0], larger, pair[1]],
                "failover": {"refusals": REFUSED_ON},
            }
        )

    with running_gateway(tmp_path_factory.mktemp("failing"), change) as gateway:
        yield gateway


@pytest.fixture
def gateway(running: RunningGateway) -> Iterator[RunningGateway]:
    for simulator in (running.openai, running.anthropic):
        simulator.faults.clear()
        simulator.clear()
    yield running
    for simulator in (running.openai, running.anthropic):
        simulator.faults.clear()
        assert not simulator.violations, simulator.violations


def ask(
    gateway: RunningGateway, model: str, *, stream: bool = False, **headers: str
) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
    with gateway.client(**{name.replace("_", "-"): value for name, value in headers.items()}) as c:
        return c.post("/v1/chat/completions", json=body)


def sent(gateway: RunningGateway) -> tuple[int, int]:
    """How many requests reached each provider."""
    return len(gateway.openai.requests), len(gateway.anthropic.requests)


def attempts(gateway: RunningGateway, answer: httpx.Response) -> list[tuple[str, int, str]]:
    record = gateway.record_of(answer.headers["x-request-id"])
    return [(a["target"], a.get("status", 0), a["outcome"]) for a in record["attempts"]]


# ------------------------------------------------------------------------ streams


@pytest.mark.parametrize("fault", [{"silent": True}, {"truncate_after_events": 0}])
def test_a_stream_that_begins_with_nothing_goes_on_elsewhere(
    gateway: RunningGateway, fault: dict[str, Any]
) -> None:
    gateway.openai.faults.set(**fault)
    answer = ask(gateway, "gpt-4o-mini", stream=True)
    assert answer.status_code == 200
    assert answer.text.endswith("data: [DONE]\n\n")
    assert sent(gateway) == (1, 1)
    first, second = attempts(gateway, answer)
    assert first == ("openai/gpt-4o-mini", 0, "no_answer")
    assert second == ("anthropic/claude-haiku-4-5", 200, "ok")


def test_a_stream_that_broke_after_its_first_bytes_is_not_sent_twice(
    gateway: RunningGateway,
) -> None:
    gateway.openai.faults.set(truncate_after_events=3, chunk_delay_ms=100)
    with pytest.raises(httpx.RemoteProtocolError):
        ask(gateway, "gpt-4o-mini", stream=True)
    assert sent(gateway) == (1, 0)


def test_the_first_byte_of_a_stream_has_a_deadline_of_its_own(gateway: RunningGateway) -> None:
    gateway.openai.faults.set(delay_ms=1500)
    assert ask(gateway, "quick", stream=True).status_code == 200
    assert sent(gateway) == (1, 1)
    assert ask(gateway, "quick").status_code == 200
    assert sent(gateway) == (2, 1), "a whole answer has the attempt's deadline"


def test_a_long_stream_outlives_every_deadline(gateway: RunningGateway) -> None:
    gateway.openai.faults.set(chunk_delay_ms=600)
    answer = ask(gateway, "hurried", stream=True)
    assert answer.text.endswith("data: [DONE]\n\n")
    assert answer.elapsed.total_seconds() > 0.9
    assert sent(gateway) == (1, 0)


# ---------------------------------------------------------------------- deadlines


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_the_deadline_of_all_attempts_is_told_in_the_clients_dialect(
    gateway: RunningGateway, path: str, stream: bool
) -> None:
    for simulator in (gateway.openai, gateway.anthropic):
        simulator.faults.set(hang=True)
    body = {"model": "hurried", "max_tokens": 9, "stream": stream,
            "messages": [{"role": "user", "content": "Hello"}]}  # fmt: skip
    with gateway.client() as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 504
    document = answer.json()
    if path == "/v1/messages":
        assert document["type"] == "error"
        assert document["error"]["type"] == "timeout_error"
    else:
        assert document["error"]["code"] == "request_deadline_exceeded"
    record = gateway.record_of(answer.headers["x-request-id"])
    assert record["refusal"]["reason"] == "request_deadline_exceeded"
    assert record["outcome"] == "FAILED"
    assert record["attempts"][0]["outcome"] == "no_answer"


def test_a_client_may_shorten_the_deadline(gateway: RunningGateway) -> None:
    gateway.openai.faults.set(hang=True)
    answer = ask(gateway, "gpt-4o-mini", x_request_timeout="0.3")
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "request_deadline_exceeded"
    assert sent(gateway) == (1, 0)
    assert ask(gateway, "gpt-4o-mini", x_request_timeout="30").status_code == 200


def test_a_client_cannot_lengthen_it(gateway: RunningGateway) -> None:
    for simulator in (gateway.openai, gateway.anthropic):
        simulator.faults.set(hang=True)
    answer = ask(gateway, "hurried", x_request_timeout="3000")
    assert answer.json()["error"]["code"] == "request_deadline_exceeded"


def test_a_deadline_that_is_no_number_is_refused(gateway: RunningGateway) -> None:
    answer = ask(gateway, "gpt-4o-mini", x_request_timeout="30s")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-request-timeout"
    assert sent(gateway) == (0, 0)


# ------------------------------------------------------------------------- causes


@pytest.mark.parametrize(
    ("model", "fault", "elsewhere"),
    [
        ("strict", {"status": 503}, True),
        ("strict", {"status": 500}, False),
        ("strict", {"status": 429}, False),
        ("strict", {"reset": True}, False),
        ("strict", {"hang": True}, False),
        ("never", {"status": 503}, False),
        ("never", {"reset": True}, False),
        ("gpt-4o-mini", {"status": 501}, False),
        ("gpt-4o-mini", {"status": 403}, False),
        ("once", {"status": 429}, True),
        ("once", {"status": 503}, False),
        ("once", {"reset": True}, False),
        ("once", {"hang": True}, False),
    ],
)
def test_only_what_policy_names_is_tried_elsewhere(
    gateway: RunningGateway, model: str, fault: dict[str, Any], elsewhere: bool
) -> None:
    gateway.openai.faults.set(**fault)
    answer = ask(gateway, model)
    assert (answer.status_code == 200) is elsewhere, answer.text
    assert sent(gateway) == (1, 1 if elsewhere else 0)


def test_a_request_with_an_idempotency_key_reaches_one_provider(gateway: RunningGateway) -> None:
    gateway.openai.faults.set(status=503)
    assert ask(gateway, "gpt-4o-mini", idempotency_key="k-1").status_code == 503
    assert sent(gateway) == (1, 0)
    gateway.openai.faults.set(status=429)
    assert ask(gateway, "gpt-4o-mini", idempotency_key="k-1").status_code == 200
    gateway.openai.faults.set(status=503)
    assert ask(gateway, "unkeyed", idempotency_key="k-2").status_code == 200


# ----------------------------------------------------------------------- refusals


@pytest.mark.parametrize("kind", REFUSED_ON)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_falls_back_where_policy_says_so(
    gateway: RunningGateway, kind: str, stream: bool
) -> None:
    gateway.openai.faults.set(refusal=kind)
    answer = ask(gateway, "lenient", stream=stream)
    assert answer.status_code == 200, answer.text
    assert attempts(gateway, answer) == [
        ("openai/gpt-4o-mini", 400, kind),
        ("anthropic/claude-haiku-4-5", 200, "ok"),
    ]


@pytest.mark.parametrize(
    ("model", "kind"), [("gpt-4o-mini", "context_window"), ("wordy", "content_policy")]
)
def test_a_refusal_is_the_answer_where_it_does_not(
    gateway: RunningGateway, model: str, kind: str
) -> None:
    gateway.openai.faults.set(refusal=kind)
    answer = ask(gateway, model)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert sent(gateway) == (1, 0)
    assert attempts(gateway, answer) == [("openai/gpt-4o-mini", 400, kind)]


def test_when_all_refuse_the_last_refusal_is_the_answer(gateway: RunningGateway) -> None:
    for simulator in (gateway.openai, gateway.anthropic):
        simulator.faults.set(refusal="context_window")
    answer = ask(gateway, "lenient")
    assert answer.status_code == 400
    assert "too long" in answer.json()["error"]["message"]
    assert [outcome for *_, outcome in attempts(gateway, answer)] == ["context_window"] * 2


def test_another_model_of_the_same_provider_is_another_attempt(gateway: RunningGateway) -> None:
    gateway.openai.faults.set(refusal="context_window", times=1)
    answer = ask(gateway, "growing")
    assert answer.status_code == 200, answer.text
    assert [request.json()["model"] for request in gateway.openai.requests] == [
        "gpt-4o-mini", "gpt-4o",
    ]  # fmt: skip
    assert attempts(gateway, answer) == [
        ("openai/gpt-4o-mini", 400, "context_window"),
        ("openai/gpt-4o", 200, "ok"),
    ]
    gateway.openai.faults.set(status=503)
    third = ask(gateway, "growing")
    assert [target for target, *_ in attempts(gateway, third)] == [
        "openai/gpt-4o-mini", "openai/gpt-4o", "anthropic/claude-haiku-4-5",
    ]  # fmt: skip


# ------------------------------------------------------------------------ clients


ENVOYS_OWN = {
    "x-envoy-retry-on": "5xx,reset,retriable-4xx",
    "x-envoy-retriable-status-codes": "400,401,501",
    "x-envoy-retriable-header-names": "content-type",
    "x-envoy-max-retries": "9",
    "x-envoy-upstream-rq-per-try-timeout-ms": "1",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-hedge-on-per-try-timeout": "true",
    "x-envoy-attempt-count": "2",
}


@pytest.mark.parametrize("model", ["never", "claude-sonnet-4-5", "gpt-4o-mini"])
def test_a_client_cannot_tell_envoy_what_to_try_again(gateway: RunningGateway, model: str) -> None:
    with gateway.client(**ENVOYS_OWN) as client:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        for simulator in (gateway.openai, gateway.anthropic):
            simulator.clear()
            simulator.faults.set(status=501)
        assert client.post("/v1/chat/completions", json=body).status_code == 501
    assert sum(sent(gateway)) == 1
