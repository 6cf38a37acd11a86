"""Streams: any cut means the same, passes byte for byte, and translates into valid shape."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import anthropic.types as at
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from gateway_extproc.core.chat import (
    BlockEnd,
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
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.ports import AnswerWriter
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.sse import MAX_EVENT_BYTES
from gateway_extproc.providers.translate import translator
from providers.samples import (
    ANTHROPIC_REQUEST,
    ANTHROPIC_STREAM,
    DONE,
    OPENAI_REQUEST,
    OPENAI_STREAM,
    block,
    call,
    chunk,
    chunks,
    data,
    documents,
    named,
    read,
    written,
)

STREAMS = {"openai": OPENAI_STREAM, "anthropic": ANTHROPIC_STREAM}
REQUESTS = {"openai": OPENAI_REQUEST, "anthropic": ANTHROPIC_REQUEST}
ENDPOINTS = {"openai": "chat", "anthropic": "messages"}
PAIRS = [(client, provider) for client in STREAMS for provider in STREAMS]
EVENT: TypeAdapter[Any] = TypeAdapter(at.RawMessageStreamEvent)


def read_stream(provider: str, *pieces: bytes) -> list[Chunk]:
    way = translator(provider, provider, ENDPOINTS[provider])
    return chunks(way.reader(), pieces)


def events(provider: str, *pieces: bytes) -> list[StreamEvent]:
    return [event for one in read_stream(provider, *pieces) for event in one.events]


def a_writer(client: str, provider: str, *, usage: bool = True) -> AnswerWriter:
    fields = {"stream": True}
    if client == "openai":
        fields |= {"stream_options": {"include_usage": usage}}  # type: ignore[dict-item]
    asked = read(client, {**REQUESTS[client], **fields})
    return translator(client, provider, asked.endpoint, lambda: 17).writer(asked)


def sent(client: str, provider: str, stream: bytes, *, usage: bool = True) -> bytes:
    return written(a_writer(client, provider, usage=usage), read_stream(provider, stream))


def anthropic_events(stream: bytes) -> list[Any]:
    found = documents(stream)
    names = [line[7:] for line in stream.decode().split("\n") if line.startswith("event: ")]
    assert names == [document["type"] for document in found]
    return [EVENT.validate_python(one) for one in found if one["type"] not in ("ping", "error")]


def openai_chunks(stream: bytes) -> list[ChatCompletionChunk]:
    return [ChatCompletionChunk.model_validate(one, strict=True) for one in documents(stream)]


# ------------------------------------------------------------------------- readers


def test_an_openai_stream_means_these_events() -> None:
    assert events("openai", OPENAI_STREAM) == [
        Start("chatcmpl-1", "gpt-x"),
        TextDelta((0, "content"), "Gr\u00fc\u00dfe"),
        TextDelta((0, "content"), " an alle"),
        ToolStart(0, "c0", "weather"),
        TextDelta((0, "arguments", 0), '{"city":', "arguments", 0),
        TextDelta((0, "arguments", 0), '"Paris"}', "arguments", 0),
        ToolStart(1, "c1", "weather"),
        TextDelta((0, "arguments", 1), '{"city":"Rome"}', "arguments", 1),
        Stop("tool_calls"),
        UsageReport(Usage(20, 9, 5, 2)),
        End(),
    ]


def test_an_anthropic_stream_means_these_events() -> None:
    assert events("anthropic", ANTHROPIC_STREAM) == [
        Start("msg_1", "claude-x"),
        UsageReport(Usage(18, 1, 5, cache_write_tokens=3)),
        TextDelta((0, "reasoning"), "hm", "reasoning"),
        BlockEnd(0),
        TextDelta((1, "content"), "Gr\u00fc\u00dfe"),
        TextDelta((1, "content"), " an alle"),
        BlockEnd(1),
        ToolStart(0, "t0", "weather"),
        TextDelta((2, "arguments"), '{"city":', "arguments", 0),
        TextDelta((2, "arguments"), '"Paris"}', "arguments", 0),
        BlockEnd(2),
        ToolStart(1, "t1", "weather"),
        TextDelta((3, "arguments"), '{"city":"Rome"}', "arguments", 1),
        BlockEnd(3),
        Stop("tool_calls"),
        UsageReport(Usage(18, 9, 5, cache_write_tokens=3)),
        End(),
    ]


def test_all_choices_and_all_kinds_of_text_appear() -> None:
    stream = data(
        chunk({"content": "a"}),
        chunk({"content": "b"}, index=1),
        chunk({"refusal": "no", "reasoning_content": "hm", "reasoning": "so"}),
        chunk({"function_call": {"name": "f", "arguments": "{}"}}),
        chunk({}, "stop"),
        chunk({}, "length", index=1),
    )
    assert events("openai", stream)[1:] == [
        TextDelta((0, "content"), "a"),
        TextDelta((1, "content"), "b"),
        TextDelta((0, "refusal"), "no", "refusal"),
        TextDelta((0, "reasoning_content"), "hm", "reasoning"),
        TextDelta((0, "reasoning"), "so", "reasoning"),
        TextDelta((0, "function_call"), "{}", "arguments"),
        Stop("stop"),
        Stop("length", 1),
    ]


@pytest.mark.parametrize(("client", "provider"), PAIRS)
@settings(max_examples=60, deadline=None)
@given(drawn=st.data())
def test_any_cut_means_the_same_and_is_written_the_same(
    client: str, provider: str, drawn: st.DataObject
) -> None:
    stream = STREAMS[provider]
    cuts = sorted(drawn.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    cut, whole = read_stream(provider, *pieces), read_stream(provider, stream)
    assert cut == whole
    assert b"".join(one.raw or b"" for one in cut) == stream
    assert written(a_writer(client, provider), cut) == written(a_writer(client, provider), whole)


@pytest.mark.parametrize(
    "text",
    [
        b"data: {broken\n\n",
        b"data: [1]\n\n",
        b'data: {"choices": 7}\n\n',
        b'data: {"choices": [{"delta": {"content": [{"text": "x"}]}}]}\n\n',
        b'data: {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": [1]}}]}}]}\n\n',
    ],
)
def test_what_cannot_be_read_does_not_pass(text: bytes) -> None:
    found = read_stream("openai", text)
    assert [one.raw for one in found] == [None]
    assert found[0].events[0].code == "provider_answer_unreadable"  # type: ignore[union-attr]
    for client in STREAMS:
        error = documents(written(a_writer(client, "openai"), found))[0]["error"]
        assert error["code"] == "provider_answer_unreadable"


@pytest.mark.parametrize(
    "text",
    [
        b"data: {broken\n\n",
        b"data: {}\n\n",
        b'data: {"type": "content_block_delta", "index": "0", "delta": {}}\n\n',
        b'data: {"type": "content_block_delta", "index": 0, "delta": {"text": 1}}\n\n',
        b'data: {"type": "message_start"}\n\n',
    ],
)
def test_what_cannot_be_read_of_anthropic_does_not_pass(text: bytes) -> None:
    assert [one.raw for one in read_stream("anthropic", text)] == [None]


def test_an_endless_event_ends_the_reading() -> None:
    reader = translator("openai", "openai", "chat").reader()
    first = reader.feed(data(chunk({"content": "a"})) + b"x" * (MAX_EVENT_BYTES + 1), last=False)
    assert isinstance(first[0].events[1], TextDelta)
    assert isinstance(first[1].events[0], StreamError)
    assert reader.feed(b"data: {}\n\n", last=True) == ()


# --------------------------------------------------------------------- passing on


@pytest.mark.parametrize("dialect", list(STREAMS))
def test_a_stream_of_the_clients_dialect_passes_byte_for_byte(dialect: str) -> None:
    assert sent(dialect, dialect, STREAMS[dialect]) == STREAMS[dialect]


def test_usage_that_the_client_did_not_ask_for_is_hidden() -> None:
    passed = sent("openai", "openai", OPENAI_STREAM, usage=False)
    assert b"prompt_tokens" in OPENAI_STREAM
    assert b"prompt_tokens" not in passed
    assert passed.endswith(DONE)


def test_azures_first_chunk_without_choices_passes() -> None:
    stream = data({"id": "", "choices": [], "prompt_filter_results": []})
    assert sent("openai", "openai", stream, usage=False) == stream


def masked(one: Chunk) -> Chunk:
    """As a guard does it: other texts, no raw bytes, the document untouched."""
    changed = tuple(
        TextDelta(e.slot, e.text.upper(), e.field, e.call) if isinstance(e, TextDelta) else e
        for e in one.events
    )
    return one if changed == one.events else Chunk(None, one.document, changed)


@pytest.mark.parametrize("dialect", list(STREAMS))
def test_changed_texts_are_written_into_their_places(dialect: str) -> None:
    original = read_stream(dialect, STREAMS[dialect])
    before = deepcopy(original)
    stream = written(a_writer(dialect, dialect), map(masked, original))
    assert events(dialect, stream) == [
        event for one in map(masked, original) for event in one.events
    ]
    assert original == before
    assert openai_chunks(stream) if dialect == "openai" else anthropic_events(stream)


def test_a_changed_text_leaves_no_trace_in_probabilities_or_padding() -> None:
    document = chunk({"content": "secret"}, obfuscation="xxxx")
    document["choices"][0]["logprobs"] = {"content": [{"token": "secret"}]}
    changed = Chunk(None, document, (TextDelta((0, "content"), "***"),))
    stream = a_writer("openai", "openai").write(changed)
    assert b"secret" not in stream
    assert b"obfuscation" not in stream
    assert b"***" in stream


def test_released_text_becomes_a_chunk_of_the_same_answer() -> None:
    writer = a_writer("openai", "openai")
    stream = written(writer, read_stream("openai", data(chunk({"content": "a"}, index=1))))
    held = (
        TextDelta((1, "content"), "b"),
        TextDelta((0, "reasoning"), "r", "reasoning"),
        TextDelta((0, "arguments", 2), "{}", "arguments", 2),
    )
    stream += writer.write(Chunk(None, None, held))
    first, text, thought, arguments = openai_chunks(stream)
    assert {(one.id, one.model, one.created) for one in (text, thought, arguments)} == {
        (first.id, first.model, first.created)
    }
    assert (text.choices[0].index, text.choices[0].delta.content) == (1, "b")
    assert thought.choices[0].delta.model_extra == {"reasoning": "r"}
    assert events("openai", stream)[2:4] == list(held[:2])


def test_released_text_goes_to_its_anthropic_block() -> None:
    writer = a_writer("anthropic", "anthropic")
    held = (TextDelta((4, "arguments"), "{}", "arguments", 0), TextDelta((0, "content"), "b"))
    arguments, text = anthropic_events(writer.write(Chunk(None, None, held)))
    assert (arguments.index, arguments.delta.partial_json) == (4, "{}")
    assert (text.index, text.delta.text) == (0, "b")


def test_a_chunk_whose_text_is_held_back_carries_what_another_slot_released() -> None:
    other = TextDelta((0, "content"), "late")
    document = chunk({"content": "x"}, index=1)
    stream = a_writer("openai", "openai").write(Chunk(None, document, (other,)))
    assert [e for e in events("openai", stream) if isinstance(e, TextDelta)] == [other]


# ----------------------------------------------------------------- translating


def test_an_anthropic_stream_becomes_an_openai_one() -> None:
    stream = sent("openai", "anthropic", ANTHROPIC_STREAM)
    found = openai_chunks(stream)
    assert stream.endswith(DONE)
    assert stream.count(b"[DONE]") == 1
    assert {(one.id, one.model, one.created) for one in found} == {("msg_1", "claude-x", 17)}
    assert found[0].choices[0].delta.role == "assistant"
    assert [event for event in events("openai", stream) if not isinstance(event, Start)] == [
        TextDelta((0, "content"), "Gr\u00fc\u00dfe"),
        TextDelta((0, "content"), " an alle"),
        ToolStart(0, "t0", "weather"),
        TextDelta((0, "arguments", 0), '{"city":', "arguments", 0),
        TextDelta((0, "arguments", 0), '"Paris"}', "arguments", 0),
        ToolStart(1, "t1", "weather"),
        TextDelta((0, "arguments", 1), '{"city":"Rome"}', "arguments", 1),
        Stop("tool_calls"),
        UsageReport(Usage(18, 9, 5)),
        End(),
    ]
    assert found[-1].choices == []
    assert b"prompt_tokens" not in sent("openai", "anthropic", ANTHROPIC_STREAM, usage=False)


def test_an_openai_stream_becomes_an_anthropic_one() -> None:
    found = anthropic_events(sent("anthropic", "openai", OPENAI_STREAM))
    assert [one.type for one in found] == [
        "message_start",
        *("content_block_start", "content_block_delta", "content_block_delta"),
        "content_block_stop",
        *("content_block_start", "content_block_delta", "content_block_delta"),
        "content_block_stop",
        *("content_block_start", "content_block_delta", "content_block_stop"),
        "message_delta",
        "message_stop",
    ]
    assert [one.index for one in found[1:-2]] == [0] * 4 + [1] * 4 + [2] * 3
    assert found[-2].delta.stop_reason == "tool_use"
    usage = found[-2].usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (15, 5, 9)


def test_text_released_late_still_makes_valid_blocks() -> None:
    stream = data(chunk({"content": "a"}), chunk(call(0, "{}", id="c", name="f")))
    writer = a_writer("anthropic", "openai")
    out = written(writer, read_stream("openai", stream))
    out += writer.write(Chunk(None, None, (TextDelta((0, "content"), "b"),)))
    out += written(writer, read_stream("openai", data(chunk({}, "stop")) + DONE))
    check_blocks(out)


def check_blocks(stream: bytes) -> None:
    """One block at a time, numbered from 0, each opened and closed once."""
    opened: list[int] = []
    current: int | None = None
    for event in anthropic_events(stream):
        if event.type == "content_block_start":
            assert current is None
            assert event.index == len(opened)
            opened.append(event.index)
            current = event.index
        elif event.type == "content_block_delta":
            assert event.index == current
        elif event.type == "content_block_stop":
            assert event.index == current
            current = None
    assert current is None


# ------------------------------------------------------------------- ends and errors


@pytest.mark.parametrize(("client", "provider"), PAIRS)
@pytest.mark.parametrize("share", [0, 0.3, 0.6, 0.8])
def test_a_polite_end_is_complete_and_comes_once(client: str, provider: str, share: float) -> None:
    writer = a_writer(client, provider)
    stream = STREAMS[provider]
    head = translator(provider, provider, ENDPOINTS[provider]).reader()
    out = written(writer, head.feed(stream[: int(len(stream) * share)], last=False))
    out += writer.stop()
    assert events(client, out)[-1] == End()
    assert [one for one in events(client, out) if isinstance(one, Stop)][-1].reason == (
        "content_filter"
    )
    if client == "anthropic":
        check_blocks(out)
    assert writer.stop() == writer.error(refuse("gateway_error", "x")) == b""
    assert written(writer, read_stream(provider, stream)) == b""


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_an_error_ends_a_stream_as_the_sdk_expects(client: str, provider: str) -> None:
    writer = a_writer(client, provider)
    out = writer.error(refuse("provider_stream_incomplete", 'it "broke"'))
    error = documents(out)[0]["error"]
    assert (error["message"], error["code"]) == ('it "broke"', "provider_stream_incomplete")
    assert out.endswith(DONE) is (client == "openai")
    assert out.startswith(b"event: error\n") is (client == "anthropic")
    assert writer.error(refuse("gateway_error", "x")) == b""


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_providers_error_reaches_the_client_once(client: str, provider: str) -> None:
    error = {"type": "overloaded_error", "message": "busy"}
    stream = (
        named({"type": "error", "error": error})
        if provider == "anthropic"
        else data({"error": error})
    )
    assert events(provider, stream) == [StreamError("overloaded_error", None, "busy")]
    writer = a_writer(client, provider)
    out = written(writer, read_stream(provider, stream))
    out += writer.error(refuse("provider_error", "other"))
    assert [one["error"]["message"] for one in documents(out)] == ["busy"]
    assert out.endswith(DONE) is (client == "openai")


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_nothing_follows_a_complete_stream(client: str, provider: str) -> None:
    writer = a_writer(client, provider)
    written(writer, read_stream(provider, STREAMS[provider]))
    assert writer.error(refuse("gateway_error", "x")) == b""
    assert writer.stop() == b""


@pytest.mark.parametrize(
    ("anthropic_word", "openai_word", "back"),
    [
        ("end_turn", "stop", "end_turn"),
        ("stop_sequence", "stop", "end_turn"),
        ("max_tokens", "length", "max_tokens"),
        ("tool_use", "tool_calls", "tool_use"),
        ("refusal", "content_filter", "refusal"),
    ],
)
def test_stop_reasons_keep_their_meaning(anthropic_word: str, openai_word: str, back: str) -> None:
    stream = named(
        *block(0, {"type": "text", "text": ""}),
        {
            "type": "message_delta",
            "delta": {"stop_reason": anthropic_word},
            "usage": {"output_tokens": 1},
        },
        {"type": "message_stop"},
    )
    finished = openai_chunks(sent("openai", "anthropic", stream))[0].choices[0].finish_reason
    assert finished == openai_word
    stream = data(chunk({}, openai_word)) + DONE
    assert anthropic_events(sent("anthropic", "openai", stream))[-2].delta.stop_reason == back


def test_a_stream_with_other_line_ends_passes_as_it_came() -> None:
    stream = OPENAI_STREAM.replace(b"\n", b"\r\n")
    assert sent("openai", "openai", stream) == stream
    assert events("openai", stream) == events("openai", OPENAI_STREAM)


def test_the_arguments_of_parallel_calls_arrive_whole() -> None:
    texts = [
        orjson.loads(arguments)
        for arguments in (
            "".join(
                e.text
                for e in events("anthropic", sent("anthropic", "openai", OPENAI_STREAM))
                if isinstance(e, TextDelta) and e.call == number
            )
            for number in (0, 1)
        )
    ]
    assert texts == [{"city": "Paris"}, {"city": "Rome"}]
