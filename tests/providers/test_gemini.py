from __future__ import annotations

import itertools
from copy import deepcopy
from typing import Any

import orjson
import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from gateway_extproc.core.chat import (
    Chunk,
    End,
    Start,
    Stop,
    StreamError,
    TextDelta,
    ToolStart,
    UsageReport,
)
from gateway_extproc.core.endpoint import find_endpoint, with_path, without_key
from gateway_extproc.core.errors import RequestError, refuse
from gateway_extproc.core.ports import Sent
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.callids import signed_id, split_id
from gateway_extproc.providers.gemini.reader import GeminiReader
from gateway_extproc.providers.gemini.schemas import json_schema
from gateway_extproc.providers.translate import DIALECTS, translator
from providers.gemini_samples import (
    GEMINI_ANSWER,
    GEMINI_DOCUMENTS,
    GEMINI_STREAM,
    GEMINI_TOOLS,
    events,
    part,
)
from providers.samples import read

GEMINI = DIALECTS["gemini"]
SENT = Sent("POST", "example.org", "/", b"", "", 0.0)
CALL_PART = GEMINI_ANSWER["candidates"][0]["content"]["parts"][2]
SIGNED = signed_id("f1", "YS9iK2M9PQ==")


def ask(document: dict[str, Any], provider: str, model: str = "t", cap: int = 100) -> Any:
    """The provider's document for a Gemini client's."""
    way = translator("gemini", provider, "generate_content")
    return way.request(read("gemini", document), model, cap, force_usage=True)


def refused(document: dict[str, Any], provider: str) -> str | None:
    with pytest.raises(RequestError) as caught:
        ask(document, provider)
    assert caught.value.refusal.status == 400
    return caught.value.refusal.param


def with_config(**config: Any) -> dict[str, Any]:
    return {**GEMINI_TOOLS, "generationConfig": config}


# --------------------------------------------------------------------- path and key


@pytest.mark.parametrize("version", ["v1beta", "v1", "v1alpha"])
def test_the_model_and_the_framing_stand_in_the_path(version: str) -> None:
    path = f"/{version}/models/team%2Fx-1:streamGenerateContent?alt=sse"
    endpoint = find_endpoint(path)
    assert endpoint is not None
    assert (endpoint.name, endpoint.dialect) == ("generate_content", "gemini")
    read_ = with_path(endpoint, path, {"contents": [], "model": "another", "stream": False})
    assert read_ == {"contents": [], "model": "team/x-1", "stream": True, "alt": "sse"}


def test_a_path_without_a_verb_or_a_model_is_not_geminis() -> None:
    for path in ("/v1beta/models/x", "/v1beta/models/:generateContent", "/v1beta/models/x:embed"):
        assert find_endpoint(path) is None


def test_the_key_leaves_the_query_and_nothing_else_does() -> None:
    path = "/v1beta/models/m:streamGenerateContent"
    assert without_key(f"{path}?key=gw_1&alt=sse") == (f"{path}?alt=sse", "gw_1")
    assert without_key(f"{path}?%6bey=gw_1") == (path, "gw_1")
    assert without_key(f"{path}?alt=sse") == (f"{path}?alt=sse", None)
    assert without_key("/v1/chat/completions?key=x") == ("/v1/chat/completions?key=x", None)


def test_two_keys_in_the_query_are_no_key() -> None:
    assert without_key("/v1beta/models/m:generateContent?key=a&key=b")[1] == "a,b"


# -------------------------------------------------------------------------- reading


def test_a_request_is_read_with_every_text_in_its_voice() -> None:
    request = read("gemini", GEMINI_TOOLS)
    assert (request.model, request.max_tokens, request.stream) == ("m", 100, False)
    assert request.has_tools
    voices = [(text.role, text.text) for text in request.texts]
    assert voices == [
        ("system", "Be brief."),
        ("user", "Weather in Paris and Rome?"),
        ("assistant", "Let me see."),
        ("assistant", "Paris"),
        ("assistant", "Rome"),
        ("tool", "sunny"),
        ("tool", "no data"),
        ("user", "And now?"),
        ("system", "The weather of a city."),
    ]


