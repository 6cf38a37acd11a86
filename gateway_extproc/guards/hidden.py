"""Characters that a reader does not see and a model does."""

from __future__ import annotations

import re
from itertools import islice

from gateway_extproc.guards.numbers import Spans
from gateway_extproc.guards.shapes import with_rest

_INVISIBLE = "\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff\u00ad"
_TAGS = "\U000e0000-\U000e007f"
_OVERRIDES = "\u202d\u202e"
_FLAG = "\U0001f3f4"  # regional flags are written as a black flag and tag characters

GATE = f"[{_INVISIBLE}{_TAGS}{_OVERRIDES}]"

RUNS_MAX = 4_000
"""Findings of one text; what stands behind so many goes as a whole."""

_RUN = re.compile(f"[{_TAGS}]+|[{_OVERRIDES}]+|[{_INVISIBLE}]+")
_TAIL = re.compile(f"{_FLAG}?(?:[{_TAGS}]+|[{_INVISIBLE}]+)\\Z|{_FLAG}\\Z")
_FLAG_TAGS = re.compile("[\U000e0061-\U000e007a\U000e0030-\U000e0039]{2,6}\U000e007f")


def find_hidden(text: str) -> Spans:
    """Tag characters, bidi overrides, and invisible characters inside words.

    One invisible character between letters is normal in Persian, Indic and Thai
    writing and in soft-hyphenated text; it is taken between ASCII letters, or when
    several stand together between letters.  Flags of regions are no finding.
    """
    carrying = (run.span() for run in _RUN.finditer(text) if _carries(text, run))
    return with_rest(list(islice(carrying, RUNS_MAX)), text, RUNS_MAX)


def _carries(text: str, run: re.Match[str]) -> bool:
    start, end = run.span()
    before, after = text[start - 1 : start], text[end : end + 1]
    if text[start] in _OVERRIDES:
        return True
    if text[start] >= "\U000e0000":
        return before != _FLAG or _FLAG_TAGS.fullmatch(run[0]) is None
    if not (before.isalpha() and after.isalpha()) or run[0] == "\u00ad":
        return False
    return end - start > 1 or (before.isascii() and after.isascii())


def live_hidden(text: str) -> int:
    """The trailing run of hidden characters: what follows it decides."""
    if text.isascii() or not text or text[-1] < "\u00ad":
        return len(text)
    tail = _TAIL.search(text, max(0, len(text) - 4096))
    return tail.start() if tail else len(text)
