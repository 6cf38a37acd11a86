"""Bedrock's Converse as its clients speak it; what botocore makes of our bytes is the judge."""

from __future__ import annotations

import itertools
from copy import deepcopy
from typing import Any

import botocore.session
import orjson
import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.parsers import RestJSONParser
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.core.chat import Chunk, TextDelta
from gateway_extproc.core.endpoint import (
    CONVERSE,
    STREAM_CONVERSE,
    error_dialect,
    find_endpoint,
    stream_type,
    with_path,
)
from gateway_extproc.core.errors import Refusal, RequestError, refuse
from gateway_extproc.core.usage import Usage
from gateway_extproc.guards.chunks import ChunkFilter, Step
from gateway_extproc.providers.bedrock.reader import BedrockReader
from gateway_extproc.providers.bedrock.usage import read_usage
from gateway_extproc.providers.translate import BEDROCK, translator
from gateway_simulators import bedrock_checks
from providers.converse_samples import (
    CONVERSE_ANSWER,
    CONVERSE_FRAMES,
    CONVERSE_STREAM,
    CONVERSE_TOOLS,
    delta,
    event,
)
from providers.samples import ENDPOINTS, read

PLAIN: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": [{"text": "q"}]}]}
OTHERS = ("openai", "anthropic", "gemini", "cohere")
ARN = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.maker.model-v1:0"
ESCAPED = ARN.replace(":", "%3A").replace("/", "%2F")
SERVICE = botocore.session.get_session().get_service_model("bedrock-runtime")


def ask(provider: str, document: dict[str, Any], cap: int = 40) -> dict[str, Any]:
    before = deepcopy(document)
    way = translator("bedrock", provider, "converse")
    sent = way.request(read("bedrock", document), "t", cap, force_usage=True)
    assert document == before, "a translation changed its input"
    return dict(sent)


# ---------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("path", "endpoint", "model"),
    [
        ("/model/eu.maker.model-v1%3A0/converse", CONVERSE, "eu.maker.model-v1:0"),
        ("/model/m/converse-stream?x=1", STREAM_CONVERSE, "m"),
        (f"/model/{ESCAPED}/converse", CONVERSE, ARN),
        (f"/model/{ARN}/converse-stream", STREAM_CONVERSE, ARN),
    ],
)
def test_a_path_names_the_model_and_how_to_answer(path: str, endpoint: Any, model: str) -> None:
    found = find_endpoint(path)
    assert found is endpoint
    assert found is not None
    document = with_path(found, path, {"messages": [], "model": "another", "stream": 7})
    assert document == {
        "messages": [], "model": model, "stream": endpoint is STREAM_CONVERSE,
    }  # fmt: skip
    assert error_dialect(path, {}) == "bedrock"


def test_no_other_path_is_bedrocks() -> None:
    for path in ("/model/m/invoke", "/model//converse", "/model/converse", "/models/m/converse"):
        assert find_endpoint(path) is None
    assert error_dialect("/model/m/invoke", {}) == "bedrock"
    assert stream_type("bedrock", {}) == "application/vnd.amazon.eventstream"


# -------------------------------------------------------------------------- reading


