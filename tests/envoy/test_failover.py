"""The first target fails: the next one serves the same request as its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.gateway import FORGIVING, RunningGateway, running_gateway

FAULTS: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "500": {"status": 500},
    "429": {"status": 429, "retry_after": "30"},
    "529": {"status": 529},
    "reset": {"reset": True},
    "hang": {"hang": True},
    # The head of a good answer came: it waits in Envoy for the rest.
    "silent": {"silent": True},
    "cut": {"truncate_after_events": 0},
}
REACHES_A_PROVIDER = {
    "accept",
    "accept-encoding",
    "anthropic-version",
    "content-length",
    "content-type",
    "host",
    "traceparent",
    "user-agent",
    "x-api-key",
    "x-request-id",
}
OUTCOME = {
    "reset": ("no_answer", 0), "hang": ("no_answer", 0), "silent": ("no_answer", 0),
    "cut": ("ok", 200),
}  # fmt: skip


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that gives an attempt half a second."""

    def change(document: dict[str, Any]) -> None:
        document["failover"] = {"attempt_timeout_s": 0.5, "max_attempts": 2}
        document["health"] = FORGIVING

    with running_gateway(tmp_path_factory.mktemp("impatient"), change) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _fresh(impatient: RunningGateway) -> Iterator[None]:
    for simulator in (impatient.openai, impatient.anthropic):
        simulator.faults.clear()
        simulator.clear()
    yield
    for simulator in (impatient.openai, impatient.anthropic):
        assert not simulator.violations, simulator.violations


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_target_serves_the_same_request(impatient: RunningGateway, fault: str) -> None:
    impatient.openai.faults.set(**FAULTS[fault])
    answer = impatient.chat(f"Still there after {fault}?", max_tokens=33)
    assert answer.status_code == 200, answer.text
    assert fault in answer.json()["choices"][0]["message"]["content"]

    served = impatient.anthropic.requests[-1]
    assert served.path == "/v1/messages"
    assert served.header("x-api-key") == impatient.provider_secrets["anthropic"]
    assert served.json()["model"] == "claude-haiku-4-5"
    assert served.json()["max_tokens"] == 33
    assert served.header("authorization") is None, "the first attempt's credential went on"
    assert served.header("content-length") == str(len(served.body))
    assert len(impatient.openai.requests) == 1
    assert {name for name, _ in served.headers} <= REACHES_A_PROVIDER

    record = impatient.record_of(answer.headers["x-request-id"])
    outcome, status = OUTCOME.get(fault, ("error", FAULTS[fault].get("status", 0)))
    first, second = record["attempts"]
    assert first["target"] == "openai/gpt-4o-mini"
    assert first.get("status", 0) == status
    assert first["outcome"] == outcome
    assert second == {
        "target": "anthropic/claude-haiku-4-5",
        "cluster": "anthropic:fallback",
        "status": 200,
        "outcome": "ok",
    }
    assert record["provider"] == "anthropic"


def test_it_works_the_other_way_round(impatient: RunningGateway) -> None:
    """Anthropic first, OpenAI next: nothing of Anthropic's headers goes on."""
    impatient.anthropic.faults.set(status=503)
    answer = impatient.chat("Other way?", model="claude-sonnet-4-5")
    assert answer.status_code == 200, answer.text
    served = impatient.openai.requests[-1]
    assert served.header("authorization") == f"Bearer {impatient.provider_secrets['openai']}"
    assert served.header("x-api-key") is None
    assert served.header("anthropic-version") is None
    assert served.json()["model"] == "gpt-4o"


def test_a_stream_fails_over_before_its_first_byte(impatient: RunningGateway) -> None:
    impatient.openai.faults.set(status=503)
    answer = impatient.chat("Stream on, please.", stream=True)
    assert answer.status_code == 200
    assert answer.text.endswith("data: [DONE]\n\n")
    text = "".join(
        json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
        for line in answer.text.splitlines()
        if line.startswith("data: {") and json.loads(line[6:])["choices"]
    )
    assert "Stream on" in text


def test_a_large_request_fails_over_whole(impatient: RunningGateway) -> None:
    """The original travels in Envoy's metadata, also when it is large."""
    impatient.openai.faults.set(status=503)
    text = "A long story. " * 50_000
    answer = impatient.chat(text)
    assert answer.status_code == 200, answer.text[:300]
    assert impatient.anthropic.requests[-1].json()["messages"][0]["content"] in (
        text,
        [{"type": "text", "text": text}],
    )


def test_a_masked_prompt_stays_masked_in_the_fallback(impatient: RunningGateway) -> None:
    impatient.openai.faults.set(status=503)
    assert impatient.chat("Card 4111 1111 1111 1111 please").status_code == 200
    seen = impatient.anthropic.requests[-1].body.decode()
    assert "4111" not in seen
    assert "[CARD]" in seen


def test_when_all_fail_the_client_gets_one_clear_error(impatient: RunningGateway) -> None:
    impatient.openai.faults.set(status=503)
    impatient.anthropic.faults.set(status=503)
    answer = impatient.chat("Anybody?")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"]
    assert len(impatient.openai.requests) == len(impatient.anthropic.requests) == 1
    record = impatient.record_of(answer.headers["x-request-id"])
    assert [a.get("status") for a in record["attempts"]] == [503, 503]
    assert record["outcome"] == "FAILED"


def test_when_all_hang_the_client_is_told_in_time(impatient: RunningGateway) -> None:
    impatient.openai.faults.set(hang=True)
    impatient.anthropic.faults.set(hang=True)
    began = time.monotonic()
    answer = impatient.chat("Anybody?")
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "provider_timeout"
    assert time.monotonic() - began < 3


def test_a_client_error_is_not_tried_elsewhere(impatient: RunningGateway) -> None:
    impatient.openai.faults.set(status=400)
    assert impatient.chat("Wrong.").status_code == 400
    assert not impatient.anthropic.requests


def test_what_the_fallback_cannot_express_is_refused_not_guessed(
    impatient: RunningGateway,
) -> None:
    impatient.openai.faults.set(status=503)
    answer = impatient.chat("Twice, please.", n=2)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "unsupported_parameter"
    assert not impatient.anthropic.requests


def test_regulated_data_never_falls_back_to_an_unapproved_provider(
    impatient: RunningGateway,
) -> None:
    """Only anthropic is approved for the clinic; its outage is an outage for the clinic."""
    impatient.anthropic.faults.set(status=503)
    answer = impatient.chat("Patient record.", key="clinic", model="claude-sonnet-4-5")
    assert answer.status_code == 503
    refused = impatient.chat("Patient record.", key="clinic", model="gpt-4o")
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "no_eligible_target"
    assert not impatient.openai.requests
