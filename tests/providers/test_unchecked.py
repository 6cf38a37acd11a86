"""What policy may let pass: numbers of tokens, and mistakes that the provider shall name."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gateway_extproc.config.families import FAMILIES
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.errors import RequestError
from gateway_extproc.limits.estimate import estimate
from gateway_extproc.providers.checks import string_leaves
from gateway_extproc.providers.families import adapted
from gateway_extproc.providers.openai.unchecked import count_numbers, read_leniently
from gateway_extproc.providers.translate import DIALECTS, translator

OPENAI = DIALECTS["openai"]


def lenient(
    endpoint: str, document: dict[str, Any], *, tokens: bool = True, mistakes: bool = True
) -> LlmRequest:
    return read_leniently(OPENAI, endpoint, document, tokens=tokens, mistakes=mistakes)


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        ([1, 2, 3], (3,)),
        ([[1, 2], [3]], (2, 1)),
        ([], ()),
        ([[]], ()),
        ([[1], []], ()),
        (["a"], ()),
        ([1, "a"], ()),
        ([[1], "a"], ()),
        ([[1], [True]], ()),
        ([1.5], ()),
        ([True], ()),
        ("text", ()),
        (7, ()),
        (None, ()),
    ],
)
def test_only_whole_prompts_of_numbers_are_numbers(value: Any, counts: tuple[int, ...]) -> None:
    assert count_numbers(value) == counts


def test_numbers_are_counted_where_no_text_tells_them() -> None:
    document = {"model": "m", "input": [[5, 6, 7], [8]], "user": "u"}
    asked = lenient("embeddings", document, mistakes=False)
    assert (asked.unread_tokens, asked.texts, asked.document) == (4, (), document)
    assert asked.mistake is None
    plain = lenient("embeddings", {"model": "m", "input": "x"}, mistakes=False)
    known, none = estimate(asked, "m"), estimate(plain, "m")
    assert known.expected >= 4
    assert known.at_most >= 4
    assert (
        none.expected
        < estimate(lenient("embeddings", {"model": "m", "input": [1] * 500}), "m").expected
    )


def test_several_prompts_of_numbers_are_several_answers() -> None:
    document = {"model": "m", "prompt": [[1], [2], [3]], "n": 2, "suffix": "the end"}
    asked = lenient("completions", document, mistakes=False)
    assert asked.completions == 6
    assert [at.text for at in asked.texts] == ["the end"]


@pytest.mark.parametrize("value", [[1, 2], [[1], [2]], [1, "read me"], [["a"], [1]], [[1], []]])
def test_without_leave_numbers_are_refused_whatever_stands_beside_them(value: Any) -> None:
    for mistakes in (False, True):
        with pytest.raises(RequestError) as refused:
            lenient("embeddings", {"model": "m", "input": value, "dimensions": -1}, tokens=False,
                    mistakes=mistakes)  # fmt: skip
        assert refused.value.refusal.status == 400


USER = {"role": "user", "content": "hello"}


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": None},
        {"messages": "just talk"},
        {"messages": [{"role": "wizard", "content": "cast this"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [None, 7, "text", [], {"role": 5, "content": {"type": "text", "text": "t"}}]},
        {"temperature": -0.5},
        {"temperature": {"an": "object"}},
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"tools": "none"},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": "p"}}]},
        {"response_format": "json"},
        {"stop": {"a": "b"}},
        {"web_search_options": ["x"]},
        {"modalities": "text"},
    ],
)
def test_every_string_of_a_mistaken_request_is_a_text(fields: dict[str, Any]) -> None:
    document = {"model": "m", "messages": [USER], **fields}
    asked = lenient("chat", document)
    assert asked.mistake is not None
    assert asked.mistake.reason == "invalid_request"
    rest = {key: value for key, value in document.items() if key != "model"}
    assert {(at.path, at.text) for at in asked.texts} == set(string_leaves(rest, ()))
    way = translator("openai", "openai", "chat")
    sent = adapted(
        way.request(asked, "m", 64, force_usage=False), FAMILIES["openai"], asked, "openai"
    )
    changed = {"max_tokens", "max_completion_tokens"}
    assert {k: v for k, v in sent.items() if k not in changed} == {
        k: v for k, v in document.items() if k not in changed
    }
    assert [sent[key] for key in changed & sent.keys()] == [fields.get("max_tokens", 64)]


@pytest.mark.parametrize(
    "fields",
    [
        {"model": ""},
        {"model": None},
        {"model": ["m"]},
        {"max_tokens": "99999"},
        {"max_tokens": 1e9},
        {"max_tokens": True},
        {"max_tokens": 5, "max_completion_tokens": 6},
        {"max_new_tokens": 99},
        {"extra_body": {"num_predict": 99}},
        {"n": 0},
        {"n": 500},
        {"n": "7"},
        {"stream": "yes"},
        {"stream": 1},
        {"stream_options": "usage"},
        {"min_tokens": -4},
    ],
)
def test_what_decides_over_cost_and_form_is_never_left_to_a_provider(
    fields: dict[str, Any],
) -> None:
    with pytest.raises(RequestError) as refused:
        lenient("chat", {"model": "m", "messages": [USER], "temperature": -1, **fields})
    assert refused.value.refusal.status == 400


def test_sound_in_a_stream_is_refused_with_or_without_leave() -> None:
    document = {"model": "m", "messages": [USER], "stream": True, "modalities": ["text", "audio"]}
    for mistakes in (False, True):
        with pytest.raises(RequestError) as refused:
            lenient("chat", document, mistakes=mistakes)
        assert refused.value.refusal.reason == "unsupported_parameter"
        assert refused.value.refusal.param == "modalities"


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_mistake_goes_only_to_a_server_that_checks_all_values(family: str) -> None:
    asked = lenient("chat", {"model": "m", "messages": [USER], "temperature": -1})
    if FAMILIES[family].checks_values:
        assert adapted(asked.document, FAMILIES[family], asked, "openai")["temperature"] == -1
        return
    with pytest.raises(RequestError) as refused:
        adapted(asked.document, FAMILIES[family], asked, "openai")
    assert refused.value.refusal.param == "temperature"


def test_other_dialects_and_interfaces_check_as_before() -> None:
    with pytest.raises(RequestError):
        read_leniently(DIALECTS["anthropic"], "messages", {"model": "m"}, tokens=True,
                       mistakes=True)  # fmt: skip
    with pytest.raises(RequestError):
        lenient("responses", {"model": "m", "input": 7})


def test_no_wreck_of_a_request_breaks_the_reader() -> None:
    """Any JSON at all is read or refused."""
    chance = random.Random(20261130)
    leaves: tuple[Any, ...] = (None, True, -1, 0, 1.5, "", "text", "user", [], {})

    def wreck(depth: int) -> Any:
        kind = chance.random()
        if depth == 0 or kind < 0.4:
            return chance.choice(leaves)
        if kind < 0.7:
            return [wreck(depth - 1) for _ in range(chance.randint(1, 3))]
        keys = ("role", "content", "type", "text", "tool_calls", "function", "audio", "n")
        return {chance.choice(keys): wreck(depth - 1) for _ in range(chance.randint(1, 3))}

    read = 0
    for _ in range(3000):
        fields = chance.sample(
            ["messages", "tools", "stream_options", "stop", "response_format", "modalities",
             "max_tokens", "temperature", "prompt", "input"], 4)  # fmt: skip
        document = {"model": "m", **{field: wreck(3) for field in fields}}
        try:
            asked = lenient(chance.choice(("chat", "completions", "embeddings")), document)
        except RequestError:
            continue
        read += 1
        rest = {key: value for key, value in document.items() if key != "model"}
        if asked.mistake is not None:
            assert len(asked.texts) == len(string_leaves(rest, ()))
    assert read > 1000