def test_every_text_of_a_request_is_found_with_its_voice() -> None:
    document = deepcopy(CONVERSE_TOOLS)
    document["messages"] += [
        {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
            {"citationsContent": {"content": [{"text": "It is so."}]}}, {"cachePoint": {}}]},
        {"role": "user", "content": [
            {"document": {"format": "txt", "name": "page", "source": {"text": "written"}}},
            {"guardContent": {"text": {"text": "guarded"}}},
            {"searchResult": {"source": "s3", "title": "found", "content": [{"text": "there"}]}},
            {"toolResult": {"toolUseId": "c", "content": [
                {"json": {"status": "hidden", "bytes": "too"}},
                {"document": {"format": "pdf", "name": "told", "source": {"bytes": "AA=="}}}]}}]},
    ]  # fmt: skip
    document["promptVariables"] = {"who": {"text": "Rosalind"}}
    document["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {
        "jsonSchema": {"schema": '{"description":"shape"}'}}}}  # fmt: skip
    document["additionalModelRequestFields"] = {
        "system": "smuggled", "thinking": {"type": "enabled"},
    }  # fmt: skip
    document["newField"] = ["unheard"]
    request = read("bedrock", document)
    found = {at.text: at.role for at in request.texts}
    assert found == {
        "Be brief.": "system", "Paris and Rome?": "user", "I look.": "assistant",
        "Paris": "assistant", "Rome": "assistant", "sun": "tool", "rain": "tool", "So?": "user",
        "hm": "assistant", "It is so.": "assistant", "page": "user", "written": "user",
        "guarded": "user", "s3": "tool", "found": "tool", "there": "tool", "told": "tool",
        "hidden": "tool", "too": "tool", "Tells it.": "system", "Its name.": "system",
        "Rosalind": "user", "smuggled": "system", "enabled": "system", "unheard": "user",
        "json_schema": "system", '{"description":"shape"}': "system",
    }  # fmt: skip
    assert (request.media, request.has_tools, request.max_tokens) == (3, True, 50)
    for at in request.texts:
        place: Any = document
        for key in at.path:
            place = place[key]
        assert place == at.text


