"""In which language a text is written, by the optional extra ``language`` (py3langid).

Only prose is judged: code, addresses, mark-up and placeholders have no language, nor has a text of
a few words.  Of a long text some stretches are read.  Loading the model takes a second and 100 MB,
so it is loaded before workers are forked, or when rules are compiled; no request waits for it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from gateway_extproc.core.recent import Recent

EXTRA: Final = "pip install 'gateway-extproc[language]'"
REMEMBERED: Final = 8_192
"""Texts whose language a worker remembers: a conversation's old turns come with each new one."""
STRETCHES, STRETCH = 4, 150
"""Of a text with more prose, so many stretches of so many characters are read, evenly placed."""
READ_MAX: Final = 64_000
"""Characters of a text that prose is looked for in: its beginning and its end."""
NO_LANGUAGE: Final = "zxx"
"""What the model says of numbers and the like (ISO 639-2)."""

RELATIVES: Final = {
    "pcm": "en", "wuu": "zh", "yue": "zh", "ary": "ar", "arz": "ar", "nn": "no", "ext": "es",
    "an": "es", "lij": "it", "vec": "it", "gcr": "gcf", "uzs": "uz", "sdh": "ku",
}  # fmt: skip
"""Languages that are counted as the larger one beside them: short texts could be in either."""

KNOWN_LANGUAGES: Final = frozenset((
    "ace", "af", "am", "ar", "as", "az", "ba", "bcl", "be", "bg", "bn", "br", "bs", "ca", "crh",
    "cs", "cy", "da", "de", "dz", "el", "en", "eo", "es", "et", "eu", "fa", "fi", "fo", "fr", "fuv",
    "fy", "ga", "gcf", "gd", "gl", "gom", "grc", "gu", "gug", "guw", "ha", "hbo", "he", "hi", "hr",
    "ht", "hu", "hy", "id", "ig", "is", "it", "ja", "jv", "ka", "kab", "kik", "kk", "km", "kn",
    "ko", "ku", "ky", "la", "lb", "lg", "ln", "lo", "lt", "ltg", "lv", "mg", "mk", "ml", "mn", "mr",
    "ms", "mt", "my", "ne", "nl", "no", "nso", "oc", "om", "or", "pa", "pl", "ps", "pt", "qu", "ro",
    "ru", "rw", "sa", "se", "si", "sk", "sl", "sn", "so", "sq", "sr", "st", "sv", "sw", "ta", "te",
    "tg", "th", "tk", "tl", "tr", "tt", "ug", "uk", "ur", "uz", "vi", "vo", "wa", "xh", "yo", "zh",
    "zu",
))  # fmt: skip
"""What the model can say, listed so that a configuration is checked without loading it."""

Shares = Mapping[str, float]
"""How likely each language is, by its code in ISO 639; they add up to 1."""

_NOT_PROSE = re.compile(
    r"```[^`]*(?:```|\Z)|~~~[^~]*(?:~~~|\Z)|`[^`\n]{1,200}`"
    r"|\b(?:https?|ftp)://[^\s<>\"']{1,2000}|\bwww\.[^\s<>\"']{1,2000}|(?<!\S)[^\s@]{1,64}@[^\s@]{1,128}"
    r"|<[^<>\n]{1,300}>|[\[⟦][A-Z_]{2,24}(?:-[0-9]{1,6})?[\]⟧]"
)
_CODE_BEGINS = (
    "    ", "\t", "def ", "class ", "import ", "from ", "return ", "function ", "const ", "let ",
    "var ", "public ", "private ", "#include", "SELECT ", "INSERT ", "$ ", ">>> ",
)  # fmt: skip
_CODE_ENDS = ("{", "}", "=>", "::", "()", "):")
_CODE_SIGNS = re.compile(r"[=()\[\]<>]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_IDEOGRAPH = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)


def is_installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("py3langid") is not None


@cache
def identifier() -> Any:
    """The model, loaded once in a process."""
    from py3langid.langid import _load_identifier

    model = _load_identifier(norm_probs=True)
    model.rank("the first text takes longer than all others")
    return model


def prose_of(text: str) -> str:
    """The words of a text that have a language, at most ``STRETCHES * STRETCH`` characters."""
    if len(text) > READ_MAX:
        text = f"{text[: READ_MAX // 2]}\n{text[-READ_MAX // 2 :]}"
    lines = _NOT_PROSE.sub(" ", text).splitlines()
    words = " ".join(_WORD.findall("\n".join(line for line in lines if not _is_code(line))))
    if len(words) <= STRETCHES * STRETCH:
        return words
    step = (len(words) - STRETCH) // (STRETCHES - 1)
    return " ".join(words[place * step : place * step + STRETCH] for place in range(STRETCHES))


def _is_code(line: str) -> bool:
    """By what it begins and ends with; a Greek question ends with a semicolon, too."""
    end = line.rstrip()
    if line.startswith(_CODE_BEGINS) or end.endswith(_CODE_ENDS):
        return True
    return end.endswith(";") and _CODE_SIGNS.search(line) is not None


def letters_in(prose: str) -> int:
    """Letters of words; a character of Chinese, Japanese or Korean says as much as three."""
    return len(prose) - prose.count(" ") + 2 * len(_IDEOGRAPH.findall(prose))


class Languages:
    """Judges texts, and remembers what it said of them."""

    def __init__(self) -> None:
        self._model = identifier()
        self._known: Recent[bytes, tuple[int, Shares]] = Recent(REMEMBERED)

    def of(self, text: str) -> tuple[int, Shares]:
        """Letters that were judged, and the shares; no letters for a text without prose."""
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = self._known.found(key)
        return known if known is not None else self._known.keep(key, self._judged(text))

    def _judged(self, text: str) -> tuple[int, Shares]:
        prose = prose_of(text)
        letters = letters_in(prose)
        shares: dict[str, float] = {}
        for code, share in self._model.rank(prose) if letters else ():
            language = RELATIVES.get(code, code)
            shares[language] = shares.get(language, 0.0) + share
        return letters, shares


def unwanted_share(shares: Shares, allowed: frozenset[str], denied: frozenset[str]) -> float:
    """How likely the language is a denied one, or, where some are allowed, another than those."""
    if denied:
        return sum(shares.get(language, 0.0) for language in denied)
    neutral = allowed | {NO_LANGUAGE}
    return max(0.0, 1.0 - sum(shares.get(language, 0.0) for language in neutral)) if shares else 0.0
