"""Are the simulators of Google and AWS what the official SDKs think that these are?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from google import genai
from google.genai import errors, types

from gateway_simulators import ThreadedSimulator

AWS_KEY = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "secret/of+the/tests",
    "aws_session_token": "token/of+the/tests==",
}
MODEL = "eu.maker.model-v1:0"
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
QUESTION: Any = [{"role": "user", "content": [{"text": "Weather in both cities?"}]}]


@pytest.fixture
def bedrock() -> Iterator[ThreadedSimulator]:
    with ThreadedSimulator("bedrock", key=json.dumps(AWS_KEY)) as simulator:
        yield simulator


@pytest.fixture
def gemini() -> Iterator[ThreadedSimulator]:
    with ThreadedSimulator("gemini", key="k1") as simulator:
        yield simulator


def aws(simulator: ThreadedSimulator, **key: str) -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=simulator.url,
        config=Config(retries={"total_max_attempts": 1}),
        **{**AWS_KEY, **key},
    )


def google(simulator: ThreadedSimulator, key: str = "k1") -> genai.Client:
    options = types.HttpOptions(
        base_url=simulator.url, retry_options=types.HttpRetryOptions(attempts=1)
    )
    return genai.Client(api_key=key, http_options=options)


def test_boto3_reads_answers_and_streams(bedrock: ThreadedSimulator) -> None:
    client = aws(bedrock)
    said: Any = [{"role": "user", "content": [{"text": "Hello"}]}]
    answer = client.converse(modelId=MODEL, messages=said)
    assert answer["output"]["message"]["content"] == [{"text": "You said: Hello"}]
    events = list(client.converse_stream(modelId=MODEL, messages=said)["stream"])
    deltas = [e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e]
    assert "".join(deltas) == "You said: Hello"
    assert events[-1]["metadata"]["usage"] == answer["usage"]


def test_boto3_calls_tools(bedrock: ThreadedSimulator) -> None:
    client = aws(bedrock)
    spec = {"name": "get_weather", "inputSchema": {"json": SCHEMA}}
    config: Any = {"tools": [{"toolSpec": spec}]}
    first = client.converse(modelId=MODEL, messages=QUESTION, toolConfig=config)
    assert first["stopReason"] == "tool_use"
    message = first["output"]["message"]
    results = [
        {"toolResult": {
            "toolUseId": block["toolUse"]["toolUseId"], "content": [{"text": "sunny"}]}}
        for block in message["content"]
    ]  # fmt: skip
    turns = [*QUESTION, message, {"role": "user", "content": results}]
    second = client.converse(modelId=MODEL, messages=turns, toolConfig=config)
    assert second["output"]["message"]["content"] == [{"text": "The tool said: sunny; sunny"}]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aws_access_key_id": "AKIDOTHER"}, "UnrecognizedClientException"),
        ({"aws_secret_access_key": "wrong"}, "InvalidSignatureException"),
        ({"aws_session_token": "old"}, "ExpiredTokenException"),
    ],
)
def test_a_wrong_signature_is_refused(
    bedrock: ThreadedSimulator, change: dict[str, str], code: str
) -> None:
    with pytest.raises(ClientError) as caught:
        aws(bedrock, **change).converse(modelId=MODEL, messages=QUESTION)
    assert caught.value.response["Error"]["Code"] == code


def test_boto3_hears_throttling_and_exceptions_inside_streams(bedrock: ThreadedSimulator) -> None:
    client = aws(bedrock)
    bedrock.faults.set(status=429)
    with pytest.raises(client.exceptions.ThrottlingException):
        client.converse(modelId=MODEL, messages=QUESTION)
    bedrock.faults.set(error_event_after=2)
    with pytest.raises(EventStreamError, match="internalServerException"):
        list(client.converse_stream(modelId=MODEL, messages=QUESTION)["stream"])


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "assistant", "content": [{"text": "a"}]}],
        [{"role": "user", "content": [{"text": " "}]}],
        [*QUESTION, *QUESTION],
    ],
)
def test_what_bedrock_refuses_is_refused(bedrock: ThreadedSimulator, messages: Any) -> None:
    client = aws(bedrock)
    with pytest.raises(client.exceptions.ValidationException):
        client.converse(modelId=MODEL, messages=messages)


def test_google_genai_reads_answers_streams_and_thoughts(gemini: ThreadedSimulator) -> None:
    client = google(gemini)
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=100)
    )
    answer = client.models.generate_content(model="gemini-x", contents="Hello", config=config)
    assert answer.text == "You said: Hello"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.thoughts_token_count == 6
    chunks = list(client.models.generate_content_stream(model="gemini-x", contents="Hello"))
    assert "".join(chunk.text or "" for chunk in chunks) == answer.text


def test_a_blocked_prompt_has_no_candidates(gemini: ThreadedSimulator) -> None:
    client = google(gemini)
    answer = client.models.generate_content(model="gemini-x", contents="A blocked prompt")
    assert answer.candidates is None
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason == types.BlockedReason.SAFETY


def test_a_signing_model_wants_its_signature_back(gemini: ThreadedSimulator) -> None:
    client = google(gemini)
    declared = types.FunctionDeclaration(name="get_weather", parameters_json_schema=SCHEMA)
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    question = types.Content(role="user", parts=[types.Part(text="Weather?")])
    first = client.models.generate_content(model="gemini-3-x", contents=[question], config=config)
    assert first.candidates is not None
    said = first.candidates[0].content
    assert said is not None
    assert said.parts is not None
    result = types.Part(
        function_response=types.FunctionResponse(name="get_weather", response={"output": "sunny"})
    )
    turns: Any = [question, said, types.Content(role="user", parts=[result])]
    second = client.models.generate_content(model="gemini-3-x", contents=turns, config=config)
    assert second.text == "The tool said: sunny"
    said.parts[0].thought_signature = None
    with pytest.raises(errors.ClientError, match="thought_signature"):
        client.models.generate_content(model="gemini-3-x", contents=turns, config=config)


def test_google_genai_hears_errors(gemini: ThreadedSimulator) -> None:
    wrong = google(gemini, "k2")
    with pytest.raises(errors.ClientError) as caught:
        wrong.models.generate_content(model="gemini-x", contents="x")
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    client = google(gemini)
    gemini.faults.set(status=429)
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="gemini-x", contents="x")
    assert caught.value.status == "RESOURCE_EXHAUSTED"
    gemini.faults.set(error_event_after=2)
    with pytest.raises(errors.ServerError):
        list(client.models.generate_content_stream(model="gemini-x", contents="Say something"))