def test_either_spelling_of_a_field_is_read_and_one_object_may_stand_for_a_list() -> None:
    snake = {
        "model": "m",
        "system_instruction": {"parts": {"text": "Be brief."}},
        "contents": {"parts": [{"inline_data": {"mime_type": "image/png", "data": "AA=="}}]},
        "generation_config": {"max_output_tokens": 7, "stop_sequences": ["x"]},
        "tools": {"function_declarations": [{"name": "f", "parameters": {"some_key": "kept"}}]},
    }
    before = deepcopy(snake)
    request = read("gemini", snake)
    assert snake == before
    assert (request.max_tokens, request.media) == (7, 1)
    declared = request.document["tools"][0]["functionDeclarations"][0]
    assert declared["parameters"] == {"some_key": "kept"}


def test_both_spellings_at_once_are_refused() -> None:
    config = {"maxOutputTokens": 5}
    for document in (
        {**GEMINI_TOOLS, "generation_config": config},
        {"generation_config": config, **GEMINI_TOOLS},
    ):
        with pytest.raises(RequestError) as caught:
            read("gemini", document)
        assert caught.value.refusal.param == "generationConfig"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"contents": []}, "contents"),
        ({"contents": [{"role": "system", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"parts": [{"text": 1}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"newKind": {}}]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"text": "a", "inlineData": {}}]}]}, "contents[0].parts[0]"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"max_new_tokens": 9}}, "max_new_tokens"),
        ({"extra": {"maxTokens": 9}}, "extra.maxTokens"),
        ({"generationConfig": {"candidateCount": 9}}, "generationConfig.candidateCount"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "x"}}},
         "toolConfig.functionCallingConfig.mode"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_field(change: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        read("gemini", {**GEMINI_TOOLS, **change})
    assert caught.value.refusal.param == param


# ---------------------------------------------------------- Gemini's clients elsewhere


def test_a_request_becomes_an_openai_one() -> None:
    before = deepcopy(GEMINI_TOOLS)
    assert ask(GEMINI_TOOLS, "openai", cap=50) == {
        "model": "t",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather in Paris and Rome?"},
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [
                    {"id": "c1", "type": "function",
                     "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
                    {"id": "c2", "type": "function",
                     "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
            {"role": "tool", "tool_call_id": "c2", "content": "Error: no data"},
            {"role": "user", "content": "And now?"},
        ],
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "tools": [
            {"type": "function", "function": {
                "name": "weather",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                "description": "The weather of a city."}},
        ],
        "tool_choice": "auto",
    }  # fmt: skip
    assert before == GEMINI_TOOLS


def test_results_without_ids_find_their_calls_by_name_in_order() -> None:
    document = deepcopy(GEMINI_TOOLS)
    for content in document["contents"]:
        for one in content["parts"]:
            for kind in ("functionCall", "functionResponse"):
                one.get(kind, {}).pop("id", None)
    messages = ask(document, "openai")["messages"]
    calls = [call["id"] for call in messages[2]["tool_calls"]]
    assert len(set(calls)) == 2
    assert [message.get("tool_call_id") for message in messages[3:5]] == calls


def test_a_result_without_a_call_is_refused() -> None:
    turn = {"parts": [{"functionResponse": {"name": "f", "response": {}}}]}
    assert refused({**GEMINI_TOOLS, "contents": [turn]}, "openai") == (
        "contents[0].parts[0].functionResponse.name"
    )


def test_openai_is_told_schema_seed_penalties_and_effort() -> None:
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}}
    document = ask(
        with_config(
            seed=7,
            presencePenalty=0.5,
            frequencyPenalty=-0.5,
            responseMimeType="application/json",
            responseSchema=schema,
            thinkingConfig={"thinkingLevel": "LOW"},
        ),
        "openai",
    )
    assert (document["seed"], document["presence_penalty"]) == (7, 0.5)
    assert document["frequency_penalty"] == -0.5
    assert document["reasoning_effort"] == "low"
    assert document["response_format"]["json_schema"]["schema"] == {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}},
    }


