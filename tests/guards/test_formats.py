"""What an answer must look like, what is told of it when it does not, and at what price."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.guards.formats import Format, Formats, SchemaRefused, Shape, shape_asked
from support.pace import cpu_s

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 9},
        "age": {"type": "integer", "minimum": 0},
        "role": {"enum": ["admin", "user"]},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}},
        "extra": {"type": "object", "additionalProperties": {"type": "integer"}},
        "born": {"type": "string", "format": "date"},
    },
    "required": ["name"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {
                "value": {},
                "nodes": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
            },
            "required": ["value"],
        }
    },
}


def shaped(schema: Any, **fields: Any) -> Format:
    return Format(Shape(schema=json.dumps(schema).encode(), **fields))


def problems(schema: Any, answer: Any) -> list[tuple[str, str]]:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return [(problem.path, problem.message) for problem in shaped(schema).check(text)]


@pytest.mark.parametrize(
    ("answer", "path", "message"),
    [
        ({}, "", "lacks the member 'name'"),
        ({"name": 5}, "name", "is not of type string"),
        ({"name": "longer than that"}, "name", "is too long"),
        ({"name": "x", "age": -1}, "age", "is too small"),
        ({"name": "x", "role": "root"}, "role", "is none of the allowed values"),
        ({"name": "x", "tags": ["a", "B"]}, "tags[1]", "does not match its pattern"),
        ({"name": "x", "extra": {"jane@x.org": "y"}}, "extra.*", "is not of type integer"),
        ({"name": "x", "born": "4111"}, "born", "does not have the format asked for"),
        ({"name": "x", "jane@x.org": 1}, "", "has members that are not allowed"),
        ([], "", "is not of type object"),
    ],
)
def test_a_problem_has_a_path_and_no_value(answer: Any, path: str, message: str) -> None:
    assert problems(PERSON, answer) == [(path, message)]


def test_a_good_answer_has_no_problem() -> None:
    good = {"name": "x", "age": 3, "role": "user", "tags": ["a"], "extra": {"a": 1}}
    assert problems(PERSON, good) == []
    assert problems(TREE, {"value": 1, "nodes": [{"value": 2, "nodes": [{"value": 3}]}]}) == []


def test_all_problems_are_told() -> None:
    answer = {"age": "x", "role": 1, "tags": "y"}
    assert len(problems(PERSON, answer)) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON at character 0"),
        ('{"name": jane}', "is not valid JSON at character 9"),
        ('{"name": "x"} thanks', "is not valid JSON at character 14"),
        ('{"name": NaN}', "is not valid JSON at character 9"),
        ('"\ud800"', "is not valid JSON at character 0"),
        ('{"name": "x", "name": "y"}', "names a member of an object twice"),
        ('[{"a": {"b": 1, "b": 2}}]', "names a member of an object twice"),
        ("[" * 65 + "]" * 65, "is nested more than 64 levels deep"),
        ("1" * (1 << 20) + "1", "is JSON of more than 1048576 characters"),
    ],
)
def test_what_is_no_json_is_told(text: str, message: str) -> None:
    assert [(p.path, p.message) for p in Format(Shape(as_json=True)).check(text)] == [("", message)]


@pytest.mark.parametrize("text", ["{}", "[]", "1", '"x"', "null", ' {"a": [1, {"a": 2}]} \n'])
def test_valid_json_is_no_problem(text: str) -> None:
    assert Format(Shape(as_json=True)).check(text) == []


def test_keys_texts_and_lengths_need_no_schema() -> None:
    keys = Format(Shape(required=("a", "b.c")))
    assert keys.check('{"a": 1, "b.c": 2}') == []
    assert [p.path for p in keys.check('{"a": 1}')] == ["b.c"]
    assert [p.message for p in keys.check("[]")] == ["is not an object"]
    texts = Format(Shape(one_of=("yes", "no")))
    assert texts.check("yes") == []
    assert [p.message for p in texts.check("Yes.")] == ["is none of the allowed texts"]
    short = Format(Shape(max_chars=3))
    assert short.check("éé🎉") == []
    assert [p.message for p in short.check("four")] == ["is longer than 3 characters"]


# ------------------------------------------------------------------------------- bombs


def doubled(levels: int) -> dict[str, Any]:
    """Each level is looked at twice by the one above it."""
    defs: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)
    }
    defs[f"d{levels}"] = {"type": "integer"}
    return {"$ref": "#/$defs/d0", "$defs": defs}


def nested(levels: int) -> Any:
    schema: Any = {"type": "integer"}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


TWINS = {
    "$ref": "#/$defs/t",
    "$defs": {
        "t": {
            "anyOf": [
                {"type": "object", "properties": {"c": {"$ref": "#/$defs/t"}}, "required": [key]}
                for key in "xy"
            ]
        }
    },
}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (doubled(40), "too many checks"),
        (nested(70), "nested"),
        ({"$ref": "#"}, "refers to itself"),
        ({"allOf": [{"anyOf": [{"$ref": "#"}]}]}, "refers to itself"),
        ({"$ref": "http://127.0.0.1:1/x.json"}, "out of the schema"),
        ({"$ref": "file:///etc/passwd"}, "out of the schema"),
        ({"properties": {"a": {"$ref": "other.json#/x"}}}, "out of the schema"),
        ({"$ref": "#/nothing"}, "nowhere"),
        ({"$dynamicRef": "#x"}, "not supported"),
        ({"$defs": {"a": {"$id": "http://x/", "$ref": "#"}}}, "root"),
        ({"$schema": "http://127.0.0.1:1/meta"}, "unknown draft"),
        ({"unevaluatedProperties": False}, "not supported"),
        ({"pattern": "(a+"}, "not valid"),
        ({"pattern": "(a{1,100}){1,100}"}, "not valid"),
        ({"pattern": "(?=a)b"}, "not valid"),
        ({"pattern": "a" * 513}, "longer than"),
        ({"allOf": [{"pattern": f"a{n}"} for n in range(65)]}, "patterns"),
        ({"properties": {f"p{n}": {"type": "string"} for n in range(2001)}}, "longer|parts"),
        ({"type": "nothing"}, "not valid"),
        ({"const": "x" * 70_000}, "longer than"),
        ([], "neither"),
    ],
)
def test_a_schema_that_could_take_for_ever_is_refused_at_once(schema: Any, why: str) -> None:
    began = time.perf_counter()
    with pytest.raises(SchemaRefused, match=why):
        shaped(schema)
    assert time.perf_counter() - began < 0.3


def test_no_schema_is_not_json() -> None:
    with pytest.raises(SchemaRefused, match="JSON"):
        Format(Shape(schema=b"{"))


def test_members_that_are_called_like_keywords_are_members() -> None:
    names = ("$id", "$anchor", "unevaluatedProperties", "$ref", "pattern", "$schema")
    schema = {"properties": {name: {"type": "integer"} for name in names}}
    assert problems(schema, dict.fromkeys(names, 1)) == []


def deep(levels: int, **leaf: Any) -> Any:
    answer: Any = leaf
    for _ in range(levels):
        answer = {"c": answer}
    return answer


def test_alternatives_that_double_at_each_level_are_checked_as_deep_as_time_allows() -> None:
    twins = shaped(TWINS)
    good: Any = {"x": 1}
    for _ in range(6):
        good = {"c": good, "x": 1}
    assert twins.check(json.dumps(good)) == []
    assert [p.message for p in twins.check(json.dumps(deep(6)))] != []
    for levels in (18, 40, 60):
        began = time.perf_counter()
        assert [p.path for p in twins.check(json.dumps(deep(levels)))] == [""]
        assert time.perf_counter() - began < 0.2


DEFS = 6


def definition(number: int) -> st.SearchStrategy[Any]:
    """A schema that applies later ones to the same value, and any to those below it."""
    any_one = st.integers(0, DEFS - 1).map(lambda n: {"$ref": f"#/$defs/{n}"})
    later = st.integers(number + 1, DEFS).map(lambda n: {"$ref": f"#/$defs/{n}"})
    some = st.lists(any_one, min_size=1, max_size=4)
    several = st.lists(later, min_size=1, max_size=5)
    return st.fixed_dictionaries(
        {},
        optional={
            "anyOf": several,
            "allOf": several,
            "oneOf": several,
            "not": later,
            "if": later,
            "then": later,
            "properties": st.dictionaries(st.sampled_from("abc"), any_one, min_size=1),
            "additionalProperties": any_one,
            "patternProperties": st.dictionaries(st.sampled_from(["a", "^.*b", "c$"]), any_one),
            "items": any_one,
            "prefixItems": some,
            "contains": any_one,
            "uniqueItems": st.just(True),
            "type": st.sampled_from(["object", "array", ["object", "array", "integer"]]),
            "required": st.lists(st.sampled_from("abc"), unique=True),
            "const": st.sampled_from("abc"),
            "propertyNames": any_one,
        },
    )


DEFINITIONS = st.tuples(*map(definition, range(DEFS)), st.just({"type": "integer"}))
KEYS = st.lists(st.sampled_from(["a", "b", "c", "x", 0]), min_size=1, max_size=64)


@settings(max_examples=400, deadline=None)
@given(DEFINITIONS, KEYS, st.integers(1, 40))
def test_what_is_compiled_is_checked_in_bounded_time(
    defs: tuple[Any, ...], keys: list[Any], width: int
) -> None:
    schema = {"$ref": "#/$defs/0", "$defs": {str(n): part for n, part in enumerate(defs)}}
    answer: Any = 1
    for key in keys:
        answer = {key: answer} if isinstance(key, str) else [answer]
    text = json.dumps([answer] * width)
    source = Shape(schema=json.dumps(schema).encode())
    assert cpu_s(lambda: Formats().get(source), 0.1) <= 0.1
    checked = Format(source)
    assert cpu_s(lambda: checked.check(text), 0.1) <= 0.1
    assert cpu_s(lambda: checked.check(json.dumps(answer)), 0.1) <= 0.1


def operation(number: int, mark: dict[str, Any]) -> dict[str, Any]:
    side = {"$ref": "#/$defs/e"}
    return {
        "type": "object",
        "properties": {"left": side, "op": mark, "right": side},
        "required": ["op", "left", "right"],
    }


@pytest.mark.parametrize("choice", ["anyOf", "oneOf"])
@pytest.mark.parametrize("style", ["const", "enum", "ref"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_deep_tree_of_alternatives_that_a_member_tells_apart_is_checked(
    choice: str, style: str, side: str
) -> None:
    marks: list[dict[str, Any]] = [
        {"enum": [f"op{n}"]} if style == "enum" else {"const": f"op{n}"} for n in range(20)
    ]
    kinds = [operation(n, mark) for n, mark in enumerate(marks)]
    defs = {f"k{n}": kind for n, kind in enumerate(kinds)} if style == "ref" else {}
    listed = [{"$ref": f"#/$defs/{name}"} for name in defs] or kinds
    expression = {choice: [{"type": "number"}, *listed]}
    checked = shaped({"$ref": "#/$defs/e", "$defs": {"e": expression, **defs}})
    for leaf, has_marks, good in ((1, True, True), ("x", True, False), (1, False, False)):
        answer: Any = leaf
        for n in range(50):
            mark = {"op": f"op{19 - n % 20}"} if has_marks else {}
            answer = {**mark, "left": 2, "right": 3, side: answer}
        text = json.dumps(answer)
        found = [problem.message for problem in checked.check(text)]
        assert found == ([] if good else ["does not match its schema"])
        assert cpu_s(partial(checked.check, text), 0.1) <= 0.1


def recursive(size: int, links: int) -> dict[str, Any]:
    """Types that each hold some others; as large a schema as is read."""
    defs = {
        f"d{n}": {
            "properties": {
                f"p{k}": {"$ref": f"#/$defs/d{(n * 7 + k) % size}"} for k in range(links)
            }
        }
        for n in range(size)
    }
    return {"$ref": "#/$defs/d0", "$defs": defs}


@pytest.mark.parametrize(("size", "links"), [(5, 3), (60, 5), (600, 1), (280, 5), (80, 20)])
def test_the_largest_schemas_are_compiled_in_bounded_time(size: int, links: int) -> None:
    source = Shape(schema=json.dumps(recursive(size, links), separators=(",", ":")).encode())
    assert cpu_s(lambda: Formats().get(source), 0.1) <= 0.1
    answer: Any = {}
    for _ in range(5):
        answer = {"p0": answer}
    assert Format(source).check(json.dumps(answer)) == []


@pytest.mark.parametrize("levels", range(1, 16))
def test_explaining_alternatives_takes_bounded_time(levels: int) -> None:
    twins = shaped(TWINS)
    assert cpu_s(lambda: twins.check(json.dumps(deep(levels))), 0.1) <= 0.1


def test_a_large_bad_answer_is_told_in_bounded_time() -> None:
    schema = {"type": "array", "items": {"type": "string"}}
    found = problems(schema, [1] * 29_000)
    assert found == [("[0]", "is not of type string")]
    assert len(problems(schema, [1] * 100)) == 20


MEGABYTE = 1_000_000
REPAIRED = 100_000


def large(size: int) -> dict[str, str]:
    return {
        "numbers": "[" + "1," * (size // 2 - 1) + "1]",
        "objects": "[" + "{}," * (size // 3 - 1) + "{}]",
        "as many values as are read": "[" + '"0123456789abcdef",' * 29_900 + "1]",
        "as many objects as are read": "[" + '{"a":"abcdefghij0","b":2},' * 9_990 + "1]",
        "names": "{" + ",".join(f'"{n:12x}":1' for n in range(min(size // 17, 29_900))) + "}",
        "a string": json.dumps("ab" * (size // 2 - 2)),
        "deep ones": "[" + ("[" * 60 + "]" * 60 + ",") * (size // 121) + "1]",
        "as many deep ones as are read": "[" + ("[" * 60 + "]" * 60 + ",") * 160 + "1]",
        "open": "[" * size,
        "quotes": '"' * size,
        "escapes": '"' + '\\"' * (size // 2 - 1) + '"',
        "unlikely": "{'" * (size // 2),
        "cut": '{"a":' * 60 + "[" + "1," * (size // 2 - 200),
        "candidates": "[1 2]{" * (size // 6),
    }


LARGE = large(MEGABYTE)
SMALLER = large(REPAIRED)


@pytest.mark.parametrize("name", SMALLER)
def test_what_is_repaired_is_repaired_in_bounded_time(name: str) -> None:
    text = SMALLER[name][: REPAIRED - 20]
    checked = Format(Shape(as_json=True))
    assert cpu_s(lambda: checked.repair(text), 0.1) <= 0.1


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize(
    "schema", [None, PERSON, TREE, TWINS, {"items": {"type": "string"}}, {"uniqueItems": True}]
)
def test_a_megabyte_is_checked_in_bounded_time(name: str, schema: Any) -> None:
    checked = Format(Shape(as_json=True)) if schema is None else shaped(schema)
    assert cpu_s(lambda: checked.check(LARGE[name]), 0.1) <= 0.1


@pytest.mark.parametrize(
    "pattern", ["[ab]*a[ab]{20}c", "^(a|b|ab)*c$", r"(\w+\s?)*$", "(.*a){10}$"]
)
@pytest.mark.parametrize("size", [390_000, 1_000_000])
def test_no_pattern_takes_longer(pattern: str, size: int) -> None:
    checked = shaped({"items": {"pattern": pattern}})
    text = json.dumps(["abba" * (size // 4)])
    assert cpu_s(lambda: checked.check(text), 0.1) <= 0.1


# ---------------------------------------------------------------------------- many, asked


def test_formats_are_compiled_once_and_the_oldest_go() -> None:
    formats = Formats(size=2)
    first = formats.get(Shape(schema=b'{"type":"object"}'))
    assert formats.get(Shape(schema=b'{"type":"object"}')) is first
    formats.get(Shape(schema=b"{}"))
    formats.get(Shape(schema=b'{"type":"object"}'))
    formats.get(Shape(as_json=True))
    assert formats.get(Shape(schema=b'{"type":"object"}')) is first
    formats.get(Shape(max_chars=1))
    formats.get(Shape(max_chars=2))
    assert formats.get(Shape(schema=b'{"type":"object"}')) is not first


def test_a_refused_schema_is_refused_again_without_a_look() -> None:
    formats = Formats()
    bomb = Shape(schema=json.dumps(doubled(60)).encode())
    for _ in range(2):
        with pytest.raises(SchemaRefused, match="too many checks"):
            formats.get(bomb)
    began = time.perf_counter()
    for _ in range(1000):
        with pytest.raises(SchemaRefused):
            formats.get(bomb)
    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize(
    "document",
    [
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "p", "schema": PERSON},
            }
        },
        {"text": {"format": {"type": "json_schema", "name": "p", "schema": PERSON}}},
        {"output_config": {"format": {"type": "json_schema", "schema": PERSON}}},
        {"output_format": {"type": "json_schema", "schema": PERSON}},
        {"response_format": {"type": "json_object", "json_schema": PERSON}},
        {
            "outputConfig": {
                "textFormat": {
                    "type": "json_schema",
                    "structure": {"jsonSchema": {"schema": json.dumps(PERSON)}},
                }
            }
        },
    ],
)
def test_the_schema_of_a_request_is_found(document: Any) -> None:
    shape = shape_asked(document)
    assert shape is not None
    assert shape.schema is not None
    assert json.loads(shape.schema) == PERSON
    assert Formats().get(shape).check('{"name":"x"}') == []


def test_json_mode_asks_for_json_and_other_requests_for_nothing() -> None:
    assert shape_asked({"response_format": {"type": "json_object"}}) == Shape(as_json=True)
    others: list[dict[str, Any]] = [{"response_format": {"type": "text"}}, {"text": 1}, {}]
    for other in others:
        assert shape_asked(other) is None
