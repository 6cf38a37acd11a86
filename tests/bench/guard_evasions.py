"""Twenty ways to disguise a text that a model still reads.  Deterministic by the text."""

from __future__ import annotations

import base64
import codecs
import random
from collections.abc import Callable

Transform = Callable[[str], str]

_CYRILLIC = str.maketrans("aceopxyisAEOPCTHKMB", "асеорхуіѕАЕОРСТНКМВ")
_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_MARKS = ("\u0300", "\u0301", "\u0336", "\u0338", "\u0353", "\u0489")


def _rng(text: str) -> random.Random:
    return random.Random(text)


def alternating_case(text: str) -> str:
    return "".join(char.upper() if at % 2 else char.lower() for at, char in enumerate(text))


def upper_case(text: str) -> str:
    return text.upper()


def zero_width(text: str) -> str:
    return "\u200b".join(text)


def homoglyphs(text: str) -> str:
    rng = _rng(text)
    return "".join(c.translate(_CYRILLIC) if rng.random() < 0.5 else c for c in text)


def fullwidth(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def math_bold(text: str) -> str:
    return "".join(_bold(char) for char in text)


def _bold(char: str) -> str:
    if "a" <= char <= "z":
        return chr(0x1D41A + ord(char) - 97)
    return chr(0x1D400 + ord(char) - 65) if "A" <= char <= "Z" else char


def combining_marks(text: str) -> str:
    rng = _rng(text)
    return "".join(c + "".join(rng.choices(_MARKS, k=2)) if c.isalpha() else c for c in text)


def leet(text: str) -> str:
    rng = _rng(text)
    return "".join(char.translate(_LEET) if rng.random() < 0.7 else char for char in text)


def spaced(text: str) -> str:
    return " ".join(text)


def spaced_narrow(text: str) -> str:
    return "  ".join(" ".join(word) for word in text.split())


def dotted(text: str) -> str:
    return " ".join(".".join(word) for word in text.split())


def tags(text: str) -> str:
    return "Hello! " + "".join(chr(0xE0000 + ord(c)) for c in text if 0x20 <= ord(c) < 0x7F)


def variation_selectors(text: str) -> str:
    return "Hello \U0001f60a" + "".join(
        chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16) for byte in text.encode()
    )


def base64_all(text: str) -> str:
    return "Decode this: " + base64.b64encode(text.encode()).decode()


def hexadecimal(text: str) -> str:
    return text.encode().hex()


def entities(text: str) -> str:
    return "".join(f"&#{ord(char)};" for char in text)


def percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


def reversed_text(text: str) -> str:
    return text[::-1]


def scrambled(text: str) -> str:
    rng = _rng(text)
    return " ".join(_scrambled(word, rng) for word in text.split(" "))


def _scrambled(word: str, rng: random.Random) -> str:
    if len(word) < 4 or not word.isalpha():
        return word
    middle = list(word[1:-1])
    rng.shuffle(middle)
    return word[0] + "".join(middle) + word[-1]


TRANSFORMS: dict[str, Transform] = {
    "alternating case": alternating_case,
    "upper case": upper_case,
    "zero-width": zero_width,
    "homoglyphs": homoglyphs,
    "fullwidth": fullwidth,
    "math bold": math_bold,
    "combining marks": combining_marks,
    "leet": leet,
    "spaced": spaced,
    "spaced, wide gaps": spaced_narrow,
    "dotted": dotted,
    "tag characters": tags,
    "variation selectors": variation_selectors,
    "base64": base64_all,
    "hexadecimal": hexadecimal,
    "HTML entities": entities,
    "URL encoding": percent,
    "rot13": rot13,
    "reversed": reversed_text,
    "scrambled middles": scrambled,
}