def test_anthropic_is_told_top_k_and_schema() -> None:
    schema = {"type": "object"}
    document = ask(
        with_config(
            topK=40.0,
            responseMimeType="application/json",
            responseJsonSchema=schema,
            thinkingConfig={"thinkingBudget": 0},
        ),
        "anthropic",
    )
    assert document["top_k"] == 40
    assert document["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert document["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("provider", "config", "field"),
    [
        ("openai", {"topK": 3}, "topK"),
        ("bedrock", {"candidateCount": 2}, "candidateCount"),
        ("openai", {"stopSequences": list("abcde")}, "stopSequences"),
        ("openai", {"thinkingConfig": {"thinkingBudget": 0}}, "thinkingConfig.thinkingBudget"),
        ("anthropic", {"responseLogprobs": True}, "responseLogprobs"),
        ("openai", {"responseModalities": ["AUDIO"]}, "responseModalities"),
        ("openai", {"responseMimeType": "text/x.enum"}, "responseMimeType"),
        ("anthropic", {"seed": 1}, "seed"),
        ("anthropic", {"presencePenalty": 1}, "presencePenalty"),
        ("anthropic", {"temperature": 1.5}, "temperature"),
        ("anthropic", {"thinkingConfig": {"thinkingBudget": 9}}, "thinkingConfig.thinkingBudget"),
        ("anthropic", {"responseMimeType": "application/json"}, "responseMimeType"),
    ],
)
def test_what_a_target_cannot_be_told_is_refused(
    provider: str, config: dict[str, Any], field: str
) -> None:
    assert refused(with_config(**config), provider) == f"generationConfig.{field}"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"cachedContent": "c"}, "cachedContent"),
        ({"safetySettings": [{"category": "c"}]}, "safetySettings"),
        ({"tools": [{"googleSearch": {}}]}, "tools[0].googleSearch"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "WEIRD"}}},
         "toolConfig.functionCallingConfig.mode"),
        ({"contents": [{"role": "model", "parts": [{"text": "a"}]}]}, "contents[0].role"),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "audio/flac", "data": ""}}]}]},
         "contents[0].parts[0].inlineData.mimeType"),
        ({"contents": [{"parts": [{"fileData": {"mimeType": "image/png", "fileUri": "gs://x"}}]}]},
         "contents[0].parts[0].fileData.fileUri"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_what_only_gemini_knows_is_refused(
    provider: str, change: dict[str, Any], param: str
) -> None:
    assert refused({**GEMINI_TOOLS, **change}, provider) == param


def test_schemas_of_geminis_own_kind_become_json_schemas() -> None:
    assert json_schema(
        {
            "type": "ARRAY",
            "items": {"any_of": [{"type": "INTEGER"}, {"type": "STRING", "enum": ["a"]}]},
            "minItems": "2",
            "propertyOrdering": ["x"],
        }
    ) == {
        "type": "array",
        "items": {"anyOf": [{"type": "integer"}, {"type": "string", "enum": ["a"]}]},
        "minItems": 2,
    }


def test_the_same_dialect_passes_but_for_the_cap() -> None:
    document = {
        **GEMINI_TOOLS,
        "safetySettings": [{"category": "c", "threshold": "t"}],
        "newField": {"x": 1},
        "generationConfig": {"thinkingConfig": {"thinkingBudget": 900}, "responseLogprobs": True},
    }
    sent = ask(document, "gemini", cap=64)
    assert {key: sent[key] for key in document if key not in ("model", "stream", "alt")} == {
        **{key: document[key] for key in sent},
        "generationConfig": {
            "thinkingConfig": {"thinkingBudget": 64},
            "responseLogprobs": True,
            "maxOutputTokens": 64,
        },
    }
    assert not {"model", "stream", "alt"} & sent.keys()


def test_vertex_gets_no_ids_of_calls() -> None:
    sent = ask(GEMINI_TOOLS, "vertex")
    assert b'"id"' not in orjson.dumps(sent)
    assert b'"id"' in orjson.dumps(ask(GEMINI_TOOLS, "gemini"))


# ------------------------------------------------------------------- others at Gemini


def test_paths_name_the_model() -> None:
    way = translator("openai", "vertex", "chat")
    base = "/v1/projects/p/locations/l/publishers/google/"
    assert way.path(base, "gemini-x", stream=False) == (
        "/v1/projects/p/locations/l/publishers/google/models/gemini-x:generateContent"
    )
    assert way.path("/v1beta", "a/b?", stream=True) == (
        "/v1beta/models/a%2Fb%3F:streamGenerateContent?alt=sse"
    )


def test_credentials_are_a_key_or_a_token() -> None:
    assert GEMINI.credential_headers("s", SENT) == (("x-goog-api-key", "s"),)
    assert DIALECTS["vertex"].credential_headers("s", SENT) == (("authorization", "Bearer s"),)


OPENAI_RICH: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.jpg?x=1"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": SIGNED, "type": "function",
             "function": {"name": "look", "arguments": '{"at":1}'}}]},
        {"role": "tool", "tool_call_id": SIGNED, "content": "a cat"},
    ],
    "tools": [{"type": "function", "function": {"name": "look", "strict": True}}],
    "seed": 7,
    "presence_penalty": 1,
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
}  # fmt: skip


