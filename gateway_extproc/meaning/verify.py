"""What tells two short questions apart, whatever a model says of their likeness.

A model of sentences sees little of a ``not``, of another number, of who does it to whom.  So two
questions count as the same only if they have the same numbers, quotations, negations and persons,
ask for the same, and if every word of one that says something has its like in the other, in the
same order and behind the same preposition.  That loses many paraphrases; it is meant to.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from gateway_extproc.meaning.lexicon import (
    ASKING,
    AUXILIARIES,
    EMPTY,
    MODALS,
    NEGATIONS,
    NUMBERS,
    PAST,
    PERSONS,
    PHRASES,
    POINTING,
    SAME,
)

_PHRASES: Final = tuple((re.compile(pattern), into) for pattern, into in PHRASES)
_QUOTED: Final = re.compile(
    r"```.*?```|`[^`]+`|\"[^\"]+\"|“[^”]+”|«[^»]+»|(?<!\w)'[^']+'(?!\w)", re.S
)
_NOT: Final = re.compile(r"\b(can|won|ain|shan)(?:'t|not\b)|n't\b")
_OWNER: Final = re.compile(
    r"\b([\w-]+)'s? ((?:[\w-]+ ?){1,2}?)(?=[?.!,;:]|$| (?:in|on|at|of|for|to|from|is|are|was)\b)"
)
_TOKEN: Final = re.compile(
    r"[+\-−]?\d[\d.,:/]*\d|[+\-−]?\d|[^\W\d_][\w]*(?:[-'][^\W\d_][\w]*)*|'(?:s|re|ve|ll|d|m)\b"
    r"|\S"
)
_STOPS: Final = frozenset(".,;:!?")
_DO: Final = frozenset({"do"})


_CAPITALS: Final = re.compile(r"\b[A-Z]{2,}\b")
_HOUR: Final = re.compile(r"(\d)\s?([ap])\.?m\b\.?")
_SMALL: Final = frozenset(
    {*ASKING, *AUXILIARIES, *MODALS, *POINTING, *PERSONS, *EMPTY, *NEGATIONS, *SAME, "do", "have"}
)
"""Words that are names where they are written in capitals: US, IT, WHO."""


class Said(NamedTuple):
    """A text as it is compared.

    ``core`` is what stands behind no preposition, in order; ``bound`` what stands behind one,
    with it.
    """

    numbers: tuple[str, ...]
    quoted: tuple[str, ...]
    negations: int
    asks: str
    past: bool
    persons: tuple[str, ...]
    modals: tuple[str, ...]
    signs: tuple[str, ...]
    core: tuple[str, ...]
    bound: tuple[tuple[str, ...], ...]


def differ(one: Said, two: Said) -> str:
    """What makes them different questions; "" where nothing does."""
    for name in Said._fields:
        if getattr(one, name) != getattr(two, name):
            return "tense" if name == "past" else name
    return ""


def said(text: str) -> Said:
    """The text as it is compared; a text without any word of its own equals no other's."""
    quoted = tuple(match.strip("`'\"“”«» ") for match in _QUOTED.findall(text))
    plain = _QUOTED.sub(" ¤ ", text).replace("’", "'")
    if not plain.isupper():
        plain = _CAPITALS.sub(_name, plain)
    plain = _HOUR.sub(r"\1 \2m_", plain.lower())
    plain = " ".join(plain.split())
    plain = _NOT.sub(lambda match: f"{_full(match[1])} not ", plain)
    plain = " ".join(plain.split())
    for pattern, into in _PHRASES:
        plain = pattern.sub(into, plain).strip()
    plain = _OWNER.sub(r"\2 of \1", plain)
    return _read(_TOKEN.findall(plain), quoted)


def _name(match: re.Match[str]) -> str:
    word = match[0]
    return f"{word}_" if word.lower() in _SMALL else word


