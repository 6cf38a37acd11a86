"""What is known of a pattern before it meets a text."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("pattern", ["^begin", "^(?:a|b)c", r"a\^b", "[^a]b", r"(?:x[^\]]|y)z"])
def test_a_beginning_that_stands_alone_is_taken(pattern: str) -> None:
    check_pattern("r", pattern)