def test_an_openai_request_becomes_a_gemini_one_and_its_signature_comes_back() -> None:
    before = deepcopy(OPENAI_RICH)
    way = translator("openai", "gemini", "chat")
    sent = way.request(read("openai", OPENAI_RICH), "t", 2000, force_usage=True)
    assert sent == {
        "contents": [
            {"role": "user", "parts": [
                {"text": "What is it?"},
                {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
                {"fileData": {"mimeType": "image/jpeg",
                              "fileUri": "https://example.org/a.jpg?x=1"}},
            ]},
            {"role": "model", "parts": [
                {"functionCall": {"id": "f1", "name": "look", "args": {"at": 1}},
                 "thoughtSignature": "YS9iK2M9PQ=="}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "f1", "name": "look",
                                      "response": {"output": "a cat"}}}]},
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [
            {"name": "look", "parametersJsonSchema": {"type": "object", "properties": {}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}},
        "generationConfig": {
            "maxOutputTokens": 2000, "seed": 7, "presencePenalty": 1,
            "responseMimeType": "application/json",
            "thinkingConfig": {"thinkingBudget": 1024},
        },
    } | {"generationConfig": {**sent["generationConfig"]}}  # fmt: skip
    assert sent["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 1024}
    assert sent["generationConfig"]["responseMimeType"] == "application/json"
    assert before == OPENAI_RICH
    assert types.Content.model_validate(sent["contents"][1])


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"logprobs": True, "stream": True}, "logprobs"),
        ({"audio": {}}, "audio"),
    ],
)
def test_what_gemini_cannot_be_told_is_refused_in_openais_words(
    change: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        translator("openai", "gemini", "chat").request(
            read("openai", {**OPENAI_RICH, **change}), "t", 9, force_usage=True
        )
    assert caught.value.refusal.param == param


def test_an_anthropic_client_may_ask_for_thoughts() -> None:
    document = {
        "model": "m", "max_tokens": 3000, "top_k": 5,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "text", "text": "b"}]},
            {"role": "user", "content": "c"}],
    }  # fmt: skip
    way = translator("anthropic", "gemini", "messages")
    request = read("anthropic", document)
    sent = way.request(request, "t", 5000, force_usage=True)
    assert sent["generationConfig"] == {
        "maxOutputTokens": 3000,
        "topK": 5,
        "thinkingConfig": {"thinkingBudget": 2000, "includeThoughts": True},
    }
    assert sent["contents"][1] == {"role": "model", "parts": [{"text": "b"}]}
    answer = way.answer(GEMINI_ANSWER, b"").document
    assert answer is not None
    assert [block["type"] for block in answer["content"]] == ["thinking", "text", "tool_use"]
    writer = way.writer(request)
    written = b"".join(writer.write(one) for one in way.reader().feed(GEMINI_STREAM, last=True))
    assert b'"thinking_delta","thinking":"I think."' in written
    assert written.count(b"content_block_start") == 2 * 3


