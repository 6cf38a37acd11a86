"""OpenAI's responses at providers of other dialects, and chat at providers of responses only."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import orjson
import pytest
from openai._models import construct_type
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent

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
from gateway_extproc.core.endpoint import spoken
from gateway_extproc.core.errors import RequestError, refuse
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.translate import translator
from providers.samples import read
from providers.test_translate import ANTHROPIC_ANSWER, OPENAI_ANSWER

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PNG = "data:image/png;base64,iVBORw0KGgo="
REQUEST: dict[str, Any] = {
    "model": "m",
    "instructions": "Be brief.",
    "input": [
        {"role": "developer", "content": "In French."},
        {"role": "user", "content": [
            {"type": "input_text", "text": "Paris and Rome?"},
            {"type": "input_image", "image_url": PNG, "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf",
             "file_data": "data:application/pdf;base64,JVBE"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c0", "name": "weather",
         "arguments": '{"city":"Paris"}', "status": "completed"},
        {"type": "function_call", "id": "fc_2", "call_id": "c1", "name": "weather",
         "arguments": '{"city":"Rome"}', "status": "completed"},
        {"type": "function_call_output", "call_id": "c0", "output": "sun"},
        {"type": "function_call_output", "call_id": "c1", "output": [
            {"type": "input_text", "text": "rain"}]},
        {"role": "user", "content": "So?"},
    ],
    "tools": [{"type": "function", "name": "weather", "description": "Tells it.",
               "parameters": SCHEMA, "strict": False}],
    "tool_choice": {"type": "function", "name": "weather"},
    "parallel_tool_calls": False,
    "temperature": 0.5,
    "top_p": 0.9,
    "max_output_tokens": 50,
    "include": ["reasoning.encrypted_content"],
    "store": False,
    "user": "u1",
}  # fmt: skip


def ask(provider: str, **changes: Any) -> dict[str, Any]:
    document = {**REQUEST, **changes}
    before = deepcopy(document)
    asked = read("responses", document)
    sent = translator("openai", provider, "responses").request(asked, "t", 40, force_usage=True)
    assert document == before, "a translation changed its input"
    return dict(sent)


def refused(provider: str, **changes: Any) -> str | None:
    with pytest.raises(RequestError) as caught:
        ask(provider, **changes)
    assert caught.value.refusal.status == 400
    return caught.value.refusal.param


# ------------------------------------------------------------------------- requests


def test_a_response_is_asked_of_a_provider_of_chat() -> None:
    called = [
        {"id": f"c{n}", "type": "function",
         "function": {"name": "weather", "arguments": f'{{"city":"{city}"}}'}}
        for n, city in enumerate(("Paris", "Rome"))
    ]  # fmt: skip
    sent = ask("openai:chat")
    assert sent == {
        "model": "t",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "In French."},
            {"role": "user", "content": [
                {"type": "text", "text": "Paris and Rome?"},
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "file", "file": {
                    "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}}]},
            {"role": "assistant", "content": "Let me see.", "tool_calls": called},
            {"role": "tool", "tool_call_id": "c0", "content": "sun"},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
            {"role": "user", "content": "So?"},
        ],
        "max_tokens": 40,
        "temperature": 0.5,
        "top_p": 0.9,
        "tools": [{"type": "function", "function": {
            "name": "weather", "description": "Tells it.", "parameters": SCHEMA}}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
        "user": "u1",
    }  # fmt: skip
    read("openai", sent)


def test_a_response_is_asked_of_anthropic() -> None:
    sent = ask("anthropic")
    assert [block["text"] for block in sent["system"]] == ["Be brief.", "In French."]
    kinds = [[block["type"] for block in turn["content"]] for turn in sent["messages"]]
    assert kinds == [
        ["text", "image", "document"],
        ["text", "tool_use", "tool_use"],
        ["tool_result", "tool_result", "text"],
    ]
    assert (sent["max_tokens"], sent["metadata"]) == (40, {"user_id": "u1"})
    read("anthropic", sent)


@pytest.mark.parametrize("provider", ["gemini", "vertex", "bedrock"])
def test_a_response_is_asked_of_the_others(provider: str) -> None:
    sent = orjson.dumps(ask(provider, parallel_tool_calls=True)).decode()
    for said in ("Be brief.", "In French.", "Paris and Rome?", "Let me see.", "sun", "rain", "So?",
                 "iVBORw0KGgo=", "JVBE", "weather"):  # fmt: skip
        assert said in sent, said
    assert "gAAAA" not in sent


def test_settings_go_over() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
    sent = ask("openai:chat", text={"format": schema, "verbosity": "low"},
               reasoning={"effort": "high"}, stream=True)  # fmt: skip
    assert sent["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
    }  # fmt: skip
    assert (sent["verbosity"], sent["reasoning_effort"]) == ("low", "high")
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    config = ask("gemini", parallel_tool_calls=None, text={"format": {"type": "json_object"}},
                 reasoning={"effort": "low", "summary": "auto"})["generationConfig"]  # fmt: skip
    assert config["responseMimeType"] == "application/json"
    assert config["thinkingConfig"] == {"thinkingBudget": 40, "includeThoughts": True}
    assert ask("anthropic", text={"format": schema})["output_config"] == {
        "format": {"type": "json_schema", "schema": SCHEMA}
    }


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"store": True}, "store"),
        ({"truncation": "auto"}, "truncation"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"include": ["web_search_call.results"]}, "include[0]"),
        ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
        ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"temperature": 1.5}, "temperature"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "custom", "name": "c"}], "tool_choice": "auto"}, "tools[0].type"),
        ({"tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.type"),
        ({"vendor_magic": 1}, "vendor_magic"),
        ({"input": [{"role": "user", "content": [
            {"type": "input_image", "image_url": PNG, "detail": "high"}]}]},
         "input[0].content[0].detail"),
        ({"input": [{"role": "user", "content": [
            {"type": "input_file", "file_url": "https://example.org/a.pdf"}]}]},
         "input[0].content[0].file_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
         "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": "q"}, {"type": "web_search_call", "id": "w"}]},
         "input[1].type"),
        ({"input": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "pre"}]},
         "input[1].type"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{x"},
                    {"role": "user", "content": "q"}]}, "input[0].arguments"),
    ],
)  # fmt: skip
def test_what_anthropic_cannot_be_told_is_refused_by_name(
    changes: dict[str, Any], param: str
) -> None:
    assert refused("anthropic", **changes) == param


def test_chat_is_asked_of_a_provider_of_responses() -> None:
    chat = ask("openai:chat")
    asked = read("openai", chat)
    way = translator("openai", "openai:responses", "chat")
    sent = dict(way.request(asked, "t", 40, force_usage=True))
    assert way.path("/v1") == "/v1/responses"
    assert sent["store"] is False
    assert sent["input"][0] == {
        "type": "message", "role": "system",
        "content": [{"type": "input_text", "text": "Be brief."}],
    }  # fmt: skip
    back = read("responses", sent)
    assert ask_of(back, "openai:chat") == chat


def ask_of(asked: Any, provider: str) -> dict[str, Any]:
    way = translator("openai", provider, "responses")
    return dict(way.request(asked, "t", 40, force_usage=True))


@pytest.mark.parametrize(
    ("endpoint", "lacks", "expected"),
    [
        ("chat", (), "openai"),
        ("responses", (), "openai"),
        ("responses", ("responses",), "openai:chat"),
        ("chat", ("responses",), "openai"),
        ("messages", ("chat",), "openai:responses"),
        ("generate_content", ("chat",), "openai:responses"),
        ("responses", ("chat",), "openai"),
        ("embeddings", ("chat",), "openai"),
    ],
)
def test_a_provider_is_asked_in_the_language_that_it_has(
    endpoint: str, lacks: tuple[str, ...], expected: str
) -> None:
    assert spoken("openai", endpoint, lacks) == expected
    assert spoken("anthropic", endpoint, lacks) == "anthropic"


@pytest.mark.parametrize(
    ("client", "document", "path"),
    [
        ("openai", {"model": "m", "messages": [{"role": "user", "content": [
            {"type": "file", "file": {"filename": "n4711.pdf", "file_data": "data:,"}}]}]},
         ("messages", 0, "content", 0, "file", "filename")),
        ("responses", {"model": "m", "input": [{"role": "user", "content": [
            {"type": "input_file", "filename": "n4711.pdf", "file_data": "data:,"}]}]},
         ("input", 0, "content", 0, "filename")),
        ("gemini", {"model": "m", "contents": [{"parts": [{"inlineData": {
            "mimeType": "application/pdf", "displayName": "n4711.pdf", "data": ""}}]}]},
         ("contents", 0, "parts", 0, "inlineData", "displayName")),
    ],
)  # fmt: skip
def test_guards_see_the_names_of_files(
    client: str, document: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    (text,) = read(client, document).texts
    assert (text.path, text.role, text.text) == (path, "user", "n4711.pdf")


# -------------------------------------------------------------------------- answers


def test_an_anthropic_answer_becomes_a_response() -> None:
    way = translator("openai", "anthropic", "responses", lambda: 17)
    asked = read("responses", {**REQUEST, "metadata": {"team": "t"}})
    release = way.answer(ANTHROPIC_ANSWER, b"raw", "m", asked)
    document = release.document
    assert document is not None
    response = Response.model_validate(document)
    assert (response.id, response.created_at, response.status) == ("msg_1", 17, "completed")
    assert response.output_text == "Let me see."
    message, call = response.output
    assert message.type == "message"
    assert call.type == "function_call"
    assert (call.call_id, call.name, call.arguments) == ("c0", "weather", '{"city":"Paris"}')
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (18, 9)
    assert response.usage.input_tokens_details.cached_tokens == 5
    assert document["store"] is False
    for repeated in ("tools", "tool_choice", "temperature", "top_p", "metadata"):
        assert document[repeated] == asked.document[repeated], repeated
    assert document["instructions"] is None
    assert [text.text for text in release.texts] == ["Let me see.", '{"city":"Paris"}']
    assert (release.raw, release.model, release.stop_reason) == (None, "claude-x", "tool_calls")
    assert release.usage == Usage(18, 9, 5, cache_write_tokens=3)


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_a_response_says_why_it_ended(finish: str, status: str, reason: str | None) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": finish}
    release = translator("openai", "openai:chat", "responses").answer({"choices": [choice]}, b"")
    assert release.document is not None
    response = Response.model_validate(release.document)
    details = response.incomplete_details
    assert (response.status, details and details.reason) == (status, reason)


def test_thoughts_of_gemini_are_a_reasoning_item() -> None:
    parts = [{"text": "hm", "thought": True}, {"text": "a"}]
    answer = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}],
              "responseId": "r1"}  # fmt: skip
    release = translator("openai", "gemini", "responses").answer(answer, b"")
    assert release.document is not None
    reasoning, message = release.document["output"]
    assert reasoning == {
        "id": "rs_r1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}],
    }  # fmt: skip
    assert message["content"][0]["text"] == "a"
    assert {text.text for text in release.texts} == {"hm", "a"}


def test_a_response_of_a_provider_becomes_a_chat_answer() -> None:
    way = translator("openai", "openai:chat", "responses", lambda: 17)
    response = way.answer(OPENAI_ANSWER, b"", "m", read("responses", REQUEST)).document
    assert response is not None
    back = translator("openai", "openai:responses", "chat", lambda: 17).answer(response, b"")
    assert back.document == OPENAI_ANSWER
    assert back.usage == Usage(18, 9, 5)


@pytest.mark.parametrize(
    "document",
    [
        {}, {"output": 1}, {"output": [1]}, {"status": "failed", "output": []},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": 1}]}]},
        {"output": [{"type": "function_call", "call_id": "c", "name": "f"}]},
        {"output": [{"type": "computer_call"}]},
    ],
)  # fmt: skip
def test_a_response_without_its_shape_is_refused(document: dict[str, Any]) -> None:
    release = translator("anthropic", "openai:responses", "messages").answer(document, b"")
    assert release.refusal is not None
    assert release.refusal.reason == "provider_answer_unreadable"


# -------------------------------------------------------------------------- streams

EVENTS: list[StreamEvent] = [
    Start("id1", "m1"),
    TextDelta((0, "reasoning"), "hm", "reasoning"),
    TextDelta((0, "content"), "Let me "),
    TextDelta((0, "content"), "see."),
    ToolStart(0, "c0", "weather"),
    ToolStart(1, "c1", "weather"),
    TextDelta((0, "arguments", 1), '{"city":', "arguments", 1),
    TextDelta((0, "arguments", 0), '{"city":"Paris"}', "arguments", 0),
    TextDelta((0, "arguments", 1), '"Rome"}', "arguments", 1),
    Stop("tool_calls"),
    UsageReport(Usage(18, 9, 5, 2)),
    End(),
]


def written(events: Iterable[StreamEvent], provider: str = "anthropic", **changes: Any) -> bytes:
    asked = read("responses", {**REQUEST, "stream": True, **changes})
    writer = translator("openai", provider, "responses", lambda: 17).writer(asked)
    return b"".join(writer.write(Chunk(None, None, (event,))) for event in events)


def documents(stream: bytes) -> list[dict[str, Any]]:
    found = []
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        document = orjson.loads(data.removeprefix("data: "))
        assert name == f"event: {document['type']}"
        found.append(document)
    return found


def accumulated(stream: bytes) -> Response:
    """What OpenAI's own SDK makes of a stream."""
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    for document in documents(stream):
        state.handle_event(construct_type(type_=ResponseStreamEvent, value=document))
    response: Response = state._completed_response
    return response


