"""Readers of single encodings: text in, what it says out, nothing for what says nothing."""

from __future__ import annotations

import binascii
import codecs
import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

_RUNS = 64  # encoded runs that are read in one text

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}(?:\r?\n[A-Za-z0-9+/_-]{4,}){0,64}={0,2}")
_HEX = re.compile(r"(?:(?:\\x|0x)?[0-9A-Fa-f]{2}[ :,-]?){8,}")
_HEX_DIGITS = re.compile(r"\\x|0x|[^0-9A-Fa-f]")
_BINARY = re.compile(r"(?:[01]{7,8}[ ,]?){6,}")
_DECIMAL = re.compile(r"(?:[0-9]{2,3}[ ,]+){8,}[0-9]{0,3}")
_MORSE = re.compile(r"(?:[.-]{1,5}[ /]+){8,}[.-]{0,5}")
_COMMAS = re.compile("[ ,]+")
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")
_SPACED = re.compile(r"(?<![^\W_])[^\W_](?:[ ._*|/,~-]{1,3}[^\W_](?![^\W_])){3,}")
_GAP = re.compile(r"[ ._*|/,~-]+")
_MARKS = re.compile(r"(?<=[^\W_])[*_~^`\\|]{1,2}(?=[^\W_])")
_WORD = re.compile(r"[^\W\d_]+")
_LEET = str.maketrans("0134578@$!|+", "oieastbasiit")
_NO_LETTERS = re.compile(r"(?<![\w@$!|])[\d+.,$!|%-]+(?![\w@$!|])")
_TAGS = re.compile("[\U000e0020-\U000e007e]{2,}")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_CODES = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        [
            ".-",
            "-...",
            "-.-.",
            "-..",
            ".",
            "..-.",
            "--.",
            "....",
            "..",
            ".---",
            "-.-",
            ".-..",
            "--",
            "-.",
            "---",
            ".--.",
            "--.-",
            ".-.",
            "...",
            "-",
            "..-",
            "...-",
            ".--",
            "-..-",
            "-.--",
            "--..",
        ],
        strict=True,
    )
)
_LETTERS = {code: letter for letter, code in _CODES.items()}


def hidden_messages(text: str) -> Iterator[tuple[str, str]]:
    """What tag characters spell and what runs of variation selectors hold as bytes."""
    if tags := "".join(_TAGS.findall(text)):
        yield "tags", "".join(chr(ord(char) - 0xE0000) for char in tags)
    for run in _found(_SELECTORS, text):
        if message := _message(bytes(map(_selector, run))):
            yield "selectors", message


def _selector(char: str) -> int:
    code = ord(char)
    return code - 0xFE00 if code < 0xE0100 else code - 0xE0100 + 16


def base64(text: str) -> str:
    """Both alphabets; a run that is no text is left out."""
    return " ".join(filter(None, map(_from_base64, _found(_BASE64, text))))


def _from_base64(run: str) -> str:
    digits = re.sub(r"\s", "", run).rstrip("=").replace("-", "+").replace("_", "/")
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return _message(binascii.a2b_base64(digits + "=" * (-len(digits) % 4)))


def hexadecimal(text: str) -> str:
    """Pairs of digits, with or without ``\\x``, ``0x`` and separators."""
    return " ".join(filter(None, map(_from_hex, _found(_HEX, text))))


def _from_hex(run: str) -> str:
    digits = _HEX_DIGITS.sub("", run)
    return _message(bytes.fromhex(digits[: len(digits) & ~1]))


def binary(text: str) -> str:
    """Seven or eight binary digits a letter."""
    return " ".join(filter(None, (_from_numbers(run, 2) for run in _found(_BINARY, text))))


def decimal(text: str) -> str:
    """Character codes in decimal."""
    return " ".join(filter(None, (_from_numbers(run, 10) for run in _found(_DECIMAL, text))))


def _from_numbers(run: str, base: int) -> str:
    width = 8 if base == 2 and " " not in run and "," not in run else 0
    cut = (
        (run[at : at + width] for at in range(0, len(run), width)) if width else _COMMAS.split(run)
    )
    numbers = [int(part, base) for part in cut if part]
    return _message(bytes(numbers)) if max(numbers) < 256 else ""


def morse(text: str) -> str:
    """Letters only; what is no letter is left out."""
    return " ".join(filter(None, map(_from_morse, _found(_MORSE, text))))


def _from_morse(run: str) -> str:
    words = re.split(r" */ *|  +", run)
    return " ".join("".join(_LETTERS.get(code, "") for code in word.split(" ")) for word in words)


def percent(text: str) -> str:
    """Percent-encoding of UTF-8."""
    return unquote(text.replace("+", " "), errors="replace")


def entities(text: str) -> str:
    """Named and numbered HTML entities."""
    return html.unescape(text)


def escapes(text: str) -> str:
    """``\\uXXXX``; pairs of surrogates are joined."""
    units = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def rot13(text: str) -> str:
    """Latin letters thirteen further."""
    return codecs.decode(text, "rot13")


def backwards(text: str) -> str:
    """Last character first."""
    return text[::-1]


def words_backwards(text: str) -> str:
    """Each word by itself, in the order of the text."""
    return _WORD.sub(lambda word: word[0][::-1], text)


def leet(text: str) -> str:
    """Digits and signs as the letters they look like; numbers stay numbers."""
    numbers = [found.span() for found in _NO_LETTERS.finditer(text)]
    parts: list[str] = []
    at = 0
    for start, end in numbers:
        parts += text[at:start].translate(_LEET), text[start:end]
        at = end
    return "".join(parts) + text[at:].translate(_LEET)


def joined(text: str) -> str:
    """Runs of single letters as words; a gap unlike the usual one is a space."""
    return _SPACED.sub(_join, text)


def _join(run: re.Match[str]) -> str:
    gaps = _GAP.findall(run[0])
    usual = max(sorted(set(gaps)), key=gaps.count)
    return _GAP.sub(lambda gap: "" if gap[0] == usual else " ", run[0])


def unmarked(text: str) -> str:
    """Without the signs of emphasis inside words."""
    return _MARKS.sub("", text)


def _found(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for number, found in enumerate(pattern.finditer(text)):
        if number == _RUNS:
            return
        yield found[0]


def _message(data: bytes) -> str:
    """Bytes that are text: valid UTF-8 (to a cut end), nearly all of it printable."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if error.start < len(data) - 3:
            return ""
        text = data[: error.start].decode()
    shown = sum(map(str.isprintable, text)) + text.count("\n") + text.count("\t")
    return text if text and shown >= 0.9 * len(text) else ""
