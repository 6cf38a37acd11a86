"""The official Anthropic SDK, unchanged but for base URL and key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from support.gateway import RunningGateway

WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}

MODELS = ["claude-haiku-4-5", "gpt-4o"]
"""One behind each dialect: what an Anthropic client sees must not differ."""


@pytest.fixture
def sdk(gateway: RunningGateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=gateway.base_url, api_key=gateway.keys["dev"], max_retries=0
    ) as client:
        yield client


@pytest.mark.parametrize("model", MODELS)
def test_a_message_is_answered_with_usage(sdk: anthropic.Anthropic, model: str) -> None:
    answer = sdk.messages.create(
        model=model, max_tokens=64, messages=[{"role": "user", "content": "Hello gateway"}]
    )
    assert answer.content[0].type == "text"
    assert "Hello gateway" in answer.content[0].text
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert answer._request_id


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_says_the_same_as_a_message(sdk: anthropic.Anthropic, model: str) -> None:
    text = "Stream this sentence, please."
    whole = sdk.messages.create(
        model=model, max_tokens=64, messages=[{"role": "user", "content": text}]
    )
    with sdk.messages.stream(
        model=model, max_tokens=64, messages=[{"role": "user", "content": text}]
    ) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert whole.content[0].type == "text"
    assert len(pieces) > 1
    assert "".join(pieces) == whole.content[0].text
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_is_called_and_its_result_is_used(sdk: anthropic.Anthropic, model: str) -> None:
    question: Any = {"role": "user", "content": "What is the weather in Paris?"}
    first = sdk.messages.create(
        model=model,
        max_tokens=64,
        messages=[question],
        tools=[WEATHER],
    )
    assert first.stop_reason == "tool_use"
    call = next(block for block in first.content if block.type == "tool_use")
    assert call.name == "get_weather"
    answered: Any = {"role": "assistant", "content": [b.to_dict() for b in first.content]}
    second = sdk.messages.create(
        model=model,
        max_tokens=64,
        messages=[
            question,
            answered,
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": call.id, "content": "sunny, 21"}
                ],
            },
        ],
        tools=[WEATHER],
    )
    assert second.content[0].type == "text"
    assert "sunny" in second.content[0].text


@pytest.mark.parametrize("model", MODELS)
def test_streamed_tool_input_is_whole(sdk: anthropic.Anthropic, model: str) -> None:
    with sdk.messages.stream(
        model=model,
        max_tokens=64,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
    ) as stream:
        final = stream.get_final_message()
    call = next(block for block in final.content if block.type == "tool_use")
    assert call.name == "get_weather"
    assert isinstance(call.input, dict)
    assert final.stop_reason == "tool_use"


def test_a_wrong_key_is_an_authentication_error(gateway: RunningGateway) -> None:
    with (
        anthropic.Anthropic(base_url=gateway.base_url, api_key="nobody", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError) as caught,
    ):
        client.messages.create(
            model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        )
    assert caught.value.request_id
    body: Any = caught.value.body
    assert body["error"]["type"] == "authentication_error"


def test_an_unknown_model_is_a_not_found_error(sdk: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        sdk.messages.create(
            model="claude-99", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        )
    assert caught.value.request_id


def test_a_bad_request_is_named(sdk: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        sdk.messages.create(
            model="claude-haiku-4-5",
            max_tokens=-1,
            messages=[{"role": "user", "content": "x"}],
        )
    assert "max_tokens" in str(caught.value)