def _user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": []}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "q"}]}, "messages[0].content"),
        (_user({}), "messages[0].content[0]"),
        (_user({"text": "a", "image": {}}), "messages[0].content[0]"),
        (_user({"toolUse": {}}), "messages[0].content[0]"),
        (_user({"smell": {}}), "messages[0].content[0]"),
        (_user({"text": 3}), "messages[0].content[0].text"),
        (_user({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://other/x"}}}}),
         "messages[0].content[0].image.source.s3Location"),
        (_user({"toolResult": {"toolUseId": "c", "content": [
            {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://other/x"}}}}]}}),
         "messages[0].content[0].toolResult.content[0].video.source.s3Location"),
        ({"inferenceConfig": {"temperature": 1.5}}, "inferenceConfig.temperature"),
        ({"inferenceConfig": {"maxTokens": 0}}, "inferenceConfig.maxTokens"),
        ({"inferenceConfig": {"max_new_tokens": 9}}, "max_new_tokens"),
        ({"additionalModelRequestFields": {"max_tokens": 9}}, "max_tokens"),
        ({"additionalModelRequestFields": {"thinking": {"budget_tokens": "many"}}},
         "additionalModelRequestFields.thinking.budget_tokens"),
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "x"}}]}},
         "toolConfig.tools[0].toolSpec.inputSchema"),
        ({"toolConfig": {"tools": [], "toolChoice": {"none": {}}}}, "toolConfig.toolChoice"),
        ({"toolConfig": {"tools": [{"newTool": {"description": "x"}}]}}, "toolConfig.tools[0]"),
        ({"projectIdentifier": "p"}, "projectIdentifier"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        read("bedrock", {**PLAIN, **fields})
    assert (caught.value.refusal.status, caught.value.refusal.param) == (400, param)


# ------------------------------------------------------------------------- requests


def test_the_same_dialect_keeps_unknown_fields_and_their_order() -> None:
    document = {
        "zeta": 1, **PLAIN, "guardrailConfig": {"guardrailIdentifier": "g"}, "alpha": {"x": None},
    }  # fmt: skip
    sent = ask("bedrock", document)
    del document["model"]
    assert orjson.dumps(sent) == orjson.dumps({**document, "inferenceConfig": {"maxTokens": 40}})


def test_thoughts_are_part_of_the_cap() -> None:
    more = {"thinking": {"type": "enabled", "budget_tokens": 9999}, "top_k": 5}
    document = {**PLAIN, "additionalModelRequestFields": more}
    assert ask("bedrock", document)["additionalModelRequestFields"] == {
        "thinking": {"type": "enabled", "budget_tokens": 39}, "top_k": 5,
    }  # fmt: skip


def test_a_converse_request_becomes_an_openai_one() -> None:
    sent = ask("openai", CONVERSE_TOOLS)
    assert [message["role"] for message in sent["messages"]] == [
        "system", "user", "assistant", "tool", "tool", "user",
    ]  # fmt: skip
    image = sent["messages"][1]["content"][1]["image_url"]["url"]
    assert image == "data:image/png;base64,iVBORw0KGgo="
    assert sent["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"city":"Paris"}'
    assert sent["messages"][4]["content"] == 'Error: {"sky":"rain"}'
    assert (sent["max_tokens"], sent["temperature"], sent["top_p"], sent["stop"]) == (
        40, 0.5, 0.9, ["END"],
    )  # fmt: skip
    assert sent["tool_choice"] == "required"
    assert sent["tools"][0]["function"]["name"] == "weather"


@pytest.mark.parametrize("provider", OTHERS)
def test_a_conversation_with_tools_reaches_every_provider(provider: str) -> None:
    sent = orjson.dumps(ask(provider, CONVERSE_TOOLS))
    for word in (b"Be brief.", b"Paris and Rome?", b"I look.", b"sun", b"rain", b"So?", b"END"):
        assert word in sent


def test_a_conversation_with_tools_passes_as_bedrock_wants_it() -> None:
    question = bedrock_checks.read(ask("bedrock", CONVERSE_TOOLS), "t", stream=False)
    assert (question.max_tokens, question.tool_mode) == (40, "required")


SCHEMA = {"textFormat": {"type": "json_schema", "structure": {
    "jsonSchema": {"name": "n", "schema": '{"type":"object"}'}}}}  # fmt: skip


def test_structured_answers_and_thinking_reach_those_who_know_them() -> None:
    more = {"thinking": {"type": "enabled", "budget_tokens": 20}, "top_k": 5}
    document = {**PLAIN, "outputConfig": SCHEMA, "additionalModelRequestFields": more}
    gemini = ask("gemini", document)["generationConfig"]
    assert gemini["responseJsonSchema"] == {"type": "object"}
    assert gemini["thinkingConfig"] == {"thinkingBudget": 20, "includeThoughts": True}
    cohere = ask("cohere", document)
    assert (cohere["k"], cohere["thinking"]["token_budget"]) == (5, 20)
    openai = ask("openai", {**PLAIN, "outputConfig": SCHEMA})
    assert openai["response_format"]["json_schema"] == {"name": "n", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("provider", "kept"),
    [
        ("openai", '"file_data":"data:application/pdf;base64,AA=="'),
        ("anthropic", '"media_type":"application/pdf","data":"AA=="'),
        ("gemini", '"mimeType":"application/pdf","data":"AA=="'),
    ],
)
def test_a_pdf_by_value_goes_to_those_that_read_it(provider: str, kept: str) -> None:
    pdf = {"document": {"format": "pdf", "name": "n", "source": {"bytes": "AA=="}}}
    asked = read("bedrock", {**PLAIN, **_user(pdf)})
    sent = translator("bedrock", provider, "converse").request(asked, "t", 9, force_usage=False)
    assert kept in orjson.dumps(sent).decode()


def _tool(**more: Any) -> dict[str, Any]:
    spec = {"name": "f", "inputSchema": {"json": {"type": "object"}}, **more}
    return {"toolConfig": {"tools": [{"toolSpec": spec}]}}


@pytest.mark.parametrize(
    ("provider", "fields", "param"),
    [
        *((one, {"guardrailConfig": {"guardrailIdentifier": "g"}}, "guardrailConfig")
          for one in OTHERS),
        *((one, {"promptVariables": {"a": {"text": "b"}}}, "promptVariables") for one in OTHERS),
        *((one, {"additionalModelRequestFields": {"special": 1}},
           "additionalModelRequestFields.special") for one in OTHERS),
        *((one, _user({"document": {"name": "n", "source": {"text": "t"}}}),
           "messages[0].content[0].document.source.text") for one in OTHERS),
        ("openai", {"additionalModelRequestFields": {"top_k": 3}},
         "additionalModelRequestFields.top_k"),
        ("openai", {"inferenceConfig": {"stopSequences": list("abcde")}},
         "inferenceConfig.stopSequences"),
        ("gemini", {"inferenceConfig": {"stopSequences": list("abcdef")}},
         "inferenceConfig.stopSequences"),
        ("cohere", {"inferenceConfig": {"stopSequences": list("abcdef")}},
         "inferenceConfig.stopSequences"),
        ("openai", {"toolConfig": {"tools": [{"systemTool": {"name": "search"}}]}},
         "toolConfig.tools[0].systemTool"),
        ("openai", {"messages": [*PLAIN["messages"], {"role": "assistant",
                                                     "content": [{"text": "I"}]}]},
         "messages[1].role"),
        ("openai", {"serviceTier": {"type": "priority"}}, "serviceTier"),
        ("openai", {"outputConfig": {"effort": "high"}}, "outputConfig.effort"),
    ],
)  # fmt: skip
def test_what_another_provider_cannot_be_told_is_refused(
    provider: str, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        ask(provider, {**PLAIN, **fields})
    assert (caught.value.refusal.status, caught.value.refusal.param) == (400, param)


# -------------------------------------------------------------------------- answers


def test_an_answer_of_the_same_dialect_keeps_its_bytes() -> None:
    raw = orjson.dumps(CONVERSE_ANSWER)
    release = translator("bedrock", "bedrock", "converse").answer(CONVERSE_ANSWER, raw)
    assert (release.raw, release.stop_reason) == (raw, "tool_calls")
    assert release.usage == Usage(18, 9, 5, cache_write_tokens=3)
    assert [at.text for at in release.texts] == [
        "hm", "Let me see.", "It is so.", "quoted", "https://example.org", "look", "all", "traced",
    ]  # fmt: skip
    assert release.echoes == (("trace",),)


def test_results_of_a_providers_tool_are_texts_whatever_their_keys() -> None:
    result = {"toolResult": {"toolUseId": "c", "content": [{"json": {"bytes": "hidden"}}]}}
    answer = {**CONVERSE_ANSWER, "output": {"message": {"content": [result]}}}
    release = translator("bedrock", "bedrock", "converse").answer(answer, b"")
    assert [at.text for at in release.texts] == ["hidden", "traced"]


def parsed(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """What botocore reads in an answer."""
    shape = SERVICE.operation_model("Converse").output_shape
    answer = {"status_code": status, "headers": headers or {}, "body": body}
    return RestJSONParser().parse(answer, shape)


@pytest.mark.parametrize("provider", OTHERS)
def test_an_answer_of_others_is_one_that_botocore_reads(provider: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    usage = {"input_tokens": 20, "output_tokens": 9}
    said = {"role": "assistant", "content": "Hi"}
    answers: dict[str, Any] = {
        "openai": {"choices": [{"message": {**said, "tool_calls": [call]},
                                "finish_reason": "tool_calls"}],
                   "usage": {"prompt_tokens": 20, "completion_tokens": 9}},
        "anthropic": {"content": [{"type": "text", "text": "Hi"}, {
            "type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}],
            "stop_reason": "tool_use", "usage": usage},
        "gemini": {"candidates": [{"content": {"parts": [{"text": "Hi"}, {"functionCall": {
            "id": "c1", "name": "f", "args": {"a": 1}}}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 9}},
        "cohere": {"id": "i", "finish_reason": "TOOL_CALL", "usage": {"billed_units": usage},
                   "message": {"content": [{"type": "text", "text": "Hi"}], "tool_calls": [call]}},
    }  # fmt: skip
    release = translator("bedrock", provider, "converse").answer(answers[provider], b"", "m")
    read_by_aws = parsed(orjson.dumps(release.document))
    assert read_by_aws["output"]["message"]["content"] == [
        {"text": "Hi"}, {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": 1}}},
    ]  # fmt: skip
    assert (read_by_aws["stopReason"], read_by_aws["usage"]["totalTokens"]) == ("tool_use", 29)
    assert next(at.text for at in release.texts) == "Hi"


def test_usage_is_read_as_it_is_written() -> None:
    usage = Usage(18, 9, 5, cache_write_tokens=3)
    document = BEDROCK.answer_from_chat(BEDROCK.answer_to_chat(CITED_NOTHING), 0)
    assert read_usage(document["usage"]) == usage
    assert document["usage"] == {**CONVERSE_ANSWER["usage"]}


CITED_NOTHING = {**CONVERSE_ANSWER, "output": {"message": {"content": [{"text": "a"}]}}}


@pytest.mark.parametrize(
    ("refusal", "name"),
    [
        (refuse("invalid_request", "m", param="system"), "ValidationException"),
        (refuse("invalid_api_key", "m"), "AccessDeniedException"),
        (refuse("model_not_allowed", "m"), "AccessDeniedException"),
        (refuse("model_not_found", "m"), "ResourceNotFoundException"),
        (refuse("body_too_large", "m"), "ValidationException"),
        (refuse("rate_limit_exceeded", "m"), "ThrottlingException"),
        (refuse("insufficient_quota", "m"), "ServiceQuotaExceededException"),
        (refuse("gateway_error", "m"), "InternalServerException"),
        (refuse("provider_answer_unreadable", "m"), "InternalServerException"),
        (refuse("provider_unavailable", "m"), "ServiceUnavailableException"),
        (refuse("provider_timeout", "m"), "ModelTimeoutException"),
        (Refusal("provider_error", "m", 424, "api_error", "ModelErrorException"),
         "ModelErrorException"),
    ],
)  # fmt: skip
def test_a_refusal_is_an_exception_that_botocore_names(refusal: Refusal, name: str) -> None:
    headers = dict(BEDROCK.refusal_headers(refusal))
    read_by_aws = parsed(BEDROCK.refusal_body(refusal, "r1"), refusal.status, headers)
    assert read_by_aws["Error"] == {"Code": name, "Message": "m"}
    assert headers["x-gateway-reason"] == (refusal.code or refusal.reason)
    without = parsed(BEDROCK.refusal_body(refusal, "r1"), refusal.status)
    assert without["Error"]["Code"] == name, "other SDKs read it in the body"
    assert BEDROCK.read_error(400, orjson.loads(BEDROCK.refusal_body(refusal, ""))).message == "m"


# -------------------------------------------------------------------------- streams


def events_in(stream: bytes) -> list[tuple[str, Any]]:
    """What botocore reads in a stream: it checks both checksums of every message."""
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    return [
        (message.headers.get(":event-type") or message.headers[":exception-type"],
         orjson.loads(message.payload))
        for message in buffer
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, len(CONVERSE_STREAM)), max_size=30))
def test_a_stream_of_the_same_dialect_passes_as_it_came_in_any_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(CONVERSE_STREAM)]
    way = translator("bedrock", "bedrock", "converse")
    reader, writer = way.reader(), way.writer(read("bedrock", PLAIN))
    passed = b""
    for begin, end in itertools.pairwise(places):
        chunks = reader.feed(CONVERSE_STREAM[begin:end], last=False)
        passed += b"".join(map(writer.write, chunks))
    passed += b"".join(map(writer.write, reader.feed(b"", last=True)))
    assert passed == CONVERSE_STREAM


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


def test_a_guard_changes_every_text_in_its_place_and_drops_what_repeats_it() -> None:
    writer = translator("bedrock", "bedrock", "converse").writer(read("bedrock", PLAIN))
    window = ChunkFilter(_Shout)
    chunks = BedrockReader(in_place=True).feed(CONVERSE_STREAM, last=True)
    leaving = window.push(chunks, last=True).chunks
    events = events_in(b"".join(map(writer.write, leaving)))
    said: dict[int, str] = {}
    for name, told in events:
        if name == "contentBlockDelta":
            inside = told["delta"]
            thought = inside.get("reasoningContent", {}).get("text", "")
            more = inside.get("text") or inside.get("toolUse", {}).get("input") or thought
            said[told["contentBlockIndex"]] = said.get(told["contentBlockIndex"], "") + more
    assert said == {0: "HM", 1: "LET ME SEE.", 2: '{"AT":"X"}'}
    dumped = orjson.dumps(events)
    assert b"quoted" not in dumped
    assert b"traced" not in dumped
    assert b'"signature":"s"' in dumped
    names = [name for name, _ in events]
    assert names[-2:] == ["messageStop", "metadata"]
    assert events[-1][1]["usage"] == CONVERSE_ANSWER["usage"]
    stops = [i for i, name in enumerate(names) if name == "contentBlockStop"]
    texts = [i for i, (name, told) in enumerate(events)
             if name == "contentBlockDelta" and told["contentBlockIndex"] == 1]  # fmt: skip
    assert max(texts) < stops[1]


def test_what_nobody_can_look_into_breaks_the_stream_of_the_same_dialect() -> None:
    reader = BedrockReader(in_place=True)
    for told in (("newKind", {"text": "smuggled"}), delta(0, text=["smuggled"])):
        (chunk,) = reader.feed(event(*told), last=False)
        assert (chunk.raw, chunk.document) == (None, None)


@pytest.mark.parametrize("provider", ["bedrock", "openai"])
@pytest.mark.parametrize("left", [0, 2, 5, 10])
def test_a_stream_that_a_rule_ends_is_closed_politely(provider: str, left: int) -> None:
    writer = translator("bedrock", provider, "converse").writer(read("bedrock", PLAIN))
    reader = BedrockReader(in_place=provider == "bedrock")
    chunks = reader.feed(b"".join(CONVERSE_FRAMES[:left]), last=False)
    events = events_in(b"".join(map(writer.write, chunks)) + writer.stop() + writer.stop())
    names = [name for name, _ in events]
    assert names[0] == "messageStart"
    assert names[-2:] == ["messageStop", "metadata"]
    assert names.count("messageStart") == names.count("metadata") == 1
    assert events[-2][1] == {"stopReason": "content_filtered"}
    opened = {told["contentBlockIndex"] for name, told in events if name == "contentBlockDelta"}
    stopped = {told["contentBlockIndex"] for name, told in events if name == "contentBlockStop"}
    assert opened <= stopped


@pytest.mark.parametrize("provider", ["bedrock", "openai"])
@pytest.mark.parametrize(
    ("refusal", "name"),
    [
        (refuse("provider_stream_incomplete", "It ended early."), "internalServerException"),
        (refuse("rate_limit_exceeded", "It ended early."), "throttlingException"),
        (refuse("overloaded", "It ended early."), "serviceUnavailableException"),
    ],
)
def test_an_error_is_told_once_as_an_exception(provider: str, refusal: Refusal, name: str) -> None:
    writer = translator("bedrock", provider, "converse").writer(read("bedrock", PLAIN))
    ((told, document),) = events_in(writer.error(refusal) + writer.error(refusal) + writer.stop())
    assert told == name
    assert document == {"message": "It ended early.", "reason": refusal.reason}


@pytest.mark.parametrize("client", OTHERS)
def test_a_providers_exception_keeps_its_name_on_its_way_to_a_bedrock_client(client: str) -> None:
    """And in the words of others where they are asked."""
    headers = {":exception-type": "throttlingException", ":message-type": "exception"}
    from gateway_simulators.bedrock_shape import frame

    stream = CONVERSE_FRAMES[0] + frame(headers, b'{"message":"no more"}')
    way = translator("bedrock", "bedrock", "converse")
    writer = way.writer(read("bedrock", PLAIN))
    passed = b"".join(map(writer.write, way.reader().feed(stream, last=True)))
    assert passed == stream
    bases: dict[str, Any] = {
        "openai": {"model": "m", "messages": [{"role": "user", "content": "q"}], "stream": True},
        "gemini": {"model": "m", "alt": "sse", "contents": [{"parts": [{"text": "q"}]}]},
    }
    base = bases.get(client) or {**bases["openai"], "max_tokens": 9}
    other = translator(client, "bedrock", ENDPOINTS[client])
    theirs = other.writer(read(client, base))
    told = b"".join(map(theirs.write, other.reader().feed(stream, last=True)))
    assert b"no more" in told


def test_thoughts_are_written_for_a_client_that_asked_for_them() -> None:
    more = {"thinking": {"type": "enabled", "budget_tokens": 20}}
    chunk = Chunk(None, None, (TextDelta((0, "thought"), "hm", "reasoning"),))
    way = translator("bedrock", "gemini", "converse")
    asked = way.writer(read("bedrock", {**PLAIN, "additionalModelRequestFields": more}))
    assert events_in(asked.write(chunk))[-1][1]["delta"] == {"reasoningContent": {"text": "hm"}}
    assert way.writer(read("bedrock", PLAIN)).write(chunk) == b""
