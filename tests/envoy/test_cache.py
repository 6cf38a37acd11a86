"""Kept answers through the real Envoy, as the official SDKs see them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from support.gateway import RunningGateway, running_gateway

MODEL = "gpt-4o-mini"


def _caching(document: dict[str, Any]) -> None:
    document["cache"] = {"semantic": {"wait_ms": 1000}, "wait_s": 4}
    document["limits"] = []
    document["server"]["shed"] = {"lag_ms": 1000}  # machines of tests are busy
    for model in document["models"]:
        model["cache_ttl_s"] = 600


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway"), _caching) as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(gateway: RunningGateway) -> Iterator[None]:
    gateway.openai.faults.clear()
    gateway.openai.clear()
    gateway.anthropic.clear()
    yield
    gateway.openai.faults.clear()
    assert not gateway.openai.violations
    assert not gateway.anthropic.violations


@pytest.fixture
def sdk(gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{gateway.base_url}/v1", api_key=gateway.keys["dev"], max_retries=0
    ) as client:
        yield client


def asked(gateway: RunningGateway) -> int:
    """Requests that reached a provider."""
    return len(gateway.openai.requests) + len(gateway.anthropic.requests)


def cache_of(response: Any) -> str:
    value: str = response.headers["x-gateway-cache"]
    return value


def chat(sdk: openai.OpenAI, text: str, **more: Any) -> Any:
    return sdk.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": text}], **more
    )


def test_the_second_of_two_equal_questions_is_answered_from_the_cache(
    gateway: RunningGateway, sdk: openai.OpenAI
) -> None:
    first, second = chat(sdk, "What is a hit?"), chat(sdk, "What is a hit?")
    assert (cache_of(first), cache_of(second)) == ("stored", "hit")
    assert second.parse() == first.parse()
    assert int(second.headers["age"]) >= 0
    assert asked(gateway) == 1
    record = gateway.record_of(second.headers["x-request-id"])
    assert record["cache_hit"]
    assert record["cache"]["kind"] == "exact"
    assert record["cache"]["saved_usage"]["prompt_tokens"] > 0
    assert "usage" not in record
    assert gateway.record_of(first.headers["x-request-id"])["cache"]["status"] == "stored"


def test_a_stream_is_a_stream_again(gateway: RunningGateway, sdk: openai.OpenAI) -> None:
    def streamed() -> list[Any]:
        return list(
            sdk.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": "Say it bit by bit"}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )

    first, second = streamed(), streamed()
    assert asked(gateway) == 1
    assert second == first
    assert len(first) > 3
    assert first[-1].usage.total_tokens > 0


def test_a_kept_stream_is_given_as_a_whole_answer(
    gateway: RunningGateway, sdk: openai.OpenAI
) -> None:
    messages: Any = [{"role": "user", "content": "First in pieces, then whole"}]
    pieces = list(sdk.chat.completions.create(model=MODEL, messages=messages, stream=True))
    text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
    whole = sdk.chat.completions.create(model=MODEL, messages=messages)
    assert whole.choices[0].message.content == text
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0
    assert asked(gateway) == 1


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "gpt-4o"])
def test_anthropics_sdk_reads_a_kept_answer_whole_and_as_a_stream(
    gateway: RunningGateway, model: str
) -> None:
    with anthropic.Anthropic(
        base_url=gateway.base_url, api_key=gateway.keys["dev"], max_retries=0
    ) as sdk:
        messages: Any = [{"role": "user", "content": f"A kept message of {model}"}]
        first = sdk.messages.create(model=model, max_tokens=64, messages=messages)
        second = sdk.messages.create(model=model, max_tokens=64, messages=messages)
        assert second == first
        with sdk.messages.stream(model=model, max_tokens=64, messages=messages) as stream:
            final = stream.get_final_message()
    assert asked(gateway) == 1
    assert [block.model_dump() for block in final.content] == [
        block.model_dump() for block in first.content
    ]
    assert final.usage.output_tokens == first.usage.output_tokens


def test_calls_of_tools_are_kept(gateway: RunningGateway, sdk: openai.OpenAI) -> None:
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": city}}
    more: Any = {"tools": [tool], "tool_choice": "required"}
    first, second = (chat(sdk, "Weather please", **more).parse() for _ in range(2))
    assert first.choices[0].message.tool_calls
    assert second == first
    assert asked(gateway) == 1


@pytest.mark.parametrize("headers", [{"x-gateway-cache": "bypass"}, {"cache-control": "no-cache"}])
def test_a_client_can_leave_the_cache_aside(
    gateway: RunningGateway, sdk: openai.OpenAI, headers: dict[str, str]
) -> None:
    text = f"Aside with {headers}"
    chat(sdk, text)
    again = chat(sdk, text, extra_headers=headers)
    assert cache_of(again) in ("bypass", "stored")
    assert asked(gateway) == 2


def test_a_client_can_ask_for_kept_answers_only(
    gateway: RunningGateway, sdk: openai.OpenAI
) -> None:
    only = {"cache-control": "only-if-cached"}
    with pytest.raises(openai.APIStatusError) as refused:
        chat(sdk, "Only if it is there", extra_headers=only)
    assert refused.value.status_code == 504
    assert refused.value.code == "not_cached"
    assert asked(gateway) == 0
    chat(sdk, "Only if it is there")
    assert cache_of(chat(sdk, "Only if it is there", extra_headers=only)) == "hit"


def test_no_answer_reaches_another_tenant(gateway: RunningGateway) -> None:
    answers = [gateway.chat("Whose answer is this?", key=key) for key in ("dev", "trial", "dev")]
    assert [cache_of(answer) for answer in answers] == ["stored", "stored", "hit"]
    assert asked(gateway) == 2


def test_what_a_guard_touched_is_not_kept(gateway: RunningGateway) -> None:
    for _ in range(2):
        answer = gateway.chat("Write to jane@example.org")
        assert cache_of(answer) == "bypass"
    assert asked(gateway) == 2


def test_identical_questions_at_once_are_asked_once(gateway: RunningGateway) -> None:
    """Across both workers of this host: their followers wait for the one that leads."""
    gateway.openai.faults.set(delay_ms=700)
    start = threading.Barrier(12)

    def one(_: int) -> httpx.Response:
        with gateway.client() as client:
            client.get("/v1/models")  # connected before it begins
            start.wait()
            body = {"model": MODEL, "messages": [{"role": "user", "content": "All together now"}]}
            return client.post("/v1/chat/completions", json=body)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(one, range(12)))
    assert [answer.status_code for answer in answers] == [200] * 12
    assert len({answer.content for answer in answers}) == 1
    assert asked(gateway) == 1
    kinds = [answer.headers.get("x-gateway-cache-kind") for answer in answers]
    assert kinds.count("flight") >= 10


def test_a_question_in_other_words_is_answered_from_the_cache(gateway: RunningGateway) -> None:
    """A worker knows what it answered itself: of 16 conversations some meet theirs again."""
    kinds = []
    for number in range(16):
        for words in ("How do I reset my password?", "How can I reset my password?"):
            body = {
                "model": MODEL,
                "messages": [
                    {"role": "system", "content": f"You are helper {number}."},
                    {"role": "user", "content": words},
                ],
            }
            with gateway.client() as client:
                answer = client.post("/v1/chat/completions", json=body)
        kinds.append(answer.headers.get("x-gateway-cache-kind"))
    assert "semantic" in kinds
    assert asked(gateway) == 32 - kinds.count("semantic")


def test_the_metrics_tell_what_the_cache_did(gateway: RunningGateway) -> None:
    gateway.chat("Counted")
    gateway.chat("Counted")
    deadline_s = time.monotonic() + 5
    while time.monotonic() < deadline_s:
        text = httpx.get(f"{gateway.admin_url}/metrics", timeout=10).text
        if 'gateway_cache_total{kind="exact"' in text:
            break
        time.sleep(0.1)
    assert 'gateway_cache_total{kind="exact",reason="none",status="hit"}' in text
    assert 'gateway_cache_saved_tokens_total{direction="prompt",kind="exact"}' in text


def test_no_text_stands_in_the_files(gateway: RunningGateway) -> None:
    gateway.chat("A very particular sentence to look for")
    folder = Path(gateway.run_dir / "sockets")
    files = [file for file in folder.iterdir() if file.name.startswith("answers")]
    assert files
    assert not any(b"very particular" in file.read_bytes() for file in files)
