"""Words near a number that say what it is."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from gateway_extproc.guards.located import LONG_TEXT
from gateway_extproc.guards.scanner import Scanner

REACH = 48
"""Characters between a context word and its value, at most.  Together with the longest word this
must stay below what a stream keeps of the text that already left (``slot.LOOKBACK``)."""

CANDIDATES_MAX = 4_000
"""Candidates of one text that are looked at one by one; what only looks like a value beyond
them is taken for one.  No honest text has so many, and the time stays bounded."""

WORDS_MAX = 10_000
"""Context words of one text; with so many every number counts as spoken of."""


class ContextWords:
    """Whole words, without regard to case; several places are found in one call."""

    def __init__(self, words: str) -> None:
        """``words`` are separated by commas; spaces belong to a word."""
        each = {word.strip() for line in words.splitlines() for word in line.split(",")}
        each.discard("")
        self._ascii = sorted(word.encode() for word in each if word.isascii())
        self._scanner = Scanner(
            [rf"(?i)[^a-z0-9]{re.escape(word.decode())}[^a-z0-9]" for word in self._ascii],
            most=WORDS_MAX,
        )
        self._other = sorted(
            {form for word in each if not word.isascii() for form in (word, word.capitalize())}
        )

    def ends(self, text: str) -> list[int]:
        """Where the words end in ``text``, sorted; with very many, everywhere."""
        found = self._in_long(text) if len(text) >= LONG_TEXT else self._in_short(text)
        if len(found) >= WORDS_MAX:
            return list(range(0, len(text) + REACH, REACH // 2))
        if not text.isascii():
            for other in self._other:
                at = text.find(other)
                while at >= 0 and len(found) < WORDS_MAX:
                    found.append(at + len(other))
                    at = text.find(other, at + len(other))
        found.sort()
        return found

    def _in_short(self, text: str) -> list[int]:
        # One byte a character keeps the offsets; words of other scripts are looked up as they are.
        data = text.encode("ascii", "replace").lower()
        found: list[int] = []
        for word in self._ascii:
            _collect(data, word, found)
        return found

    def _in_long(self, text: str) -> list[int]:
        return [end - 2 for _, end in self._scanner.hits(f" {text} ")]


def _collect(data: bytes, word: bytes, found: list[int]) -> None:
    at = data.find(word)
    while at >= 0:
        end = at + len(word)
        if not data[max(0, at - 1) : at].isalnum() and not data[end : end + 1].isalnum():
            found.append(end)
        if len(found) >= WORDS_MAX:
            break
        at = data.find(word, end)


def stands_near(ends: Sequence[int], start: int, reach: int = REACH) -> bool:
    """True if one of the sorted ``ends`` lies at most ``reach`` characters before ``start``."""
    index = bisect_right(ends, start)
    return index > 0 and start - ends[index - 1] <= reach
