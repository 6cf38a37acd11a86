"""A kept answer in another form says what it said, or is not given."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.cached import Form
from gateway_extproc.core.chat import ChatResponse, StopReason, Text, ToolCall
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.anthropic import answer as anthropic_answer
from gateway_extproc.providers.openai import answer as openai_answer
from gateway_extproc.providers.replay import replay
from gateway_extproc.providers.translate import DIALECTS, translator
from providers.cohere_samples import COHERE_ANSWER, COHERE_STREAM
from providers.converse_samples import CONVERSE_ANSWER, CONVERSE_STREAM
from support import bodies

USAGE = {"input_tokens": 1, "output_tokens": 1}
DIALECT_NAMES = ("openai", "anthropic")
ENDPOINTS = {"openai": "chat", "anthropic": "messages"}

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
names = st.text("abcdefgh_", min_size=1, max_size=8)
arguments = st.dictionaries(names, st.integers(-9, 9) | texts | st.booleans(), max_size=3)
calls = st.builds(ToolCall, names, names, arguments.map(lambda given: orjson.dumps(given).decode()))
usages = st.builds(Usage, st.integers(5, 999), st.integers(1, 999), st.integers(0, 5))


@st.composite
def responses(draw: Any) -> ChatResponse:
    """Answers that both dialects can say: at most one text, before its calls."""
    called = draw(st.lists(calls, max_size=3))
    said = draw(st.lists(texts, max_size=1, min_size=0 if called else 1))
    reason: StopReason = "tool_calls" if called else "stop"
    parts = (*map(Text, said), *called)
    return ChatResponse(draw(names), draw(names), parts, reason, draw(usages))


def written(response: ChatResponse, dialect: str) -> bytes:
    if dialect == "anthropic":
        return orjson.dumps(anthropic_answer.answer_from_chat(response))
    return orjson.dumps(openai_answer.answer_from_chat(response, 7))


@given(responses(), st.sampled_from(DIALECT_NAMES))
def test_a_whole_answer_survives_being_a_stream(response: ChatResponse, dialect: str) -> None:
    whole = written(response, dialect)
    stream = replay(whole, "whole", "usage_stream", dialect, response.usage)
    assert stream is not None
    back = replay(stream, "usage_stream", "whole", dialect, None)
    assert back is not None
    assert orjson.loads(back) == orjson.loads(whole)


@given(responses())
def test_a_stream_tells_usage_to_whom_it_is_told(response: ChatResponse) -> None:
    whole = written(response, "openai")
    quiet = replay(whole, "whole", "stream", "openai", None)
    assert quiet is not None
    assert b'"usage"' not in quiet
    told = replay(quiet, "stream", "usage_stream", "openai", response.usage)
    assert told == replay(whole, "whole", "usage_stream", "openai", None)
    assert replay(told or b"", "usage_stream", "stream", "openai", None) == quiet


@given(responses(), st.sampled_from(DIALECT_NAMES))
def test_what_is_written_the_dialects_own_reader_reads(
    response: ChatResponse, dialect: str
) -> None:
    stream = replay(written(response, dialect), "whole", "usage_stream", dialect, None)
    reader = translator(dialect, dialect, ENDPOINTS[dialect]).reader()
    chunks = reader.feed(stream or b"", last=True)
    assert all(chunk.raw is not None for chunk in chunks)
    assert b"".join(chunk.raw or b"" for chunk in chunks) == stream


@pytest.mark.parametrize("form", ["whole", "stream", "usage_stream"])
def test_the_same_form_is_not_looked_into(form: Form) -> None:
    assert replay(b"anything", form, form, "openai", None) == b"anything"


def completion(**message: Any) -> bytes:
    said = {"role": "assistant", "content": "Hi", **message}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    return bodies.completion(choices=[choice])


@pytest.mark.parametrize(
    "body",
    [
        completion(reasoning_content="so I think"),
        completion(annotations=[{"type": "url_citation"}]),
        completion(refusal="no"),
        completion(audio={"id": "a"}),
        completion(tool_calls=[{"id": "1", "type": "custom", "custom": {"name": "f"}}]),
        bodies.completion(choices=[]),
        bodies.completion(
            choices=[
                {"index": i, "message": {"role": "assistant", "content": "a"},
                 "finish_reason": "stop"}
                for i in range(2)
            ]
        ),
        bodies.completion(
            choices=[
                {"index": 0, "message": {"role": "assistant", "content": "a"},
                 "logprobs": {"content": [{"token": "a"}]}, "finish_reason": "stop"}
            ]
        ),
        bodies.completion(
            choices=[
                {"index": 0, "message": {"role": "assistant", "content": "a"},
                 "finish_reason": "length"}
            ]
        ),
        completion(content=None),
        b"not JSON",
        b"[]",
    ],
)  # fmt: skip
def test_what_would_lose_something_keeps_its_form(body: bytes) -> None:
    assert replay(body, "whole", "stream", "openai", None) is None


@pytest.mark.parametrize(
    "delta",
    [{"reasoning_content": "so"}, {"content": "a", "annotations": [1]}, {"refusal": "no"}],
)
def test_a_stream_that_says_more_keeps_its_form(delta: dict[str, Any]) -> None:
    event = bodies.completion_event(choices=[{"index": 0, "delta": delta, "finish_reason": None}])
    stream = bodies.completion_event("Hi") + event + bodies.STREAM_END
    assert replay(stream, "stream", "whole", "openai", None) is None


def test_a_stream_without_its_end_keeps_its_form() -> None:
    assert replay(bodies.completion_event("Hi"), "stream", "whole", "openai", None) is None
    whole = bodies.completion_event("Hi") + bodies.STREAM_END
    assert replay(whole, "stream", "whole", "openai", None) is not None


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "thinking", "thinking": "so", "signature": "s"}, {"type": "text", "text": "a"}],
        [{"type": "text", "text": "a", "citations": [{"type": "char_location"}]}],
        [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        [],
    ],
)
def test_thoughts_citations_and_two_texts_in_a_row_keep_their_form(content: list[Any]) -> None:
    message = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": content,
               "stop_reason": "end_turn", "usage": USAGE}  # fmt: skip
    assert replay(orjson.dumps(message), "whole", "usage_stream", "anthropic", None) is None


def test_the_stop_sequence_that_ended_an_answer_is_not_lost() -> None:
    message = {"id": "m", "type": "message", "role": "assistant", "model": "x",
               "content": [{"type": "text", "text": "a"}], "stop_reason": "stop_sequence",
               "stop_sequence": "END", "usage": USAGE}  # fmt: skip
    assert replay(orjson.dumps(message), "whole", "usage_stream", "anthropic", None) is None


@given(st.binary(), st.sampled_from(DIALECT_NAMES), st.sampled_from(["whole", "usage_stream"]))
def test_bytes_of_any_kind_break_nothing(data: bytes, dialect: str, form: Form) -> None:
    wanted: Form = "usage_stream" if form == "whole" else "whole"
    assert replay(data, form, wanted, dialect, None) is None


def test_an_answer_of_another_dialect_is_only_kept_as_it_is() -> None:
    body = b'{"candidates":[]}'
    for dialect in sorted(set(DIALECTS) - set(DIALECT_NAMES)):
        assert replay(body, "whole", "whole", dialect, None) == body
        assert replay(body, "whole", "stream", dialect, None) is None
        assert replay(b"data: {}\n\n", "stream", "whole", dialect, None) is None


@pytest.mark.parametrize("dialect", ["cohere", "bedrock"])
def test_answers_of_other_dialects_keep_their_form(dialect: str) -> None:
    """They are kept as they were given: a whole answer is no stream, nor the other way round."""
    whole = {"cohere": COHERE_ANSWER, "bedrock": CONVERSE_ANSWER}[dialect]
    stream = {"cohere": COHERE_STREAM, "bedrock": CONVERSE_STREAM}[dialect]
    body = orjson.dumps(whole)
    assert replay(body, "whole", "whole", dialect, None) == body
    assert replay(body, "whole", "usage_stream", dialect, Usage(1, 1)) is None
    assert replay(stream, "usage_stream", "whole", dialect, Usage(1, 1)) is None
