"""Tokens that carry claims (JWT), and passwords inside of addresses."""

from __future__ import annotations

import re
from itertools import islice
from string import ascii_letters, digits
from typing import Final

from gateway_extproc.guards.keys import is_placeholder
from gateway_extproc.guards.numbers import Spans, merged
from gateway_extproc.guards.shapes import trailing_run

JWT_GATE: Final = (r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{8}",)
URL_GATE: Final = (r"://[^\s/?#@:\"'<>]{0,64}:[^\s/@\"'<>]{3,128}@[A-Za-z0-9\[]",)

_B64 = "[A-Za-z0-9_-]"
_JWT_MOST = (2000, 4000, 1100)
# Head and claims are JSON objects in base64 (RFC 7519), so both begin with eyJ.
_JWT = re.compile(
    rf"eyJ(?<!{_B64}eyJ)(?=({_B64}{{10,{_JWT_MOST[0]}}}+\.eyJ{_B64}{{8,{_JWT_MOST[1]}}}+"
    rf"(?:\.{_B64}{{0,{_JWT_MOST[2]}}}+)?))"
)
_JWT_TAIL = re.compile(
    rf"eyJ(?<!{_B64}eyJ){_B64}{{0,{_JWT_MOST[0]}}}+"
    rf"(?:\.(?:e(?:y(?:J(?:{_B64}{{0,{_JWT_MOST[1]}}}+(?:\.{_B64}{{0,{_JWT_MOST[2]}}}+)?)?)?)?)?)?\Z"
)
_JWT_CHARS = ascii_letters + digits + "_-."
_JWT_REACH = sum(_JWT_MOST) + 10


def find_jwts(text: str) -> Spans:
    """JSON web tokens, with or without a signature."""
    return merged([(match.start(), match.end(1)) for match in _JWT.finditer(text)])


def live_jwt(text: str) -> int:
    """Where a token could begin that reaches the text's end: ``eyJ`` at the edge of a word."""
    run = trailing_run(text, _JWT_CHARS, _JWT_REACH)
    for match in _JWT_TAIL.finditer(text, run):
        return match.start()
    for length in (2, 1):
        if text.endswith("eyJ"[:length]) and len(text) - length >= run:
            before = text[len(text) - length - 1 : len(text) - length]
            if before == "." or before not in _JWT_CHARS or not before:
                return len(text) - length
    return len(text)


PASSWORDS_MAX = 6_000
"""Of one text; what stands behind so many is taken as a whole."""
_USER = r"[^\s/?#@:\"'<>]{0,64}"
_PASSWORD = r"[^\s/@\"'<>]"  # noqa: S105
_URL = re.compile(rf"://{_USER}:({_PASSWORD}{{3,128}}+)@(?=[A-Za-z0-9\[])")
_URL_TAIL = re.compile(rf"://{_USER}:({_PASSWORD}{{0,128}})@?\Z")
_URL_REACH = 3 + 64 + 1 + 128 + 1
_TEMPLATE = re.compile(r"[$%][{(A-Za-z]|\{\{|\[")
_EXAMPLES = frozenset(
    ["password", "pass", "passwd", "pwd", "secret", "user", "token", "test", "pw", "mypassword"]
)


def find_url_passwords(text: str) -> Spans:
    """The password of ``scheme://user:password@host`` (RFC 3986 3.2.1), not the address."""
    found = list(islice(_URL.finditer(text), PASSWORDS_MAX))
    spans = [match.span(1) for match in found if _is_password(match[1])]
    return spans if len(found) < PASSWORDS_MAX else [*spans, (found[-1].end(), len(text))]


def _is_password(value: str) -> bool:
    return (
        value.lower() not in _EXAMPLES
        and not is_placeholder(value)
        and _TEMPLATE.search(value) is None
    )


def live_url_password(text: str) -> int:
    """From the colon after the user on; nothing where no ``://`` stands near the end."""
    scheme = text.rfind("://", max(0, len(text) - _URL_REACH))
    found = _URL_TAIL.match(text, scheme) if scheme >= 0 else None
    return found.start(1) if found else len(text)
