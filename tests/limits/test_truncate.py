"""Shorter conversations that are still conversations."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.chat import Document
from gateway_extproc.limits.truncate import shorten
from gateway_extproc.providers.translate import DIALECTS

WORDS = st.text("abc ", min_size=1, max_size=30)


def weight(document: Document) -> int:
    return sum(len(str(message)) for message in document["messages"])


@st.composite
def openai_conversations(draw: st.DrawFn) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    number = 0
    for _ in range(draw(st.integers(0, 2))):
        messages.append({"role": draw(st.sampled_from(["system", "developer"])),
                         "content": draw(WORDS)})  # fmt: skip
    for _ in range(draw(st.integers(1, 8))):
        messages.append({"role": "user", "content": draw(WORDS)})
        if draw(st.booleans()):
            calls = draw(st.integers(1, 3))
            ids = [f"c{number + i}" for i in range(calls)]
            number += calls
            function = {"name": "f", "arguments": "{}"}
            messages.append({"role": "assistant", "content": None, "tool_calls": [
                {"id": i, "type": "function", "function": function} for i in ids]})  # fmt: skip
            messages += [{"role": "tool", "tool_call_id": i, "content": draw(WORDS)} for i in ids]
        if draw(st.booleans()):
            messages.append({"role": "assistant", "content": draw(WORDS)})
    return {"model": "m", "messages": messages}


@st.composite
def anthropic_conversations(draw: st.DrawFn) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 8))):
        messages.append({"role": "user", "content": draw(WORDS)})
        if draw(st.booleans()):
            call = {"type": "tool_use", "id": f"t{number}", "name": "f", "input": {}}
            result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": draw(WORDS)}
            messages.append({"role": "assistant", "content": [call]})
            messages.append({"role": "user", "content": [result]})
        messages.append({"role": "assistant", "content": draw(WORDS)})
    return {"model": "m", "max_tokens": 5, "system": "s", "messages": messages}


def check(document: dict[str, Any], most: int, dialect: str, endpoint: str) -> None:
    before = copy.deepcopy(document)
    shortened = shorten(document, most, weight)
    assert document == before
    turns = document["messages"]
    users = [i for i, m in enumerate(turns) if m["role"] == "user" and type(m["content"]) is str]
    least = [m for m in turns[: users[-1]] if m["role"] in ("system", "developer")]
    least += turns[users[-1] :]
    if shortened is None:
        assert weight({"messages": least}) > most
        return
    kept = shortened.document["messages"]
    assert weight(shortened.document) <= most
    assert len(turns) - len(kept) == shortened.dropped
    positions = [next(i for i, m in enumerate(turns) if m is one) for one in kept]
    assert positions == sorted(positions)
    assert all(any(one is m for m in kept) for one in least)
    first = next(m for m in kept if m["role"] not in ("system", "developer"))
    assert first["role"] == "user"
    DIALECTS[dialect].read_request(endpoint, shortened.document)
    _pairs_are_whole(kept)
    if shortened.dropped:
        again = shorten(shortened.document, most, weight)
        assert again is not None
        assert again.dropped == 0


def _pairs_are_whole(messages: list[dict[str, Any]]) -> None:
    called: set[str] = set()
    answered: set[str] = set()
    for message in messages:
        called |= {call["id"] for call in message.get("tool_calls") or ()}
        if message["role"] == "tool":
            answered.add(message["tool_call_id"])
        for block in message["content"] if type(message["content"]) is list else ():
            if block["type"] == "tool_use":
                called.add(block["id"])
            if block["type"] == "tool_result":
                answered.add(block["tool_use_id"])
    assert called == answered


@given(openai_conversations(), st.integers(50, 2000))
def test_openais_conversations_stay_valid_and_whole(document: dict[str, Any], most: int) -> None:
    check(document, most, "openai", "chat")


@given(anthropic_conversations(), st.integers(50, 2000))
def test_anthropics_conversations_stay_valid_and_whole(document: dict[str, Any], most: int) -> None:
    check(document, most, "anthropic", "messages")


def test_no_more_turns_leave_than_have_to() -> None:
    turns = [{"role": "user", "content": str(i)} for i in range(10)]
    shortened = shorten({"messages": turns}, 4, lambda d: len(d["messages"]))
    assert shortened is not None
    assert [m["content"] for m in shortened.document["messages"]] == ["6", "7", "8", "9"]


def test_a_gemini_conversation_loses_its_oldest_turns_and_keeps_calls_with_results() -> None:
    turn = {"role": "user", "parts": [{"text": "old question"}]}
    call = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    result = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}
    said = {"role": "model", "parts": [{"text": "answer"}]}
    last = {"parts": [{"text": "new question"}]}
    document = {"model": "m", "contents": [turn, call, result, said, last]}
    before = copy.deepcopy(document)
    shortened = shorten(document, 3, lambda found: len(found["contents"]))
    assert shortened is not None
    assert shortened.document["contents"] == [last]
    assert shortened.dropped == 4
    assert document == before
    assert DIALECTS["gemini"].read_request("generate_content", shortened.document).texts


def test_a_call_of_bedrocks_leaves_with_its_result() -> None:
    call = {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "f",
                                                          "input": {}}}]}  # fmt: skip
    result = {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": []}}]}
    first = {"role": "user", "content": [{"text": "a" * 50}]}
    last = {"role": "user", "content": [{"text": "b"}]}
    document = {"model": "m", "messages": [first, call, result, last]}
    shortened = shorten(document, weight({"messages": [call, result, last]}), weight)
    assert shortened is not None
    assert (shortened.document["messages"], shortened.dropped) == ([last], 3)
