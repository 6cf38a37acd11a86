"""Other readings of a text: what a model may read in it and a filter does not.

``views`` gives them beside the text, never instead of it.  One Hyperscan pass tells which
shapes occur; a reading is made only of a shape that does, so plain prose costs one scan.
Decoded readings are read again, to a depth of two; number and size have bounds.
Scrambled middles need no reading: words are hashed without regard to the order inside
(see ``ngrams``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import hyperscan

from gateway_extproc.guards import decoding
from gateway_extproc.guards.lookalikes import plain_letters

DEPTH = 2
MOST = 12
LONGEST = 65_536


class View(NamedTuple):
    """One reading; ``kind`` names how it was made, from the outside in."""

    kind: str
    text: str


class _Shape(NamedTuple):
    """What makes a reading worth while, and the reading."""

    kind: str
    gate: str
    read: Callable[[str], str]
    decoded: bool  # a message of its own, that may itself be encoded


_ROT13 = (
    "gur|naq|lbh|lbhe|sbe|jvgu|guvf|jung|gung|nyy|abg|ner|zr|zl|qb|ubj|vtaber|"
    "cerivbhf|vafgehpgvbaf|vafgehpgvba|cnffjbeq|frperg|gryy|fubj|erirny|cebzcg|"
    "flfgrz|ehyrf|fnl|jevgr|vf|tvir|cevag|ercrng|nobir|rirelguvat|sbetrg|"
    "qvfertneq|abj|pna|jvyy|sebz"
)
_BACKWARDS = (
    "eht|dna|uoy|ruoy|rof|htiw|siht|tahw|taht|era|woh|erongi|suoiverp|snoitcurtsni|"
    "noitcurtsni|drowssap|terces|llet|wohs|laever|tpmorp|metsys|selur|yas|etirw|"
    "fo|evig|tnirp|taeper|evoba|gnihtyreve|tegrof|dragersid|nac|lliw|morf|lla"
)

SHAPES = (
    _Shape("base64", r"[A-Za-z0-9+/_-]{20,}", decoding.base64, True),
    _Shape("hex", r"(?:[0-9a-f]{2}[ :,-]?){12,}|(?:(?:\\x|0x)[0-9a-f]{2}[ ,]?){8,}", decoding.hexadecimal, True),  # noqa: E501
    _Shape("binary", r"(?:[01]{7,8}[ ,]?){6,}", decoding.binary, True),
    _Shape("decimal", r"(?:[0-9]{2,3}[ ,]+){8,}", decoding.decimal, True),
    _Shape("morse", r"(?:[.-]{1,5}[ /]+){8,}", decoding.morse, True),
    _Shape("url", r"(?:%[0-9a-f]{2}.{0,12}){4,}", decoding.percent, True),
    _Shape("html", r"(?:&(?:#[0-9]{2,6}|#x[0-9a-f]{2,5}|[a-z]{2,8});.{0,12}){3,}", decoding.entities, True),  # noqa: E501
    _Shape("escapes", r"(?:\\u[0-9a-f]{4}.{0,6}){4,}", decoding.escapes, True),
    _Shape("rot13", rf"\b(?:{_ROT13})\b", decoding.rot13, True),
    _Shape("reversed", rf"\b(?:{_BACKWARDS})\b", decoding.backwards, True),
    _Shape("words reversed", rf"\b(?:{_BACKWARDS})\b", decoding.words_backwards, True),
    _Shape("leet", r"[a-z][013457@$!|][a-z]|\b[134@$][a-z]{2,}|[a-z]{2}[034@$]\b", decoding.leet, False),  # noqa: E501
    _Shape("spaced", r"(?:\b[a-z0-9][ ._*|/,~-]{1,3}){4}[a-z0-9]\b", decoding.joined, False),
    _Shape("split", r"[a-z](?:[*_~^`\\|]{1,2}[a-z]{1,6}){2}", decoding.unmarked, False),
)  # fmt: skip

_FLAGS = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL


class _Gate:
    """Which shapes occur in a text: one pass."""

    def __init__(self) -> None:
        self._database = hyperscan.Database()
        self._database.compile(
            expressions=[shape.gate.encode() for shape in SHAPES],
            ids=range(len(SHAPES)),
            flags=[_FLAGS] * len(SHAPES),
        )

    def __call__(self, text: str) -> list[_Shape]:
        found: list[int] = []
        self._database.scan(
            text.encode("utf-8", "replace"), match_event_handler=lambda at, *_: found.append(at)
        )
        return [SHAPES[at] for at in sorted(found)]


_shapes_in = _Gate()


def views(text: str) -> tuple[View, ...]:
    """The other readings of ``text``, at most ``MOST``, each at most ``LONGEST`` characters."""
    seen = {text}
    found: list[View] = []
    for view in islice(_read(text[:LONGEST], "", DEPTH), 4 * MOST):
        if view.text not in seen and len(found) < MOST:
            seen.add(view.text)
            found.append(View(view.kind, view.text[:LONGEST]))
    return tuple(found)


def _read(text: str, prefix: str, depth: int) -> Iterator[View]:
    if not text.isascii():
        for kind, message in decoding.hidden_messages(text):
            yield View(prefix + kind, message)
            yield from _deeper(message, f"{prefix}{kind}/", depth)
        letters = plain_letters(text)
        if letters.steps:
            yield View(f"{prefix}{'+'.join(letters.steps)}", letters.text)
            text = letters.text
    for shape in _shapes_in(text):
        reading = shape.read(text)
        if not reading:
            continue
        yield View(prefix + shape.kind, reading)
        if shape.decoded:
            yield from _deeper(reading, f"{prefix}{shape.kind}/", depth)


def _deeper(message: str, prefix: str, depth: int) -> Iterator[View]:
    if depth > 1:
        yield from _read(message[:LONGEST], prefix, depth - 1)
