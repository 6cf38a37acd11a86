"""Two linear heads over hashed n-grams: is this an attack, does this data give orders.

``prompt_score`` is for what a user writes, ``data_score`` for tool results, documents and
retrieved text.  Both are probabilities of the worst window among the text, its windows and
its views (see ``normalise``); the thresholds say at which score one in a hundred and one in
a thousand harmless texts would be taken.  Deterministic; never sees a clock or a file after
``load``.  The weights are made by ``make train-guard``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import resources
from math import exp
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway_extproc.guards.ngrams import PADDING, Grams, codes_of, grams_of
from gateway_extproc.guards.normalise import views
from gateway_extproc.guards.sampling import sample

_WEIGHTS = "weights.npz"

Floats = NDArray[np.float64]
Windows = tuple[tuple[int, int], ...]

NARROW = 2.5
"""How often the handicap counts for windows of a further kind: they are many, and short."""

_FIRST = np.zeros(1, np.int64)


class Spans(NamedTuple):
    """Windows by their first position and the one behind their last; a whole text is one."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    parts: NDArray[np.float64]  # how often a handicap counts: 0 for a whole text


class Head(NamedTuple):
    """One direction in the space of slots, and how its sum becomes a probability."""

    table: NDArray[np.int8]
    unit: float  # what one step of the table is worth
    bias: float
    words: int  # what a word's n-grams weigh beside a character's
    meanings: int
    power: float  # a window's sum is divided by its length to this power
    floor: float  # but by no less than this length
    windows: Windows  # size and step, in characters
    handicap: float  # of a window within a text: many tries make one succeed
    slope: float
    offset: float

    def probability(self, margin: float) -> float:
        """Of a margin; extreme ones do not overflow."""
        return 1.0 / (1.0 + exp(-min(60.0, max(-60.0, self.slope * margin + self.offset))))


class Score(NamedTuple):
    """``scanned`` and ``total`` count characters of the text, views apart."""

    value: float
    scanned: int
    total: int


class Classifier:
    """Holds the weights; scoring changes nothing."""

    def __init__(self, data: bytes) -> None:
        archive = np.load(io.BytesIO(data), allow_pickle=False)
        card = orjson.loads(archive["card"].tobytes())
        self.VERSION: str = card["version"]
        self.PROMPT_1: float = card["thresholds"]["prompt_1"]
        self.PROMPT_01: float = card["thresholds"]["prompt_01"]
        self.DATA_1: float = card["thresholds"]["data_1"]
        self.DATA_01: float = card["thresholds"]["data_01"]
        self._prompt = _head(archive["prompt"], card["heads"]["prompt"])
        self._data = _head(archive["data"], card["heads"]["data"])

    @classmethod
    def load(cls) -> Classifier:
        """The weights that came with the package."""
        return cls(resources.files(__package__).joinpath(_WEIGHTS).read_bytes())

    def prompt_score(self, text: str) -> float:
        """How likely ``text`` attacks the instructions of the model that reads it."""
        return self.prompt(text).value

    def data_score(self, text: str) -> float:
        """How likely data holds an instruction to the model that reads it."""
        return self.data(text).value

    def prompt(self, text: str) -> Score:
        """``prompt_score`` and how much of the text was looked at."""
        return _score(self._prompt, text)

    def plain_score(self, text: str) -> float:
        """``prompt_score`` without other readings of the text: what those add."""
        return self._prompt.probability(float(margins(self._prompt, sample(text).pieces).max()))

    def data(self, text: str) -> Score:
        """``data_score`` and how much of the text was looked at."""
        return _score(self._data, text)


def _head(table: NDArray[np.int8], card: dict[str, Any]) -> Head:
    windows = tuple((int(size), int(step)) for size, step in card["windows"])
    return Head(**{**card, "table": table, "windows": windows})


def _score(head: Head, text: str) -> Score:
    sampled = sample(text)
    readings = list(sampled.pieces)
    for piece in sampled.pieces:
        readings += (view.text for view in views(piece))
    margin = float(margins(head, readings).max())
    return Score(head.probability(margin), sampled.scanned, len(text))


def margins(head: Head, texts: Sequence[str]) -> Floats:
    """The margin of every window of all texts."""
    parts = [codes_of(text) for text in texts]
    codes = parts[0] if len(parts) == 1 else np.concatenate(parts)
    totals = _totals(head, codes.size, grams_of(codes))
    spans = _spans_of_all([part.size - PADDING for part in parts], head.windows)
    lengths = np.maximum(spans.ends - spans.starts, head.floor)
    sums = totals[spans.ends] - totals[spans.starts]
    margin: Floats = sums * lengths**-head.power * head.unit
    return margin + (head.bias - head.handicap * spans.parts)


def _totals(head: Head, size: int, grams: Grams) -> NDArray[np.int64]:
    """Sums of weights before each position."""
    totals = np.zeros(size + 1, np.int64)
    weights = totals[1:]
    np.add.reduce(head.table.take(grams.chars), axis=0, dtype=np.int64, out=weights)
    at_places = np.add.reduce(head.table.take(grams.words), axis=0, dtype=np.int64)
    words, meanings = at_places[: grams.split], at_places[grams.split :]
    weights[grams.places[: grams.split]] += words * head.words
    weights[grams.places[grams.split :]] += meanings * head.meanings
    np.cumsum(weights, out=weights)
    return totals


def _spans_of_all(sizes: Sequence[int], windows: Windows) -> Spans:
    """Spans of texts that stand behind each other, padding between them."""
    if len(sizes) == 1:
        return spans_of(sizes[0], windows)
    spans: list[Spans] = []
    at = 0
    for size in sizes:
        starts, ends, parts = spans_of(size, windows)
        spans.append(Spans(starts + at, ends + at, parts))
        at += size + PADDING
    return Spans(*(np.concatenate(column) for column in zip(*spans, strict=True)))


def spans_of(size: int, windows: Windows) -> Spans:
    """The whole text and, of each kind that is shorter, every window."""
    starts, ends, parts = [_FIRST], [np.array([size])], [np.zeros(1)]
    for number, (width, step) in enumerate(windows):
        if size > width + step:
            starts.append(np.arange(0, size - width + step, step))
            ends.append(np.minimum(starts[-1] + width, size))
            parts.append(np.full(starts[-1].size, NARROW if number else 1.0))
    return Spans(np.concatenate(starts), np.concatenate(ends), np.concatenate(parts))
