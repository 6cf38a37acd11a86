"""Text in the plain letters that a reader sees: one reading for all ways of disguise."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e01ef]+"
)
_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
# Cyrillic, Greek, Armenian or Cherokee beside Latin in one word.
_OTHERS = "\u0370-\u03ff\u0400-\u052f\u0531-\u0587\u13a0-\u13f5"
_MIXED = re.compile(f"[A-Za-z][{_OTHERS}]|[{_OTHERS}][A-Za-z]")

_LIKE = {
    "a": "аαɑᴀ∂", "b": "Ьвʙβƅ", "c": "сϲᴄⅽ", "d": "ԁᴅժ", "e": "еєεᴇ℮", "f": "ғꜰϝ", "g": "ɡɢց",
    "h": "һнʜհ", "i": "іιɪı", "j": "јᴊϳ", "k": "кκᴋ", "l": "ӏʟⅼǀ", "m": "мᴍ", "n": "пռɴη",
    "o": "оοσᴏօ", "p": "рρᴘ", "q": "ԛգ", "r": "гʀᴦ", "s": "ѕꜱʂ", "t": "тτᴛ", "u": "υսᴜц",
    "v": "ѵνᴠ", "w": "ԝωᴡш", "x": "хχ", "y": "уγʏү", "z": "ᴢᏃ",
    "A": "АΑᎪ", "B": "ВΒᏴ", "C": "СϹᏟ", "D": "Ꭰ", "E": "ЕΕᎬ", "F": "Ϝ", "G": "ԌᏀ", "H": "НΗᎻ",
    "I": "ІΙ", "J": "ЈᎫ", "K": "КΚᏦ", "L": "Ꮮ", "M": "МΜᎷ", "N": "Ν", "O": "ОΟ", "P": "РΡᏢ",
    "Q": "Ԛ", "R": "Ꭱ", "S": "ЅᏚ", "T": "ТΤᎢ", "V": "Ꮩ", "W": "ԜᎳ", "X": "ХΧ", "Y": "ΥҮ", "Z": "ΖᏃ",
}  # fmt: skip
_FOLD = str.maketrans({like: letter for letter, likes in _LIKE.items() for like in likes})
_SMALL_CAPITALS = re.compile(
    "[\u0251\u0262\u026a\u0274\u0280\u028f\u0299\u029c\u029f\u1d00-\u1d22\ua730\ua731]"
)

# Letters of signs that compatibility forms do not reach.
_SIGNS = str.maketrans(
    {first + at: chr(0x61 + at) for first in (0x1F150, 0x1F170, 0x1F1E6) for at in range(26)}
)
_SIGN = re.compile("[\U0001f150-\U0001f169\U0001f170-\U0001f189\U0001f1e6-\U0001f1ff]")


class Letters(NamedTuple):
    """``steps`` names what had to be done; none leaves the text as it was."""

    text: str
    steps: tuple[str, ...]


def plain_letters(text: str) -> Letters:
    """Without hidden characters, in compatibility forms, without marks and look-alikes."""
    steps: list[str] = []
    for name, step in _STEPS:
        done = step(text)
        if done != text:
            steps.append(name)
            text = done
    return Letters(text, tuple(steps))


def _unhidden(text: str) -> str:
    return _HIDDEN.sub("", text)


def _unsigned(text: str) -> str:
    return text.translate(_SIGNS) if _SIGN.search(text) else text


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _unmarked(text: str) -> str:
    """Marks that stand by themselves: precomposed letters keep theirs."""
    return _MARKS.sub("", text) if _MARKS.search(text) else text


def _unmixed(text: str) -> str:
    """Look-alikes, but only where a word mixes scripts: Russian stays Russian."""
    mixed = _MIXED.search(text) or _SMALL_CAPITALS.search(text)
    return text.translate(_FOLD) if mixed else text


_STEPS = (
    ("hidden", _unhidden),
    ("signs", _unsigned),
    ("compatible", _compatible),
    ("marks", _unmarked),
    ("lookalikes", _unmixed),
)
