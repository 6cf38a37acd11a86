"""Responses at providers of every dialect, and what they are not told, through the real Envoy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from gateway_simulators import ThreadedSimulator
from support.gateway import RunningGateway, running_gateway

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
AWS_KEY = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "secret/of+the/tests",
    "region": "eu-central-1",
}
SECRETS = {"gemini": "gemini-key", "bedrock": json.dumps(AWS_KEY)}
BASES = {"gemini": "/v1beta", "bedrock": ""}
CLOUD = {"gemini": "gemini-2.5-flash", "bedrock": "eu.maker.model-v1:0"}
MODELS = ["claude", "gem", "bed", "chat-only"]
EMAIL = "jane@example.org"
CARD = "4111 1111 1111 1111"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("anywhere")
    with ExitStack() as stack:
        clouds = {
            name: stack.enter_context(ThreadedSimulator(name, key=SECRETS[name]))  # type: ignore[arg-type]
            for name in CLOUD
        }

        def change(document: dict[str, Any]) -> None:
            by_dialect = {p["dialect"]: p for p in document["providers"]}
            for api, lack in (("chat", "responses"), ("responses", "chat")):
                document["providers"].append(
                    {**by_dialect["openai"], "id": f"only-{api}", "differences": {"lacks": [lack]}}
                )
            for name, simulator in clouds.items():
                file = Path(folder) / f"{name}.secret"
                file.write_text(SECRETS[name])
                document["providers"].append({
                    "id": name, "dialect": name, "credential_file": str(file),
                    "base_url": f"http://127.0.0.1:{simulator.port}{BASES[name]}",
                    "region": "eu-central-1",
                })  # fmt: skip
            claude = {"provider": by_dialect["anthropic"]["id"], "model": "claude-sonnet-4-5"}
            gem, bed = ({"provider": name, "model": model} for name, model in CLOUD.items())
            for model, targets in {
                "claude": [claude],
                "gem": [gem],
                "bed": [bed],
                "chat-only": [{"provider": "only-chat", "model": "gpt-4o-mini"}],
                "responses-only": [{"provider": "only-responses", "model": "gpt-4o-mini"}],
                "gem-then-claude": [gem, claude],
            }.items():
                document["models"].append(
                    {"model": model, "targets": targets, "drop_unsupported": True}
                )

        gateway = stack.enter_context(running_gateway(folder, change, workers=1))
        gateway.clouds = clouds  # type: ignore[attr-defined]
        yield gateway


def clouds_of(running: RunningGateway) -> dict[str, ThreadedSimulator]:
    clouds: dict[str, ThreadedSimulator] = running.clouds  # type: ignore[attr-defined]
    return clouds


@pytest.fixture
def sdk(running: RunningGateway) -> Iterator[openai.OpenAI]:
    base = f"{running.base_url}/v1"
    with openai.OpenAI(base_url=base, api_key=running.keys["dev"], max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", [*MODELS, "responses-only"])
def test_a_response_is_given_and_streamed(sdk: openai.OpenAI, model: str) -> None:
    whole = sdk.responses.create(model=model, input="Hello gateway", instructions="Be brief.")
    assert whole.output_text == "You said: Hello gateway"
    assert whole.status == "completed"
    assert whole.usage is not None
    assert whole.usage.input_tokens > 0
    with sdk.responses.stream(model=model, input="Stream this, please.") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") > 1
    assert final.output_text == "You said: Stream this, please."
    assert final.usage is not None
    assert final.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_tools_go_round_without_memory_at_the_provider(
    sdk: openai.OpenAI, model: str, stream: bool
) -> None:
    tool: Any = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}
    turns: list[Any] = [{"role": "user", "content": "What is the weather in both cities?"}]
    first: Any
    if stream:
        with sdk.responses.stream(model=model, input=turns, tools=[tool]) as events:
            first = events.get_final_response()
    else:
        first = sdk.responses.create(model=model, input=turns, tools=[tool], store=False)
    calls = [item for item in first.output if item.type == "function_call"]
    cities = [json.loads(call.arguments)["city"] for call in calls]
    assert cities == ["Paris", "Rome"]
    said: list[Any] = [item.to_dict() for item in first.output]
    for item in said:
        item.pop("parsed_arguments", None)
    told: list[Any] = [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"sunny in {city}"}
        for call, city in zip(calls, cities, strict=True)
    ]
    second = sdk.responses.create(
        model=model, input=[*turns, *said, *told], tools=[tool], store=False
    )
    assert second.output_text == "The tool said: sunny in Paris; sunny in Rome"


@pytest.mark.parametrize("model", MODELS)
def test_guards_see_what_translated_responses_say(
    running: RunningGateway, sdk: openai.OpenAI, model: str
) -> None:
    clouds = clouds_of(running)
    behind = {"claude": running.anthropic, "chat-only": running.openai, "gem": clouds["gemini"],
              "bed": clouds["bedrock"]}  # fmt: skip
    said = f"write to {EMAIL} about {CARD} today"
    whole = sdk.responses.create(model=model, input=f"say: {said}")
    sent = behind[model].requests[-1].body
    assert EMAIL.encode() not in sent
    assert CARD.encode() not in sent
    # What was only masked comes back, in every event that repeats it.
    assert EMAIL in whole.output_text
    with sdk.responses.stream(model=model, input=f"say: {said}") as stream:
        events = [repr(event) for event in stream]
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert not any(CARD in event for event in events)
    assert all(EMAIL in event for event in events[-4:])


def test_other_clients_reach_a_provider_of_responses_only(
    running: RunningGateway, sdk: openai.OpenAI
) -> None:
    chat = sdk.chat.completions.create(
        model="responses-only", messages=[{"role": "user", "content": "Hello gateway"}]
    )
    assert chat.choices[0].message.content == "You said: Hello gateway"
    streamed = sdk.chat.completions.create(
        model="responses-only", messages=[{"role": "user", "content": "Stream it"}], stream=True
    )
    texts = [c.choices[0].delta.content or "" for c in streamed if c.choices]
    assert "".join(texts) == "You said: Stream it"
    with anthropic.Anthropic(
        base_url=running.base_url, api_key=running.keys["dev"], max_retries=0
    ) as client:
        message = client.messages.create(
            model="responses-only", max_tokens=50,
            messages=[{"role": "user", "content": "Hello gateway"}],
        )  # fmt: skip
    assert message.content[0].type == "text"
    assert message.content[0].text == "You said: Hello gateway"
    assert message.usage.output_tokens > 0


def test_each_attempt_is_told_what_it_can_be_and_the_client_what_it_was_not(
    running: RunningGateway, sdk: openai.OpenAI
) -> None:
    def ask() -> Any:
        return sdk.chat.completions.with_raw_response.create(
            model="gem-then-claude", messages=[{"role": "user", "content": "Hello gateway"}],
            seed=7, logit_bias={"5": 1}, user="u",
        )  # fmt: skip

    gemini = clouds_of(running)["gemini"]
    assert ask().headers["x-gateway-dropped"] == "user, logit_bias"
    gemini.faults.set(status=503)
    try:
        answer = ask()
    finally:
        gemini.faults.clear()
    assert answer.headers["x-gateway-dropped"] == "seed, logit_bias"
    assert answer.parse().choices[0].message.content == "You said: Hello gateway"
