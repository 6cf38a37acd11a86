"""Cohere's chat, both ways: as clients speak it and as Cohere answers it."""

from __future__ import annotations

import itertools
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.core.chat import (
    Chunk,
    End,
    Start,
    Stop,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolStart,
    UsageReport,
)
from gateway_extproc.core.errors import RequestError, refuse
from gateway_extproc.core.usage import Usage
from gateway_extproc.guards.chunks import ChunkFilter, Step
from gateway_extproc.providers.cohere.reader import cohere_reader
from gateway_extproc.providers.translate import DIALECTS, translator
from gateway_simulators import cohere_checks, cohere_shape
from providers.cohere_samples import (
    COHERE_ANSWER,
    COHERE_DOCUMENTS,
    COHERE_STREAM,
    COHERE_TOOLS,
    message,
)
from providers.gemini_samples import GEMINI_TOOLS
from providers.samples import ENDPOINTS, documents, named, read
from providers.test_translate import ANTHROPIC_TOOLS, OPENAI_TOOLS

PLAIN: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "q"}]}
OTHERS = ("openai", "anthropic", "gemini")


def ask(client: str, provider: str, document: dict[str, Any], cap: int = 40) -> dict[str, Any]:
    before = deepcopy(document)
    way = translator(client, provider, ENDPOINTS[client])
    sent = way.request(read(client, document), "t", cap, force_usage=True)
    assert document == before, "a translation changed its input"
    return dict(sent)


# -------------------------------------------------------------------------- reading


