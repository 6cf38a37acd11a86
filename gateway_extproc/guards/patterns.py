"""What can be known of a rule's regular expression before any text is seen.

Hyperscan judges a pattern, for it says where matches end, and RE2, which says where they begin.
Hyperscan's compiler also says how long a match can get (it refuses a minimal length that no match
has), so no regex parser of our own is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import hyperscan
import re2

from gateway_extproc.guards.errors import GuardCompileError

_hyperscan: Any = hyperscan  # its stubs lack what extended parameters need

FLAGS = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_UTF8
HOLD_MAX = 64
"""Characters that a stream holds back for a masking pattern, at most."""

_PLAIN = re.compile(r"[A-Za-z0-9 _\-@#%&=:;,'\"<>/!~]|\\[.\-*+?()\[\]{}|^$\\/]")
_ESCAPE_OR_CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]")
_FOR_RE2 = {r"\Z": r"\z", r"\h": r"[ \t]", r"\R": r"(?:\r\n|[\r\n])"}
_OPTIONAL = ("?", "*", "{")


def check_pattern(rule_id: str, pattern: str) -> None:
    """Raises ``GuardCompileError`` for a pattern that Hyperscan or RE2 does not take.

    What RE2 leaves out of Hyperscan's syntax are ``(?x)`` and repetitions above 1,000.
    """
    why = _complaint(pattern)
    if why:
        raise GuardCompileError(rule_id, pattern, why)
    try:
        compiled(pattern)
    except re2.error as error:
        why = f"where it begins cannot be found in bounded time: RE2 says {reason_of(error)}"
        raise GuardCompileError(rule_id, pattern, why) from None


def compiled(pattern: str, *, longest: bool = False) -> Any:
    """The pattern for RE2, over UTF-8 as Hyperscan reads it; raises ``re2.error``."""
    options = re2.Options()
    options.case_sensitive = False
    options.never_capture = True
    options.longest_match = longest
    options.log_errors = False
    return re2.compile(_ESCAPE_OR_CLASS.sub(lambda m: _FOR_RE2.get(m[0], m[0]), pattern), options)


def reason_of(error: Exception) -> str:
    """What RE2 says of a pattern that it does not take."""
    said = error.args[0] if error.args else error
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def _complaint(pattern: str, min_length: int = 0) -> str:
    database = _hyperscan.Database()
    ext = _hyperscan.ExpressionExt(hyperscan.HS_EXT_FLAG_MIN_LENGTH, 0, 0, min_length, 0, 0)
    try:
        database.compile(
            expressions=[pattern.encode()],
            ids=[0],
            elements=1,
            flags=[FLAGS],
            **({"ext": [ext]} if min_length else {}),
        )
    except (hyperscan.error, UnicodeEncodeError) as error:
        return str(error)
    return ""


def longest_match(pattern: str) -> int:
    """The length in bytes of the longest match, or ``HOLD_MAX`` if it can be longer."""
    low, high = 1, HOLD_MAX
    while low < high:
        middle = (low + high) // 2
        if _complaint(pattern, middle + 1):
            high = middle
        else:
            low = middle + 1
    return low


def literal_prefix(pattern: str) -> str:
    """Characters that every match begins with, "" where that is not plain to see."""
    if _has_bare_alternative(pattern):
        return ""
    position = 2 if pattern.startswith(r"\b") else 0
    prefix: list[str] = []
    while found := _PLAIN.match(pattern, position):
        prefix.append(found[0][-1])
        position = found.end()
    if pattern[position : position + 1] in _OPTIONAL and prefix:
        prefix.pop()
    return "".join(prefix)


def _has_bare_alternative(pattern: str) -> bool:
    """True for a ``|`` outside parentheses, classes and escapes."""
    depth = 0
    for char in _ESCAPE_OR_CLASS.sub("", pattern):
        depth += (char == "(") - (char == ")")
        if char == "|" and depth <= 0:
            return True
    return False


def pattern_tail(pattern: str) -> Callable[[str], int]:
    """A function: from where on the end of a text may become a match of ``pattern``.

    With a literal prefix that is where the prefix stands (or begins to stand) in the
    last characters; otherwise the last characters themselves, as many as the longest match.
    """
    reach = longest_match(pattern)
    prefix = literal_prefix(pattern)
    if not prefix:
        return lambda text: max(0, len(text) - reach)
    nested = ""
    for char in reversed(prefix):
        nested = re.escape(char) + (rf"(?:\Z|{nested})" if nested else "")
    search = re.compile(nested, re.IGNORECASE).search

    def live(text: str) -> int:
        found = search(text, max(0, len(text) - reach))
        return found.start() if found else len(text)

    return live
