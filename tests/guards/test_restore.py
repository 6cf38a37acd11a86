"""Values that were masked come back, whole or streamed, and nothing else does."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.core.chat import Chunk, End, Stop, StreamError, TextDelta, ToolStart
from gateway_extproc.core.document import replace_at
from gateway_extproc.core.ports import Guarded
from gateway_extproc.guards import RuleGuard
from gateway_extproc.guards.masking import Mask, apply_masks
from gateway_extproc.guards.placeholders import Placeholders
from gateway_extproc.guards.restore import (
    RESTORED_MAX,
    TAIL_MAX,
    Restorer,
    everyone,
    restore,
    restored_texts,
    reversible,
)
from gateway_extproc.providers.anthropic.answer import answer_texts as anthropic_texts
from gateway_extproc.providers.openai.answer import answer_texts as openai_texts
from guards.cases import VALUES, at, delta, rule, said
from support.pace import cpu_s

GUARD = RuleGuard([rule("e", entities=("card", "iban", "us_ssn", "email", "api_key"))])
HARD = ('say "hi"\\', "a\nb", "é🎉", "[EMAIL-2]", '","x":[', "")
PIECES = (
    "[EMAIL-1]", "[email_2]", "[ EMAIL-3 ]", "[  Us-SSn-1]", "[EMAIL-9]", "[EMAIL-", "[EMAIL", "[",
    "]", "[[", "1", "-", "EMAIL", " ", "word ", "\n", "é", "🎉", "[EMAIL-1", "[EMAIL-01]", "[e",
    "_2]", "[EMAIL-1234567]", "[   EMAIL-1]", "[NAME-1]", "EMAIL-1]",
)  # fmt: skip
JSON_PIECES = (*PIECES, '"', '{"a":', "}", ",", ":", r"\"", r"\\", r"\n", r"\u00e9", "\\", r"\u0")


def held() -> Placeholders:
    placeholders = Placeholders()
    for value in HARD:
        placeholders.for_value("email", value)
    placeholders.for_value("us_ssn", "123-45-6789")
    return placeholders


def cut(text: str, cuts: list[int]) -> list[str]:
    places = [0, *sorted(place % (len(text) + 1) for place in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


def stream(pieces: list[str], placeholders: Placeholders, **fields: Any) -> list[str]:
    restorer = Restorer(placeholders)
    left = [said(restorer.push([delta(piece, **fields)], last=False)) for piece in pieces]
    return [*left, said(restorer.push([], last=True))]


# --------------------------------------------------------------------------- whole texts


@pytest.mark.parametrize(
    ("text", "restored"),
    [
        ("write to [EMAIL-1], now", "write to jane@x.org, now"),
        ("**[EMAIL-1]** `[EMAIL-1]`", "**jane@x.org** `jane@x.org`"),
        ("[email-1] [Email_1] [ EMAIL-1 ]", "jane@x.org jane@x.org jane@x.org"),
        ("[EMAIL-1][EMAIL-1]", "jane@x.orgjane@x.org"),
        ("[[EMAIL-1]]", "[jane@x.org]"),
        ("[EMAIL-2] [CARD-1] [EMAIL] [EMAIL-01] [EMAIL-1", None),
        ("[EMAIL 1] [EMAIL--1] [   EMAIL-1] EMAIL-1 (EMAIL-1)", None),
    ],
)
def test_a_placeholder_of_the_map_is_restored_and_no_other(text: str, restored: str | None) -> None:
    placeholders = Placeholders()
    placeholders.for_value("email", "jane@x.org")
    assert restore(text, placeholders, as_json=False) == (text if restored is None else restored)


def test_what_a_value_holds_is_not_read_again() -> None:
    assert restore("[EMAIL-4]", held(), as_json=False) == "[EMAIL-2]"


def test_an_answer_does_not_grow_without_end() -> None:
    placeholders = Placeholders()
    placeholders.for_value("doc", "x" * 16_000)
    text = "[DOC-1]" * 140_000
    restored = restore(text, placeholders, as_json=False)
    assert restored.lstrip("x") == "[DOC-1]" * (140_000 - RESTORED_MAX // 16_000)
    restorer = Restorer(placeholders)
    chunks = [delta(text[at : at + 100_000]) for at in range(0, len(text), 100_000)]
    assert said(restorer.push(chunks, last=True)) == restored


@pytest.mark.parametrize("number", range(1, len(HARD) + 1))
def test_a_value_in_arguments_stays_one_json_string(number: int) -> None:
    text = f'{{"to": "x [EMAIL-{number}] y", "n": [EMAIL-{number}]}}'
    restored = json.loads(restore(text, held(), as_json=True))
    assert restored == {"to": f"x {HARD[number - 1]} y", "n": HARD[number - 1]}


ARGUMENTS = '{"to":"[US-SSN-1]"}'
OPENAI_ANSWER: dict[str, Any] = {
    "choices": [
        {
            "message": {
                "content": "so [US-SSN-1]",
                "refusal": "nothing",
                "tool_calls": [
                    {"function": {"name": name, "arguments": ARGUMENTS}} for name in ("mail", "web")
                ],
                "function_call": {"arguments": ARGUMENTS},
            }
        }
    ]
}
ANTHROPIC_ANSWER: dict[str, Any] = {
    "content": [
        {"type": "text", "text": "so [EMAIL-1]"},
        {"type": "tool_use", "name": "mail", "input": {"name": "web", "to": ["[EMAIL-1]"]}},
        {"type": "tool_use", "name": "web", "input": {"name": "mail", "to": ["[EMAIL-1]"]}},
    ]
}


def restored_answer(document: dict[str, Any], texts: Any, trusts: Any) -> dict[str, Any]:
    before = json.dumps(document)
    edits = restored_texts(document, texts, held(), trusts=trusts)
    assert json.dumps(document) == before
    return replace_at(document, edits)


def test_a_whole_answer_is_restored_where_the_tools_are_trusted() -> None:
    texts = openai_texts(OPENAI_ANSWER)
    full = restored_answer(OPENAI_ANSWER, texts, everyone)
    assert "SSN" not in json.dumps(full)
    some = restored_answer(OPENAI_ANSWER, texts, {"mail"}.__contains__)["choices"][0]["message"]
    assert some["content"] == "so 123-45-6789"
    assert [call["function"]["arguments"] for call in some["tool_calls"]] == [
        '{"to":"123-45-6789"}',
        ARGUMENTS,
    ]
    assert some["function_call"]["arguments"] == ARGUMENTS


def test_arguments_that_are_values_are_restored_as_texts() -> None:
    texts = anthropic_texts(ANTHROPIC_ANSWER)
    some = restored_answer(ANTHROPIC_ANSWER, texts, {"mail"}.__contains__)["content"]
    assert some[0]["text"] == f"so {HARD[0]}"
    assert some[1]["input"]["to"] == [HARD[0]]
    assert some[2] == ANTHROPIC_ANSWER["content"][2]


# ------------------------------------------------------------------- mask, then restore


def masked(text: str, placeholders: Placeholders, *, as_json: bool = False) -> str:
    """The text with every value that the rules find behind a placeholder."""
    path = ("arguments",) if as_json else ("content",)
    findings = GUARD.scan_answer([at(text, "assistant", path)], Guarded("acme")).findings
    masks = [Mask(f.start, f.end, f"[{f.kind.upper()}]", f.kind) for f in findings]
    return apply_masks(text, reversible(text, masks, placeholders, as_json=as_json))


SENTENCES = st.lists(
    st.one_of(
        st.sampled_from([value for values in VALUES.values() for value in values]),
        st.sampled_from(["[EMAIL-1]", "[CARD-1]", "[email_2]", "[EMAIL-", "]", "see", "é🎉", "("]),
    ),
    max_size=8,
).map(" and ".join)


@given(SENTENCES, st.lists(st.integers(0, 9_999), max_size=12))
def test_a_masked_text_holds_no_value_and_comes_back_as_it_was(text: str, cuts: list[int]) -> None:
    placeholders = Placeholders([text])
    upstream = masked(text, placeholders)
    assert (
        GUARD.scan_answer([at(upstream, "assistant", ("content",))], Guarded("acme")).findings == ()
    )
    assert restore(upstream, placeholders, as_json=False) == text
    assert "".join(stream(cut(upstream, cuts), placeholders)) == text


@given(st.lists(SENTENCES, min_size=1, max_size=4), st.booleans())
def test_masked_json_text_comes_back_with_its_meaning(words: list[str], ascii_only: bool) -> None:
    text = json.dumps({"a": words, "n": 4111111111111111}, ensure_ascii=ascii_only)
    placeholders = Placeholders([text])
    upstream = masked(text, placeholders, as_json=True)
    assert (
        GUARD.scan_answer([at(upstream, "assistant", ("arguments",))], Guarded("acme")).findings
        == ()
    )
    restored = restore(upstream, placeholders, as_json=True)
    # A bare number is masked as a string and stays one.
    assert json.loads(restored) == {"a": words, "n": "4111111111111111"}


def test_a_mask_over_the_structure_of_json_is_not_taken_back() -> None:
    text = '{"a":"x","b":"y"}'
    placeholders = Placeholders([text])
    masks = reversible(text, [Mask(6, 14, "[REDACTED]", "text")], placeholders, as_json=True)
    assert [mask.placeholder for mask in masks] == ["[REDACTED]"]
    assert len(placeholders) == 0


def test_hidden_characters_are_taken_out_for_good() -> None:
    placeholders = Placeholders()
    assert reversible("a\u202eb", [Mask(1, 2, "")], placeholders, as_json=False) == [Mask(1, 2, "")]
    assert len(placeholders) == 0


# ------------------------------------------------------------------------------ streams


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
    st.one_of(st.none(), st.lists(st.integers(0, 9_999), max_size=30)),
)
def test_any_cut_says_what_the_whole_says(text: str, cuts: list[int] | None) -> None:
    pieces = list(text) if cuts is None else cut(text, cuts)
    whole = restore(text, held(), as_json=False)
    leaving = ""
    for piece in stream(pieces, held()):
        leaving += piece
        assert whole.startswith(leaving)
    assert leaving == whole


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.sampled_from(JSON_PIECES), max_size=14).map("".join),
    st.one_of(st.none(), st.lists(st.integers(0, 9_999), max_size=30)),
)
def test_any_cut_of_arguments_says_what_the_whole_says(text: str, cuts: list[int] | None) -> None:
    pieces = list(text) if cuts is None else cut(text, cuts)
    left = stream(pieces, held(), slot=(0, "arguments", 0), field="arguments", call=0)
    assert "".join(left) == restore(text, held(), as_json=True)


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_no_more_is_held_than_a_placeholder_without_its_end(text: str) -> None:
    restorer = Restorer(held())
    restorer.push([delta(text)], last=False)
    assert len(said(restorer.push([], last=True))) <= TAIL_MAX


@pytest.mark.parametrize(
    "tail", ["", "[", "[ ", "[em", "[EMAIL-", "[EMAIL-1", "[EMAIL-1 ", "[us_s"]
)
def test_only_what_may_become_a_placeholder_is_held(tail: str) -> None:
    restorer = Restorer(held())
    assert said(restorer.push([delta("see " + tail)], last=False)) == "see "
    assert said(restorer.push([], last=True)) == tail


@pytest.mark.parametrize(
    "tail", ["[x", "[1", "[EMAIL1", "[EMAIL-0", "[EMAIL-1x", "[EMAIL -", "[]", "[CARD-1", "[-"]
)
def test_other_brackets_leave_at_once_as_the_same_objects(tail: str) -> None:
    restorer = Restorer(held())
    chunk = delta("see " + tail)
    assert restorer.push([chunk], last=False)[0] is chunk


def test_an_empty_map_holds_nothing() -> None:
    chunk = delta("see [EMAIL-1")
    assert Restorer(Placeholders()).push([chunk], last=False)[0] is chunk


@pytest.mark.parametrize("field", ["content", "reasoning", "refusal"])
def test_each_prose_field_is_restored(field: Any) -> None:
    restorer = Restorer(held())
    left = restorer.push([delta(p, (0, field), field=field) for p in ("[US-", "SSN-1]")], last=True)
    assert said(left) == "123-45-6789"


@pytest.mark.parametrize("event", [Stop("length"), End(), StreamError("x", None, "gone")])
def test_a_held_tail_leaves_before_what_ends_its_text(event: Any) -> None:
    restorer = Restorer(held())
    ending = Chunk(b"x", None, (event,))
    left = restorer.push([delta("see [EMAIL-"), ending], last=False)
    assert [said([chunk]) for chunk in left] == ["see ", "[EMAIL-", ""]
    assert left[-1] is ending


def test_slots_do_not_join() -> None:
    chunks = [delta(p, (n, "content")) for p in ("[EMA", "IL-3", "] ok") for n in (0, 1)]
    left = Restorer(held()).push(chunks, last=True)
    for choice in (0, 1):
        assert said(left, (choice, "content")) == "é🎉 ok"


def calling(name: str, call: int = 0, choice: int = 0) -> list[Chunk]:
    slot = (choice, "arguments", call)
    return [
        Chunk(b"t", None, (ToolStart(call, "id", name),)),
        delta('{"to":"[US-SS', slot, field="arguments", call=call),
        delta('N-1]"}', slot, field="arguments", call=call),
    ]


def arguments(chunks: Any, call: int) -> str:
    return "".join(
        event.text
        for chunk in chunks
        for event in chunk.events
        if isinstance(event, TextDelta) and event.call == call
    )


def test_only_tools_that_are_trusted_read_the_values() -> None:
    restorer = Restorer(held(), trusts={"mail"}.__contains__)
    left = restorer.push([*calling("mail", 0), *calling("web", 1), delta("[US-SSN-1]")], last=True)
    assert arguments(left, 0) == '{"to":"123-45-6789"}'
    assert arguments(left, 1) == '{"to":"[US-SSN-1]"}'
    assert said(left, (0, "content")) == "123-45-6789"


def test_calls_of_two_choices_with_one_number_need_trust_in_both_tools() -> None:
    restorer = Restorer(held(), trusts={"mail"}.__contains__)
    left = restorer.push([*calling("web", 0), *calling("mail", 0, choice=1)], last=True)
    assert arguments(left, 0) == '{"to":"[US-SSN-1]"}' * 2


def test_arguments_of_a_call_without_a_name_need_trust_in_all() -> None:
    chunk = delta('{"a":"[US-SSN-1]"}', (0, "function_call"), field="arguments")
    assert said(Restorer(held()).push([chunk], last=True)) == '{"a":"123-45-6789"}'
    some = Restorer(held(), trusts={"mail"}.__contains__)
    assert some.push([chunk], last=True)[0] is chunk


# -------------------------------------------------------------------------- bounded time


@pytest.mark.parametrize(
    "text",
    [
        "[EMAIL-1]" * 111_000,
        "[" * 1_000_000,
        "[email_" * 140_000,
        "[\\" * 500_000,
        '"\\[' * 333_000,
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_megabyte_is_restored_in_bounded_time(text: str, as_json: bool) -> None:
    placeholders = Placeholders()
    placeholders.for_value("email", "j@x.org")
    assert cpu_s(lambda: restore(text, placeholders, as_json=as_json), 0.1) <= 0.1
