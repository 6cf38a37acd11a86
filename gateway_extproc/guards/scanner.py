"""Many fixed expressions over one text in one pass, with the places of their matches.

For the inside of a finder, after its gate let a text through.  Python's ``re`` tries each
alternative at each character; Hyperscan's time does not depend on the text.

Hyperscan reports where matches end.  Where they begin is asked of Python's ``re`` for those
few, because the start-of-match mode of Hyperscan 5.4 reads outside of its memory for some
expressions and ends the process.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

import hyperscan

HITS_MAX: Final = 50_000
"""With so many ends the scan stops; a finder then takes the rest of the text for found."""
SPANS_MAX: Final = 2_000
"""Ends of one text whose beginnings are looked for; the rest of the text counts as found."""
Spans = list[tuple[int, int]]
Hit = tuple[int, int]
"""Which expression, and where a match of it ends."""


class Scanner:
    """Expressions over ASCII; every other character of a text counts as ``?``.

    That keeps one byte a character, so that offsets are those of the text.  Compiled at the
    first use; each thread has scratch space of its own.  With ``presence`` each expression is
    reported once, at its first end.  After ``most`` ends a scan stops.
    """

    def __init__(
        self, expressions: Sequence[str], *, presence: bool = False, most: int = HITS_MAX
    ) -> None:
        self.most = most
        self._expressions = [expression.encode("ascii") for expression in expressions]
        self._flags = hyperscan.HS_FLAG_DOTALL
        self._flags |= hyperscan.HS_FLAG_SINGLEMATCH if presence else 0
        self._local = threading.local()

    @cached_property
    def _database(self) -> Any:
        database = hyperscan.Database()
        database.compile(
            expressions=self._expressions,
            ids=list(range(len(self._expressions))),
            elements=len(self._expressions),
            flags=[self._flags] * len(self._expressions),
        )
        return database

    @cached_property
    def _whole(self) -> list[re.Pattern[str]]:
        return [
            re.compile(_inline_flags(expression.decode()), re.DOTALL | re.ASCII)
            for expression in self._expressions
        ]

    def hits(self, text: str) -> list[Hit]:
        """All ends of matches, each once, in order; ``most`` of them at most."""
        return self._hits(text.encode("ascii", "replace"))

    def _hits(self, data: bytes) -> list[Hit]:
        found: list[Hit] = []
        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = hyperscan.Scratch(self._database)
        with suppress(hyperscan.ScanTerminated):
            self._database.scan(data, self._collect, context=found, scratch=scratch)
        return found

    def _collect(self, ident: int, _start: int, end: int, _flags: int, found: list[Hit]) -> bool:
        found.append((ident, end))
        return len(found) >= self.most

    def spans(self, text: str, reach: int, most: int = SPANS_MAX) -> Spans:
        """Every match of up to ``reach`` characters, from its first possible beginning on.

        All that is behind the ``most`` first ends counts as found.
        """
        data = text.encode("ascii", "replace")
        hits = self._hits(data)
        folded = data.decode("ascii")
        spans: Spans = []
        for ident, end in hits[:most]:
            match = self._whole[ident].search(folded, max(0, end - reach), end)
            if match:
                spans.append((match.start(), end))
        if len(hits) > most:
            spans.append((hits[most][1], len(text)))
        return spans


def _inline_flags(expression: str) -> str:
    """The expression, to be matched up to the end of what is searched."""
    if expression.startswith("(?i)"):
        return rf"(?i:{expression[4:]})\Z"
    return rf"(?:{expression})\Z"
