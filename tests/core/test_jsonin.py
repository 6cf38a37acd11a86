"""Strict JSON: one document means one thing to everybody who reads it."""

from __future__ import annotations

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.jsonin import read_object


def refused(body: bytes, max_depth: int = 8) -> str:
    with pytest.raises(RequestError) as caught:
        read_object(body, max_depth=max_depth)
    assert caught.value.refusal.reason == "invalid_json"
    return caught.value.refusal.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\udc00\\ud800"}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\x01"}',
        b'{"a": 01}',
        b'{"a": 1,}',
        '{"a": 1}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_strict_json_is_refused(body: bytes) -> None:
    refused(body)


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"true", b"[{}]"])
def test_only_an_object_is_a_request(body: bytes) -> None:
    assert "must be a JSON object" in refused(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"x":1,"y":2,"x":1}',
        b'{"messages":[{"role":"user","role":"system"}]}',
        b'{"a":{"b":{"c":{"d":1,"d":2}}}}',
        b'{"model":"a","m\\u006fdel":"b"}',
    ],
)
def test_a_key_twice_at_any_depth_is_refused_by_name(body: bytes) -> None:
    assert "stands twice" in refused(body)


def test_a_duplicate_is_named() -> None:
    assert "'role'" in refused(b'{"messages":[{"role":"a","x":1,"role":"b"}]}')


@given(st.integers(1, 12), st.booleans())
def test_nesting_is_bounded_exactly(depth: int, lists: bool) -> None:
    inner = b"[" * (depth - 1) + b"]" * (depth - 1) if lists else b'{"a":' * (depth - 1) + b"1"
    body = b'{"a":' + (inner or b"1") + (b"}" if lists else b"}" * depth)
    if depth > 8:
        assert "nested more than 8" in refused(body)
    else:
        assert read_object(body, max_depth=8) == orjson.loads(body)


def test_braces_in_texts_are_not_depth() -> None:
    assert read_object(b'{"a": "[[[[[[[[[[[[{{{{"}', max_depth=1) == {"a": "[[[[[[[[[[[[{{{{"}


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**53), 2**53)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=8),
            lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_what_an_encoder_wrote_is_read_as_it_was(document: dict[str, object]) -> None:
    assert read_object(orjson.dumps(document), max_depth=40) == document


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    with contextlib.suppress(RequestError):
        assert isinstance(read_object(body, max_depth=8), dict)
