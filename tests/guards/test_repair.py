"""Small faults of JSON are put right where there is one reading; nothing is made up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.guards.formats import Format, Shape

JSON = Format(Shape(as_json=True))
NAMED = Format(
    Shape(
        schema=json.dumps(
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
        ).encode()
    )
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Here you are: {"a": 1} Enjoy!', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("Sure.\n```\n[1, 2]\n```\nAs {you} see", [1, 2]),
        ('```json\n{"a": [1, 2', {"a": [1]}),
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2, ], }', {"a": [1, 2]}),
        ("{'a': 'x', 'b': [True, False, None]}", {"a": "x", "b": [True, False, None]}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('{"a": "brackets } ] in \\" text"', {"a": 'brackets } ] in " text'}),
        ('{"a": {"b": [{"c": "d"}', {"a": {"b": [{"c": "d"}]}}),
        ('{"a": 1, "b": "cut of', {"a": 1}),
        ('{"a": 1, "b": 12', {"a": 1}),
        ('{"a": 1, "b": ', {"a": 1}),
        ('{"a": 1, "b', {"a": 1}),
        ('{"a": 1, "b"', {"a": 1}),
        ('{"a": 1, ', {"a": 1}),
        ('{"a": 12 ', {"a": 12}),
        ('{"a": true', {"a": True}),
        ('["x", "y', ["x"]),
        ('{"a": {', {"a": {}}),
    ],
)
def test_a_small_fault_is_put_right(text: str, value: Any) -> None:
    repaired = JSON.repair(text)
    assert repaired is not None
    assert json.loads(repaired) == value


@pytest.mark.parametrize(
    "text",
    [
        "no JSON at all",
        "",
        "1",
        "{'a': 'it's'}",  # which of the quotes is the end?
        '{"a": 1} or {"a": 2}',
        '{"a" 1}',
        '{"a": 1]',
        "{a: 1}",
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        "{:",
        "[,]",
        "x" * 100_000 + "[1]",
        "[" * 65,
    ],
)
def test_what_could_mean_several_things_stays_wrong(text: str) -> None:
    assert JSON.repair(text) is None


def test_a_repaired_answer_is_checked_again() -> None:
    assert NAMED.repair('see [1]: {"a": 1,} and {"b": 2}') == '{"a":1}'
    assert NAMED.repair('{"a": "x",}') is None
    assert NAMED.repair('{"b": 1, "a": 2') is None


def test_a_text_without_json_has_nothing_to_repair() -> None:
    assert Format(Shape(max_chars=3)).repair("{'a': 1}") is None


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.text(max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.one_of(st.lists(VALUES), st.dictionaries(st.text(max_size=3), VALUES)), st.booleans())
def test_good_json_keeps_its_meaning(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    for framed in (text, f"```json\n{text}\n```", f"Here it is:\n{text}"):
        repaired = JSON.repair(framed)
        assert repaired is not None
        assert json.loads(repaired) == value


def is_part(part: Any, whole: Any) -> bool:
    """True if all that is in ``part`` is in ``whole``, as it is there."""
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(map(is_part, part, whole))
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in part.items())
    return bool(part == whole) and type(part) is type(whole)


@given(st.dictionaries(st.text(max_size=3), VALUES), st.integers(0, 999))
def test_a_cut_answer_says_nothing_that_the_whole_did_not(value: Any, place: int) -> None:
    text = json.dumps(value)
    repaired = JSON.repair(text[: place % (len(text) + 1)])
    if repaired is not None:
        assert is_part(json.loads(repaired), value)
