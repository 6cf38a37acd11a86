"""What is known of a pattern before it meets a text."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.guards.errors import GuardCompileError
from gateway_extproc.guards.operatorpatterns import ENDS_MAX, REACH, PatternScan
from gateway_extproc.guards.patterns import (
    HOLD_MAX,
    check_pattern,
    literal_prefix,
    longest_match,
    pattern_tail,
)


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("acme-[0-9]{4}", "acme-"),
        (r"\bacme", "acme"),
        (r"a\.b", "a.b"),
        ("colou?r", "colo"),
        ("ab*", "a"),
        ("ab{0,2}", "a"),
        ("ab+", "ab"),
        ("foo|bar", ""),
        ("x(a|b)", "x"),
        ("x[(]|b", ""),
        (r"x\(|b", ""),
        ("(?i)foo", ""),
        ("^foo", ""),
        (r"a\d", "a"),
    ],
)
def test_literal_prefix(pattern: str, prefix: str) -> None:
    assert literal_prefix(pattern) == prefix


@pytest.mark.parametrize(
    ("pattern", "length"), [("foo", 3), ("a[0-9]{1,4}", 5), ("a.*b", HOLD_MAX), ("x{90}", HOLD_MAX)]
)
def test_longest_match(pattern: str, length: int) -> None:
    assert longest_match(pattern) == length


def test_the_tail_of_a_pattern_begins_at_its_prefix() -> None:
    live = pattern_tail("acme-[0-9]{4}")
    assert live("see ACM") == 4
    assert live("see acme-12") == 4
    assert live("see acid") == 8
    assert live("acme-1234 and on") == 16
    assert pattern_tail("[xy]{2}z")("some text") == 6


TAKEN = (
    "^begin", "^(?:a|b)c", r"a\^b", "[^a]b", r"(?:x[^\]]|y)z", "(?:^|x)(?:ab|abc) [^n]*cd", "^a|b$",
    r"(?m)^x", r"end\Z", r"\hb", r"\p{Greek}+x", "(?i:x)y", "[[:alpha:]]{3}",
)  # fmt: skip


@pytest.mark.parametrize("pattern", TAKEN)
def test_what_hyperscan_takes_is_taken(pattern: str) -> None:
    check_pattern("r", pattern)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a(?=b)", "[Zz]ero-width"),
        (r"(a)\1", "[Bb]ack-reference"),
        ("(?x) a b", "bounded time: RE2"),
        ("a{2000}", "bounded time: RE2 says invalid repetition size"),
        ("a*", "empty"),
    ],
)
def test_what_cannot_be_bounded_is_refused_with_the_reason(pattern: str, why: str) -> None:
    with pytest.raises(GuardCompileError, match=why):
        check_pattern("r", pattern)


PATTERNS = (
    r"\bfoo[0-9]+\b", "foo|foobar", "a.*b", "[ab]+c", r"x\w*y", "abc$", "^ab", r"o\B", "é+x",
    r"a[\s\S]*?c", "(a|b)*c", r"\w+@\w+", "aba|bab", "(?:^|x)(?:ab|abc)[^n]*c", "^a|b$",
)  # fmt: skip
SCANS = {pattern: PatternScan([pattern]) for pattern in PATTERNS}
LETTERS = st.sampled_from(
    ["a", "b", "c", "foo", "bar", "1", "x", "y", " ", "\n", "é", "@", "B", "o", "n"]
)


@cache
def up_to(pattern: str, rest: int) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern})(?=(?s:.){{{rest}}}\Z)", re.IGNORECASE | re.ASCII)


def covered_by_any_match(pattern: str, text: str) -> list[bool]:
    """The characters that some match covers, by asking Python's ``re`` for each pair of ends."""
    covered = [False] * len(text)
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            if up_to(pattern, len(text) - end).match(text, start):
                covered[start:end] = [True] * (end - start)
    return covered


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=25, deadline=None)
@given(pieces=st.lists(LETTERS, max_size=8))
def test_every_match_is_covered_and_nothing_else(pattern: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    data = text.encode()
    covered = [False] * len(text)
    for start, end, sure in SCANS[pattern].find(data).get(0, ()):
        assert start < sure <= end
        first, last = len(data[:start].decode()), len(data[:end].decode())
        covered[first:last] = [True] * (last - first)
    assert covered == covered_by_any_match(pattern, text)


def test_the_rest_of_a_text_with_too_many_matches_is_one() -> None:
    scan = PatternScan(["a.*b", "needle"])
    text = b"x" + b"ab" * ENDS_MAX + b" needle "
    assert scan.find(text)[0] == [(1, len(text), 3)]
    assert scan.find(text)[1][-1][1] == len(text)
    assert 2 not in scan.find(text)


def test_a_match_longer_than_the_reach_is_found_from_its_beginning() -> None:
    text = b"so <" + b"-" * 3 * REACH + b"> it is"
    assert PatternScan(["<-*>"]).find(text)[0] == [(3, 3 * REACH + 5, 3 * REACH + 5)]