def _full(stem: str | None) -> str:
    return {"won": "will", "can": "can", "shan": "shall"}.get(stem or "", "")


def _read(tokens: list[str], quoted: tuple[str, ...]) -> Said:
    reading = _Reading()
    for token in tokens:
        reading.take(token)
    reading.stop()
    return Said(
        numbers=tuple(sorted(reading.numbers)),
        quoted=quoted,
        negations=reading.negations,
        asks=reading.asks,
        past=reading.past and not any(len(n) == 4 and n.isdigit() for n in reading.numbers),
        persons=tuple(reading.persons),
        modals=tuple(sorted(reading.modals)),
        signs=tuple(reading.signs),
        core=tuple(reading.core),
        # A phrase may move, but not across another one of its kind.
        bound=tuple(sorted(reading.bound, key=lambda phrase: phrase[0])),
    )


class _Reading:
    """Reads tokens from left to right; ``phrase`` is what the last preposition has so far."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.negations = 0
        self.asks = ""
        self.past = False
        self.persons: list[str] = []
        self.modals: list[str] = []
        self.signs: list[str] = []
        self.core: list[str] = []
        self.bound: list[tuple[str, ...]] = []
        self.phrase: list[str] | None = None
        self.began = self.did = False

    def take(self, token: str) -> None:
        # "In 2014, did ..." asks as "Did ..." does.
        first, self.began = not self.began, token not in _STOPS or bool(self.core)
        if token in _STOPS:
            self.stop()
        elif token in AUXILIARIES or (token in _DO and not self.did):
            self._auxiliary(token, first=first)
        elif token in NEGATIONS:
            self.negations += 1
            # Which word is meant by it decides; "without permission" is no "not without".
            self._word(f"!{token}" if token not in ("not", "no") else "!not")
        elif token in ASKING:
            self._ask(ASKING[token], first=first)
        elif token in MODALS:
            self.modals.append(MODALS[token])
            if first:
                self.asks = "whether"
            self.stop()
        elif token in PERSONS:
            self.persons.append(PERSONS[token])
        elif token in POINTING:
            self.stop()
            self.phrase = [POINTING[token]]
        elif token not in EMPTY:
            self._other(token)

    def stop(self) -> None:
        """What a preposition has is complete."""
        if self.phrase is not None:
            self.bound.append(tuple(self.phrase))
            self.phrase = None

    def _auxiliary(self, token: str, *, first: bool) -> None:
        self.past = self.past or token in PAST
        # A second one is a word of its own: "what does it do".
        self.did = self.did or token in ("do", "does", "did")
        if first:
            self.asks = "whether"
        self.stop()

    def _ask(self, word: str, *, first: bool) -> None:
        if not self.asks:
            self.asks = word
        elif not first:
            self.stop()
            self.core.append("if" if word in ("whether", "when") else word)

    def _other(self, token: str) -> None:
        number = NUMBERS.get(token)
        if number is None and token[-1].isdigit() and not token[0].isalpha():
            number = token.replace(",", "") if token.count(",") else token
        if number is not None:
            self.numbers.append(number)
            self._word(number)
        elif not token[0].isalnum():
            self.signs.append(token)
        else:
            self._word(stem(token))

    def _word(self, word: str) -> None:
        (self.core if self.phrase is None else self.phrase).append(word)


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """The word that stands for all that say the same."""
    for form in _forms(word):
        if form in SAME:
            return SAME[form]
    return _forms(word)[-1]


def _forms(word: str) -> tuple[str, ...]:
    """The word, and without the ending of its plural or of its verb; comparisons stay."""
    if len(word) > 4 and word.endswith("ies"):
        return (word, word[:-3] + "y")
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return (word, word[:-2])
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return (word, word[:-1])
    if len(word) > 5 and word.endswith("ing"):
        root = word[:-3]
        if root[-1] == root[-2] and root[-1] not in "ls":
            root = root[:-1]
        return (word, root)
    return (word,)
