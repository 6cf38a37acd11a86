from __future__ import annotations

import itertools
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import botocore.session
import orjson
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer
from botocore.validate import validate_parameters
from hypothesis import assume, given, settings
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
from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.ports import Sent
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.bedrock.eventstream import BadMessage, EventStreamParser
from gateway_extproc.providers.bedrock.reader import BedrockReader
from gateway_extproc.providers.bedrock.sigv4 import AwsKey, day_key, read_key, sign
from gateway_extproc.providers.problems import UNREADABLE
from gateway_extproc.providers.translate import DIALECTS, translator
from gateway_simulators.bedrock_shape import frame
from providers.gemini_samples import GEMINI_TOOLS
from providers.samples import ENDPOINTS, read
from providers.test_translate import ANTHROPIC_TOOLS, OPENAI_TOOLS

BEDROCK = DIALECTS["bedrock"]


def _told(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The sample without what Converse cannot be told: an image by its address, one call a turn."""
    told = deepcopy({**document, **changes})
    for message in told["messages"]:
        if isinstance(message["content"], list):
            message["content"] = [
                part for part in message["content"] if b"https://" not in orjson.dumps(part)
            ]
    return told


CLIENTS = {
    "openai": _told(OPENAI_TOOLS, parallel_tool_calls=True),
    "anthropic": _told(ANTHROPIC_TOOLS, tool_choice={"type": "any"}),
    "gemini": GEMINI_TOOLS,
}
MODEL = "eu.maker.model-v1:0"


def ask(client: str, document: dict[str, Any]) -> dict[str, Any]:
    way = translator(client, "bedrock", ENDPOINTS[client])
    sent = way.request(read(client, document), MODEL, 100, force_usage=True)
    assert isinstance(sent, dict)
    return sent


def event(name: str, document: dict[str, Any]) -> bytes:
    headers = {":event-type": name, ":message-type": "event"}
    return frame(headers, orjson.dumps(document))


# ------------------------------------------------------------------------- requests


@pytest.mark.parametrize("client", list(CLIENTS))
def test_a_request_with_tools_is_what_botocore_would_send(client: str) -> None:
    before = deepcopy(CLIENTS[client])
    sent = ask(client, CLIENTS[client])
    assert before == CLIENTS[client]
    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    shape = model.operation_model("Converse").input_shape
    validate_parameters({"modelId": MODEL, **sent}, shape)
    roles = [message["role"] for message in sent["messages"]]
    assert roles == ["user", "assistant", "user"]
    kinds = [next(iter(block)) for message in sent["messages"] for block in message["content"]]
    assert kinds.count("toolUse") == kinds.count("toolResult") > 0
    assert sent["inferenceConfig"]["maxTokens"] <= 100


def test_an_openai_request_becomes_a_converse_one() -> None:
    document = {
        "model": "m",
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "c1", "type": "function",
                 "function": {"name": "look", "arguments": '{"at":1}'}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
            {"role": "user", "content": "Sure?"},
            {"role": "developer", "content": "Be brief."},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "d"}}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "temperature": 0.2, "top_p": 0.9, "stop": "END", "max_completion_tokens": 7,
    }  # fmt: skip
    assert ask("openai", document) == {
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [
                {"text": "What is it?"},
                {"image": {"format": "png", "source": {"bytes": "AA=="}}}]},
            {"role": "assistant", "content": [
                {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"at": 1}}}]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "a cat"}]}},
                {"text": "Sure?"}]},
        ],
        "inferenceConfig": {
            "maxTokens": 7, "temperature": 0.2, "topP": 0.9, "stopSequences": ["END"]},
        "toolConfig": {
            "tools": [{"toolSpec": {
                "name": "look",
                "inputSchema": {"json": {"type": "object", "properties": {}}},
                "description": "d"}}],
            "toolChoice": {"tool": {"name": "look"}},
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("client", "change", "param"),
    [
        ("openai", {"tool_choice": "none"}, "tool_choice"),
        ("openai", {"parallel_tool_calls": False}, "parallel_tool_calls"),
        ("openai", {"temperature": 1.2}, "temperature"),
        ("openai", {"seed": 1}, "seed"),
        ("openai", {"response_format": {"type": "json_object"}}, "response_format"),
        ("openai", {"messages": [{"role": "user", "content": " "}]}, "messages"),
        ("openai", {"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}]},
         "messages[0].content[0].image_url.url"),
        ("anthropic", {"top_k": 1}, "top_k"),
        ("anthropic", {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
         "tool_choice.disable_parallel_tool_use"),
        ("gemini", {"generationConfig": {"topK": 1}}, "generationConfig.topK"),
        ("gemini", {"generationConfig": {"temperature": 1.2}}, "generationConfig.temperature"),
        ("gemini", {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
         "toolConfig.functionCallingConfig.mode"),
        ("gemini", {"contents": [{"parts": [{"text": ""}]}]}, "contents"),
    ],
)  # fmt: skip
def test_what_converse_cannot_be_told_is_refused_in_the_clients_words(
    client: str, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        ask(client, {**CLIENTS[client], **change})
    assert (caught.value.refusal.status, caught.value.refusal.param) == (400, param)


def test_the_model_stands_in_the_path_escaped() -> None:
    way = translator("openai", "bedrock", "chat")
    assert way.path("", MODEL, stream=False) == "/model/eu.maker.model-v1%3A0/converse"
    arn = "arn:aws:bedrock:eu-west-1:1:inference-profile/x"
    assert way.path("/base/", arn, stream=True) == (
        "/base/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx/converse-stream"
    )


# -------------------------------------------------------------------------- answers

ANSWER: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"text": "Let me see."},
        {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"at": 1}}}]}},
    "stopReason": "tool_use",
    "usage": {"inputTokens": 10, "outputTokens": 9, "totalTokens": 27,
              "cacheReadInputTokens": 5, "cacheWriteInputTokens": 3},
    "metrics": {"latencyMs": 1},
}  # fmt: skip


@pytest.mark.parametrize("client", list(CLIENTS))
def test_an_answer_is_told_with_calls_usage_and_the_model_that_was_asked_for(client: str) -> None:
    before = deepcopy(ANSWER)
    way = translator(client, "bedrock", ENDPOINTS[client], lambda: 17)
    release = way.answer(ANSWER, b"", "asked")
    assert before == ANSWER
    assert (release.usage, release.stop_reason) == (
        Usage(18, 9, 5, cache_write_tokens=3),
        "tool_calls",
    )
    assert next(text.text for text in release.texts) == "Let me see."
    assert b'"asked"' in orjson.dumps(release.document)
    assert b"hm" not in orjson.dumps(release.document)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"),
        ("guardrail_intervened", "content_filter"), ("content_filtered", "content_filter"),
        ("something_new", "stop"),
    ],
)  # fmt: skip
def test_stop_reasons_are_told_in_the_hubs_words(reason: str, expected: str) -> None:
    release = translator("openai", "bedrock", "chat").answer({**ANSWER, "stopReason": reason}, b"")
    assert release.stop_reason == expected


@pytest.mark.parametrize(
    "document",
    [
        {}, {"output": 1}, {"output": {"message": {"content": [1]}}},
        {"output": {"message": {"content": [{"video": {}}]}}},
        {"output": {"message": {"content": [{"toolUse": {"toolUseId": "a"}}]}}},
    ],
)  # fmt: skip
def test_an_answer_without_its_shape_is_refused(document: dict[str, Any]) -> None:
    release = translator("openai", "bedrock", "chat").answer(document, b"")
    assert release.refusal is not None
    assert release.refusal.reason == "provider_answer_unreadable"


# -------------------------------------------------------------------------- streams

FRAMES = (
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"delta": {"reasoningContent": {"text": "hm"}},
                                "contentBlockIndex": 0}),
    event("contentBlockDelta", {"delta": {"text": "Größe "}, "contentBlockIndex": 1}),
    event("contentBlockDelta", {"delta": {"text": "zählt"}, "contentBlockIndex": 1}),
    event("contentBlockStop", {"contentBlockIndex": 1}),
    event("contentBlockStart", {"start": {"toolUse": {"toolUseId": "t1", "name": "look"}},
                                "contentBlockIndex": 2}),
    event("contentBlockDelta", {"delta": {"toolUse": {"input": '{"at"'}}, "contentBlockIndex": 2}),
    event("contentBlockDelta", {"delta": {"toolUse": {"input": ":1}"}}, "contentBlockIndex": 2}),
    event("messageStop", {"stopReason": "tool_use"}),
    event("metadata", {"usage": ANSWER["usage"], "metrics": {"latencyMs": 1}}),
)  # fmt: skip
STREAM = b"".join(FRAMES)
EXPECTED: list[StreamEvent] = [
    Start("", ""),
    TextDelta((0, "reasoning"), "hm", "reasoning"),
    TextDelta((0, "content"), "Größe "),
    TextDelta((0, "content"), "zählt"),
    ToolStart(0, "t1", "look"),
    TextDelta((0, "arguments", 0), '{"at"', "arguments", 0),
    TextDelta((0, "arguments", 0), ":1}", "arguments", 0),
    Stop("tool_calls"),
    UsageReport(Usage(18, 9, 5, cache_write_tokens=3)),
    End(),
]


def told(chunks: list[Chunk] | tuple[Chunk, ...]) -> list[StreamEvent]:
    return [event for chunk in chunks for event in chunk.events]


@settings(max_examples=300, deadline=None)
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_any_cut_of_a_stream_means_the_same(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    reader = BedrockReader()
    chunks: list[Chunk] = []
    for begin, end in itertools.pairwise(places):
        chunks += reader.feed(STREAM[begin:end], last=False)
    chunks += reader.feed(b"", last=True)
    assert told(chunks) == EXPECTED


def test_a_stream_byte_by_byte_means_the_same() -> None:
    reader = BedrockReader()
    chunks = [c for at in range(len(STREAM)) for c in reader.feed(STREAM[at : at + 1], last=False)]
    assert told(chunks) == EXPECTED


@settings(max_examples=50, deadline=None)
@given(
    headers=st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=40), max_size=5),
    payload=st.binary(max_size=200),
)
def test_messages_are_read_as_botocore_reads_them(headers: dict[str, str], payload: bytes) -> None:
    data = frame(headers, payload)
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    theirs = next(iter(buffer))
    (ours,) = EventStreamParser().feed(data)
    assert ours.headers == theirs.headers
    assert ours.payload == theirs.payload


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, len(FRAMES[2]) - 1), bit=st.integers(0, 7))
def test_a_changed_bit_is_noticed_and_nothing_after_it_is_believed(place: int, bit: int) -> None:
    broken = bytearray(FRAMES[2])
    broken[place] ^= 1 << bit
    reader = BedrockReader()
    chunks = reader.feed(FRAMES[0] + bytes(broken) + STREAM, last=True)
    assert told(chunks) == [Start("", ""), UNREADABLE]
    assert reader.feed(STREAM, last=True) == ()


def test_a_length_beyond_all_bounds_is_refused_before_it_is_waited_for() -> None:
    from struct import pack
    from zlib import crc32

    lengths = pack(">II", 1 << 30, 0)
    with pytest.raises(BadMessage):
        EventStreamParser().feed(lengths + pack(">I", crc32(lengths)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("throttlingException", "rate_limit_error"),
        ("validationException", "invalid_request_error"),
        ("modelStreamErrorException", "api_error"),
        ("serviceUnavailableException", "overloaded_error"),
    ],
)
def test_an_exception_inside_a_stream_is_an_error_event(name: str, kind: str) -> None:
    headers = {":exception-type": name, ":message-type": "exception"}
    stream = FRAMES[0] + frame(headers, b'{"message":"no more"}')
    chunks = BedrockReader().feed(stream, last=True)
    code = name[0].upper() + name[1:]
    assert told(chunks) == [Start("", ""), StreamError(kind, code, "no more")]


def test_an_error_message_of_the_framing_itself_is_an_error_event() -> None:
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "sorry"}
    assert told(BedrockReader().feed(frame(headers, b""), last=True)) == [
        StreamError("api_error", "InternalError", "sorry")
    ]


def test_a_stream_that_breaks_off_has_no_end() -> None:
    for stream in (b"".join(FRAMES[:4]), STREAM[:-40], b"".join(FRAMES[:8])):
        assert End() not in told(BedrockReader().feed(stream, last=False))
    assert End() not in told(BedrockReader().feed(b"".join(FRAMES[:4]), last=True))
    assert End() not in told(BedrockReader().feed(STREAM[:-40], last=True))


def test_a_stream_without_metadata_ends_with_its_last_byte() -> None:
    assert told(BedrockReader().feed(b"".join(FRAMES[:9]), last=True))[-2:] == [
        Stop("tool_calls"),
        End(),
    ]


# ------------------------------------------------------------------------ signatures

KEY = AwsKey("AKIDEXAMPLE", "wJalr/EXAMPLE+KEY")


def botocores(key: AwsKey, sent: Sent) -> str:
    """The authorization header that botocore makes for the same request."""
    request = AWSRequest(
        method=sent.method,
        url=f"https://{sent.host}{sent.path}",
        data=sent.body,
        headers={"content-type": "application/json", "host": sent.host},
    )
    auth = SigV4Auth(Credentials(key.id, key.secret, key.token or None), "bedrock", sent.region)
    stamp = datetime.fromtimestamp(sent.now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    request.context["timestamp"] = stamp
    request.headers["X-Amz-Date"] = stamp
    if key.token:
        request.headers["X-Amz-Security-Token"] = key.token
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    signature = auth.signature(to_sign, request)
    names = auth.signed_headers(auth.headers_to_sign(request))
    return (
        f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, "
        f"SignedHeaders={names}, Signature={signature}"
    )


SEGMENT = st.text(st.sampled_from("abzAZ09-._~%:/ é"), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    model=SEGMENT,
    body=st.binary(max_size=99),
    token=st.sampled_from(["", "to/ken+=="]),
    region=st.sampled_from(["eu-central-1", "us-east-1"]),
    now_s=st.integers(0, 4_000_000_000),
    host=st.sampled_from(["bedrock-runtime.eu-central-1.amazonaws.com", "127.0.0.1:9001"]),
)
def test_a_signature_is_botocores(
    model: str, body: bytes, token: str, region: str, now_s: int, host: str
) -> None:
    assume(model not in (".", ".."))  # no model's name, and no segment that a path keeps
    path = translator("openai", "bedrock", "chat").path("", model, stream=True)
    sent = Sent("POST", host, path, body, region, now_s)
    key = KEY._replace(token=token)
    headers = dict(sign(key, sent, "bedrock"))
    assert headers["authorization"] == botocores(key, sent)
    assert headers.get("x-amz-security-token", "") == token


def test_the_key_of_a_day_is_made_once() -> None:
    day_key.cache_clear()
    for now_s in (0, 1, 86_399, 86_400):
        sign(KEY, Sent("POST", "h", "/", b"", "r", now_s), "bedrock")
    assert day_key.cache_info().misses == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "wJalr/EXAMPLE+KEY"}',
        '{"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "wJalr/EXAMPLE+KEY", "Expiration": "x"}',
        "[default] aws_access_key_id = AKIDEXAMPLE aws_secret_access_key=wJalr/EXAMPLE+KEY"
        " [other] aws_access_key_id = x",
    ],
)
def test_a_credential_file_is_json_or_ini(text: str) -> None:
    assert read_key(text) == KEY


@pytest.mark.parametrize("text", ["sk-1", "{}", "[]", '{"aws_access_key_id": 1}', "{"])
def test_what_is_no_credential_is_a_lookup_error(text: str) -> None:
    with pytest.raises(LookupError):
        BEDROCK.credential_headers(text, Sent("POST", "h", "/", b"", "r", 0))


def test_a_key_does_not_print_its_secret() -> None:
    assert KEY.secret not in repr(KEY)
    assert KEY.secret not in str(KEY._replace(token="t"))


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", "ValidationException"),
        (404, "not_found_error", "ResourceNotFoundException"),
        (424, "api_error", "ModelErrorException"),
        (429, "rate_limit_error", "ThrottlingException"),
        (503, "overloaded_error", "ServiceUnavailableException"),
    ],
)
def test_an_error_keeps_its_message_in_words_that_others_know(
    status: int, kind: str, code: str
) -> None:
    for name in ("message", "Message"):
        refusal = BEDROCK.read_error(status, {name: "Too many requests"})
        assert (refusal.status, refusal.type, refusal.code) == (status, kind, code)
        assert refusal.message == "Too many requests"


def test_what_is_wrong_with_our_own_key_is_not_the_callers_business() -> None:
    body = {"message": "User: arn:aws:iam::1:user/x is not authorized"}
    refusal = BEDROCK.read_error(403, body)
    assert refusal.status == 502
    assert "arn" not in refusal.message
