"""Texts as hashed n-grams, in whole-array operations.

A text becomes an array of folded character codes (UTF-16 units, so ``é`` is one code, that
of ``e``, and ``国`` is one).  Slots in a table of weights belong to positions: those of the
character 3-, 4- and 5-grams that begin there; where a word begins, those of the word, its
pair, its triple and its pair across one; where the word has a meaning in ``concepts``, the
same four of the sequence of meanings.  A score is the sum of the weights at the slots: no
loop over characters, no sorting, and the sum over any window is a difference of two
cumulative sums.

A word is hashed by its first letter, its last one and the unordered whole: a word with a
scrambled middle is the same word.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway_extproc.guards.concepts import CONCEPTS

BITS = 19
SLOTS = 1 << BITS
PADDING = 4
"""Codes behind each text that belong to no window: no n-gram reaches the next text."""

Codes = NDArray[np.uint16]
Hashes = NDArray[np.uint32]
Slots = NDArray[np.int64]

_ORDERS = 3
_SHIFT = np.uint32(32 - BITS)
_STEP = np.uint32(0x01000193)
_PAIR = np.uint32(0x9E3779B1)
_SKIP = np.uint32(0x85EBCA77)
_LAST = np.uint32(0xC2B2AE3D)
_HALF, _QUARTER = np.uint32(16), np.uint32(15)
_MEANING_BITS = np.uint32(14)  # 2 ** 18 words are told apart by meaning
_GAP, _DIGIT, _END = 0x20, 0x30, 0
_END_CHAR = "\uffff"  # becomes _END when folded; no character
_BETWEEN, _PART, _ALONE = 0, 1, 2


def _mixed(count: int) -> Hashes:
    """A fixed pseudo-random number for each code (the finaliser of splitmix64)."""
    x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x >> np.uint64(32)).astype(np.uint32)


def _folded(code: int) -> int:
    """Lower case without accents, every digit as one, every space as one."""
    char = chr(code)
    if char.isspace() or unicodedata.category(char) == "Cc":
        return _GAP
    if char.isdecimal():
        return _DIGIT
    lower = char.lower()[:1]
    base = unicodedata.normalize("NFKD", lower)[:1]
    return ord(base if base.isascii() and base.isalnum() else lower) & 0xFFFF


def _fold_table() -> Codes:
    table = np.arange(65536, dtype=np.uint16)
    for first, end in ((0, 0x3001), (0xFF00, 0xFFF0)):
        table[first:end] = [_folded(code) for code in range(first, end)]
    table[ord(_END_CHAR)] = _END
    return table


def _kind_table() -> NDArray[np.uint8]:
    """Chinese characters and Japanese syllables are words by themselves."""
    table = np.full(65536, _PART, np.uint8)
    table[:0x3001] = [
        _PART if chr(c).isalnum() or unicodedata.category(chr(c))[0] == "M" else _BETWEEN
        for c in range(0x3001)
    ]
    for first, end in ((0x2E80, 0x3000), (0x3005, 0x3008), (0x3041, 0x3100)):
        table[first:end] = _ALONE
    for first, end in ((0x3400, 0xA000), (0xF900, 0xFB00)):
        table[first:end] = _ALONE
    for first, end in ((0x3000, 0x3005), (0x3008, 0x3021), (0xFF00, 0xFFFF)):
        table[first:end] = _BETWEEN
    table[_END] = _ALONE
    return table


_RANDOM = _mixed(65536)
_FOLD = _fold_table()
_KIND = _kind_table()
_ASCII_FOLD = bytes(int(code) for code in _FOLD[:128]) + bytes(range(128, 256))
_MEANING_RANDOM = _mixed(512)[256:]


def codes_of(text: str) -> Codes:
    """The folded codes of ``text``, white space collapsed, and ``PADDING``."""
    if text.isascii():
        words = b" ".join(text.encode().translate(_ASCII_FOLD).split())
        return np.frombuffer(b" %b \0\0\0\0" % words, np.uint8).astype(np.uint16)
    joined = f" {' '.join(unicodedata.normalize('NFC', text).split())} {_END_CHAR * PADDING}"
    return _FOLD[np.frombuffer(joined.encode("utf-16-le", "surrogatepass"), np.uint16)]


class Grams(NamedTuple):
    """Slots of one array of codes, of one text or of several behind each other."""

    chars: Slots  # one row for each order, one column for each position
    words: Slots  # one row for each kind; columns are words, then meanings
    places: Slots  # the position of each of these columns
    split: int  # how many of them are words


def grams_of(codes: Codes) -> Grams:
    """All slots of ``codes``."""
    mixed = _RANDOM[codes]
    chars = np.empty((_ORDERS, codes.size), np.uint32)
    before = mixed * _STEP
    before[:-1] += mixed[1:]
    for order, row in enumerate(chars, 2):
        np.multiply(before, _STEP, out=row)
        row[:-order] += mixed[order:]
        before = row
    chars *= _PAIR
    chars >>= _SHIFT
    words, places = word_hashes(codes, mixed)
    meanings = _MEANING[words >> _MEANING_BITS]
    meant = meanings.nonzero()[0]
    # Words end with the padding's, so no sequence of words reaches into the meanings.
    items = np.concatenate((words, _MEANING_RANDOM[meanings[meant]]))
    return Grams(
        chars.astype(np.int64),
        _sequences(items),
        np.concatenate((places, places[meant])),
        words.size,
    )


def word_hashes(codes: Codes, mixed: Hashes) -> tuple[Hashes, Slots]:
    """A hash for each word and the position where it begins."""
    kinds = _KIND[codes]
    after, before = kinds[1:], kinds[:-1]
    # The first code is a space and the last one an end: a word has an edge on both sides.
    edges = ((after != before) | (after == _ALONE)).nonzero()[0]
    starts = edges[after[edges] != _BETWEEN] + 1
    ends = edges[before[edges] != _BETWEEN]
    word = np.add.reduceat(mixed * (kinds != _BETWEEN), starts, dtype=np.uint32)
    word += mixed[starts] * _PAIR
    word[: ends.size] += mixed[ends] * _LAST
    word *= _PAIR
    word ^= word >> _QUARTER
    word *= _LAST
    return word, starts


def _sequences(items: Hashes) -> Slots:
    """Each item, with the next, with the next two, with the one after the next."""
    rows = np.empty((4, items.size), np.uint32)
    rows[0] = items
    np.multiply(items, _SKIP, out=rows[1])
    rows[1, :-1] += items[1:]
    np.multiply(rows[1], _PAIR, out=rows[2])
    rows[2, :-2] += items[2:]
    np.multiply(items, _LAST, out=rows[3])
    rows[3, :-2] += items[2:] * _STEP
    rows ^= rows >> _HALF
    rows *= _SKIP
    rows >>= _SHIFT
    return rows.astype(np.int64)


def _meaning_table() -> NDArray[np.uint8]:
    """By the high bits of a word's hash: which meaning it has, none is 0."""
    table = np.zeros(1 << (32 - int(_MEANING_BITS)), np.uint8)
    for number, words in enumerate(CONCEPTS.values(), 2):
        for word in words.split():
            hashes = _hashes_of(word)
            if hashes.size == 1:
                table[hashes[0] >> _MEANING_BITS] = number
    table[_hashes_of(_END_CHAR)[0] >> _MEANING_BITS] = 1  # no sequence goes past the end
    return table


def _hashes_of(text: str) -> Hashes:
    codes = codes_of(text)
    return word_hashes(codes, _RANDOM[codes])[0][:-PADDING]


_MEANING = _meaning_table()
