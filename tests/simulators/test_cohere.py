"""Is the simulator of Cohere what the official SDK thinks that it is?"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import cohere
import pytest

from gateway_simulators import ThreadedSimulator
from gateway_simulators.cohere_checks import FIELDS
from gateway_simulators.cohere_shape import PLAN, TEMPLATE_TOKENS, THOUGHT

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
ONCE: Any = {"max_retries": 0}


@pytest.fixture
def simulator() -> Iterator[ThreadedSimulator]:
    with ThreadedSimulator("cohere", key="k1") as running:
        yield running


@pytest.fixture
def client(simulator: ThreadedSimulator) -> cohere.ClientV2:
    return cohere.ClientV2(api_key="k1", base_url=simulator.url)


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_the_fields_are_those_of_the_sdk() -> None:
    known = set(inspect.signature(cohere.ClientV2.chat_stream).parameters)
    assert known - {"self", "request_options"} | {"stream"} == FIELDS


def test_answers_and_streams_say_the_same(client: cohere.ClientV2) -> None:
    whole = client.chat(model="m", messages=user("Please think and cite"))
    assert whole.message.content is not None
    thought, said = whole.message.content
    assert thought.thinking == THOUGHT  # type: ignore[union-attr]
    assert whole.usage is not None
    assert whole.usage.tokens is not None
    assert whole.usage.billed_units is not None
    billed, counted = whole.usage.billed_units.input_tokens, whole.usage.tokens.input_tokens
    assert billed is not None
    assert counted == billed + TEMPLATE_TOKENS
    events: list[Any] = list(client.chat_stream(model="m", messages=user("Please think and cite")))
    deltas = [e.delta.message.content for e in events if e.type == "content-delta"]
    assert "".join(delta.thinking or "" for delta in deltas) == THOUGHT
    assert "".join(delta.text or "" for delta in deltas) == said.text  # type: ignore[union-attr]
    assert [e.delta.message.citations.text for e in events if e.type == "citation-start"] == ["You"]
    assert events[-1].delta.usage == whole.usage


def test_tools_are_called_with_a_plan_and_their_results_must_answer(
    client: cohere.ClientV2,
) -> None:
    first = client.chat(model="m", messages=user("The weather?"), tools=[TOOL])
    assert (first.finish_reason, first.message.tool_plan) == ("TOOL_CALL", PLAN)
    assert first.message.tool_calls is not None
    (call,) = first.message.tool_calls
    turns: Any = [
        *user("The weather?"),
        first.message,
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    second = client.chat(model="m", messages=turns, tools=[TOOL])
    assert second.message.content is not None
    assert second.message.content[0].text == "The tool said: sunny"  # type: ignore[union-attr]
    turns[2]["tool_call_id"] = "another"
    with pytest.raises(cohere.BadRequestError, match="tool_call_id"):
        client.chat(model="m", messages=turns, tools=[TOOL])


@pytest.mark.parametrize(
    "fields",
    [
        {"p": 1.0},
        {"k": 501},
        {"frequency_penalty": -0.1},
        {"stop_sequences": list("abcdef")},
        {"tool_choice": "REQUIRED"},
        {"messages": []},
        {"messages": [{"role": "system", "content": "Be brief."}]},
        {"messages": [{"role": "user", "content": [{"type": "sound"}]}]},
    ],
)
def test_what_cohere_refuses_is_refused(client: cohere.ClientV2, fields: dict[str, Any]) -> None:
    with pytest.raises(cohere.BadRequestError):
        client.chat(**{"model": "m", "messages": user("x"), **fields})


def test_errors_are_those_of_the_sdk(simulator: ThreadedSimulator, client: cohere.ClientV2) -> None:
    with pytest.raises(cohere.UnauthorizedError):
        cohere.ClientV2(api_key="k2", base_url=simulator.url).chat(model="m", messages=user("x"))
    with pytest.raises(cohere.NotFoundError):
        client.chat(model="unknown", messages=user("x"))
    simulator.faults.set(status=429)
    with pytest.raises(cohere.TooManyRequestsError):
        client.chat(model="m", messages=user("x"), request_options=ONCE)
    simulator.faults.set(error_event_after=3)
    events: list[Any] = list(client.chat_stream(model="m", messages=user("Stream this")))
    assert events[-1].delta.finish_reason == "ERROR"
    assert "on purpose" in events[-1].delta.error
