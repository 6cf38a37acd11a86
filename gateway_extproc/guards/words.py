"""E-mail addresses.

Local in the same sense as ``numbers``: a value is decided by its own characters and one
neighbour on each side, and every length is bounded.
"""

from __future__ import annotations

import re
from string import ascii_letters, digits

from gateway_extproc.guards.numbers import Spans

_LOCAL = ascii_letters + digits + "._%+-"
_DOMAIN_CHARS = ascii_letters + digits + ".-"
_LOCAL_MAX = 64
"""RFC 5321 4.5.3.1.1."""
_DOMAIN_MAX = 128
"""RFC 5321 allows 255; a longer domain is cut here so that the hold-back stays short."""
_DOMAIN = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])")
_AT = re.compile(r"@(?<=[A-Za-z0-9._%+-]@)(?=[A-Za-z0-9-]{1,128}\.[A-Za-z0-9-])")
EMAILS_MAX = 12_000
"""Places in one text where an address may stand; what is behind so many is taken as a whole."""
_EMAIL_REACH = _LOCAL_MAX + 1 + _DOMAIN_MAX + 1


def find_emails(text: str) -> Spans:
    """Addresses with an ASCII local part of up to 64 characters and a dotted domain."""
    spans: Spans = []
    for looked_at, match in enumerate(_AT.finditer(text)):
        at = match.start()
        before = text[max(0, at - _LOCAL_MAX - 1) : at]
        local = len(before) - len(before.rstrip(_LOCAL))
        if looked_at == EMAILS_MAX:
            spans.append((at - min(local, _LOCAL_MAX), len(text)))
            break
        if local > _LOCAL_MAX:
            continue
        domain = _DOMAIN.match(text, at + 1, at + 1 + _DOMAIN_MAX)
        if domain:
            spans.append((at - local, domain.end()))
    return spans


def live_email(text: str) -> int:
    """Where an address could begin that reaches the text's end: at most the last word."""
    offset = max(0, len(text) - _EMAIL_REACH)
    tail = text[offset:]
    run = tail[len(tail.rstrip(_LOCAL + "@")) :]
    if not run:
        return len(text)
    position = len(text) - len(run)
    parts = run.split("@")
    for index, local in enumerate(parts):
        known = position > offset or offset == 0
        if known and len(local) <= _LOCAL_MAX and _may_be_email(local, parts[index + 1 :]):
            return position
        position += len(local) + 1
    return len(text)


def _may_be_email(local: str, rest: list[str]) -> bool:
    if not rest:
        return local != ""
    return (
        local != ""
        and len(rest) == 1
        and len(rest[0]) < _DOMAIN_MAX
        and not rest[0].strip(_DOMAIN_CHARS)
    )
