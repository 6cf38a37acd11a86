"""The planted mark is found in every form that a model is asked to write it in."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.guards.canary import CanaryWatch, canary, tells_canary
from support.pace import cpu_s

KEY = b"k" * 32
MARK = canary("request-1", KEY)

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "reversed": lambda s: s[::-1],
    "spaced": " ".join,
    "dotted": ".".join,
    "hidden characters": "\u200b".join,
    "one a line": "\n".join,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 in lines": lambda s: base64.encodebytes(s.encode()).decode(),
    "base64 for addresses": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "base64 of upper": lambda s: base64.b64encode(s.upper().encode()).decode(),
    "base64 of reversed": lambda s: base64.b64encode(s[::-1].encode()).decode(),
    "base64 reversed": lambda s: base64.b64encode(s.encode()).decode()[::-1],
    "hex": lambda s: s.encode().hex(),
    "hex in pairs": lambda s: s.encode().hex(" ").upper(),
    "rot13": lambda s: codecs.encode(s, "rot13"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("before", ["", "a", "ab", "the mark >> "])
def test_the_mark_is_found(form: str, before: str) -> None:
    text = FORMS[form](f"{before}{MARK}?? ok")
    assert tells_canary("Sure: " + text + " bye", MARK)
    assert not tells_canary("Sure: " + text.replace(text[len(text) // 2], "") + " bye", MARK[::2])


@given(
    st.sampled_from(sorted(FORMS)),
    st.text(max_size=60),
    st.text(max_size=60),
    st.lists(st.integers(0, 9_999), max_size=20),
)
def test_it_is_found_in_any_cut(form: str, before: str, after: str, cuts: list[int]) -> None:
    text = f"{before} {FORMS[form](' ' + MARK + ' ')} {after}"
    places = [0, *sorted(place % (len(text) + 1) for place in cuts), len(text)]
    watch = CanaryWatch(MARK)
    told = [watch.push(text[start:end]) for start, end in pairwise(places)]
    told.append(watch.push("", final=True))
    assert any(told)
    assert max(at for at in told if at) <= len(text)


@given(st.text(max_size=300))
def test_other_texts_do_not_hold_it(text: str) -> None:
    assert not tells_canary(text, MARK)


def test_the_mark_of_another_request_is_none() -> None:
    other = canary("request-2", KEY)
    assert len({MARK, other, canary("request-1", b"x" * 32)}) == 3
    for form in FORMS.values():
        assert not tells_canary(form(MARK), other)


def test_the_same_request_has_the_same_mark() -> None:
    assert canary("request-1", KEY) == MARK
    assert len(MARK) == 16
    assert MARK.isalnum()
    assert MARK.lower() == MARK


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "é" * 1_000_000, "a " * 500_000, MARK[:-1] * 66_000]
)
def test_a_megabyte_takes_bounded_time(text: str) -> None:
    assert cpu_s(lambda: tells_canary(text, MARK), 0.1) <= 0.1
