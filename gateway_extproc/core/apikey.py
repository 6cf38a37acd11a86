"""The gateway's API keys: their form, their checksum, how they are stored.

``gw_<env>_<keyid>_<secret>_<checksum>``: the secret is 32 random bytes in base62
(43 characters), the checksum six base62 characters of the CRC-32 over all that
stands before it.  A mistyped key is refused without a look-up, and scanners of
repositories can find leaked keys by their form alone (the idea of GitHub's token format, 2021).
Only an HMAC under the pepper is stored; a key is shown once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_CHARS = 43
CHECKSUM_CHARS = 6

_FORM = re.compile(
    rf"(gw_[a-z0-9]{{1,16}}_([a-z0-9]{{8,32}})_[0-9A-Za-z]{{{SECRET_CHARS}}})"
    rf"_([0-9A-Za-z]{{{CHECKSUM_CHARS}}})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A key of the right form with the right checksum; not yet a known one."""

    id: str
    text: str

    def __repr__(self) -> str:
        return f"ParsedKey({self.id!r})"


def parse_key(text: str) -> ParsedKey | None:
    """The parts of a key; None for a wrong form or a wrong checksum."""
    match = _FORM.fullmatch(text)
    if match is None or _checksum(match[1]) != match[3]:
        return None
    return ParsedKey(match[2], text)


def make_key(environment: str, key_id: str, secret: bytes) -> str:
    """A key from 32 random bytes; raises ValueError for parts that no key may have."""
    if len(secret) != 32:
        raise ValueError("a key's secret has 32 bytes")
    body = f"gw_{environment}_{key_id}_{_base62(int.from_bytes(secret, 'big'), SECRET_CHARS)}"
    key = f"{body}_{_checksum(body)}"
    parsed = parse_key(key)
    if parsed is None or parsed.id != key_id:
        raise ValueError("environment: 1 to 16, id: 8 to 32 lower-case letters and digits")
    return key


def key_hmac(pepper: bytes, key: str) -> bytes:
    """What is stored of a key: HMAC-SHA256 under the pepper.

    A fast hash is right here: the secret has 256 bits, so there is nothing to guess.
    """
    return hmac.digest(pepper, key.encode(), hashlib.sha256)


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_CHARS)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits))