def test_every_text_of_a_request_is_found_with_its_voice() -> None:
    document = {
        **COHERE_TOOLS,
        "preamble": "unheard",
        "documents": ["a page", {"id": "d1", "data": {"title": "another", "rows": ["x7"]}}],
        "response_format": {
            "type": "json_object",
            "json_schema": {"description": "a shape", "x": {"name": "hidden"}},
        },
    }
    document["messages"] = [
        *COHERE_TOOLS["messages"],
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"},
                                          {"type": "text", "text": "Yes."}],
         "citations": [{"text": "cited", "sources": [{"document": {"snippet": "quoted"}}]}]},
        {"role": "user", "content": "Fine."},
    ]  # fmt: skip
    request = read("cohere", document)
    found = {at.text: at.role for at in request.texts}
    assert found == {
        "Be brief.": "system", "Paris and Rome?": "user", "I look.": "assistant",
        '{"city":"Paris"}': "assistant", '{"city":"Rome"}': "assistant", "sun": "tool",
        "rain": "tool", "So?": "user", "hm": "assistant", "Yes.": "assistant", "cited": "tool",
        "quoted": "tool", "Fine.": "user", "Tells it.": "system", "Its name.": "system",
        "a page": "tool", "another": "tool", "x7": "tool", "d1": "tool", "a shape": "system",
        "hidden": "system", "unheard": "user",
    }  # fmt: skip
    assert (request.media, request.has_tools, request.max_tokens) == (1, True, 50)
    for at in request.texts:
        place: Any = document
        for key in at.path:
            place = place[key]
        assert place == at.text


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "chatbot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]},
         "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
         "messages[0].content[0].image_url.url"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}]},
         "messages[0].tool_calls[0].function.name"),
        ({"temperature": -1}, "temperature"),
        ({"p": 1.5}, "p"),
        ({"k": 501}, "k"),
        ({"frequency_penalty": -0.5}, "frequency_penalty"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream": 1}, "stream"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"thinking": {"type": "adaptive"}}, "thinking.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.type"),
        ({"documents": [3]}, "documents[0]"),
        ({"num_generations": 3}, "num_generations"),
        ({"options": {"max_new_tokens": 10}}, "options.max_new_tokens"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        read("cohere", {**PLAIN, **fields})
    assert (caught.value.refusal.status, caught.value.refusal.param) == (400, param)


# ------------------------------------------------------------------------- requests


def test_the_same_dialect_keeps_unknown_fields_and_their_order() -> None:
    document = {"zeta": 1, **PLAIN, "max_tokens": 99, "documents": ["d"], "alpha": {"x": None}}
    sent = ask("cohere", "cohere", document)
    assert orjson.dumps(sent) == orjson.dumps({**document, "model": "t", "max_tokens": 40})


def test_thoughts_are_part_of_the_cap() -> None:
    thinking = {"type": "enabled", "token_budget": 999}
    sent = ask("cohere", "cohere", {**PLAIN, "thinking": thinking})
    assert sent["thinking"] == {"type": "enabled", "token_budget": 40}


@pytest.mark.parametrize(
    ("client", "document"),
    [
        ("openai", {**OPENAI_TOOLS, "parallel_tool_calls": True}),
        ("anthropic", {**ANTHROPIC_TOOLS, "tool_choice": {"type": "any"}}),
        ("gemini", GEMINI_TOOLS),
        ("cohere", COHERE_TOOLS),
    ],
)
def test_a_conversation_with_tools_is_one_that_cohere_takes(
    client: str, document: dict[str, Any]
) -> None:
    sent = ask(client, "cohere", document)
    question = cohere_checks.read(sent)
    assert question.max_tokens is not None
    assert question.max_tokens <= 40
    assert [tool.name for tool in question.tools] == ["weather"]
    roles = [one["role"] for one in sent["messages"]]
    assert roles[0] == "system"
    assert roles.count("tool") == 2
    assert "sun" in "".join(question.messages)


def test_an_openai_request_becomes_a_cohere_one() -> None:
    document = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "What is it?"},
            {"role": "assistant", "content": "I look.", "tool_calls": [
                {"id": "c1", "type": "function",
                 "function": {"name": "look", "arguments": '{"at":1}'}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
            {"role": "developer", "content": "Be brief."},
        ],
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "d", "strict": True}},
            {"type": "function", "function": {"name": "hear"}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "temperature": 0.2, "top_p": 1, "stop": "END", "max_completion_tokens": 7, "seed": 3,
        "presence_penalty": 0.5, "reasoning_effort": "low", "user": "u1",
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "n", "schema": {"type": "object"}}},
    }  # fmt: skip
    assert ask("openai", "cohere", document) == {
        "model": "t",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is it?"},
            {"role": "assistant", "tool_plan": "I look.", "tool_calls": [
                {"id": "c1", "type": "function",
                 "function": {"name": "look", "arguments": '{"at":1}'}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        ],
        "tools": [{"type": "function", "function": {
            "name": "look", "description": "d",
            "parameters": {"type": "object", "properties": {}}}}],
        "tool_choice": "REQUIRED", "strict_tools": True,
        "temperature": 0.2, "p": 0.99, "stop_sequences": ["END"], "max_tokens": 7, "seed": 3,
        "presence_penalty": 0.5, "thinking": {"type": "enabled", "token_budget": 7},
        "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
    }  # fmt: skip


def test_a_cohere_request_becomes_an_openai_one() -> None:
    document = {
        **COHERE_TOOLS, "seed": 3, "frequency_penalty": 0.5, "strict_tools": True, "k": 0,
        "response_format": {"type": "json_object"}, "thinking": {"type": "disabled"},
    }  # fmt: skip
    sent = ask("cohere", "openai", document)
    assert [one["role"] for one in sent["messages"]] == [
        "system", "user", "assistant", "tool", "tool", "user",
    ]  # fmt: skip
    assert sent["messages"][2]["content"] == "I look."
    assert sent["messages"][4]["content"] == '{"sky":"rain"}'
    assert sent["tools"][0]["function"]["strict"] is True
    assert (sent["tool_choice"], sent["seed"], sent["frequency_penalty"]) == ("required", 3, 0.5)
    assert sent["response_format"] == {"type": "json_object"}
    assert "stream" not in sent


@pytest.mark.parametrize(
    ("provider", "fields", "param"),
    [
        *((other, {"documents": ["d"]}, "documents") for other in OTHERS),
        *((other, {"safety_mode": "STRICT"}, "safety_mode") for other in OTHERS),
        *((other, {"citation_options": {"mode": "FAST"}}, "citation_options") for other in OTHERS),
        *((other, {"logprobs": True}, "logprobs") for other in OTHERS),
        ("openai", {"k": 5}, "k"),
        ("openai", {"stop_sequences": list("abcde")}, "stop_sequences"),
        ("openai", {"thinking": {"type": "enabled"}}, "thinking"),
        ("anthropic", {"thinking": {"type": "enabled"}}, "thinking"),
        ("anthropic", {"seed": 1}, "seed"),
        ("anthropic", {"response_format": {"type": "json_object"}}, "response_format"),
        ("anthropic", {"temperature": 1.5}, "temperature"),
        ("bedrock", {"presence_penalty": 0.5}, "presence_penalty"),
        ("bedrock", {"tools": COHERE_TOOLS["tools"], "tool_choice": "NONE"}, "tool_choice"),
        ("gemini", {"messages": [*PLAIN["messages"], {"role": "assistant", "content": "I"}]},
         "messages[1].role"),
    ],
)  # fmt: skip
def test_what_another_provider_cannot_be_told_is_refused(
    provider: str, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        ask("cohere", provider, {**PLAIN, **fields})
    assert (caught.value.refusal.status, caught.value.refusal.param) == (400, param)


@pytest.mark.parametrize(
    ("client", "fields", "param"),
    [
        ("openai", {"n": 2}, "n"),
        ("openai", {"presence_penalty": -0.5}, "presence_penalty"),
        ("openai", {**OPENAI_TOOLS}, "parallel_tool_calls"),
        ("anthropic", {"top_k": 501}, "top_k"),
        ("anthropic", {"stop_sequences": list("abcdef")}, "stop_sequences"),
        ("gemini", {"generationConfig": {"stopSequences": list("abcdef")}},
         "generationConfig.stopSequences"),
        ("gemini", {"generationConfig": {"frequencyPenalty": 1.5}},
         "generationConfig.frequencyPenalty"),
        ("gemini", {"safetySettings": [{"category": "x"}]}, "safetySettings"),
    ],
)  # fmt: skip
def test_what_cohere_cannot_be_told_is_refused_in_the_clients_words(
    client: str, fields: dict[str, Any], param: str
) -> None:
    plain = {
        "openai": PLAIN, "anthropic": {**PLAIN, "max_tokens": 9},
        "gemini": {"model": "m", "contents": [{"parts": [{"text": "q"}]}]},
    }[client]  # fmt: skip
    with pytest.raises(RequestError) as caught:
        ask(client, "cohere", {**plain, **fields})
    assert (caught.value.refusal.status, caught.value.refusal.param) == (400, param)


# -------------------------------------------------------------------------- answers

USAGE = Usage(18, 9, 5)


@pytest.mark.parametrize("client", OTHERS)
def test_an_answer_reaches_other_clients(client: str) -> None:
    way = translator(client, "cohere", ENDPOINTS[client], lambda: 17)
    release = way.answer(COHERE_ANSWER, b"", "asked")
    assert (release.usage, release.stop_reason) == (USAGE, "tool_calls")
    written = orjson.dumps(release.document)
    assert all(word in written for word in (b"I look.", b"Let me see.", b"Paris", b'"asked"'))
    assert b"hm" not in written
    assert b"quoted" not in written


def test_an_answer_of_the_same_dialect_keeps_its_bytes() -> None:
    raw = orjson.dumps(COHERE_ANSWER)
    release = translator("cohere", "cohere", "cohere_chat").answer(COHERE_ANSWER, raw)
    assert (release.raw, release.usage, release.stop_reason) == (raw, USAGE, "tool_calls")
    assert [at.text for at in release.texts] == [
        "hm", "Let me see.", "I look.", '{"city":"Paris"}', "Let", "document", "d", "quoted",
    ]  # fmt: skip
    assert release.echoes == (("message", "citations"),)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"finish_reason": "ERROR"}, None),
        ({"finish_reason": "TIMEOUT"}, None),
        ({"message": None}, None),
        ({"message": {"content": [{"type": "video"}]}}, None),
        ({"message": {"tool_calls": [{"id": "c"}]}}, None),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"finish_reason": "STOP_SEQUENCE"}, "stop"),
        ({"finish_reason": "ERROR_TOXIC"}, "content_filter"),
        ({"finish_reason": "SOMETHING_NEW"}, "stop"),
    ],
)
def test_how_an_answer_ended(answer: dict[str, Any], expected: str | None) -> None:
    release = translator("openai", "cohere", "chat").answer({**COHERE_ANSWER, **answer}, b"")
    if expected is None:
        assert release.refusal is not None
        assert release.refusal.reason == "provider_answer_unreadable"
    else:
        assert release.stop_reason == expected


