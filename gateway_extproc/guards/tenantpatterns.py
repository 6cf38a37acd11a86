"""Regular expressions that a tenant may write, in bounded memory and linear time.

RE2 never backtracks, so no expression and no text make it slow beyond its length; what it
may use of memory is set here.  Operators' own rules stay with Hyperscan (``patterns``), which
is faster and compiles what it is given.  ``re2.Set`` is not used: out of memory it reports
no match, where single expressions go on without their cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import re2

from gateway_extproc.guards.errors import GuardCompileError
from gateway_extproc.guards.numbers import Spans, merged
from gateway_extproc.guards.patterns import reason_of

PATTERNS_MAX: Final = 64
"""Expressions of one tenant."""
LENGTH_MAX: Final = 1024
"""Characters of one expression."""
MEMORY_MAX: Final = 256 * 1024
"""Bytes for one expression's program and its cache of states."""
PROGRAM_MAX: Final = 2_000
"""Instructions of one program: without its cache, a text is walked once for all of them."""
SPANS_MAX: Final = 10_000
"""Matches of one text; behind them the rest of the text is one."""


class TenantPatterns:
    """The expressions of one tenant; finds where any of them matches.

    Raises ``GuardCompileError`` for one that is not RE2's syntax, needs more memory than
    ``memory_max``, is too long, or matches the empty text; for too many as well.
    """

    def __init__(
        self, owner: str, patterns: Sequence[str], *, memory_max: int = MEMORY_MAX
    ) -> None:
        if len(patterns) > PATTERNS_MAX:
            why = f"{len(patterns)} expressions, at most {PATTERNS_MAX} are taken"
            raise GuardCompileError(owner, "", why)
        options = re2.Options()
        options.max_mem = memory_max
        options.case_sensitive = False
        options.log_errors = False
        self._patterns: list[Any] = [_compile(owner, pattern, options) for pattern in patterns]

    def find(self, text: str) -> Spans:
        """Where the expressions match; overlapping matches are one span."""
        if not text.isascii():  # half a surrogate pair is no UTF-8
            text = text.encode("utf-8", "replace").decode()
        spans: Spans = []
        for pattern in self._patterns:
            for match in pattern.finditer(text):
                spans.append(match.span())
                if len(spans) >= SPANS_MAX:
                    return merged([*spans, (match.start(), len(text))])
        return merged([span for span in spans if span[0] < span[1]])


def _compile(owner: str, pattern: str, options: Any) -> Any:
    if len(pattern) > LENGTH_MAX:
        raise GuardCompileError(owner, pattern[:64], f"longer than {LENGTH_MAX} characters")
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = reason_of(error)
        why = "needs more memory than it may have" if "too large" in reason else reason
        raise GuardCompileError(owner, pattern, why) from None
    if compiled.programsize > PROGRAM_MAX:
        why = f"a program of {compiled.programsize} instructions, at most {PROGRAM_MAX} are taken"
        raise GuardCompileError(owner, pattern, why)
    if compiled.search("") is not None:
        raise GuardCompileError(owner, pattern, "matches the empty text")
    return compiled
