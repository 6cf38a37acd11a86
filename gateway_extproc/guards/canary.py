"""A mark that is planted in a system prompt and must not come back in an answer.

It is 16 letters and digits that no text holds by chance, different for each request and
known only to who has the key.  It is found in every letter case, with anything between its
signs (spaces, dots, hidden characters, line ends), backwards, in rot13, and in base64 or hex of a
text that holds it.  All these are fixed strings for one mark, so nothing is decoded: the
time is the text's length, whatever stands in it.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import hmac
import string
from collections.abc import Iterator
from typing import Final

_BYTES: Final = 10
_KEPT: Final = (string.ascii_letters + string.digits).encode()
_DROPPED: Final = bytes(set(range(256)) - set(_KEPT))
_ALIGNMENTS: Final = 3
_STEP: Final = 32
"""Letters and digits of a stream that are looked at together; a mark is told this much later."""


def canary(request_id: str, key: bytes) -> str:
    """The mark of a request: lower-case base32 of 80 bits of HMAC-SHA-256."""
    mac = hmac.new(key, b"canary\0" + request_id.encode(), hashlib.sha256).digest()
    return base64.b32encode(mac[:_BYTES]).decode().lower()


class CanaryWatch:
    """Looks for one mark in one text that comes piece by piece."""

    __slots__ = ("_exact", "_folded", "_fresh", "_keep", "_length", "_seen")

    def __init__(self, mark: str) -> None:
        self._folded = tuple(_folded_forms(mark))
        self._exact = tuple(_exact_forms(mark))
        self._keep = max(map(len, (*self._folded, *self._exact))) - 1
        self._length = 0
        self._seen = b""
        self._fresh = b""

    def push(self, text: str, *, final: bool = False) -> int | None:
        """The number of characters so far, if the mark is told in them.

        ``final`` tells that the text ends here.
        """
        self._length += len(text)
        self._fresh += text.encode("utf-8", "replace").translate(None, _DROPPED)
        if len(self._fresh) < _STEP and not final:
            return None
        data = self._seen + self._fresh
        self._seen, self._fresh = data[-self._keep :], b""
        lower = data.lower()
        told = any(form in lower for form in self._folded)
        told = told or any(form in data for form in self._exact)
        return self._length if told else None


def tells_canary(text: str, mark: str) -> bool:
    """True if a whole text holds the mark in one of its forms."""
    return CanaryWatch(mark).push(text, final=True) is not None


def _folded_forms(mark: str) -> Iterator[bytes]:
    """Forms that are compared without case."""
    for word in (mark, codecs.encode(mark, "rot13")):
        yield word.encode()
        yield word[::-1].encode()
    for word in (mark, mark.upper()):
        yield word.encode().hex().encode()


def _exact_forms(mark: str) -> Iterator[bytes]:
    """Base64 of a text that holds the mark at any offset, forwards and backwards."""
    for word in (mark, mark.upper(), mark[::-1]):
        for form in _base64_forms(word.encode()):
            kept = form.translate(None, _DROPPED)
            yield kept
            yield kept[::-1]


def _base64_forms(word: bytes) -> Iterator[bytes]:
    """The characters that ``word`` alone decides, for each of the three alignments."""
    for before in range(_ALIGNMENTS):
        bits_before, bits = before * 8, (before + len(word)) * 8
        text = base64.b64encode(bytes(before) + word + bytes(_ALIGNMENTS))
        yield text[-(-bits_before // 6) : bits // 6]
