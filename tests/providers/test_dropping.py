"""Fields that a provider cannot be told: refused, or left out by policy and named."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import orjson
import pytest

from gateway_extproc.core.errors import RequestError
from gateway_extproc.providers.dropping import DROPPABLE, MOST, Written, droppable, write
from gateway_extproc.providers.hints import unsaid
from gateway_extproc.providers.translate import translator
from providers.samples import ANTHROPIC_REQUEST, OPENAI_REQUEST, read

RESPONSES_REQUEST: dict[str, Any] = {"model": "m", "instructions": "Be brief.", "input": "q"}
GEMINI_REQUEST: dict[str, Any] = {"model": "m", "contents": [{"parts": [{"text": "q"}]}]}
PLAIN = {
    "openai": OPENAI_REQUEST,
    "responses": RESPONSES_REQUEST,
    "anthropic": ANTHROPIC_REQUEST,
    "gemini": GEMINI_REQUEST,
}
KNOBS: dict[str, dict[str, Any]] = {
    "openai": {
        "seed": 4, "logit_bias": {"5": -9}, "presence_penalty": 1, "frequency_penalty": 1,
        "temperature": 1.5, "logprobs": True, "top_logprobs": 2, "service_tier": "flex",
        "store": True, "verbosity": "low", "reasoning_effort": "low", "top_k": 3,
        "parallel_tool_calls": False,
        "tools": [{"type": "function", "function": {"name": "f"}}],
    },
    "responses": {
        "temperature": 1.5, "store": True, "service_tier": "flex", "truncation": "auto",
        "reasoning": {"effort": "low", "summary": "auto"}, "text": {"verbosity": "low"},
        "max_tool_calls": 3, "parallel_tool_calls": False,
        "tools": [{"type": "function", "name": "f"}],
    },
    "anthropic": {
        "top_k": 3, "thinking": {"type": "enabled", "budget_tokens": 50}, "speed": "fast",
        "service_tier": "standard_only", "metadata": {"team": "t", "user_id": "u"},
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    },
    "gemini": {"generation_config": {
        "topK": 3, "seed": 4, "presence_penalty": 1, "temperature": 1.5, "response_logprobs": True,
        "logprobs": 2, "thinking_config": {"thinking_budget": 9, "include_thoughts": True},
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
    }},
}  # fmt: skip
"""Fields that may be left out, of which no provider of another dialect knows all."""


def written(client: str, provider: str, drop: bool = True, **fields: Any) -> Written:
    document = {**PLAIN[client], **fields}
    before = deepcopy(document)
    asked = read(client, document)
    way = translator(asked.dialect, provider, asked.endpoint)
    made = write(way, asked, provider, "t", 40, drop=drop)
    assert document == before, "the client's document was changed"
    return made


PROVIDERS = ["openai:chat", "openai:responses", "anthropic", "gemini", "vertex", "bedrock"]
FOREIGN = [
    (client, provider)
    for client in PLAIN
    for provider in PROVIDERS
    if not (client == "gemini" and provider in ("gemini", "vertex"))
    and client != provider
    and (client, provider) not in {("openai", "openai:chat"), ("responses", "openai:responses")}
]


@pytest.mark.parametrize(("client", "provider"), FOREIGN)
def test_with_policy_nothing_of_the_list_refuses_a_request(client: str, provider: str) -> None:
    knobs = KNOBS[client]
    sent, dropped = written(client, provider, **knobs)
    with pytest.raises(RequestError) as caught:
        written(client, provider, drop=False, **knobs)
    assert caught.value.refusal.reason == "unsupported_parameter"
    param = caught.value.refusal.param or ""
    assert droppable(read(client, {**PLAIN[client], **knobs}).endpoint, param)
    assert param in dropped
    # What was left out is what a request without it had sent.
    text = orjson.dumps(sent).decode()
    for mark in ("flex", "standard_only", "MEDIA_RESOLUTION_LOW"):
        assert mark not in text
    assert len(set(dropped)) == len(dropped)


@pytest.mark.parametrize(
    ("client", "provider", "fields", "param"),
    [
        ("openai", "anthropic", {"n": 2}, "n"),
        ("openai", "anthropic", {"response_format": {"type": "json_object"}}, "response_format"),
        ("openai", "openai:responses", {"stop": ["x"]}, "stop"),
        ("openai", "anthropic", {"vendor_magic": 1}, "vendor_magic"),
        ("openai", "bedrock", {"tool_choice": "none", "tools": KNOBS["openai"]["tools"]},
         "tool_choice"),
        ("openai", "anthropic", {"web_search_options": {}}, "web_search_options"),
        ("openai", "bedrock", {"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}]},
         "messages[0].content[0].image_url.url"),
        ("responses", "anthropic", {"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ("anthropic", "openai:chat", {"container": "c"}, "container"),
        ("anthropic", "openai:chat", {"messages": [{"role": "user", "content": [
            {"type": "search_result", "content": []}]}]}, "messages[0].content[0].type"),
        ("gemini", "openai", {"safetySettings": [{"category": "c"}]}, "safetySettings"),
        ("gemini", "openai", {"cachedContent": "c"}, "cachedContent"),
        ("gemini", "openai", {"tools": [{"googleSearch": {}}]}, "tools[0].googleSearch"),
    ],
)  # fmt: skip
def test_what_the_answer_hangs_on_is_never_left_out(
    client: str, provider: str, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        written(client, provider, **fields)
    assert (caught.value.refusal.status, caught.value.refusal.param) == (400, param)


def test_only_what_cannot_be_told_is_left_out() -> None:
    sent, dropped = written("openai", "gemini", seed=4, logit_bias={"5": 1}, top_p=0.5)
    assert dropped == ("logit_bias",)
    assert sent["generationConfig"]["seed"] == 4
    assert sent["generationConfig"]["topP"] == 0.5


def test_the_same_dialect_loses_nothing() -> None:
    sent, dropped = written("openai", "openai", user="u", metadata={"a": "b"}, **KNOBS["openai"])
    assert dropped == ()
    assert sent["metadata"] == {"a": "b"}
    assert unsaid("gemini", "vertex", {"labels": {"a": "b"}}) == ()


def test_thoughts_of_another_model_are_left_out_by_name() -> None:
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "secret", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "a"}]},
        {"role": "user", "content": "and?"},
    ]  # fmt: skip
    sent, dropped = written("anthropic", "openai", messages=turns)
    assert dropped == ("thinking",)
    assert [message["content"] for message in sent["messages"][1:]] == ["q", "a", "and?"]
    with pytest.raises(RequestError):
        written("anthropic", "openai", drop=False, messages=turns)
    assert written("anthropic", "gemini", drop=False, messages=turns).dropped == ("thinking",)


def test_a_bound_ends_the_leaving_out() -> None:
    pixel = {"url": "data:image/png;base64,AA==", "detail": "low"}
    parts = [{"type": "image_url", "image_url": pixel}] * (MOST + 1)
    with pytest.raises(RequestError) as caught:
        written("openai", "anthropic", messages=[{"role": "user", "content": parts}])
    assert caught.value.refusal.status == 400
    sent, dropped = written(
        "openai", "anthropic", messages=[{"role": "user", "content": parts[:3]}]
    )
    assert dropped == ("messages.content.image_url.detail",)
    assert len(sent["messages"][0]["content"]) == 3


CACHED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("client", "provider", "fields", "names"),
    [
        ("openai", "anthropic", {"metadata": {"a": "b"}, "prompt_cache_key": "k"},
         ("metadata", "prompt_cache_key")),
        ("openai", "anthropic", {"user": "u"}, ()),
        ("openai", "anthropic", {"user": "u", "safety_identifier": "s"}, ("safety_identifier",)),
        ("openai", "gemini", {"user": "u", "safety_identifier": "s"},
         ("user", "safety_identifier")),
        ("openai", "gemini", {"messages": [{"role": "user", "content": [CACHED, CACHED]}]},
         ("cache_control",)),
        ("openai", "gemini", {"response_format": {"type": "json_schema", "json_schema": {
            "name": "n", "description": "d", "schema": {"type": "object"}}}},
         ("response_format.json_schema.description",)),
        ("responses", "gemini", {"input": [
            {"type": "reasoning", "id": "r", "summary": []}, {"role": "user", "content": "q"}]},
         ("reasoning",)),
        ("anthropic", "openai", {"system": [CACHED], "cache_control": {"type": "ephemeral"}},
         ("cache_control",)),
        ("anthropic", "openai", {"thinking": {"type": "disabled"}}, ("thinking",)),
        ("anthropic", "gemini", {"thinking": {"type": "disabled"}}, ()),
        ("anthropic", "bedrock", {"metadata": {"user_id": "u"}}, ("metadata.user_id",)),
        ("anthropic", "openai", {"messages": [{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t", "content": [CACHED], "is_error": True}]}]},
         ("is_error", "cache_control")),
        ("gemini", "anthropic", {"labels": {"a": "b"}}, ("labels",)),
        ("gemini", "anthropic", {"contents": [
            {"role": "user", "parts": [{"text": "q"}]},
            {"role": "model", "parts": [
                {"text": "hm", "thought": True}, {"text": "a", "thought_signature": "c2ln"}]},
            {"role": "user", "parts": [{"text": "r"}]}]}, ("thought", "thoughtSignature")),
    ],
)  # fmt: skip
def test_hints_that_are_not_told_are_named_without_any_policy(
    client: str, provider: str, fields: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert written(client, provider, drop=False, **fields).dropped == names


@pytest.mark.parametrize(
    ("client", "provider", "hint"),
    [
        ("openai", "anthropic", {"metadata": {"a": "b"}, "prompt_cache_key": "k"}),
        ("openai", "bedrock", {"user": "u", "safety_identifier": "s"}),
        ("responses", "gemini", {"user": "u", "metadata": {"a": "b"}}),
        ("responses", "openai:chat", {"prompt_cache_key": "k", "include": [
            "reasoning.encrypted_content"]}),
        ("anthropic", "openai", {"thinking": {"type": "disabled"}, "cache_control": {
            "type": "ephemeral"}}),
        ("anthropic", "gemini", {"metadata": {"user_id": "u"}}),
        ("gemini", "openai", {"labels": {"a": "b"}}),
    ],
)  # fmt: skip
def test_hints_change_nothing_that_a_model_is_asked(
    client: str, provider: str, hint: dict[str, Any]
) -> None:
    assert written(client, provider, drop=False, **hint).document == (
        written(client, provider, drop=False).document
    )


def test_every_name_of_the_list_may_be_a_headers_word() -> None:
    for fields in DROPPABLE.values():
        for name in fields:
            assert name.isascii()
            assert not set(name) & set(" ,;\"'\r\n")
