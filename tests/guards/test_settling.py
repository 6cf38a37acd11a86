"""The contract of every finder: what lies before ``live`` is settled, however the text goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.guards.entities import ENTITIES
from gateway_extproc.guards.links import LinkGuard
from gateway_extproc.guards.numbers import Spans
from gateway_extproc.guards.shell import find_dangerous_shell, live_dangerous_shell
from gateway_extproc.guards.terms import TermList
from guards.cases import NOT_VALUES, VALUES


@dataclass(frozen=True)
class Finder:
    find: Callable[[str], Spans]
    live: Callable[[str], int]


_TERMS = TermList(["red", "red falcon", "project atlas", "atl", "é", "x-1"])
_PARTS = TermList(["red", "ed fal", "atlas"], whole_words=False)
_LINKS = LinkGuard(["example.com"])
FINDERS = {name: Finder(entity.find, entity.live) for name, entity in ENTITIES.items()} | {
    "terms": Finder(_TERMS.find, _TERMS.live),
    "parts": Finder(_PARTS.find, _PARTS.live),
    "links": Finder(_LINKS.find, _LINKS.live),
    "shell": Finder(find_dangerous_shell, live_dangerous_shell),
}
SAME_EACH_TIME = "SETTLING_RANDOM" not in os.environ
"""Rare cuts of rare texts are hunted with this variable; other runs do not fail by luck."""

WORDS = (
    " ", "  ", "-", ".", ",", "@", "\n", "a", "I", "is", ":", "/", "(", ")", "+", "=", '"', "1", "12",  # noqa: E501
    "0", "123", "4", "2024", "x", "é", "电话", "call ", "phone: ", "tel", "fax", " office", " mobile",  # noqa: E501
    "born on ", "dob ", "May ", "may", "3 ", "1990", "12 Main ", "Street", "St", "rue ", "Rue de la ",  # noqa: E501
    "Haupt", "straße ", "Via Roma ", "Apt. ", "P.O. Box ", "version ", "1.2.3.4", "::", "fe80", "BSN ",  # noqa: E501
    "tfn ", "sin ", "uid ", "sk-", "ghp_", "AK", "eyJ", "eyJhbGciOiJIUzI1NiJ9", "https://", "user:pw1x@",  # noqa: E501
    "password", "token: ", "secret=", "api_key=", "Bearer ", "abc123def456", "Authorization: ",
    "data:", "apiVersion: v1\n", "-----BEGIN ", "xoxb-", "Q~", ":AA", "red", " falcon", "project",
    "\tatlas", "Red", "![a](", "](", "https://evil.io/?q=", "a" * 40, "A" * 40, "<img src=", "rm ", "-rf /", "curl ",  # noqa: E501
    "原", "🎉", "🎉🎉", "| sh", "\n$ ", "x" * 60, "xx.yy",
)  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from([value for values in VALUES.values() for value in values]),
    st.sampled_from([value for values in NOT_VALUES.values() for value in values]),
    st.text(alphabet="aA1 -.:/é(\n", max_size=6),
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@pytest.mark.parametrize("name", sorted(FINDERS))
@settings(max_examples=250, deadline=None, derandomize=SAME_EACH_TIME)
@given(TEXTS, st.lists(st.integers(0, 9_999), min_size=1, max_size=8))
def test_what_lies_before_live_is_settled(name: str, text: str, cuts: list[int]) -> None:
    finder = FINDERS[name]
    whole = finder.find(text)
    for place in cuts:
        prefix = text[: place % (len(text) + 1)]
        live = finder.live(prefix)
        assert 0 <= live <= len(prefix)
        settled = [span for span in finder.find(prefix) if span[0] < live]
        assert settled == [span for span in whole if span[0] < live], (prefix, text[len(prefix) :])
        assert all(end <= len(prefix) for _, end in settled)


@pytest.mark.parametrize("name", sorted(FINDERS))
@settings(max_examples=150, deadline=None, derandomize=SAME_EACH_TIME)
@given(TEXTS, st.integers(0, 9_999), st.integers(0, 9_999))
def test_live_only_moves_forward(name: str, text: str, one: int, other: int) -> None:
    first, second = sorted((one % (len(text) + 1), other % (len(text) + 1)))
    finder = FINDERS[name]
    assert finder.live(text[:first]) <= finder.live(text[:second])


@pytest.mark.parametrize("name", sorted(FINDERS))
@settings(max_examples=150, deadline=None, derandomize=SAME_EACH_TIME)
@given(TEXTS, TEXTS)
def test_a_far_beginning_changes_nothing(name: str, before: str, text: str) -> None:
    """A stream forgets what lies more than ``LOOKBACK`` characters before."""
    finder = FINDERS[name]
    gap = "\n" + " .\n" * 90
    shift = len(before) + len(gap)
    far = [(s - shift, e - shift) for s, e in finder.find(before + gap + text) if s >= shift]
    near = [(s - len(gap), e - len(gap)) for s, e in finder.find(gap + text) if s >= len(gap)]
    assert far == near


def test_a_key_that_runs_into_a_private_key_waits_for_its_end() -> None:
    finder = FINDERS["api_key"]
    text = "xoxb-123456789012-abcdefABCDEF" + VALUES["private_key"][0]
    whole = finder.find(text)
    for place in range(len(text) + 1):
        live = finder.live(text[:place])
        settled = [span for span in finder.find(text[:place]) if span[0] < live]
        assert settled == [span for span in whole if span[0] < live]