def test_usage_without_a_bill_is_that_of_the_tokens() -> None:
    usage = {"tokens": {"input_tokens": 3, "output_tokens": 4}}
    release = translator("openai", "cohere", "chat").answer({**COHERE_ANSWER, "usage": usage}, b"")
    assert release.usage == Usage(3, 4)


@pytest.mark.parametrize(
    ("status", "body", "kept"),
    [
        (400, {"message": "invalid request: p"}, "invalid request: p"),
        (429, {"id": "1", "message": "slow down"}, "slow down"),
        (500, {}, "The provider answered with an error."),
        (401, {"message": "invalid api token"}, "The provider could not serve this request."),
    ],
)
def test_a_providers_error_keeps_its_message(status: int, body: dict[str, Any], kept: str) -> None:
    refusal = DIALECTS["cohere"].read_error(status, body)
    assert refusal.message == kept
    assert refusal.status == (502 if status == 401 else status)


def test_a_refusal_is_written_as_cohere_writes_it() -> None:
    refusal = refuse("invalid_request", "'k' is invalid.", param="k")
    body = orjson.loads(DIALECTS["cohere"].refusal_body(refusal, "r1"))
    assert body == {
        "id": "r1", "message": "'k' is invalid.", "code": "invalid_request", "param": "k",
    }  # fmt: skip


