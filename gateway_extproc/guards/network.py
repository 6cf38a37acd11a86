"""IP addresses: of the shape, in range, and not the number of a version."""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from gateway_extproc.guards.context import CANDIDATES_MAX
from gateway_extproc.guards.located import Located
from gateway_extproc.guards.numbers import Spans
from gateway_extproc.guards.shapes import MATCHES_MAX, with_rest

GATE: Final = (
    r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
    r"(?:[0-9a-fA-F]{1,4}:){3}",
    r"[0-9a-fA-F]{3,4}::?[0-9a-fA-F]{0,4}:?:[0-9a-fA-F]?",
    r"[0-9a-fA-F]{3,4}::",
    r"::[0-9a-fA-F]{3,4}",
)

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_OCTETS = frozenset(map(str, range(256)))
# What is consumed first is a class, so that the search skips to such characters.
_V4 = re.compile(
    rf"[0-9](?<![A-Za-z0-9_.].)(?=([0-9]{{0,2}}(?:\.{_OCTET}){{3}})"
    r"(?![A-Za-z0-9_]|\.[0-9A-Za-z_]))",
    re.DOTALL,
)
_V4S = Located(
    _V4,
    {
        rf"[^A-Za-z0-9_.][0-9]{{{a}}}\.[0-9]{{{b}}}\.[0-9]{{{c}}}\.[0-9]": a + b + c + 4
        for a in (1, 2, 3)
        for b in (1, 2, 3)
        for c in (1, 2, 3)
    },
)
# A group and a colon, or two colons, begin an address of version 6.
_V6 = re.compile(
    r"[0-9A-Fa-f:](?<![A-Za-z0-9_:.].)"
    r"(?=[0-9A-Fa-f]{0,3}:)(?<=(?=[0-9A-Fa-f:.]{0,40}?::|(?:[0-9A-Fa-f]{1,4}:){6}).)"
    r"[0-9A-Fa-f:.]{2,44}+(?![A-Za-z0-9_:.])",
    re.DOTALL,
)
_V6S = Located(
    _V6,
    {
        rf"[^A-Za-z0-9_:.]{first}{'[0-9A-Fa-f]' * count}:": count + 2
        for first in ("[0-9A-Fa-f]", ":")
        for count in (0, 1, 2, 3)
    },
)
_V6_GROUP = re.compile("[0-9A-Fa-f]{1,4}")
_V4_WHOLE = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_VERSION_WORDS = frozenset(
    [
        "version",
        "versions",
        "ver",
        "vers",
        "v",
        "release",
        "rel",
        "rev",
        "revision",
        "build",
        "firmware",
        "section",
        "sections",
        "sec",
        "chapter",
        "clause",
        "paragraph",
        "para",
        "article",
        "item",
        "figure",
        "fig",
        "table",
        "oid",
        "upgrade",
        "python",
        "java",
        "node",
        "chrome",
        "chromium",
        "kernel",
        "driver",
        "bios",
    ]
)
_VERSION_REACH = 16
_COMPARED = ("==", "~=", "^=", "<=", ">=", "!=", "§", "^", "~", "<", ">")
_V6_MAX = 2_000
_LONGEST_V6 = 45
_NOBODY = frozenset(("0.0.0.0", "127.0.0.1", "255.255.255.255"))  # noqa: S104
_TAIL = re.compile(r"(?<![A-Za-z0-9_])[0-9A-Fa-f:.]{1,47}\Z")
_TAIL_CHARS = frozenset("0123456789abcdefABCDEF:.")


def find_ips(text: str) -> Spans:
    """Addresses of version 4 and 6 that could be somebody's.

    Four numbers after a word such as "version", after ``Name/`` or after a comparison
    are a version.  The unspecified, loopback and netmask addresses are nobody's.
    """
    each = islice(_V4S.finditer(text), MATCHES_MAX)
    found = with_rest([(match.start(), match.end(1)) for match in each], text, MATCHES_MAX)
    looked_at, rest = found[:CANDIDATES_MAX], found[CANDIDATES_MAX:]
    spans = [span for span in looked_at if _is_v4(text, *span)] + rest
    for index, run in enumerate(_V6S.finditer(text)):
        start, end = run.span()
        while end > start and text[end - 1] == ".":
            end -= 1
        if text[end - 1] == ":" and text[end - 2 : end] != "::":
            end -= 1
        if index >= MATCHES_MAX:
            return [*spans, (start, len(text))]
        if index >= _V6_MAX or _is_v6(text[start:end]):
            spans.append((start, end))
    return spans


def _is_v4(text: str, start: int, end: int) -> bool:
    address = text[start:end]
    first = address[: address.index(".")]
    if first not in _OCTETS or first == "255" or address in _NOBODY:
        return False
    return not _is_version(text[max(0, start - _VERSION_REACH) : start])


def _is_version(before: str) -> bool:
    if before.endswith("/"):
        return before[-2:-1].isalnum()
    before = before.rstrip()
    if before.endswith(_COMPARED):
        return True
    words = before.rstrip(".:#=").split()
    return bool(words) and words[-1].strip("\"'([{,").lower() in _VERSION_WORDS


def _is_v6(address: str) -> bool:
    """RFC 4291 2.2, with one group of three or more characters, so that times and slices pass."""
    head, compressed, tail = address.partition("::")
    left, right = _groups(head), _groups(tail)
    if left is None or right is None or (left and "." in left[-1]):
        return False
    groups = left + right
    size = len(groups) + ("." in address)
    if not any(len(group) >= 3 for group in groups) or not any(map(_has_digit, groups)):
        return False
    return len(groups) >= 2 and size <= 7 if compressed else size == 8


def _has_digit(group: str) -> bool:
    return any(char in "0123456789" for char in group)


def _groups(part: str) -> list[str] | None:
    if not part:
        return []
    groups = part.split(":")
    if any(_V6_GROUP.fullmatch(group) is None for group in groups[:-1]):
        return None
    last = groups[-1]
    if _V6_GROUP.fullmatch(last) is None and _V4_WHOLE.fullmatch(last) is None:
        return None
    return groups


def live_ip(text: str) -> int:
    """The last word, while it is made of what addresses are made of."""
    if not text or text[-1] not in _TAIL_CHARS:
        return len(text)
    found = _TAIL.search(text, max(0, len(text) - _LONGEST_V6 - 2))
    return found.start() if found else len(text)
