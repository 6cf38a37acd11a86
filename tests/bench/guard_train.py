"""Trains the injection classifier and writes ``guards/weights.npz`` and its card.

    make train-guard DATA=folder

Both heads are logistic regressions over counts of hashed n-grams (``guards/ngrams.py``),
fitted by L-BFGS on windows as the classifier cuts them.  Thresholds come from models that did
not see the harmless families that they are measured on.  Deterministic: no randomness but
seeded draws.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import scipy.optimize
import scipy.sparse as sparse
from numpy.typing import NDArray

from bench.guard_data import Placed, Row, digests, documents, own, prompts, standard_library
from gateway_extproc.guards.classifier import Head, spans_of
from gateway_extproc.guards.ngrams import PADDING, SLOTS, Grams, codes_of, grams_of

VERSION = "1"
TARGET = Path(__file__).parents[2] / "gateway_extproc" / "guards" / "weights.npz"
CARD = Path(__file__).parents[2] / "docs" / "guard-classifier.json"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Read like attacks and are not the head's to judge: system prompts have rules of their own,
# role-play requests and hard negatives are reported apart from the pool of the threshold.
APART = frozenset({"benign_roles", "benign_system", "parapet_notinject"})
HALVES = (
    frozenset({
        "parapet_no-robots", "benign_arena", "benign_humaneval", "benign_handwritten",
        "benign_deepset", "parapet_chatgpt-prompts", "benign_apps", "parapet_teven",
    }),
    frozenset({
        "parapet_ultrachat", "parapet_dahoas-synth", "parapet_dahoas-hh",
        "parapet_wildguardmix-ben", "benign_alpaca", "benign_mtbench", "parapet_hf-instr",
    }),
)  # fmt: skip


SENTENCES = 10
"""Of each document that the head of data learns from."""
_SENTENCE = re.compile(r"(?<=[.?!])\s+|\n+")


@dataclass(frozen=True)
class Shape:
    """How a head sums: windows, the power of the length, the strength of the fit.

    It learns from whole texts and windows of the first kind; the further, narrower ones are for
    finding what a long text hides.
    """

    windows: tuple[tuple[int, int], ...]
    power: float
    floor: int
    strength: float
    factors: tuple[int, int, int]  # of characters, words and meanings
    handicap: float
    most_windows: int = 10
    """Of each kind, from one text."""
    longest: int = 16_000


PROMPT = Shape(
    windows=((400, 200), (160, 80)),
    power=0.7,
    floor=30,
    strength=3.0,
    factors=(1, 1, 4),
    handicap=1.0,
)
DATA = Shape(
    windows=((80, 30),), power=0.7, floor=40, strength=3.0, factors=(1, 1, 4), handicap=1.0,
    most_windows=120,
)  # fmt: skip


class Table(NamedTuple):
    """Windows as rows of counts; ``owner`` is the text that a window is of."""

    counts: sparse.csr_matrix
    lengths: Ints
    owner: Ints
    parts: Floats  # how often the handicap counts
    learned: NDArray[np.bool_]  # whether the head learns from it

    def scaled(self, shape: Shape) -> sparse.csr_matrix:
        """Counts as the head weighs them."""
        factors = np.maximum(self.lengths, shape.floor) ** -shape.power
        return (sparse.diags(factors.astype(np.float32)) @ self.counts).tocsr()


def table_of(texts: Sequence[str], shape: Shape) -> Table:
    """The windows of each text, each kind evenly thinned to ``most_windows``."""
    slots: list[Ints] = []
    values: list[Floats] = []
    lengths: list[int] = []
    owner: list[int] = []
    parts: list[float] = []
    learned: list[bool] = []
    for number, text in enumerate(texts):
        codes = codes_of(text[: shape.longest])
        grams = grams_of(codes)
        spans = spans_of(codes.size - PADDING, shape.windows)
        of_first = spans_of(codes.size - PADDING, shape.windows[:1]).starts.size
        first, further = np.arange(of_first), np.arange(of_first, spans.starts.size)
        kept = np.concatenate([_thinned(kind, shape.most_windows) for kind in (first, further)])
        learned += [at < of_first for at in kept]
        for start, end, part in zip(*(column[kept] for column in spans), strict=True):
            found, worth = _counts(grams, int(start), int(end), shape)
            slots.append(found)
            values.append(worth)
            lengths.append(int(end - start))
            owner.append(number)
            parts.append(float(part))
    rows = np.concatenate([[0], np.cumsum([found.size for found in slots])])
    counts = sparse.csr_matrix(
        (np.concatenate(values), np.concatenate(slots), rows), shape=(len(owner), SLOTS)
    )
    return Table(counts, np.array(lengths), np.array(owner), np.array(parts), np.array(learned))


def _thinned(places: Ints, most: int) -> Ints:
    if places.size <= most:
        return places
    kept: Ints = places[np.unique(np.linspace(0, places.size - 1, most).astype(int))]
    return kept


def _counts(grams: Grams, start: int, end: int, shape: Shape) -> tuple[Ints, Floats]:
    """The slots of one window and how often each occurs, by the factor of its kind."""
    inside = (grams.places >= start) & (grams.places < end)
    meanings = inside.copy()
    meanings[: grams.split] = False
    inside[grams.split :] = False
    parts = (grams.chars[:, start:end], grams.words[:, inside], grams.words[:, meanings])
    slots = np.concatenate([part.ravel() for part in parts])
    worth = np.repeat(shape.factors, [part.size for part in parts])
    found, where = np.unique(slots, return_inverse=True)
    return found.astype(np.int32), np.bincount(where, worth).astype(np.float32)


class Model(NamedTuple):
    """Weights of all slots."""

    weights: NDArray[np.float32]
    bias: float


def fit(rows: sparse.csr_matrix, labels: Ints, weights: Floats, strength: float) -> Model:
    """Logistic regression with a squared penalty over slots that two windows share."""
    used = np.flatnonzero(np.bincount(rows.indices, minlength=SLOTS) >= 2)
    rows = rows[:, used].tocsr()
    across = rows.T.tocsr()
    sign = np.where(labels > 0, 1.0, -1.0).astype(np.float32)
    share = (strength * weights / weights.mean()).astype(np.float32)

    def loss(point: Floats) -> tuple[float, Floats]:
        margin = sign * (rows @ point[:-1].astype(np.float32) + np.float32(point[-1]))
        slope = -share * sign / (1.0 + np.exp(np.minimum(margin, 60.0)))
        value = float((share * np.logaddexp(0.0, -margin)).sum() + 0.5 * point[:-1] @ point[:-1])
        return value, np.append(across @ slope + point[:-1], slope.sum(dtype=np.float64))

    found = scipy.optimize.minimize(
        loss, np.zeros(used.size + 1), jac=True, method="L-BFGS-B",
        options={"maxiter": 60, "maxcor": 8},
    )  # fmt: skip
    full = np.zeros(SLOTS, np.float32)
    full[used] = found.x[:-1]
    return Model(full, float(found.x[-1]))


def window_weights(families: Sequence[str], owner: Ints, cap: int = 400) -> Floats:
    """Of each window: texts with many windows and families with many texts count for less."""
    sizes = Counter(families[at] for at in np.unique(owner))
    windows = np.bincount(owner, minlength=len(families))
    return np.array([
        windows[at] ** -0.5 * min(1.0, (cap / sizes[families[at]]) ** 0.5) for at in owner
    ])  # fmt: skip


def worst(margins: Floats, owner: Ints, texts: int) -> Floats:
    """The highest margin of each text."""
    found = np.full(texts, -np.inf)
    np.maximum.at(found, owner, margins)
    return found


def auc(attacks: Floats, harmless: Floats) -> float:
    """How often an attack scores above a harmless text."""
    order = np.searchsorted(np.sort(harmless), attacks, "left").astype(float)
    order += np.searchsorted(np.sort(harmless), attacks, "right")
    return float(order.mean() / 2 / harmless.size)


class Corpus:
    """Texts, their windows and what they weigh."""

    def __init__(self, rows: Sequence[Row], shape: Shape) -> None:
        self.rows = list(rows)
        self.shape = shape
        self.labels = np.array([row.label for row in rows])
        self.families = np.array([row.family for row in rows])
        self.kinds = np.array([row.kind for row in rows])
        table = table_of([row.text for row in rows], shape)
        self.owner = table.owner
        self.learned = table.learned
        self.handicaps = table.parts * shape.handicap
        self.scaled = table.scaled(shape)

    def train(self, accept: Callable[[Row], bool]) -> Model:
        """A model of the accepted texts."""
        kept = np.array([accept(row) for row in self.rows])[self.owner] & self.learned
        owner = self.owner[kept]
        weights = window_weights(list(self.families), owner)
        return fit(self.scaled[kept], self.labels[owner], weights, self.shape.strength)

    def margins(self, model: Model) -> Floats:
        """Of each text, its worst window."""
        margins = self.scaled @ model.weights + model.bias - self.handicaps
        return worst(margins, self.owner, len(self.rows))


class Calibration(NamedTuple):
    """Margins at one and at a tenth of a per cent of harmless texts, and the probability."""

    at_1: float
    at_01: float
    slope: float
    offset: float


def calibrate(attacks: Floats, harmless: Floats) -> Calibration:
    """A logistic curve through margins of texts that the model did not see."""
    margins = np.concatenate([attacks, harmless])
    sign = np.concatenate([np.ones(attacks.size), -np.ones(harmless.size)])
    share = np.concatenate([
        np.full(attacks.size, 0.5 / attacks.size), np.full(harmless.size, 0.5 / harmless.size)
    ])  # fmt: skip

    def loss(point: Floats) -> float:
        return float((share * np.logaddexp(0.0, -sign * (point[0] * margins + point[1]))).sum())

    slope, offset = scipy.optimize.minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    at_1, at_01 = np.quantile(harmless, (0.99, 0.999))
    return Calibration(float(at_1), float(at_01), float(slope), float(offset))


def quantised(model: Model, shape: Shape, calibration: Calibration) -> Head:
    """Weights in 255 steps; the few largest are clipped."""
    unit = float(np.quantile(np.abs(model.weights[model.weights != 0]), 0.9999)) / 127
    table = np.clip(np.rint(model.weights / unit), -127, 127).astype(np.int8)
    return Head(
        table, unit, model.bias, shape.factors[1], shape.factors[2], shape.power,
        float(shape.floor), shape.windows, shape.handicap, calibration.slope, calibration.offset,
    )  # fmt: skip


def prompt_rows(folder: Path) -> list[Row]:
    """All that the prompt head learns from."""
    return [*prompts(folder), *own(), *standard_library()]


def train_prompt(folder: Path) -> tuple[Head, Calibration]:
    """The head for what users write."""
    corpus = Corpus(prompt_rows(folder), PROMPT)
    attacks: list[Floats] = []
    harmless: list[Floats] = []
    for half in HALVES:
        model = corpus.train(lambda row, half=half: row.family not in half)  # type: ignore[misc]
        margins = corpus.margins(model)
        harmless.append(margins[np.isin(corpus.families, list(half))])
        attacks.append(margins[corpus.labels == 1])
    calibration = calibrate(np.concatenate(attacks), np.concatenate(harmless))
    return quantised(corpus.train(lambda row: True), PROMPT, calibration), calibration


def data_rows(placed: Sequence[Placed]) -> list[Row]:
    """Orders by themselves and in their surroundings, and documents without any."""
    rng = random.Random(1)
    rows: list[Row] = []
    seen: set[str] = set()
    for doc in placed:
        if not doc.orders:
            rows.append(Row(doc.text, 0, f"clean_{doc.family}", doc.kind))
            continue
        at = doc.text.find(doc.orders[:40])
        before, after = rng.choice(((0, 0), (60, 0), (0, 60), (90, 90)))
        near = doc.text[max(0, at - before) : at + min(len(doc.orders), 300) + after]
        rows.append(Row(near, 1, f"orders_{doc.family}", doc.kind))
        if doc.orders not in seen:
            seen.add(doc.orders)
            rows.append(Row(doc.orders[:400], 1, f"orders_{doc.family}", doc.kind))
    return [*rows, *_sentences(placed)]


def _sentences(placed: Sequence[Placed]) -> list[Row]:
    """Single sentences: some of each document, and all that give orders."""
    rng = random.Random(2)
    found: dict[str, Row] = {}
    for doc in placed:
        around = doc.text.replace(doc.orders, "\n") if doc.orders else doc.text
        calm = _split(around)
        for text in rng.sample(calm, min(SENTENCES, len(calm))):
            if text[:30] not in doc.orders:
                found.setdefault(text, Row(text[:300], 0, f"calm_{doc.family}", doc.kind))
        for text in _split(doc.orders):
            found.setdefault(text, Row(text[:300], 1, f"orders_{doc.family}", doc.kind))
    return list(found.values())


def _split(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE.split(text) if len(part.strip()) > 15]


def own_data_rows(*, times: float = 1.0) -> list[Row]:
    """Templates of the project for the head of data."""
    from bench.guard_material import samples

    drawn = samples("documents", seed=1, times=times)
    rows = [Row(s.text, s.label, f"own_documents_{s.label}", f"documents:{s.line}") for s in drawn]
    attacks = [row for row in own(times=0.5) if row.label and row.family == "own_attacks"]
    return [*rows, *attacks, *standard_library(sources=300, docs=900)]


def train_data(folder: Path) -> tuple[Head, Calibration]:
    """The head for tool results and documents."""
    placed = documents(folder)
    whole = [Row(doc.text, int(bool(doc.orders)), doc.family, doc.source) for doc in placed]
    test = Corpus(whole, DATA)
    attacks: list[Floats] = []
    harmless: list[Floats] = []
    for part in range(2):
        inside = [int(doc.source, 16) % 2 == part for doc in placed]
        corpus = Corpus(
            data_rows([doc for doc, out in zip(placed, inside, strict=True) if not out])
            + own_data_rows(), DATA,
        )  # fmt: skip
        margins = test.margins(corpus.train(lambda row: True))[np.array(inside)]
        labels = test.labels[np.array(inside)]
        attacks.append(margins[labels == 1])
        harmless.append(margins[labels == 0])
    calibration = calibrate(np.concatenate(attacks), np.concatenate(harmless))
    corpus = Corpus(data_rows(placed) + own_data_rows(), DATA)
    return quantised(corpus.train(lambda row: True), DATA, calibration), calibration


def card_of(heads: dict[str, tuple[Head, Calibration]], folder: Path) -> dict[str, Any]:
    """What is stored beside the weights and in the documentation."""
    thresholds: dict[str, float] = {}
    for name, (head, calibration) in heads.items():
        thresholds[f"{name}_1"] = head.probability(calibration.at_1)
        thresholds[f"{name}_01"] = head.probability(calibration.at_01)
    return {
        "version": VERSION,
        "thresholds": thresholds,
        "heads": {
            name: {k: v for k, v in head._asdict().items() if k != "table"}
            for name, (head, _) in heads.items()
        },
        "files": digests(folder),
        "seed": 1,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    folder = parser.parse_args().data
    if not folder.is_dir():
        print(f"no folder {folder}", file=sys.stderr)
        return 2
    heads = {"prompt": train_prompt(folder), "data": train_data(folder)}
    card = card_of(heads, folder)
    np.savez_compressed(
        TARGET,
        card=np.frombuffer(orjson.dumps(card), np.uint8),
        **{name: head.table for name, (head, _) in heads.items()},  # type: ignore[arg-type]
    )
    CARD.write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2) + b"\n")
    print(orjson.dumps(card, option=orjson.OPT_INDENT_2).decode())
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