# -------------------------------------------------------------------------- streams

EXPECTED: list[StreamEvent] = [
    Start("a1", ""),
    TextDelta((0, "content"), "I "),
    TextDelta((0, "content"), "look."),
    TextDelta((0, "reasoning"), "hm", "reasoning"),
    TextDelta((0, "content"), "Let me "),
    TextDelta((0, "content"), "see."),
    ToolStart(0, "c0", "weather"),
    TextDelta((0, "arguments", 0), '{"city":', "arguments", 0),
    TextDelta((0, "arguments", 0), '"Paris"}', "arguments", 0),
    UsageReport(USAGE),
    Stop("tool_calls"),
    End(),
]


def told(chunks: list[Chunk] | tuple[Chunk, ...]) -> list[StreamEvent]:
    return [event for chunk in chunks for event in chunk.events]


@settings(max_examples=100, deadline=None)
@given(cuts=st.lists(st.integers(0, len(COHERE_STREAM)), max_size=30))
def test_any_cut_of_a_stream_means_the_same_and_passes_as_it_came(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(COHERE_STREAM)]
    reader, passing = cohere_reader(), cohere_reader(in_place=True)
    writer = translator("cohere", "cohere", "cohere_chat").writer(read("cohere", PLAIN))
    chunks: list[Chunk] = []
    passed = b""
    for begin, end in itertools.pairwise(places):
        chunks += reader.feed(COHERE_STREAM[begin:end], last=False)
        passed += b"".join(map(writer.write, passing.feed(COHERE_STREAM[begin:end], last=False)))
    assert told(chunks) == EXPECTED
    assert passed == COHERE_STREAM