# -------------------------------------------------------------------------- answers


def test_an_answer_becomes_an_openai_one() -> None:
    before = deepcopy(GEMINI_ANSWER)
    release = translator("openai", "gemini", "chat", lambda: 17).answer(GEMINI_ANSWER, b"raw")
    assert release.document is not None
    message = release.document["choices"][0]["message"]
    assert message["content"] == "Let me see."
    assert message["tool_calls"][0]["id"] == SIGNED
    assert release.document["choices"][0]["finish_reason"] == "tool_calls"
    assert release.usage == Usage(18, 9, 5, 2)
    assert (release.model, release.raw) == ("gemini-x", None)
    assert ChatCompletion.model_validate(release.document, strict=True)
    assert before == GEMINI_ANSWER


def test_an_answer_to_its_own_client_keeps_its_bytes() -> None:
    way = translator("gemini", "vertex", "generate_content")
    release = way.answer(GEMINI_ANSWER, b"raw")
    assert (release.document, release.raw) == (GEMINI_ANSWER, b"raw")
    assert [text.text for text in release.texts] == ["I think.", "Let me see.", "Paris"]
    assert (release.stop_reason, release.usage) == ("tool_calls", Usage(18, 9, 5, 2))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"), ("SPII", "content_filter"), ("NEW_WORD", "stop"),
    ],
)  # fmt: skip
def test_finish_reasons_are_told_in_openais_words(reason: str, expected: str) -> None:
    document = part({"text": "a"}, reason)
    release = translator("openai", "gemini", "chat").answer(document, b"")
    assert release.stop_reason == expected


def test_a_blocked_prompt_is_an_answer_that_was_filtered() -> None:
    document = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 3},
    }
    release = translator("openai", "gemini", "chat").answer(document, b"")
    assert (release.stop_reason, release.usage) == ("content_filter", Usage(3, 0))
    chunks = GeminiReader().feed(events(document), last=True)
    assert [event for chunk in chunks for event in chunk.events] == [
        Start("", ""), UsageReport(Usage(3, 0)), Stop("content_filter"), End(),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [{}, {"candidates": 1}, {"candidates": [1]}, {"candidates": [{"content": {"parts": 1}}]}],
)
@pytest.mark.parametrize("client", ["openai", "anthropic", "gemini"])
def test_an_answer_without_its_shape_is_refused(client: str, document: dict[str, Any]) -> None:
    endpoint = {"openai": "chat", "anthropic": "messages", "gemini": "generate_content"}[client]
    release = translator(client, "gemini", endpoint).answer(document, b"")
    assert release.refusal is not None
    assert release.refusal.reason == "provider_answer_unreadable"


# -------------------------------------------------------------------------- streams

EXPECTED = [
    Start("r1", "gemini-x"),
    TextDelta((0, "thought"), "I think.", "reasoning"),
    TextDelta((0, "text"), "Let "),
    TextDelta((0, "text"), "me see."),
    ToolStart(0, SIGNED, "weather"),
    TextDelta((0, "arguments", 0), '{"city":"Paris"}', "arguments", 0),
    UsageReport(Usage(18, 9, 5, 2)),
    Stop("tool_calls"),
    End(),
]


