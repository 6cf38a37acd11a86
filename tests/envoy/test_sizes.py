"""Large bodies, both ways, on both attempts; and clients that speak HTTP/2."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from support.gateway import FORGIVING, ROOMY, RunningGateway, running_gateway

MEGABYTE = 1_000_000


TOKENS: Any = {"max_tokens": 2_000_000}


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that lets long answers pass, and providers that send long events."""

    def change(document: dict[str, Any]) -> None:
        document["catalogue"], document["health"] = ROOMY, FORGIVING
        document["caps"]["max_tokens"] = 2_000_000
        document["failover"]["attempt_timeout_s"] = 30.0
        # About sizes, not about a machine that has too much to do.
        document["server"]["shed"] = {"lag_ms": 1000.0}

    with running_gateway(tmp_path_factory.mktemp("roomy"), change, width=20_000) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _fresh(roomy: RunningGateway) -> None:
    for simulator in (roomy.openai, roomy.anthropic):
        simulator.faults.clear()
        simulator.clear()


def _tell(size: int) -> str:
    return "say: " + "lorem ipsum " * (size // 12)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_answer_of_three_megabytes_arrives(
    roomy: RunningGateway, model: str, stream: bool
) -> None:
    """Answers are processed at the router level only: at the upstream level Envoy 1.40 crashes."""
    answer = roomy.chat(_tell(3 * MEGABYTE), model=model, stream=stream, **TOKENS)
    assert answer.status_code == 200, answer.text[:200]
    assert len(answer.content) > 3 * MEGABYTE
    # A word may be cut in two by the events of a stream.
    assert answer.text.count("lorem") >= 3 * MEGABYTE // 12 * 0.99


def test_a_large_fallback_answer_arrives(roomy: RunningGateway) -> None:
    roomy.openai.faults.set(status=503)
    answer = roomy.chat(_tell(3 * MEGABYTE), **TOKENS)
    assert answer.status_code == 200, answer.text[:200]
    record = roomy.record_of(answer.headers["x-request-id"])
    assert [a["status"] for a in record["attempts"]] == [503, 200]


def test_many_large_fallbacks_leave_envoy_alive(roomy: RunningGateway) -> None:
    """With its side-stream flow control on, Envoy 1.40 dies here within a few requests."""
    roomy.openai.faults.set(status=503)

    def ask(number: int) -> int:
        text = _tell((700_000, 1_200_000, 3_000_000)[number % 3])
        tokens = 10 if number % 2 else 2_000_000
        answer = roomy.chat(text, stream=number % 4 == 0, max_tokens=tokens)
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(60))) == [200] * 60


@pytest.mark.parametrize("size", [1, 32_768, MEGABYTE, 7 * MEGABYTE])
def test_a_request_of_any_allowed_size_arrives_whole(roomy: RunningGateway, size: int) -> None:
    text = "a" * size
    answer = roomy.chat(text)
    assert answer.status_code == 200, answer.text[:200]
    assert roomy.openai.requests[-1].json()["messages"][0]["content"] == text


def test_http_2_clients_are_served(roomy: RunningGateway) -> None:
    """Without TLS a client must know beforehand that the other side speaks HTTP/2."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "over two"}]}
    with httpx.Client(http1=False, http2=True) as client:
        answer = client.post(
            f"{roomy.base_url}/v1/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {roomy.keys['dev']}"},
        )
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
    assert "over two" in answer.text


def test_after_all_that_envoy_is_the_same_process(roomy: RunningGateway) -> None:
    assert "critical" not in roomy.log("envoy.log")
    assert roomy.chat("still here?").status_code == 200
