"""Values of a fixed shape: one table of characters gives the finder and the hold-back.

A shape is a sequence of one-character classes, some of them optional separators.  Out of it
come the expression that finds whole values and the one that finds a beginning of a value
at the end of a text, so the two cannot drift apart.
"""

from __future__ import annotations

import re
from itertools import islice

from gateway_extproc.guards.located import LONG_TEXT
from gateway_extproc.guards.numbers import Spans
from gateway_extproc.guards.scanner import Scanner

_UNIT = re.compile(r"\[(?:\\.|[^\]\\])*\]\??|[^\[]\??")
_REPEAT = re.compile(r"(\[(?:\\.|[^\]\\])*\])\{(\d+)\}")

_EDGE = "[^A-Za-z0-9]"

MATCHES_MAX = 4_000
"""Places of one text where a value may stand.  Behind them all of the text is taken for one:
no honest text has so many, and the time stays bounded."""


def with_rest(spans: Spans, text: str, most: int) -> Spans:
    """The spans, and the rest of the text behind them where there are as many as ``most``."""
    return spans if len(spans) < most else [*spans, (spans[-1][0], len(text))]


class Shape:
    """Characters in a row, with no letter or digit before or after them.

    ``template`` is an expression of character classes, each once, ``{n}`` times or
    ``?`` (a separator).  A value neither follows a decimal point nor precedes a letter or
    digit; so a match depends on two characters before it and one after it.
    """

    def __init__(self, template: str) -> None:
        units = _UNIT.findall(_REPEAT.sub(lambda m: m[1] * int(m[2]), template))
        first, rest = units[0], units[1:]
        # Only the first character is consumed, so that overlapping values are seen too; its
        # class comes before the look behind it, so that the search skips to such characters.
        edge = r"(?<![A-Za-z0-9].)(?<![0-9][.,].)"
        self._full = re.compile(rf"{first}{edge}(?=({''.join(rest)})(?![A-Za-z0-9]))", re.DOTALL)
        partial = r"\Z"
        for unit in reversed(rest):
            partial = rf"(?:\Z|{unit}{partial})"
        self._partial = re.compile(rf"{first}{edge}{partial}", re.DOTALL)
        self._width = len(units)
        self._ending = re.compile("".join(units) + r"\Z")
        self._scanner = Scanner([f"{_EDGE}{''.join(units)}{_EDGE}"], most=MATCHES_MAX)

    def find(self, text: str) -> Spans:
        """Every place where a value of this shape stands, also overlapping ones."""
        if len(text) >= LONG_TEXT:
            return self._find_in_long(text)
        found = self._full.finditer(text)
        spans = [(match.start(), match.end(1)) for match in islice(found, MATCHES_MAX)]
        return with_rest(spans, text, MATCHES_MAX)

    def _find_in_long(self, text: str) -> Spans:
        """The same; only where a value ends is its beginning looked for."""
        spans: Spans = []
        hits = self._scanner.hits(f" {text} ")
        for _, after in hits:
            end = after - 2
            ending = self._ending.search(text, max(0, end - self._width), end)
            value = self._full.match(text, ending.start()) if ending else None
            if value:
                spans.append((value.start(), value.end(1)))
        return [*spans, (hits[-1][1] - 2, len(text))] if len(hits) >= MATCHES_MAX else spans

    def live(self, text: str) -> int:
        """Where a value could begin that reaches the text's end."""
        found = self._partial.search(text, max(0, len(text) - self._width))
        return found.start() if found else len(text)


def trailing_run(text: str, chars: str, most: int) -> int:
    """Where the last characters of ``text`` begin that are all of ``chars``; ``most`` of them."""
    for reach in (48, most):
        offset = max(0, len(text) - reach)
        tail = text[offset:]
        kept = len(tail.rstrip(chars))
        if kept or offset == 0 or reach == most:
            return offset + kept
    raise AssertionError
