"""Texts as hashes of their words, for comparing what was said without keeping it.

A word is what ``\\w`` takes, up to 64 characters of it, in lower case; in scripts without
spaces each sign is one.  Two ways give the same hashes: one word after the other for the
pieces of a stream, whole-array operations for texts.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

WORD_MAX: Final = 64
"""A longer word is several."""

_SIGNS: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_BEYOND: Final = "\U00010000-\U0010ffff"
_LETTERS: Final = rf"[^\W_{_SIGNS}{_BEYOND}]"
WORD: Final = re.compile(f"{_LETTERS}{{1,{WORD_MAX}}}|[{_SIGNS}]")

_BASE: Final = 0xC2B2AE3D27D4EB4F
_64: Final = (1 << 64) - 1
_POWERS: Final = np.array([pow(_BASE, n, 1 << 64) for n in range(WORD_MAX)], dtype=np.uint64)
_PLANE: Final = 1 << 16
_LETTER: Final = 1
_SIGN: Final = 2
_MANY: Final = 256
"""Characters from which on whole-array operations are faster than one word after the other."""


def _kinds() -> Any:
    """What each character is: part of a word, a word of its own, or neither."""
    plane = "".join(map(chr, range(_PLANE)))
    kinds: Any = np.zeros(_PLANE, dtype=np.uint8)
    for pattern, kind in ((f"{_LETTERS}+", _LETTER), (f"[{_SIGNS}]+", _SIGN)):
        for found in re.finditer(pattern, plane):
            kinds[found.start() : found.end()] = kind
    kinds[-1] = 0  # stands for all characters beyond the first plane, too
    return kinds


_KINDS: Final = _kinds()
Hashes = Any
"""An array of unsigned 64-bit numbers."""


def fold(text: str) -> str:
    """Lower case of the same length, the same for any cut of the text.

    Two capitals stand in the way: one has a lower case of two characters, of the other it
    depends on what follows.
    """
    if not text.isascii():
        text = text.replace("\u0130", "i").replace("\u03a3", "\u03c3")
    return text.lower()


def hashes_of(text: str) -> Hashes:
    """The hashes of all words of a text."""
    return _read(fold(text))[0]


def read_folded(text: str, *, final: bool) -> tuple[list[int] | Hashes, int]:
    """The hashes of the words of a folded text that are over, and where the rest begins.

    The rest is the last word, if what follows may lengthen it.
    """
    if len(text) < _MANY:
        words = WORD.findall(text)
        if final or not words or not text.endswith(words[-1]):
            return [_hash(word) for word in words], len(text)
        return [_hash(word) for word in words[:-1]], len(text) - len(words[-1])
    hashes, starts, may_go_on = _read(text)
    if final or not may_go_on:
        return hashes, len(text)
    return hashes[:-1], int(starts[-1])


def _hash(word: str) -> int:
    """A polynomial of the code points, as ``_read`` makes it for all words at once."""
    value = 0
    for char in reversed(word):
        value = value * _BASE + ord(char)
    return value & _64


def _read(text: str) -> tuple[Hashes, Any, bool]:
    """The hashes of all words, where they start, and whether the text ends in a word."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = _KINDS[np.minimum(codes, _PLANE - 1)]
    letters = kinds == _LETTER
    opens = letters.copy()
    opens[1:] &= ~letters[:-1]
    index: Any = np.arange(len(codes), dtype=np.int32)
    place = (index - np.maximum.accumulate(np.where(opens, index, 0))) % WORD_MAX
    signs = kinds == _SIGN
    starts = np.nonzero((letters & (place == 0)) | signs)[0]
    if not len(starts):
        return np.zeros(0, dtype=np.uint64), starts, False
    place[signs] = 0
    values = codes * _POWERS[place]
    values[kinds == 0] = 0
    return np.add.reduceat(values, starts), starts, bool(kinds[-1])
