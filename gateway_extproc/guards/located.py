"""An expression of Python's, tried only where Hyperscan saw that a match may begin.

Python's ``re`` asks at every character; over a long text Hyperscan finds the few places faster.
What is found is the same: a text with more places than are listed is walked from there on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gateway_extproc.guards.scanner import Scanner

LONG_TEXT = 4_096
"""From so many characters on Hyperscan looks for the places; below, asking it costs more."""
PLACES_MAX = 20_000
"""Places that are listed; walking the text is faster than listing more."""


class Located:
    """``heads`` are expressions that every match begins with, by their width in characters.

    A head includes one character more, which stands before the match; every character outside
    of ASCII, and the text's beginning, is one that is no letter or digit.
    """

    def __init__(self, pattern: re.Pattern[str], heads: Mapping[str, int]) -> None:
        self._pattern = pattern
        self._widths = list(heads.values())
        self._scanner = Scanner(list(heads), most=PLACES_MAX)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """The matches of the pattern, as its own ``finditer`` gives them."""
        if len(text) < LONG_TEXT:
            yield from self._pattern.finditer(text)
            return
        hits = self._scanner.hits(f" {text}")
        position = 0
        for start in sorted({end - 1 - self._widths[ident] for ident, end in hits}):
            match = self._pattern.match(text, start) if start >= position else None
            if match:
                yield match
                position = match.end()
        if len(hits) >= self._scanner.most:
            yield from self._pattern.finditer(text, max(position, hits[-1][1] - 1))