class _Shout:
    """Holds all text until it is over; then it leaves in capitals."""

    def __init__(self, delta: TextDelta) -> None:
        self._held: list[str] = []

    @property
    def pending(self) -> bool:
        return bool(self._held)

    def push(self, text: str, *, final: bool) -> Step:
        self._held.append(text)
        if not final:
            return Step("")
        said, self._held = "".join(self._held).upper(), []
        return Step(said)


def said_by(stream: bytes) -> dict[str, str]:
    """What a stream says, by kind of event and index."""
    texts: dict[str, str] = {}
    for one in documents(stream):
        inside = one.get("delta", {}).get("message", {})
        for key, value in (
            ("text", (inside.get("content") or {})),
            ("thinking", (inside.get("content") or {})),
            ("tool_plan", inside),
            ("arguments", (inside.get("tool_calls") or {}).get("function", {})
             if one["type"].startswith("tool-call") else {}),
        ):  # fmt: skip
            if isinstance(value, dict) and value.get(key):
                place = f"{key} {one.get('index', '')}".strip()
                texts[place] = texts.get(place, "") + value[key]
    return texts


def test_a_guard_changes_every_text_in_its_place_and_drops_what_quotes_it() -> None:
    reader = cohere_reader(in_place=True)
    writer = translator("cohere", "cohere", "cohere_chat").writer(read("cohere", PLAIN))
    window = ChunkFilter(_Shout)
    leaving = window.push(reader.feed(COHERE_STREAM, last=True), last=True).chunks
    written = b"".join(map(writer.write, leaving))
    assert said_by(written) == {
        "tool_plan": "I LOOK.", "thinking 0": "HM", "text 1": "LET ME SEE.",
        "arguments 0": '{"CITY":"PARIS"}',
    }  # fmt: skip
    assert b"citation" not in written.partition(b"tool-plan-delta")[2]
    kinds = [one["type"] for one in documents(written)]
    assert kinds.index("content-delta") < kinds.index("content-end")
    assert kinds[-1] == "message-end"


def test_a_text_that_nobody_can_look_into_breaks_the_stream_of_the_same_dialect() -> None:
    reader = cohere_reader(in_place=True)
    for one in (
        {"type": "new-kind", "delta": {"message": {"content": {"text": "smuggled"}}}},
        message("content-delta", 0, content={"text": ["smuggled"]}),
        message("content-delta", 0, content="smuggled"),
    ):
        (chunk,) = reader.feed(named(one), last=False)
        assert (chunk.raw, chunk.document) == (None, None)


@pytest.mark.parametrize("client", OTHERS)
def test_an_error_inside_a_stream_is_an_error_event(client: str) -> None:
    end = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "it broke"}}
    stream = named(*COHERE_DOCUMENTS[:8], end)
    way = translator(client, "cohere", ENDPOINTS[client])
    chunks = way.reader().feed(stream, last=True)
    assert told(chunks)[-1] == StreamError("api_error", None, "it broke")
    assert End() not in told(chunks)
    writer = way.writer(read(client, {
        "openai": {**PLAIN, "stream": True},
        "anthropic": {**PLAIN, "max_tokens": 9, "stream": True},
        "gemini": {"model": "m", "alt": "sse", "contents": [{"parts": [{"text": "q"}]}]},
    }[client]))  # fmt: skip
    assert b"it broke" in b"".join(map(writer.write, chunks))


@pytest.mark.parametrize("provider", ["cohere", "openai"])
@pytest.mark.parametrize("left", [0, 4, 8, 14])
def test_a_stream_that_a_rule_ends_is_closed_politely(provider: str, left: int) -> None:
    way = translator("cohere", provider, "cohere_chat")
    writer = way.writer(read("cohere", {**PLAIN, "stream": True}))
    reader = cohere_reader(in_place=provider == "cohere")
    chunks = reader.feed(named(*COHERE_DOCUMENTS[:left]), last=False)
    written = b"".join(map(writer.write, chunks)) + writer.stop() + writer.stop()
    kinds = [one["type"] for one in documents(written)]
    assert kinds[0] == "message-start"
    assert kinds.count("message-start") == kinds.count("message-end") == 1
    assert kinds.count("content-start") == kinds.count("content-end")
    assert kinds.count("tool-call-start") == kinds.count("tool-call-end")
    assert documents(written)[-1]["delta"]["finish_reason"] == "ERROR_TOXIC"