@settings(max_examples=200, deadline=None)
@given(cuts=st.lists(st.integers(0, len(GEMINI_STREAM)), max_size=30))
def test_any_cut_of_a_stream_means_the_same(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(GEMINI_STREAM)]
    reader = GeminiReader()
    chunks: list[Chunk] = []
    for begin, end in itertools.pairwise(places):
        chunks += reader.feed(GEMINI_STREAM[begin:end], last=False)
    chunks += reader.feed(b"", last=True)
    assert [event for chunk in chunks for event in chunk.events] == EXPECTED
    assert b"".join(chunk.raw or b"" for chunk in chunks) == GEMINI_STREAM


def test_a_stream_that_breaks_off_has_no_end() -> None:
    for stream in (events(*GEMINI_DOCUMENTS[:3]), events(*GEMINI_DOCUMENTS)[:-60]):
        chunks = GeminiReader().feed(stream, last=True)
        assert End() not in [event for chunk in chunks for event in chunk.events]


def test_an_error_event_is_told_in_words_that_others_know() -> None:
    error = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}
    stream = events(*GEMINI_DOCUMENTS[:2], error)
    chunks = GeminiReader().feed(stream, last=True)
    told = [event for chunk in chunks for event in chunk.events]
    assert told[-1] == StreamError("rate_limit_error", "RESOURCE_EXHAUSTED", "slow down")


def written(client: str, *, alt: str = "sse", changed: bool = False) -> bytes:
    """The sample stream as a client gets it; ``changed`` as if a guard had touched each chunk."""
    endpoint = {"openai": "chat", "anthropic": "messages", "gemini": "generate_content"}[client]
    way = translator(client, "gemini", endpoint, lambda: 17)
    document = {
        "openai": {**OPENAI_RICH, "stream_options": {"include_usage": True}},
        "gemini": {**GEMINI_TOOLS, "alt": alt},
    }[client]
    writer = way.writer(read(client, {**document, "stream": True}))
    out = b""
    for chunk in way.reader().feed(GEMINI_STREAM, last=True):
        if changed and chunk.document is not None:
            chunk = Chunk(None, chunk.document, chunk.events)
        out += writer.write(chunk)
    return out


def test_a_stream_passes_to_its_own_client_byte_for_byte() -> None:
    assert written("gemini") == GEMINI_STREAM


def test_without_alt_sse_a_client_gets_one_array() -> None:
    assert orjson.loads(written("gemini", alt="json")) == list(GEMINI_DOCUMENTS)


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_a_changed_stream_still_says_everything(alt: str) -> None:
    out = written("gemini", alt=alt, changed=True)
    documents = (
        orjson.loads(out)
        if alt == "json"
        else [orjson.loads(one[6:]) for one in out.split(b"\r\n\r\n") if one]
    )
    parts = [
        one
        for document in documents
        for candidate in document["candidates"]
        for one in candidate["content"]["parts"]
    ]
    assert parts == [
        {"text": "I think.", "thought": True},
        {"text": "Let "},
        {"text": "me see."},
        CALL_PART,
    ]
    assert documents[-1]["candidates"][0]["finishReason"] == "STOP"
    assert documents[-1]["usageMetadata"] == GEMINI_ANSWER["usageMetadata"]
    assert types.GenerateContentResponse.model_validate(documents[-1])


