"""Gemini, Vertex AI and Bedrock through the real Envoy, and Gemini's own SDK as a client.

The SDKs are the official ones, unchanged but for base URL and key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import errors, types

from gateway_simulators import ThreadedSimulator
from support.gateway import RunningGateway, running_gateway

AWS_KEY = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "secret/of+the/tests",
    "aws_session_token": "token/of+the/tests==",
    "region": "eu-central-1",
}
SECRETS = {"gemini": "gemini-key", "vertex": "ya29.token", "bedrock": json.dumps(AWS_KEY)}
BASES = {
    "gemini": "/v1beta",
    "vertex": "/v1/projects/p1/locations/europe-west4/publishers/google",
    "bedrock": "",
}
ROUTES = {
    "gem": [("gemini", "gemini-2.5-flash")],
    "gem-signing": [("gemini", "gemini-3-pro")],
    "vtx": [("vertex", "gemini-2.5-pro")],
    "bed": [("bedrock", "eu.maker.model-v1:0")],
    "gem-then-bed": [("gemini", "gemini-2.5-flash"), ("bedrock", "eu.maker.model-v1:0")],
    "bed-then-gem": [("bedrock", "eu.maker.model-v1:0"), ("gemini", "gemini-2.5-flash")],
    "gem-unknown": [("gemini", "unknown")],
    "bed-unknown": [("bedrock", "unknown")],
}
TARGETS = ["gem", "gem-signing", "vtx", "bed"]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@dataclass
class Cloud:
    """The gateway, and the providers behind it."""

    gateway: RunningGateway
    providers: dict[str, ThreadedSimulator]

    def behind(self, model: str) -> ThreadedSimulator:
        return self.providers[ROUTES[model][0][0]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    with ExitStack() as stack:
        providers = {
            name: stack.enter_context(ThreadedSimulator(name, key=SECRETS[name]))  # type: ignore[arg-type]
            for name in SECRETS
        }

        def change(document: dict[str, Any]) -> None:
            for name, simulator in providers.items():
                file = Path(folder) / f"{name}.secret"
                file.write_text(SECRETS[name])
                document["providers"].append({
                    "id": name,
                    "dialect": name,
                    "base_url": f"http://127.0.0.1:{simulator.port}{BASES[name]}",
                    "credential_file": str(file),
                    "region": "eu-central-1",
                })  # fmt: skip
            for model, targets in ROUTES.items():
                listed = [{"provider": name, "model": target} for name, target in targets]
                document["models"].append({"model": model, "targets": listed})

        gateway = stack.enter_context(running_gateway(folder, change, workers=1))
        yield Cloud(gateway, providers)


@pytest.fixture
def cloud(running: Cloud) -> Iterator[Cloud]:
    """Healthy providers that have seen nothing yet; afterwards nothing may have leaked to them."""
    simulators = [*running.providers.values(), running.gateway.openai, running.gateway.anthropic]
    for simulator in simulators:
        simulator.clear()
    yield running
    for simulator in simulators:
        simulator.faults.clear()
        assert not simulator.violations, simulator.violations


@pytest.fixture
def openai_sdk(cloud: Cloud) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{cloud.gateway.base_url}/v1", api_key=cloud.gateway.keys["dev"], max_retries=0
    ) as client:
        yield client


@pytest.fixture
def anthropic_sdk(cloud: Cloud) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=cloud.gateway.base_url, api_key=cloud.gateway.keys["dev"], max_retries=0
    ) as client:
        yield client


def google_sdk(cloud: Cloud, key: str | None = None) -> genai.Client:
    return genai.Client(
        api_key=key or cloud.gateway.keys["dev"],
        http_options=types.HttpOptions(
            base_url=cloud.gateway.base_url, retry_options=types.HttpRetryOptions(attempts=1)
        ),
    )


# -------------------------------------------------------------------- OpenAI's clients


@pytest.mark.parametrize("model", TARGETS)
def test_an_openai_client_chats(openai_sdk: openai.OpenAI, model: str) -> None:
    answer = openai_sdk.chat.completions.create(
        model=model,
        messages=[
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "Hello gateway"},
        ],
        max_tokens=50,
    )
    assert answer.choices[0].message.content == "You said: Hello gateway"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model


@pytest.mark.parametrize("model", TARGETS)
def test_an_openai_client_streams(openai_sdk: openai.OpenAI, model: str) -> None:
    chunks = list(
        openai_sdk.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Stream this sentence, please."}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert len([text for text in texts if text]) > 1
    assert "".join(texts) == "You said: Stream this sentence, please."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", TARGETS)
def test_an_openai_client_calls_tools(openai_sdk: openai.OpenAI, model: str, stream: bool) -> None:
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
    question: Any = {"role": "user", "content": "What is the weather in both cities?"}
    message: Any
    if stream:
        with openai_sdk.chat.completions.stream(
            model=model, messages=[question], tools=tools
        ) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = (
            openai_sdk.chat.completions.create(model=model, messages=[question], tools=tools)
            .choices[0]
            .message
        )
    assert message.tool_calls is not None
    calls = [call for call in message.tool_calls if call.type == "function"]
    cities = [json.loads(call.function.arguments)["city"] for call in calls]
    assert cities == ["Paris", "Rome"]
    results: Any = [
        {"role": "tool", "tool_call_id": call.id, "content": f"sunny in {city}"}
        for call, city in zip(calls, cities, strict=True)
    ]
    said: Any = message.to_dict()
    said.pop("parsed", None)
    for call in said["tool_calls"]:
        call["function"].pop("parsed_arguments", None)
        call.pop("index", None)
    second = openai_sdk.chat.completions.create(
        model=model, messages=[question, said, *results], tools=tools
    )
    assert second.choices[0].message.content == "The tool said: sunny in Paris; sunny in Rome"


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("gem-unknown", 404, "NOT_FOUND"),
        ("bed-unknown", 400, "ValidationException"),
    ],
)
def test_an_openai_client_hears_a_providers_error(
    openai_sdk: openai.OpenAI, model: str, status: int, code: str
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        openai_sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])
    assert (caught.value.status_code, caught.value.code) == (status, code)


@pytest.mark.parametrize("model", ["gem", "vtx", "bed"])
def test_a_throttled_provider_is_a_rate_limit_error(
    cloud: Cloud, openai_sdk: openai.OpenAI, anthropic_sdk: anthropic.Anthropic, model: str
) -> None:
    cloud.behind(model).faults.set(status=429, retry_after="7")
    with pytest.raises(openai.RateLimitError) as theirs:
        openai_sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])
    assert theirs.value.response.headers["retry-after"] == "7"
    with pytest.raises(anthropic.RateLimitError) as ours:
        anthropic_sdk.messages.create(
            model=model, max_tokens=9, messages=[{"role": "user", "content": "x"}]
        )
    assert ours.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("model", ["gem", "vtx", "bed"])
def test_an_error_inside_a_stream_is_an_error_of_the_sdk_and_of_the_record(
    cloud: Cloud, openai_sdk: openai.OpenAI, model: str
) -> None:
    cloud.behind(model).faults.set(error_event_after=3)
    with pytest.raises(openai.APIError) as caught:
        for _ in openai_sdk.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Stream this sentence"}],
            stream=True,
        ):
            pass
    assert "on purpose" in caught.value.message
    answer = cloud.gateway.chat("Stream this sentence", model=model, stream=True)
    assert answer.status_code == 200
    assert cloud.gateway.record_of(answer.headers["x-request-id"])["outcome"] == "FAILED"


@pytest.mark.parametrize("model", ["gem", "bed"])
def test_a_stream_that_breaks_off_is_not_an_answer(cloud: Cloud, model: str) -> None:
    cloud.behind(model).faults.set(truncate_after_events=3, truncate_clean=True)
    answer = cloud.gateway.chat("Stream this sentence, please", model=model, stream=True)
    assert "provider_stream_incomplete" in answer.text


def test_what_a_target_cannot_be_told_is_refused_before_it_is_asked(
    cloud: Cloud, openai_sdk: openai.OpenAI
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_sdk.chat.completions.create(
            model="bed", messages=[{"role": "user", "content": "x"}], seed=5
        )
    assert caught.value.param == "seed"
    assert not cloud.providers["bedrock"].requests


# ----------------------------------------------------------------- Anthropic's clients


@pytest.mark.parametrize("model", TARGETS)
def test_an_anthropic_client_chats_and_streams(
    anthropic_sdk: anthropic.Anthropic, model: str
) -> None:
    ask: Any = {
        "model": model,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Stream this sentence, please."}],
    }
    whole = anthropic_sdk.messages.create(**ask)
    with anthropic_sdk.messages.stream(**ask) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert whole.content[0].type == "text"
    assert whole.content[0].text == "You said: Stream this sentence, please."
    assert len(pieces) > 1
    assert "".join(pieces) == whole.content[0].text
    assert (whole.stop_reason, final.stop_reason) == ("end_turn", "end_turn")
    assert final.usage.output_tokens == whole.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", TARGETS)
def test_an_anthropic_client_calls_tools(
    anthropic_sdk: anthropic.Anthropic, model: str, stream: bool
) -> None:
    question: Any = {"role": "user", "content": "What is the weather in Paris?"}
    ask: Any = {
        "model": model,
        "max_tokens": 64,
        "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
    }
    if stream:
        with anthropic_sdk.messages.stream(**ask, messages=[question]) as events:
            first = events.get_final_message()
    else:
        first = anthropic_sdk.messages.create(**ask, messages=[question])
    call = next(block for block in first.content if block.type == "tool_use")
    assert (first.stop_reason, call.input) == ("tool_use", {"city": "Paris"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny, 21"}
    turns: Any = [
        question,
        {"role": "assistant", "content": [block.to_dict() for block in first.content]},
        {"role": "user", "content": [result]},
    ]
    second = anthropic_sdk.messages.create(**ask, messages=turns)
    assert second.content[0].type == "text"
    assert "sunny, 21" in second.content[0].text


def test_an_anthropic_client_reads_geminis_thoughts(anthropic_sdk: anthropic.Anthropic) -> None:
    with anthropic_sdk.messages.stream(
        model="gem",
        max_tokens=2000,
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=[{"role": "user", "content": "Hello"}],
    ) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.content[0].type == "thinking"
    assert final.content[0].thinking == "Let me think about it."


@pytest.mark.parametrize(
    ("model", "kind"),
    [("gem-unknown", anthropic.NotFoundError), ("bed-unknown", anthropic.BadRequestError)],
)
def test_an_anthropic_client_hears_a_providers_error(
    anthropic_sdk: anthropic.Anthropic, model: str, kind: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(kind):
        anthropic_sdk.messages.create(
            model=model, max_tokens=9, messages=[{"role": "user", "content": "x"}]
        )


# -------------------------------------------------------------------- Gemini's clients

SERVED = ["gpt-4o", "claude-haiku-4-5", "gem", "vtx", "bed"]


@pytest.mark.parametrize("model", SERVED)
def test_a_google_client_chats_and_streams(cloud: Cloud, model: str) -> None:
    client = google_sdk(cloud)
    config = types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=64)
    whole = client.models.generate_content(model=model, contents="Hello gateway", config=config)
    assert whole.text == "You said: Hello gateway"
    assert whole.candidates is not None
    assert whole.candidates[0].finish_reason == types.FinishReason.STOP
    assert whole.usage_metadata is not None
    chunks = list(
        client.models.generate_content_stream(model=model, contents="Hello gateway", config=config)
    )
    assert len(chunks) > 2
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    last = chunks[-1]
    assert last.candidates is not None
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    assert last.usage_metadata is not None
    assert last.usage_metadata.candidates_token_count == whole.usage_metadata.candidates_token_count


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [*SERVED, "gem-signing"])
def test_a_google_client_calls_tools(cloud: Cloud, model: str, stream: bool) -> None:
    client = google_sdk(cloud)
    declared = types.FunctionDeclaration(name="get_weather", parameters_json_schema=SCHEMA)
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    question = types.Content(role="user", parts=[types.Part(text="The weather in both cities?")])
    if stream:
        answers = list(
            client.models.generate_content_stream(model=model, contents=[question], config=config)
        )
    else:
        answers = [client.models.generate_content(model=model, contents=[question], config=config)]
    parts = [
        part
        for answer in answers
        for candidate in answer.candidates or ()
        for part in (candidate.content and candidate.content.parts) or ()
        if part.function_call
    ]
    calls = [part.function_call for part in parts if part.function_call]
    assert [call.args for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
    results = [
        types.Part(
            function_response=types.FunctionResponse(
                id=call.id, name=call.name, response={"output": f"sunny {number}"}
            )
        )
        for number, call in enumerate(calls)
    ]
    second = client.models.generate_content(
        model=model,
        contents=[
            question,
            types.Content(role="model", parts=parts),
            types.Content(role="user", parts=results),
        ],
        config=config,
    )
    assert second.text == "The tool said: sunny 0; sunny 1"


def test_a_google_client_hears_refusals_as_googles_errors(cloud: Cloud) -> None:
    nobody = google_sdk(cloud, "nobody")
    with pytest.raises(errors.ClientError) as caught:
        nobody.models.generate_content(model="gpt-4o", contents="x")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
    client = google_sdk(cloud)
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="no-such-model", contents="x")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(
            model="gpt-4o", contents="x", config=types.GenerateContentConfig(top_k=3)
        )
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert "generationConfig.topK" in str(caught.value.message)


@pytest.mark.parametrize("model", ["gpt-4o", "claude-haiku-4-5", "gem", "bed"])
def test_a_google_client_hears_a_providers_error(cloud: Cloud, model: str) -> None:
    simulators = {"gpt-4o": cloud.gateway.openai, "claude-haiku-4-5": cloud.gateway.anthropic}
    simulator = simulators.get(model) or cloud.behind(model)
    client = google_sdk(cloud)
    simulator.faults.set(status=429)
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model=model, contents="x")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    simulator.faults.set(error_event_after=3)
    with pytest.raises(errors.APIError) as broken:
        for _ in client.models.generate_content_stream(model=model, contents="Stream this text"):
            pass
    assert "on purpose" in str(broken.value)


@pytest.mark.parametrize("model", ["gpt-4o", "gem", "bed"])
def test_without_alt_sse_a_stream_is_one_json_array(cloud: Cloud, model: str) -> None:
    key = cloud.gateway.keys["dev"]
    answer = httpx.post(
        f"{cloud.gateway.base_url}/v1beta/models/{model}:streamGenerateContent",
        headers={"x-goog-api-key": key},
        json={"contents": [{"parts": [{"text": "Hello gateway"}]}]},
        timeout=30,
    )
    assert answer.headers["content-type"].startswith("application/json")
    documents = answer.json()
    assert len(documents) > 2
    texts = [
        part["text"]
        for document in documents
        for part in document["candidates"][0].get("content", {}).get("parts", ())
    ]
    assert "".join(texts) == "You said: Hello gateway"


@pytest.mark.parametrize("model", ["gpt-4o", "gem"])
def test_a_key_in_the_query_is_a_key_and_is_written_nowhere(cloud: Cloud, model: str) -> None:
    key = cloud.gateway.keys["dev"]
    url = f"{cloud.gateway.base_url}/v1beta/models/{model}:generateContent"
    body = {"contents": [{"parts": [{"text": "Hello"}]}]}
    good = httpx.post(url, params={"key": key}, json=body, timeout=30)
    assert good.status_code == 200, good.text
    wrong = httpx.post(url, params={"key": "gw_not-a-key"}, json=body, timeout=30)
    assert wrong.status_code == 401
    both = httpx.post(
        url, params={"key": key}, json=body, headers={"x-goog-api-key": key}, timeout=30
    )
    assert both.status_code == 401
    cloud.gateway.record_of(good.headers["x-request-id"])
    sent = cloud.providers["gemini"].requests + cloud.gateway.openai.requests
    assert sent
    assert all(key not in request.path + str(request.headers) for request in sent)
    for file in cloud.gateway.run_dir.rglob("*"):
        if file.is_file() and file.suffix in (".log", ".jsonl", ".json"):
            written = file.read_text(errors="replace")
            assert key not in written, file
            assert "gw_not-a-key" not in written, file


# --------------------------------------------------------------------------- fallback


@pytest.mark.parametrize("model", ["gem-then-bed", "bed-then-gem"])
def test_a_fallback_to_the_other_is_signed_and_spoken_anew(
    cloud: Cloud, openai_sdk: openai.OpenAI, model: str
) -> None:
    cloud.behind(model).faults.set(status=503)
    answer = openai_sdk.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hello"}]
    )
    assert answer.choices[0].message.content == "You said: Hello"
    second = cloud.providers[ROUTES[model][1][0]]
    assert [request.status for request in second.requests] == [200]


def test_personal_data_leaves_no_stream_of_gemini(cloud: Cloud) -> None:
    """The output filter of the demo: a card number is redacted whoever streams it."""
    client = google_sdk(cloud)
    for model in ("gem", "bed"):
        chunks = client.models.generate_content_stream(
            model=model, contents="say: pay with 4111 1111 1111 1111 now"
        )
        text = "".join(chunk.text or "" for chunk in chunks)
        assert "4111" not in text
        assert text.startswith("pay with ")
        assert text.endswith(" now")
