"""Forms: what clients send is read strictly, and written so that nobody reads it otherwise."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.form import (
    FIELD_BYTES,
    MOST_PARTS,
    boundary_of,
    form_type,
    from_json,
    read_form,
    to_json,
    write_form,
)

NEW = "f00d" * 8


def part(value: bytes, *headers: str) -> bytes:
    return "\r\n".join(("--b", *headers, "", "")).encode() + value + b"\r\n"


def field(name: str, value: bytes = b"x", more: str = "") -> bytes:
    return part(value, f'Content-Disposition: form-data; name="{name}"{more}')


def refused(body: bytes) -> str:
    with pytest.raises(RequestError) as caught:
        read_form(body, "b")
    assert caught.value.refusal.reason == "invalid_form"
    return caught.value.refusal.message


def test_what_an_sdk_sends_is_read_and_goes_on() -> None:
    request = httpx.Request(
        "POST", "http://x/",
        data={"model": "m", "timestamp_granularities[]": ["word", "segment"], "zeta": "ü"},
        files={"file": ("ä.mp3", b"\x00\r\n--\xff\r\n", "audio/mpeg")},
    )  # fmt: skip
    kind = request.headers["content-type"]
    boundary = boundary_of(kind)
    assert boundary is not None
    form = read_form(request.read(), boundary)
    assert form == {
        "model": "m", "timestamp_granularities[]": ["word", "segment"], "zeta": "ü",
        "file": {"filename": "ä.mp3", "content_type": "audio/mpeg", "data": b"\x00\r\n--\xff\r\n"},
    }  # fmt: skip
    written = write_form(form, NEW)
    assert form_type(written) == f"multipart/form-data; boundary={NEW}"
    assert list(read_form(written, NEW).items()) == list(form.items())


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_NAMES = st.from_regex(r"[a-z_\[\]ü ]{1,20}", fullmatch=True)
_FILES = st.fixed_dictionaries({
    "filename": _NAMES, "content_type": st.sampled_from(["", "audio/mpeg"]),
    "data": st.binary(max_size=80) | st.just(b"\r\n--b--\r\n"),
})  # fmt: skip


@given(st.dictionaries(_NAMES, _TEXTS | _FILES | st.lists(_TEXTS | _FILES, min_size=2, max_size=3),
                       min_size=1, max_size=6))  # fmt: skip
def test_whatever_is_written_is_read_again(form: dict[str, Any]) -> None:
    assert read_form(write_form(form, NEW), NEW) == form
    assert from_json(orjson.loads(orjson.dumps(form, default=to_json))) == form


@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_a_refusal(body: bytes) -> None:
    for data in (body, b"--b\r\n" + body, field("a") + body):
        try:
            form = read_form(data, "b")
        except RequestError:
            continue
        assert read_form(write_form(form, NEW), NEW) == form


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b\r\n\r\nx\r\n--b--",
        b"--c--",
        field("a"),
        field("a") + b"--b-",
        field("") + b"--b--",
        field('a\\"b') + b"--b--",
        field("a\x00") + b"--b--",
        field("a", b"\xff") + b"--b--",
        field("a", more='; filename="x\x01y"') + b"--b--",
        part(b"x", "Content-Type: text/plain") + b"--b--",
        part(b"x", "Content-Disposition: attachment; name=a") + b"--b--",
        part(b"eA==", 'Content-Disposition: form-data; name="a"',
             "Content-Transfer-Encoding: base64") + b"--b--",
        part(b"x", 'Content-Disposition: form-data; name="a"',
             'Content-Disposition: form-data; name="b"') + b"--b--",
        part(b"x", 'Content-Disposition: form-data; name="a"; filename="f"',
             "Content-Type: not a type") + b"--b--",
        b"".join(field(f"a{i}") for i in range(MOST_PARTS + 1)) + b"--b--",
        field("a", b"x" * (FIELD_BYTES + 1)) + b"--b--",
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    assert refused(body)


def test_a_name_given_twice_in_one_part_reaches_nobody_in_two_ways() -> None:
    body = part(b"m", 'Content-Disposition: form-data; name="a"; name="model"') + b"--b--"
    written = write_form(read_form(body, "b"), NEW)
    assert written.count(b"name=") == 1


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('multipart/form-data; boundary="a b"', "a b"),
        ("multipart/form-data;boundary=abc; charset=utf-8", "abc"),
        ("multipart/form-data; charset=utf-8; Boundary=abc", "abc"),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=" + "x" * 71, None),
        ("multipart/form-data; boundary=a; boundary=b", None),
        ("multipart/form-data; boundary=a,b", None),
    ],
)
def test_there_is_one_boundary_or_none(kind: str, boundary: str | None) -> None:
    assert boundary_of(kind) == boundary
