"""Event streams: live, filtered, metered, and recorded when the client leaves."""

from __future__ import annotations

import itertools
import json
import time

import httpx
import pytest

from support.gateway import RunningGateway

BODY = {"model": "gpt-4o-mini", "stream": True}
CARD = "4111111111111111"


def _body(text: str, **fields: object) -> dict[str, object]:
    return {**BODY, "messages": [{"role": "user", "content": text}], **fields}


def _text(raw: str) -> str:
    pieces = []
    for line in raw.splitlines():
        if not line.startswith("data: {"):
            continue
        for choice in json.loads(line[6:]).get("choices", []):
            pieces.append(choice["delta"].get("content") or "")
    return "".join(pieces)


def test_events_arrive_as_the_provider_sends_them(gateway: RunningGateway) -> None:
    gateway.openai.faults.set(chunk_delay_ms=60)
    arrivals: list[float] = []
    with (
        gateway.client() as client,
        client.stream("POST", "/v1/chat/completions", json=_body("One two three four.")) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        arrivals = [time.monotonic() for _ in answer.iter_raw()]
    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    assert len(arrivals) >= 4
    assert sum(gap > 0.03 for gap in gaps) >= 3, gaps


@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"])
def test_a_card_number_never_leaves_in_a_stream(gateway: RunningGateway, model: str) -> None:
    """The simulator cuts its answer into pieces of a few characters."""
    with gateway.client() as client:
        answer = client.post(
            "/v1/chat/completions",
            json=_body(f"say: The number is {CARD[:4]}\u200b.", model=model),
        )
        # The prompt's own card is masked on its way in, so the model is made to say one
        # that the way in does not see.
        assert answer.status_code in (200, 400)
        split = "say: card " + " ".join(CARD[i : i + 4] for i in range(0, 16, 4))
        masked = client.post("/v1/chat/completions", json=_body(split, model=model))
    assert CARD not in masked.text.replace(" ", "")
    assert "[CARD]" in _text(masked.text)
    assert masked.text.endswith("data: [DONE]\n\n")


def test_usage_of_a_stream_is_metered(gateway: RunningGateway) -> None:
    answer = gateway.chat("Meter this stream.", stream=True)
    record = gateway.record_of(answer.headers["x-request-id"])
    assert record["usage"]["source"] == "reported"
    assert record["usage"]["completion_tokens"] > 0
    assert record["cost_nanos"] > 0
    sent = gateway.openai.requests[-1].json()
    assert sent["stream_options"] == {"include_usage": True}
    assert '"choices":[]' not in answer.text, "the forced usage event reached the client"


def test_a_client_that_leaves_is_recorded_with_what_it_received(gateway: RunningGateway) -> None:
    gateway.openai.faults.set(chunk_delay_ms=80)
    with gateway.client() as client:
        request = client.build_request(
            "POST", "/v1/chat/completions", json=_body("A rather long answer, please. " * 5)
        )
        answer = client.send(request, stream=True)
        received = b""
        for piece in answer.iter_raw():
            received += piece
            if len(received) > 600:
                break
        answer.close()
    record = gateway.record_of(answer.headers["x-request-id"])
    assert record["outcome"] == "ABORTED"
    assert record["delivered_bytes"] >= len(received)
    assert record["usage"]["source"] == "estimated"
    assert record["usage"]["completion_tokens"] >= 1
    assert record["cost_nanos"] > 0
    cost = next(c for c in gateway.costs() if c["request_id"] == record["request_id"])
    assert cost["cost_nanos"] == record["cost_nanos"]


def test_a_broken_stream_ends_with_an_error_not_in_silence(gateway: RunningGateway) -> None:
    gateway.openai.faults.set(truncate_after_events=3, truncate_clean=True, times=1)
    answer = gateway.chat("This will break.", stream=True)
    assert '"code":"provider_stream_incomplete"' in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
    record = gateway.record_of(answer.headers["x-request-id"])
    assert record["outcome"] == "FAILED"
    assert record["refusal"]["reason"] == "provider_stream_incomplete"


def test_a_whole_answer_that_breaks_off_is_a_clear_error(gateway: RunningGateway) -> None:
    """Nothing had left yet, so Envoy answers, in a form that SDKs parse."""
    for simulator in (gateway.openai, gateway.anthropic):
        simulator.faults.set(truncate_after_events=1, times=1)
    answer = gateway.chat("This answer will be cut in half.")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "provider_unavailable"
    record = gateway.record_of(answer.headers["x-request-id"])
    assert record["outcome"] == "FAILED"
    assert len(record["attempts"]) == 2


def test_a_reset_stream_is_recorded(gateway: RunningGateway) -> None:
    gateway.openai.faults.set(truncate_after_events=3, chunk_delay_ms=60, times=1)
    with gateway.client() as client, pytest.raises(httpx.RemoteProtocolError):
        client.post("/v1/chat/completions", json=_body("This will be cut."))
    sent = gateway.openai.requests[-1]
    record = gateway.record_of(sent.header("x-request-id") or "")
    assert record["outcome"] == "ABORTED"


def test_an_error_event_in_a_stream_is_a_failure(gateway: RunningGateway) -> None:
    gateway.openai.faults.set(error_event_after=2, times=1)
    answer = gateway.chat("Fail in the middle.", stream=True)
    assert '"error"' in answer.text
    assert gateway.record_of(answer.headers["x-request-id"])["outcome"] == "FAILED"