def test_a_stream_has_openais_events_in_their_order() -> None:
    found = documents(written(EVENTS))
    assert [document["sequence_number"] for document in found] == list(range(len(found)))
    assert [document["type"].removeprefix("response.") for document in found] == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_item.added", "output_item.added",
        *["function_call_arguments.delta"] * 3,
        "output_text.done", "content_part.done", "output_item.done",
        "function_call_arguments.done", "output_item.done",
        "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    response = accumulated(written(EVENTS))
    assert response.output_text == "Let me see."
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(call.call_id, call.arguments) for call in calls] == [
        ("c0", '{"city":"Paris"}'), ("c1", '{"city":"Rome"}'),
    ]  # fmt: skip
    assert response.usage is not None
    assert response.usage.total_tokens == 27
    assert found[0]["response"]["tools"] == REQUEST["tools"]
    ids = {document["item_id"] for document in found if "item_id" in document}
    assert ids == {item.id for item in response.output}


def test_thoughts_are_streamed_to_who_asked_for_them() -> None:
    assert b"hm" not in written(EVENTS)
    found = documents(written(EVENTS, "gemini", reasoning={"summary": "auto"}))
    assert found[-1]["response"]["output"][0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    kinds = [document["type"] for document in found]
    assert kinds[2:5] == [
        "response.output_item.added", "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
    ]  # fmt: skip
    said = next(d for d in found if d["type"] == "response.reasoning_summary_text.done")
    assert said["text"] == "hm"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_stream_that_was_cut_is_incomplete(reason: Any) -> None:
    events: list[StreamEvent] = [
        Start("i", "m"), TextDelta((0, "content"), "a"), Stop(reason), End(),
    ]  # fmt: skip
    last = documents(written(events))[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_a_rule_that_ends_a_stream_ends_it_politely() -> None:
    asked = read("responses", {**REQUEST, "stream": True})
    writer = translator("openai", "anthropic", "responses").writer(asked)
    told = writer.write(Chunk(None, None, tuple(EVENTS[:3]))) + writer.stop()
    last = documents(told)[-1]
    assert last["response"]["incomplete_details"] == {"reason": "content_filter"}
    assert last["response"]["output"][0]["content"][0]["text"] == "Let me "
    assert writer.write(Chunk(None, None, tuple(EVENTS[3:]))) == b""
    assert writer.stop() == writer.error(refuse("provider_unavailable", "x")) == b""


def test_an_error_ends_a_stream() -> None:
    events = [*EVENTS[:3], StreamError("api_error", "overloaded", "Later."), *EVENTS[3:]]
    last = documents(written(events))[-1]
    assert (last["type"], last["code"], last["message"]) == ("error", "overloaded", "Later.")
    asked = read("responses", {**REQUEST, "stream": True})
    writer = translator("openai", "anthropic", "responses").writer(asked)
    told = documents(writer.error(refuse("provider_unavailable", "None.")))
    assert (told[-1]["type"], told[-1]["code"]) == ("error", "provider_unavailable")


def test_text_that_a_guard_held_back_still_finds_its_item() -> None:
    late = [*EVENTS[:3], EVENTS[4], EVENTS[3], *EVENTS[5:]]
    response = accumulated(written(late))
    assert response.output_text == "Let me see."
    assert len(response.output) == 3
