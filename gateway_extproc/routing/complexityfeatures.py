"""A question as numbers: its shape, and what its words are about.

Everything is bounded: a long text is read at its beginning and its end only, counts enter by
their logarithm, and no pattern can run back over what it has read.
"""

from __future__ import annotations

import re
from math import log1p
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway_extproc.routing.complexitywords import NAMES, SIGNS, STEM, STEMS

HEAD: Final = 2000
TAIL: Final = 1000
"""Characters that are read of a long text; the question often stands at its end."""

_LONG: Final = 9
_CLASSES: Final = ("upper", "lower", "digit", "line", "maths", "code", "ask", "stop", "comma",
                   "quote", "pipe", "foreign", "other")  # fmt: skip
_MEMBERS: Final = {
    "line": "\n", "maths": "=+*/^<>%$\\~", "code": "(){}[];_#`&@", "ask": "?", "stop": ".!",
    "comma": ",:;", "quote": "\"'", "pipe": "|",
}  # fmt: skip

SHAPE: Final = (
    "length", "words", "repeats", "word_length", "long_words", "sentences", "commas", "quotes",
    "asks", "lines", "items", "maths_marks", "code_marks", "digits", "capitals", "foreign",
    "cells", "fences", "parts",
)  # fmt: skip
FEATURES: Final = SHAPE + tuple(f"about_{name}" for name in NAMES)

# A list item or a part of a question: "- ", "3. ", "b) ", "(ii) " where a line begins.
_ITEM: Final = re.compile(r"^[ \t]{0,8}(?:[-*•]|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)])[ \t]", re.M)
_PART: Final = re.compile(r"\((?:\d|[a-e]|i{1,3}|iv|v)\)")
# Signs of scripts without spaces; two of them count as a word.
_SIGN: Final = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")


def _class_table() -> NDArray[np.uint8]:
    table = np.full(256, _CLASSES.index("other"), np.uint8)
    table[128:] = _CLASSES.index("foreign")
    for name, first, last in (("upper", "A", "Z"), ("lower", "a", "z"), ("digit", "0", "9")):
        table[ord(first) : ord(last) + 1] = _CLASSES.index(name)
    for name, chars in _MEMBERS.items():
        table[[ord(char) for char in chars]] = _CLASSES.index(name)
    return table


def _fold_table() -> bytes:
    """Bytes of words in lower case, every digit as one, all else as a space."""
    kept = {code: code for code in (*range(128, 256), *b"abcdefghijklmnopqrstuvwxyz")}
    kept |= {code: code + 32 for code in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    kept |= dict.fromkeys(b"0123456789", ord("0"))
    return bytes(kept.get(code, ord(" ")) for code in range(256))


_CLASS: Final = _class_table()
_FOLD: Final = _fold_table()
_LOGS: Final = {usual: log1p(usual) for usual in (4, 5, 6, 8, 10, 20, 30, 40, 50, 700, 4000)}


def shortened(text: str) -> str:
    """The beginning and the end of a long text."""
    if len(text) <= HEAD + TAIL:
        return text
    return f"{text[:HEAD]}\n{text[-TAIL:]}"


def read(text: str) -> list[float]:
    """The features of a question in the order of ``FEATURES``."""
    text = shortened(text)
    raw = text.encode("utf-8", "surrogatepass")
    signs: list[str] = []
    if text.isascii():
        words = raw.translate(_FOLD).decode("ascii").split()
    else:
        signs = _SIGN.findall(text)
        words = _foreign_words(_SIGN.sub(" ", text) if signs else text)
    pairs = [one + other for one, other in zip(signs[::2], signs[1::2], strict=False)]
    return [*_shape(text, raw, words + pairs), *_kinds(words, text if signs else "")]


def _foreign_words(text: str) -> list[str]:
    folded = text.lower().encode("utf-8", "surrogatepass").translate(_FOLD)
    return folded.decode("utf-8", "replace").split()


def _shape(text: str, raw: bytes, words: list[str]) -> tuple[float, ...]:
    counts = np.bincount(_CLASS[np.frombuffer(raw, np.uint8)], minlength=len(_CLASSES)).tolist()
    upper, lower, digits, lines, maths, code, asks, stops, commas, quotes, pipes, foreign, _ = (
        counts
    )
    size, many = len(raw) or 1, len(words) or 1
    return (
        _log(len(raw), 4000),
        _log(len(words), 700),
        1.0 - len(set(words)) / many,
        min(2.0, (upper + lower + foreign / 2) / many / 8),  # a letter elsewhere takes two bytes
        sum(map(_LONG.__le__, map(len, words))) / many,
        _log(stops, 20),
        _log(commas, 30),
        _log(quotes, 10),
        _log(asks, 5),
        _log(lines, 40),
        _log(len(_ITEM.findall(text)), 10) if lines else 0.0,
        _log(maths, 20),
        _log(code, 40),
        _log(digits, 50),
        min(1.0, 5 * upper / size),
        foreign / size,
        _log(pipes, 20),
        _log(text.count("```"), 4),
        _log(len(_PART.findall(text)), 6),
    )


def _kinds(words: list[str], signed: str) -> list[float]:
    counts = [0] * len(NAMES)
    for kinds in filter(None, map(STEMS.get, [word[:STEM] for word in words])):
        for kind in kinds:
            counts[kind] += 1
    if signed:
        for sign, kind in SIGNS:
            counts[kind] += signed.count(sign)
    return [_log(count, 8) for count in counts]


def _log(count: int, usual: int) -> float:
    """0 for none, 1 for ``usual`` many; grows without a bound, but slowly."""
    return log1p(count) / _LOGS[usual] if count else 0.0
