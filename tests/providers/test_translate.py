"""Whole requests and answers, in the same dialect and across: golden, lossless or loud."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import anthropic.types as at
import orjson
import pytest
from openai.types.chat import ChatCompletion

from gateway_extproc.core.chat import Document
from gateway_extproc.core.errors import RequestError, refuse
from gateway_extproc.core.ports import Sent
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.translate import DIALECTS, translator
from providers.samples import ANTHROPIC_REQUEST, OPENAI_REQUEST, read

SENT = Sent("POST", "example.org", "/", b"", "", 0.0)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PNG = "iVBORw0KGgo="

OPENAI_TOOLS: dict[str, Any] = {
    "model": "m",
    "max_completion_tokens": 50,
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": "END",
    "user": "u1",
    "parallel_tool_calls": False,
    "tools": [
        {
            "type": "function",
            "function": {"name": "weather", "description": "Tells it.", "parameters": SCHEMA},
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "weather"}},
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Paris and Rome?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "auto"}},
            ],
        },
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "c0",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
                },
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "c0", "content": "sun"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
        {"role": "user", "content": "So?"},
        {"role": "developer", "content": "In French."},
        {"role": "user", "content": "Please."},
    ],
}

ANTHROPIC_TOOLS: dict[str, Any] = {
    "model": "t",
    "max_tokens": 40,
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Paris and Rome?"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                },
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c0", "name": "weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c0", "content": "sun"},
                {"type": "tool_result", "tool_use_id": "c1", "content": "rain"},
                {"type": "text", "text": "So?"},
            ],
        },
        {"role": "user", "content": "Please."},
    ],
    "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "In French."}],
    "temperature": 0.5,
    "top_p": 0.9,
    "stop_sequences": ["END"],
    "tools": [{"name": "weather", "input_schema": SCHEMA, "description": "Tells it."}],
    "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
    "metadata": {"user_id": "u1"},
}


def request(client: str, provider: str, document: dict[str, Any], cap: int = 40) -> Document:
    before = deepcopy(document)
    asked = read(client, document)
    way = translator(client, provider, asked.endpoint)
    result = way.request(asked, "t", cap, force_usage=True)
    assert document == before, "a translation changed its input"
    return result


def refused(client: str, provider: str, document: dict[str, Any]) -> str | None:
    with pytest.raises(RequestError) as caught:
        request(client, provider, document)
    assert caught.value.refusal.status == 400
    return caught.value.refusal.param


# ------------------------------------------------------------------------ requests


def test_the_same_dialect_keeps_unknown_fields_and_their_order() -> None:
    document = {"zeta": 1, **OPENAI_REQUEST, "max_tokens": 99, "alpha": {"x": None}}
    sent = request("openai", "openai", document)
    assert orjson.dumps(sent) == orjson.dumps({**document, "model": "t", "max_tokens": 40})


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {"max_tokens": 40}),
        ({"max_tokens": None}, {"max_tokens": 40}),
        ({"max_completion_tokens": 99}, {"max_completion_tokens": 40}),
        ({"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
        (
            {"max_tokens": 99, "max_completion_tokens": 99},
            {"max_tokens": 40, "max_completion_tokens": 40},
        ),
    ],
)
def test_the_cap_keeps_the_clients_spelling(given: dict[str, Any], sent: dict[str, Any]) -> None:
    document = request("openai", "openai", {**OPENAI_REQUEST, **given})
    assert {key: value for key, value in document.items() if key.startswith("max_")} == sent


def test_usage_is_asked_for_in_streams_only() -> None:
    plain = request("openai", "openai", OPENAI_REQUEST)
    options = {"include_obfuscation": False}
    stream = {**OPENAI_REQUEST, "stream": True, "stream_options": options}
    assert "stream_options" not in plain
    assert request("openai", "openai", stream)["stream_options"] == {
        "include_obfuscation": False,
        "include_usage": True,
    }
    assert options == {"include_obfuscation": False}


def test_an_openai_request_becomes_an_anthropic_one() -> None:
    assert request("openai", "anthropic", OPENAI_REQUEST) == {
        "model": "t",
        "max_tokens": 40,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Weather in Paris and Rome?"}],
    }
    assert request("openai", "anthropic", OPENAI_TOOLS) == ANTHROPIC_TOOLS
    read("anthropic", dict(request("openai", "anthropic", OPENAI_TOOLS)))


def test_an_anthropic_request_becomes_an_openai_one() -> None:
    sent = request("anthropic", "openai", {**ANTHROPIC_TOOLS, "stream": True})
    system = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "In French."}]
    expected = deepcopy(OPENAI_TOOLS)
    messages = expected["messages"]
    messages[0]["content"] = system
    del messages[6], messages[1]["content"][2]["image_url"]["detail"]
    messages[2]["content"] = None
    for call, city in zip(messages[2]["tool_calls"], ("Paris", "Rome"), strict=True):
        call["function"]["arguments"] = f'{{"city":"{city}"}}'
    messages[4]["content"] = "rain"
    del expected["max_completion_tokens"]
    assert sent == {
        **expected,
        "model": "t",
        "max_tokens": 40,
        "stop": ["END"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    read("openai", dict(sent))


def test_a_failed_tool_says_so_in_words_to_openai() -> None:
    result = {"type": "tool_result", "tool_use_id": "c", "content": "no", "is_error": True}
    document = {**ANTHROPIC_REQUEST, "messages": [{"role": "user", "content": [result]}]}
    sent = request("anthropic", "openai", document)
    assert sent["messages"][1] == {"role": "tool", "tool_call_id": "c", "content": "Error: no"}


HARMLESS_OPENAI = {
    "n": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0.0,
    "logprobs": False,
    "seed": None,
    "response_format": {"type": "text"},
    "store": False,
    "metadata": {"a": "b"},
    "logit_bias": {},
    "service_tier": "auto",
    "modalities": ["text"],
    "prompt_cache_key": "k",
    "reasoning_effort": None,
    "tool_choice": None,
}


def test_fields_without_effect_pass_a_translation() -> None:
    plain = request("openai", "anthropic", OPENAI_REQUEST)
    assert request("openai", "anthropic", {**OPENAI_REQUEST, **HARMLESS_OPENAI}) == plain
    cached = deepcopy(ANTHROPIC_REQUEST)
    cached["messages"][0]["content"] = [
        {"type": "text", "text": "Weather in Paris and Rome?", "cache_control": {"type": "x"}}
    ]
    cached["thinking"] = {"type": "disabled"}
    assert request("anthropic", "openai", cached) == request(
        "anthropic", "openai", ANTHROPIC_REQUEST
    )


USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("n", {"n": 2}),
        ("logprobs", {"logprobs": True}),
        ("response_format", {"response_format": {"type": "json_object"}}),
        (
            "response_format.json_schema.schema",
            {"response_format": {"type": "json_schema", "json_schema": {}}},
        ),
        ("audio", {"audio": {}}),
        ("logit_bias", {"logit_bias": {"1": 2}}),
        ("seed", {"seed": 0}),
        ("frequency_penalty", {"frequency_penalty": 0.1}),
        ("presence_penalty", {"presence_penalty": -1}),
        ("reasoning_effort", {"reasoning_effort": "low"}),
        ("service_tier", {"service_tier": "flex"}),
        ("store", {"store": True}),
        ("temperature", {"temperature": 1.5}),
        ("vendor_magic", {"vendor_magic": 0}),
        ("functions", {"functions": [{"name": "f"}]}),
        ("tools[0].type", {"tools": [{"type": "custom", "custom": {"name": "f"}}]}),
        ("messages[0].name", {"messages": [{**USER, "name": "ann"}]}),
        ("messages[1].role", {"messages": [USER, {"role": "assistant", "content": "pre"}]}),
        (
            "messages[0].content[0].type",
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
        ),
        (
            "messages[0].content[0].image_url.detail",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "u", "detail": "high"}}
                        ],
                    }
                ]
            },
        ),
        (
            "messages[0].tool_calls[0].function.arguments",
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {
                                "id": "c",
                                "type": "function",
                                "function": {"name": "f", "arguments": "{broken"},
                            }
                        ],
                    },
                    USER,
                ]
            },
        ),
    ],
)
def test_what_anthropic_cannot_be_told_is_refused_by_name(
    param: str, fields: dict[str, Any]
) -> None:
    assert refused("openai", "anthropic", {**OPENAI_REQUEST, **fields}) == param


def blocks(role: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(content)}, USER]}


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("top_k", {"top_k": 5}),
        ("thinking", {"thinking": {"type": "enabled", "budget_tokens": 50}}),
        ("service_tier", {"service_tier": "standard_only"}),
        ("container", {"container": "c"}),
        ("metadata.team", {"metadata": {"team": "x"}}),
        ("stop_sequences", {"stop_sequences": ["a", "b", "c", "d", "e"]}),
        ("tools[0].type", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        ("messages[1].role", {"messages": [USER, {"role": "assistant", "content": "pre"}]}),
        (
            "messages[0].content[0].type",
            blocks("user", {"type": "document", "source": {"type": "text", "data": "x"}}),
        ),
        (
            "messages[0].content[0].type",
            blocks("assistant", {"type": "thinking", "thinking": "x", "signature": "s"}),
        ),
        (
            "messages[0].content[0].content[0].type",
            blocks(
                "user",
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [{"type": "image", "source": {"type": "url", "url": "u"}}],
                },
            ),
        ),
    ],
)
def test_what_openai_cannot_be_told_is_refused_by_name(param: str, fields: dict[str, Any]) -> None:
    assert refused("anthropic", "openai", {**ANTHROPIC_REQUEST, **fields}) == param


# ------------------------------------------------------------------------- answers

OPENAI_ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 17,
    "model": "gpt-x",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Let me see.",
                "refusal": None,
                "tool_calls": [
                    {
                        "id": "c0",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
                    }
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {
        "prompt_tokens": 18,
        "completion_tokens": 9,
        "total_tokens": 27,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
}
ANTHROPIC_ANSWER: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "c0", "name": "weather", "input": {"city": "Paris"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "output_tokens": 9,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 5,
    },
}


def test_an_anthropic_answer_becomes_an_openai_one() -> None:
    before = deepcopy(ANTHROPIC_ANSWER)
    release = translator("openai", "anthropic", "chat", lambda: 17).answer(ANTHROPIC_ANSWER, b"raw")
    assert release.document == {**OPENAI_ANSWER, "id": "msg_1", "model": "claude-x"}
    assert ChatCompletion.model_validate(release.document, strict=True)
    assert [text.text for text in release.texts] == ["Let me see.", '{"city":"Paris"}']
    assert release.usage == Usage(18, 9, 5, cache_write_tokens=3)
    assert (release.raw, release.model, release.stop_reason) == (None, "claude-x", "tool_calls")
    assert before == ANTHROPIC_ANSWER


def test_an_openai_answer_becomes_an_anthropic_one() -> None:
    release = translator("anthropic", "openai", "messages").answer(OPENAI_ANSWER, b"raw")
    usage = {**ANTHROPIC_ANSWER["usage"], "input_tokens": 13, "cache_creation_input_tokens": 0}
    expected = {**ANTHROPIC_ANSWER, "id": "chatcmpl-1", "model": "gpt-x", "usage": usage}
    assert release.document == expected
    assert at.Message.model_validate(release.document)
    assert [text.text for text in release.texts] == ["Let me see.", "Paris"]
    assert release.raw is None


@pytest.mark.parametrize(
    ("dialect", "endpoint", "document"),
    [("openai", "chat", OPENAI_ANSWER), ("anthropic", "messages", ANTHROPIC_ANSWER)],
)
def test_an_answer_in_the_clients_dialect_keeps_its_bytes(
    dialect: str, endpoint: str, document: dict[str, Any]
) -> None:
    release = translator(dialect, dialect, endpoint).answer(document, b"raw")
    assert release.document is document
    assert (release.raw, release.stop_reason) == (b"raw", "tool_calls")
    written = 3 if dialect == "anthropic" else 0  # OpenAI counts no writes
    assert release.usage == Usage(18, 9, 5, cache_write_tokens=written)
    assert (
        translator(dialect, dialect, endpoint).answer({**document, "usage": None}, b"").usage
        is None
    )


@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_an_answer_without_its_shape_is_refused(client: str, provider: str) -> None:
    endpoint = {"openai": "chat", "anthropic": "messages"}[client]
    shapeless: tuple[dict[str, Any], ...] = (
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": 1}]},
        {"content": "x"},
        {"content": [1]},
    )
    for document in shapeless:
        release = translator(client, provider, endpoint).answer(document, b"")
        assert release.refusal is not None
        assert release.refusal.reason == "provider_answer_unreadable"


def test_paths_stand_below_the_base_path() -> None:
    assert translator("anthropic", "openai", "messages").path("/v1") == "/v1/chat/completions"
    assert translator("openai", "anthropic", "chat").path("/v1/") == "/v1/messages"


def test_a_way_that_does_not_exist_is_a_value_error() -> None:
    for way in (("openai", "openai", "messages"), ("openai", "x", "chat"), ("x", "openai", "chat")):
        with pytest.raises(ValueError):
            translator(*way)


# -------------------------------------------------------------------------- errors


def test_refusals_are_written_as_each_sdk_reads_them() -> None:
    refusal = refuse("rate_limit_exceeded", 'too "fast"', param="model")
    assert orjson.loads(DIALECTS["openai"].refusal_body(refusal, "r1")) == {
        "error": {
            "message": 'too "fast"',
            "type": "rate_limit_error",
            "param": "model",
            "code": "rate_limit_exceeded",
        }
    }
    body = orjson.loads(DIALECTS["anthropic"].refusal_body(refusal, "r1"))
    assert body["request_id"] == "r1"
    assert body["error"]["type"] == "rate_limit_error"
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert at.ErrorResponse.model_validate(body)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_providers_error_keeps_its_words(dialect: str) -> None:
    error = {"type": "overloaded_error", "message": "busy", "code": "c", "param": "p"}
    refusal = DIALECTS[dialect].read_error(529, {"type": "error", "error": error})
    assert (refusal.reason, refusal.status, refusal.type) == ("provider_error", 529, error["type"])
    assert (refusal.message, refusal.code, refusal.param) == ("busy", "c", "p")


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_the_gateways_affair(dialect: str, status: int) -> None:
    error = {"message": "Incorrect API key provided: sk-abc", "code": "invalid_api_key"}
    refusal = DIALECTS[dialect].read_error(status, {"error": error})
    assert (refusal.status, refusal.code) == (502, "provider_error")
    assert "sk-abc" not in refusal.message


@pytest.mark.parametrize("document", [None, {}, {"error": None}, {"error": {"message": 1}}])
def test_an_unreadable_error_gets_neutral_words(document: dict[str, Any] | None) -> None:
    refusal = DIALECTS["openai"].read_error(500, document)
    assert (refusal.status, refusal.message) == (500, "The provider answered with an error.")


def test_credentials_stand_in_each_providers_header() -> None:
    assert DIALECTS["openai"].credential_headers("s", SENT) == (("authorization", "Bearer s"),)
    assert DIALECTS["anthropic"].credential_headers("s", SENT) == (
        ("x-api-key", "s"),
        ("anthropic-version", "2023-06-01"),
    )