@pytest.mark.parametrize("provider", ["cohere", "openai"])
def test_an_error_of_the_gateway_is_told_once_where_cohere_tells_errors(provider: str) -> None:
    writer = translator("cohere", provider, "cohere_chat").writer(read("cohere", PLAIN))
    refusal = refuse("provider_stream_incomplete", "It ended early.")
    written = documents(writer.error(refusal) + writer.error(refusal) + writer.stop())
    assert written[-1] == {"type": "message-end", "delta": {
        "error": "It ended early.", "finish_reason": "ERROR",
        "code": "provider_stream_incomplete"}}  # fmt: skip
    assert len(written) == 2


# ----------------------------------------------------------------- other interfaces


def test_rerank_at_cohere_takes_texts_and_refuses_what_its_first_version_had() -> None:
    body: dict[str, Any] = {
        "model": "m", "query": "sky", "documents": ["blue", {"text": "rain"}], "top_n": 1,
    }  # fmt: skip
    way = translator("openai", "cohere", "rerank")
    asked = DIALECTS["openai"].read_request("rerank", body)
    sent = way.request(asked, "t", 9, force_usage=False)
    assert sent == {**body, "model": "t", "documents": ["blue", "rain"]}
    assert way.path("", "t") == "/v2/rerank"
    raw = cohere_shape.rerank(sent, "5eed", 6)
    release = way.answer(orjson.loads(raw), raw)
    assert (release.raw, release.usage) == (raw, Usage(prompt_tokens=3))
    for field, param in (
        ({"return_documents": True}, "return_documents"),
        ({"rank_fields": ["text"]}, "rank_fields"),
        ({"documents": [{"text": "x", "title": "y"}]}, "documents[0]"),
    ):
        asked = DIALECTS["openai"].read_request("rerank", {**body, **field})
        with pytest.raises(RequestError) as caught:
            way.request(asked, "t", 9, force_usage=False)
        assert caught.value.refusal.param == param


def test_embeddings_pass_with_their_texts_seen() -> None:
    body: dict[str, Any] = {
        "model": "m", "input_type": "search_document", "texts": ["one", "two"],
        "embedding_types": ["float"],
    }  # fmt: skip
    asked = DIALECTS["cohere"].read_request("embed", body)
    assert [at.text for at in asked.texts] == ["one", "two"]
    way = translator("cohere", "cohere", "embed")
    sent = way.request(asked, "t", 9, force_usage=False)
    assert (sent, way.path("")) == ({**body, "model": "t"}, "/v2/embed")
    raw = cohere_shape.embed(sent, "5eed", 6)
    release = way.answer(orjson.loads(raw), raw)
    assert (release.usage, [at.text for at in release.texts]) == (Usage(2), ["one", "two"])
    mixed = {
        "model": "m", "input_type": "image", "inputs": [{"content": [
            {"type": "text", "text": "three"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}],
    }  # fmt: skip
    asked = DIALECTS["cohere"].read_request("embed", mixed)
    assert ([at.text for at in asked.texts], asked.media) == (["three"], 1)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input_type": None}, "input_type"),
        ({"texts": []}, "texts"),
        ({"texts": [1]}, "texts[0]"),
        ({"images": ["x"]}, "texts"),
        ({"texts": None, "inputs": [{"content": [{"type": "sound"}]}]},
         "inputs[0].content[0].type"),
        ({"stream": True}, "stream"),
    ],
)  # fmt: skip
def test_embeddings_that_cannot_pass_are_refused_by_name(
    fields: dict[str, Any], param: str
) -> None:
    body = {"model": "m", "input_type": "search_query", "texts": ["one"], **fields}
    with pytest.raises(RequestError) as caught:
        DIALECTS["cohere"].read_request("embed", body)
    assert caught.value.refusal.param == param
