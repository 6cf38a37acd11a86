"""Lists of terms, of any length: one Aho-Corasick automaton over folded text.

A hundred thousand terms cost as much to look for as ten.  Not an expression language: a term
is found as it is written, apart from case and the kind of white space.
"""

from __future__ import annotations

from collections.abc import Iterable

import ahocorasick

from gateway_extproc.guards.errors import TermListError
from gateway_extproc.guards.numbers import Spans, merged

TERM_MAX = 128
"""Characters of a term; a stream holds back no more."""
HITS_MAX = 20_000
"""Occurrences looked at in one text, words inside of words included.  What stands behind so
many is found as a whole: no honest text has them, and the time stays bounded."""

_SPACES = dict.fromkeys(map(ord, "\t\n\r\x0b\x0c\u00a0\u2002\u2003\u2009\u202f\u3000"), " ")


_LONGER = "\u0130"
"""The one capital, of Turkish, that has no lower-case form of one character."""


def fold(text: str) -> str:
    """Lower case and plain spaces, with as many characters as before."""
    low = text.lower()
    if len(low) != len(text):
        low = _LONGER.join([part.lower() for part in text.split(_LONGER)])
    return low if low.isascii() and low.isprintable() else low.translate(_SPACES)


class TermList:
    """Finds the terms of one list.

    With ``whole_words`` no letter or digit stands before or after a term.  Scripts without
    spaces between words (Chinese, Japanese, Thai) need a list without it.  Raises
    ``TermListError`` for a term that is empty, longer than ``TERM_MAX`` or not text.
    """

    def __init__(self, terms: Iterable[str], *, whole_words: bool = True) -> None:
        self.whole_words = whole_words
        self.size = 0
        self.longest = 0
        self._automaton = ahocorasick.Automaton(ahocorasick.STORE_LENGTH)
        for index, term in enumerate(terms):
            folded = fold(term.strip())
            if not folded or len(folded) > TERM_MAX:
                raise TermListError(index, f"a term has 1 to {TERM_MAX} characters")
            self.size += bool(self._automaton.add_word(folded))
            self.longest = max(self.longest, len(folded))
        if self.size:
            self._automaton.make_automaton()

    def find(self, text: str) -> Spans:
        """Where terms stand; overlapping ones are one span."""
        if not self.size:
            return []
        folded = fold(text)
        spans: Spans = []
        whole = self.whole_words
        for count, (last, length) in enumerate(self._automaton.iter(folded)):
            start, end = last + 1 - length, last + 1
            if count == HITS_MAX:
                spans.append((start, len(text)))
                break
            if not whole or _stands_alone(folded, start, end):
                spans.append((start, end))
        return merged(spans)

    def live(self, text: str) -> int:
        """Where a term could begin that reaches the text's end, ``len(text)`` if nowhere.

        At most ``longest`` characters before the end: a term, or the beginning of one.
        """
        offset = max(0, len(text) - self.longest)
        folded = fold(text[max(0, offset - 1) :])
        shift = len(text) - len(folded)
        for position in range(offset - shift, len(folded)):
            inside = position and folded[position - 1].isalnum() and folded[position].isalnum()
            if self.whole_words and inside:
                continue
            if self.size and self._automaton.match(folded[position:]):
                return shift + position
        return len(text)


def _stands_alone(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isalnum() and text[start].isalnum()) and not (
        after.isalnum() and text[end - 1].isalnum()
    )