def test_an_openai_client_gets_text_calls_and_usage() -> None:
    out = written("openai")
    assert b"I think." not in out
    chunks = [orjson.loads(one[6:]) for one in out.split(b"\n\n") if one and b"[DONE]" not in one]
    assert "".join(
        c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]
    ) == ("Let me see.")
    assert chunks[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert out.endswith(b"data: [DONE]\n\n")


def test_an_error_in_an_array_closes_it() -> None:
    way = translator("gemini", "openai", "generate_content")
    writer = way.writer(read("gemini", {**GEMINI_TOOLS, "stream": True}))
    out = writer.write(Chunk(None, None, (Start("i", "m"), TextDelta((0, "content"), "a"))))
    out += writer.error(refuse("provider_stream_incomplete", "It ended."))
    first, error = orjson.loads(out)
    assert first["candidates"][0]["content"]["parts"] == [{"text": "a"}]
    assert error["error"]["code"] == 502
    assert writer.stop() == b""


def test_a_polite_end_says_that_it_was_filtered() -> None:
    for provider in ("gemini", "openai"):
        way = translator("gemini", provider, "generate_content")
        writer = way.writer(read("gemini", {**GEMINI_TOOLS, "stream": True, "alt": "sse"}))
        (document,) = [orjson.loads(one[6:]) for one in writer.stop().split(b"\r\n\r\n") if one]
        assert document["candidates"][0]["finishReason"] == "SAFETY"


def test_calls_whose_pieces_come_interleaved_are_written_whole() -> None:
    writer = translator("gemini", "openai", "generate_content").writer(
        read("gemini", {**GEMINI_TOOLS, "stream": True, "alt": "sse"})
    )
    told = (
        Start("i", "m"), ToolStart(0, "a", "f"), ToolStart(1, "b", "g"),
        TextDelta((0, "arguments", 1), '{"x"', "arguments", 1),
        TextDelta((0, "arguments", 0), "{}", "arguments", 0),
        TextDelta((0, "arguments", 1), ":1}", "arguments", 1),
        Stop("tool_calls"), End(),
    )  # fmt: skip
    (document,) = [
        orjson.loads(one[6:])
        for one in writer.write(Chunk(None, None, told)).split(b"\r\n\r\n")
        if one
    ]
    assert [one["functionCall"] for one in document["candidates"][0]["content"]["parts"]] == [
        {"id": "a", "name": "f", "args": {}},
        {"id": "b", "name": "g", "args": {"x": 1}},
    ]


# --------------------------------------------------------------------------- errors


def test_a_refusal_is_written_as_google_writes_errors() -> None:
    refusal = refuse("rate_limit_exceeded", "Too fast.", param="p", retry_after_s=2.5)
    error = orjson.loads(GEMINI.refusal_body(refusal, "id"))["error"]
    assert (error["code"], error["status"], error["message"]) == (
        429, "RESOURCE_EXHAUSTED", "Too fast.",
    )  # fmt: skip
    assert [detail["@type"].rpartition(".")[2] for detail in error["details"]] == [
        "ErrorInfo", "RetryInfo",
    ]  # fmt: skip
    assert error["details"][0]["reason"] == "rate_limit_exceeded"
    assert error["details"][0]["metadata"] == {"field": "p"}
    assert error["details"][1]["retryDelay"] == "2.5s"


def test_a_providers_error_keeps_its_message_and_says_when_to_come_back() -> None:
    body = {
        "error": {
            "code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "34s"}],
        }
    }  # fmt: skip
    refusal = GEMINI.read_error(429, body)
    assert (refusal.type, refusal.code, refusal.message) == (
        "rate_limit_error", "RESOURCE_EXHAUSTED", "quota",
    )  # fmt: skip
    assert refusal.retry_after_s == 34


@pytest.mark.parametrize("status", [400, 401, 403])
def test_what_is_wrong_with_our_own_key_is_not_the_callers_business(status: int) -> None:
    details = [{"reason": "API_KEY_INVALID"}]
    body = {"error": {"code": status, "message": "API key k1 not valid", "details": details}}
    refusal = GEMINI.read_error(status, body)
    assert (refusal.status, refusal.reason) == (502, "provider_error")
    assert "k1" not in refusal.message


@given(call=st.text(st.characters(min_codepoint=48, max_codepoint=122), min_size=1),
       signature=st.binary(min_size=1, max_size=99))  # fmt: skip
def test_a_signature_travels_in_an_id(call: str, signature: bytes) -> None:
    from base64 import b64encode

    text = b64encode(signature).decode()
    assert split_id(signed_id("c" + call.replace("_", ""), text)) == (
        "c" + call.replace("_", ""),
        text,
    )
