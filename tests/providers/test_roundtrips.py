"""From one dialect to another and back: text, tools, results, stop reason and usage stay.

Conversations and answers are generated in the hub's own values, which every dialect can write;
``from_chat`` and ``to_chat`` are the two ways of a request, and the same for answers.
"""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_extproc.core.chat import (
    ChatMessage,
    ChatRequest,
    ChatResponse,
    Chunk,
    End,
    Part,
    Start,
    Stop,
    StreamEvent,
    Text,
    TextDelta,
    TokenProb,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    ToolStart,
    UsageReport,
)
from gateway_extproc.core.ports import Translator
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.openai.responses import from_hub, to_hub, whole
from gateway_extproc.providers.translate import (
    ANTHROPIC,
    BEDROCK,
    COHERE,
    GEMINI,
    OPENAI,
    VERTEX,
    translator,
)
from providers.samples import LANGUAGES, read

EXAMPLES = int(os.environ.get("ROUND_TRIPS", "30"))
"""Conversations, answers and streams, each through every pair; ``make round-trips``: 10,000."""

RESPONSES = SimpleNamespace(
    from_chat=from_hub.from_chat,
    to_chat=to_hub.to_chat,
    answer_from_chat=whole.answer_from_chat,
    answer_to_chat=whole.answer_to_chat,
)
CLIENTS: dict[str, Any] = {
    "openai": OPENAI, "responses": RESPONSES, "anthropic": ANTHROPIC, "gemini": GEMINI,
    "cohere": COHERE, "bedrock": BEDROCK,
}  # fmt: skip
PAIRS = [(a, b) for a in CLIENTS for b in CLIENTS if a != b]
BASE: dict[str, dict[str, Any]] = {
    "openai": {"model": "m", "messages": [{"role": "user", "content": "x"}],
               "stream_options": {"include_usage": True}},
    "responses": {"model": "m", "input": "x"},
    "anthropic": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
    "gemini": {"model": "m", "alt": "sse", "contents": [{"parts": [{"text": "x"}]}]},
    "cohere": {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    "bedrock": {"model": "m", "messages": [{"role": "user", "content": [{"text": "x"}]}]},
}  # fmt: skip

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
names = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
arguments = st.dictionaries(words, values, max_size=3).map(
    lambda value: orjson.dumps(value).decode()
)


@st.composite
def conversations(draw: st.DrawFn) -> ChatRequest:
    """A user who asks, a model that answers or calls tools, tools that tell, and so on."""
    tools = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    turns: list[ChatMessage] = []
    if draw(st.booleans()):
        turns.append(ChatMessage("system", (Text(draw(words)),)))
    number = 0
    for _ in range(draw(st.integers(0, 3))):
        turns.append(ChatMessage("user", (Text(draw(words)),)))
        parts: list[Part] = [Text(draw(words))] if draw(st.booleans()) else []
        calls = []
        for name in draw(st.lists(st.sampled_from(tools), max_size=3)):
            calls.append(ToolCall(f"c{number}", name, draw(arguments)))
            number += 1
        if not parts and not calls:
            parts.append(Text("."))
        turns.append(ChatMessage("assistant", (*parts, *calls)))
        if calls:
            results = tuple(ToolResult(call.id, draw(words)) for call in calls)
            turns.append(ChatMessage("tool", results))
    turns.append(ChatMessage("user", (Text(draw(words)),)))
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    return ChatRequest(
        model="m",
        messages=tuple(turns),
        max_tokens=draw(st.integers(1, 999)),
        temperature=draw(st.none() | st.sampled_from([0.0, 0.5, 1.0])),
        top_p=draw(st.none() | st.sampled_from([0.1, 1.0])),
        stop=tuple(draw(st.lists(words, max_size=4))),
        tools=tuple(Tool(name, draw(st.none() | words), schema) for name in tools),
        tool_choice=draw(
            st.none()
            | st.sampled_from([ToolChoice("auto"), ToolChoice("none"), ToolChoice("required")])
            | st.just(ToolChoice("named", tools[0]))
        ),
    )


usages = st.builds(
    lambda prompt, said, cached, thought: Usage(prompt + cached, said + thought, cached, thought),
    *[st.integers(0, 10**6)] * 4,
)


@st.composite
def answers(draw: st.DrawFn) -> ChatResponse:
    texts = [Text(draw(words))] if draw(st.booleans()) else []
    calls = [
        ToolCall(f"c{number}", draw(names), draw(arguments))
        for number in range(draw(st.integers(0, 2)))
    ]
    reason = "tool_calls" if calls else draw(st.sampled_from(["stop", "length", "content_filter"]))
    return ChatResponse("id1", "m1", (*texts, *calls), reason, draw(usages))  # type: ignore[arg-type]


def way_of(here: str, there: str) -> Translator:
    """From clients of one language to providers of another."""
    dialect, endpoint = LANGUAGES[here]
    provider = there
    if there == "responses":
        provider = "openai:responses"
    elif here == "responses" and there == "openai":
        provider = "openai:chat"
    return translator(dialect, provider, endpoint)


def told(chat: ChatRequest, *languages: str) -> ChatRequest:
    """The request as it can be said in all of these languages."""
    if "responses" in languages:
        chat = replace(chat, stop=())
    if "bedrock" in languages and chat.tool_choice == ToolChoice("none"):
        chat = replace(chat, tool_choice=None)  # Converse cannot be told
    if "cohere" in languages:
        # It has no word for the default, none for one tool by its name, and bounds of its own.
        choice = chat.tool_choice
        if choice is not None and choice.mode == "named":
            only = tuple(tool for tool in chat.tools if tool.name == choice.name)
            chat = replace(chat, tools=only, tool_choice=ToolChoice("required"))
        elif choice is not None and choice.mode == "auto":
            chat = replace(chat, tool_choice=None)
        chat = replace(chat, top_p=None if chat.top_p is None else min(chat.top_p, 0.99))
    return chat


def written(dialect: str, chat: ChatRequest) -> dict[str, Any]:
    """A client's document that says this."""
    side = CLIENTS[dialect]
    document: dict[str, Any] = side.from_chat(chat)
    return {**document, "model": chat.model}


def plain(chat: ChatRequest) -> list[tuple[str, list[Any]]]:
    """What is said, by whom: neighbours of one voice joined, arguments as values."""
    told: list[tuple[str, list[Any]]] = []
    for turn in chat.messages:
        parts = [_value(part) for part in turn.parts]
        voice = "user" if turn.role == "tool" else turn.role
        if told and told[-1][0] == voice:
            told[-1][1].extend(parts)
        else:
            told.append((voice, parts))
    return told


def _value(part: Any) -> Any:
    if isinstance(part, ToolCall):
        return (part.id, part.name, orjson.loads(part.arguments))
    return (part.call_id, part.text) if isinstance(part, ToolResult) else part.text


fast = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@fast
@given(chat=conversations())
def test_a_request_comes_back_as_it_was(chat: ChatRequest) -> None:
    for here, there in PAIRS:
        _comes_back(here, there, chat)


def _comes_back(here: str, there: str, chat: ChatRequest) -> None:
    if "bedrock" in (here, there):
        chat = told(chat, "bedrock")
        if not all(_has_ink(part) for turn in chat.messages for part in turn.parts):
            return  # Bedrock leaves blank texts out
    if "responses" in (here, there):
        chat = told(chat, "responses")
    document = written(here, chat)
    asked = read(here, document)
    way = way_of(here, there)
    sent = dict(way.request(asked, "m", 10**6, force_usage=True))
    arrived = read(there, {**sent, "model": "m"})
    back = CLIENTS[there].to_chat(arrived.document, here)
    chat = told(chat, here, there)
    assert plain(back) == plain(chat)
    assert (back.max_tokens, back.temperature, back.top_p, back.stop) == (
        chat.max_tokens, chat.temperature, chat.top_p, chat.stop,
    )  # fmt: skip
    assert back.tools == chat.tools
    assert back.tool_choice == chat.tool_choice
    again = CLIENTS[here].to_chat(read(here, written(here, back)).document, there)
    assert plain(again) == plain(chat)


@fast
@given(chat=conversations())
def test_a_request_says_the_same_to_those_that_only_serve(chat: ChatRequest) -> None:
    for here in CLIENTS:
        _arrives(here, VERTEX.name, chat)


def _arrives(here: str, there: str, chat: ChatRequest) -> None:
    if not all(_has_ink(part) for turn in chat.messages for part in turn.parts):
        return  # Bedrock leaves blank texts out
    chat = told(chat, here, "bedrock")
    way = way_of(here, there)
    sent = way.request(read(here, written(here, chat)), "m", 10**6, force_usage=True)
    texts = [part for _, parts in plain(chat) for part in parts]
    read_back = GEMINI.to_chat(read("gemini", {**sent, "model": "m"}).document, "openai")
    said = [part for _, parts in plain(read_back) for part in parts]
    assert [_without_id(part) for part in said] == [_without_id(part) for part in texts]


def _has_ink(part: Part) -> bool:
    return not isinstance(part, Text) or bool(part.text.strip())


def _without_id(part: Any) -> Any:
    return part if isinstance(part, str) else part[1:]


@fast
@given(answer=answers())
def test_an_answer_comes_back_as_it_was(answer: ChatResponse) -> None:
    for here, there in PAIRS:
        _answer_comes_back(here, there, answer)


def _answer_comes_back(here: str, there: str, answer: ChatResponse) -> None:
    document = CLIENTS[there].answer_from_chat(answer, 0)
    release = way_of(here, there).answer(document, b"", "m")
    assert release.document is not None
    back = CLIENTS[here].answer_to_chat(release.document)
    assert [_value(part) for part in back.parts] == [_value(part) for part in answer.parts]
    assert back.stop_reason == answer.stop_reason
    # Converse names neither its answers nor their model, Cohere not the model.
    if "bedrock" not in (here, there):
        assert back.id == "id1"
    if here not in ("cohere", "bedrock"):
        assert back.model == ("m" if there in ("cohere", "bedrock") else "m1")
    assert answer.usage is not None
    # Neither Cohere nor Converse tells how many tokens were thought.
    silent = {"cohere", "bedrock"}
    without = replace(answer.usage, reasoning_tokens=0)
    assert release.usage == (without if there in silent else answer.usage)
    assert back.usage == (without if silent & {here, there} else answer.usage)


def events_of(answer: ChatResponse) -> list[StreamEvent]:
    """The answer as a stream."""
    told: list[StreamEvent] = [Start("id1", "m1")]
    calls = 0
    for part in answer.parts:
        if isinstance(part, Text):
            told += [TextDelta((0, "content"), piece) for piece in _halves(part.text)]
        elif isinstance(part, ToolCall):
            told.append(ToolStart(calls, part.id, part.name))
            slot = (0, "arguments", calls)
            for piece in _halves(part.arguments):
                told.append(TextDelta(slot, piece, "arguments", calls))
            calls += 1
    assert answer.usage is not None
    return [*told, Stop(answer.stop_reason), UsageReport(answer.usage), End()]


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


def heard(events: list[StreamEvent]) -> tuple[str, dict[int, Any], str, tuple[int, int, int]]:
    """Text, calls, stop reason and usage of a stream."""
    text, reason, usage = "", "", Usage()
    calls: dict[int, Any] = {}
    for one in events:
        match one:
            case TextDelta(field="arguments", call=call, text=more):
                assert call is not None
                calls[call] = (*calls[call][:2], calls[call][2] + more)
            case TextDelta(text=more):
                text += more
            case ToolStart(call=call, id=call_id, name=name):
                calls[call] = (call_id, name, "")
            case Stop(reason=said):
                reason = said
            case UsageReport(usage=counted):
                usage = counted
    read_calls = {n: (i, name, orjson.loads(args or "{}")) for n, (i, name, args) in calls.items()}
    return (
        text,
        read_calls,
        reason,
        (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens),
    )


@fast
@given(answer=answers())
def test_a_stream_comes_back_as_it_was(answer: ChatResponse) -> None:
    for here, there in PAIRS:
        _stream_comes_back(here, there, answer)


def _stream_comes_back(here: str, there: str, answer: ChatResponse) -> None:
    events = events_of(answer)
    provider = way_of(there, here).writer(read(there, {**BASE[there], "stream": True}))
    stream = provider.write(Chunk(None, None, tuple(events)))
    way = way_of(here, there)
    writer = way.writer(read(here, {**BASE[here], "stream": True}))
    told = b"".join(writer.write(chunk) for chunk in way.reader().feed(stream, last=True))
    back = way_of(there, here).reader().feed(told, last=True)
    found = [one for chunk in back for one in chunk.events]
    assert heard(found) == heard(events)
    assert End() in found


@st.composite
def several(draw: st.DrawFn) -> ChatResponse:
    """Two answers, of which each token is told with its probability."""
    first, second = draw(answers()), draw(answers())
    probs = st.builds(
        TokenProb, words, st.floats(-99, 0), st.lists(st.tuples(words, st.floats(-99, 0)),
                                                      max_size=2).map(tuple),
    )  # fmt: skip
    told = tuple(draw(st.lists(probs, max_size=3)))
    return replace(first, logprobs=told, others=(replace(second.choices[0], logprobs=told),))


@pytest.mark.parametrize(("here", "there"), [("openai", "gemini"), ("gemini", "openai")])
@fast
@given(answer=several())
def test_several_answers_come_back_as_they_were(
    here: str, there: str, answer: ChatResponse
) -> None:
    document = CLIENTS[there].answer_from_chat(answer, 0)
    release = way_of(here, there).answer(document, b"")
    assert release.document is not None
    back = CLIENTS[here].answer_to_chat(release.document)
    assert len(back.choices) == 2
    for found, expected in zip(back.choices, answer.choices, strict=True):
        assert [_value(part) for part in found.parts] == [_value(part) for part in expected.parts]
        assert found.stop_reason == expected.stop_reason
        assert found.logprobs == expected.logprobs
