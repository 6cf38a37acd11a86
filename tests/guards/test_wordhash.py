"""Both ways of hashing words give the same, for any cut."""

from __future__ import annotations

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.guards.wordhash import WORD_MAX, fold, hashes_of, read_folded

LONG = " \n" * 200  # long enough for whole-array operations, without a word

TEXTS = st.lists(
    st.one_of(
        st.text(max_size=20), st.sampled_from(["x" * 200, "你好", "don't", "_", "\ud800", "𝐛"])
    ),
    max_size=8,
).map("".join)


@settings(max_examples=500)
@given(TEXTS)
def test_words_one_after_the_other_and_all_at_once_are_the_same(text: str) -> None:
    folded = fold(text)
    for final in (True, False):
        few, rest = read_folded(folded[:255], final=final)
        many, long_rest = read_folded(LONG + folded[:255], final=final)
        assert list(few) == list(many)
        assert long_rest == len(LONG) + rest


@given(TEXTS, st.integers(0, 999))
def test_the_rest_goes_on(text: str, place: int) -> None:
    folded = fold(text)
    place %= len(folded) + 1
    first, rest = read_folded(folded[:place], final=False)
    second, _ = read_folded(folded[rest:], final=True)
    assert [*first, *second] == hashes_of(text).tolist()


def test_case_does_not_count_and_length_stays() -> None:
    for code in range(sys.maxunicode + 1):
        assert len(fold(chr(code))) == 1
    assert hashes_of("Don't PANIC").tolist() == hashes_of("don t panic").tolist()
    assert len(set(hashes_of("one two three one").tolist())) == 3


def test_signs_and_long_words_are_words() -> None:
    assert len(hashes_of("你好 abc")) == 3
    assert len(hashes_of("x" * (WORD_MAX + 1))) == 2
    assert len(hashes_of("")) == 0
