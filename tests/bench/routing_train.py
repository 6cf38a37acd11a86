"""Trains the complexity scorer and writes ``routing/complexity.yaml``.

    make train-complexity DATA=folder

The folder holds sets of questions, ``{prompt, weak_correct, strong_correct[, subject]}`` a line,
in ``*.jsonl``; with them the model learns from requests that were written for this project
(``routing_material``), whose labels are a judgement.  It is a logistic regression over the
features of ``routing/complexityfeatures.py``: does the strong model answer right where the weak
one does not.  Every set has an intercept of its own, which is then dropped, so that one set's
general hardness teaches nothing.  Deterministic: the same rows give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
import yaml
from numpy.typing import NDArray

from bench.guard_material import samples
from gateway_extproc.routing.complexity import WEIGHTS, Weights
from gateway_extproc.routing.complexityfeatures import FEATURES, read

TARGET = Path(__file__).parents[2] / "gateway_extproc" / "routing" / WEIGHTS
MATERIAL = Path(__file__).parent / "routing_material"
OWN = "own"
"""The set of the project's own requests."""

FOLDS = 10
STRENGTH = 300.0
LIMIT = 4.0
NARROWEST = 0.15
"""A mark that the sets hardly have must not count for more than one that they do."""
LOSSES = 5.0
"""How much a question counts that only the weak model got right: who sends it up pays to lose."""
OWN_SHARE = 0.3
"""What a row of the project's own weighs beside one of a measured set of the same size."""
STEPS = 100

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Row(NamedTuple):
    """One question; ``group`` is what folds keep together."""

    text: str
    weak: bool
    strong: bool
    source: str
    group: str
    subject: str = ""


class Corpus(NamedTuple):
    """Questions as arrays, one entry each; ``fold`` is the one that holds a row out."""

    rows: Sequence[Row]
    features: Floats
    gains: Ints  # 1 where only the strong model is right, -1 where only the weak one is
    source: NDArray[np.str_]
    fold: Ints

    def of(self, source: str) -> Bools:
        found: Bools = self.source == source
        return found

    @property
    def sources(self) -> list[str]:
        """The measured sets."""
        return [name for name in sorted(set(self.source.tolist())) if name != OWN]


def load(folder: Path) -> list[Row]:
    """All sets of the folder."""
    return [row for path in sorted(folder.glob("*.jsonl")) for row in _rows(path)]


def _rows(path: Path) -> Iterator[Row]:
    for line in path.read_bytes().splitlines():
        entry = orjson.loads(line)
        text, subject = entry["prompt"], entry.get("subject", "")
        weak, strong = bool(entry["weak_correct"]), bool(entry["strong_correct"])
        yield Row(text, weak, strong, path.stem, subject or text, subject)


def own() -> list[Row]:
    """The project's own requests; those of one template stay together."""
    return [
        Row(s.text, not s.label, True, OWN, f"{OWN} {s.line}")
        for s in samples("prompts", seed=1, folder=MATERIAL)
    ]


def corpus_of(rows: Sequence[Row]) -> Corpus:
    """Features of all rows and the folds of their groups."""
    return Corpus(
        rows,
        np.array([read(row.text) for row in rows]),
        np.array([int(row.strong) - int(row.weak) for row in rows]),
        np.array([row.source for row in rows]),
        _folds(rows),
    )


def _folds(rows: Sequence[Row]) -> Ints:
    """Groups of each set in an order that means nothing, dealt out one after the other."""
    dealt: dict[tuple[str, str], int] = {}
    for source in sorted({row.source for row in rows}):
        groups = {row.group for row in rows if row.source == source}
        ordered = sorted(groups, key=lambda group: sha256(group.encode()).digest())
        dealt |= {(source, group): number % FOLDS for number, group in enumerate(ordered)}
    return np.array([dealt[row.source, row.group] for row in rows])


def fit(corpus: Corpus, learned: Bools) -> Weights:
    """The weights of some rows, before their margins are made ranks."""
    features = corpus.features[learned]
    means, scales = features.mean(axis=0), np.maximum(features.std(axis=0), NARROWEST)
    plain = Weights(means, scales, np.zeros(len(FEATURES)), LIMIT, 1.0, 0.0)
    source = corpus.source[learned]
    sets = source[:, None] == np.unique(source)[None, :]
    gains = corpus.gains[learned]
    shares = _shares(source) * np.where(gains < 0, LOSSES, 1.0)
    found = _logistic(np.hstack((plain.standard(features), sets)), gains > 0, shares)
    return plain._replace(weights=found[: len(FEATURES)])


def _shares(source: NDArray[np.str_]) -> Floats:
    """What each row weighs: small sets count for more than their size, but less than large ones."""
    names, where, sizes = np.unique(source, return_inverse=True, return_counts=True)
    weights = np.sqrt(sizes.max() / sizes) * np.where(names == OWN, OWN_SHARE, 1.0)
    found: Floats = weights[where]
    return found


def _logistic(columns: Floats, wins: Bools, shares: Floats, rounds: int = 15) -> Floats:
    """Newton's method; the penalty leaves the intercepts, which stand last, alone."""
    penalty = np.full(columns.shape[1], 1e-6)
    penalty[: len(FEATURES)] = STRENGTH
    point = np.zeros(columns.shape[1])
    for _ in range(rounds):
        odds = 1.0 / (1.0 + np.exp(-(columns @ point)))
        slope = columns.T @ (shares * (odds - wins)) + penalty * point
        bend = (columns * (shares * odds * (1.0 - odds))[:, None]).T @ columns
        point = point - np.linalg.solve(bend + np.diag(penalty), slope)
    return point


def margins(weights: Weights, features: Floats) -> Floats:
    """Of many questions."""
    found: Floats = weights.standard(features) @ weights.weights
    return found


def held_out(corpus: Corpus) -> Floats:
    """The margin of each row by a model that has not seen its group."""
    found = np.zeros(len(corpus.rows))
    for number in range(FOLDS):
        out = corpus.fold == number
        if out.any():
            found[out] = margins(fit(corpus, ~out), corpus.features[out])
    return found


def train(rows: Sequence[Row]) -> dict[str, object]:
    """What the file holds: weights of all rows, and thresholds by held-out ones."""
    corpus = corpus_of(rows)
    weights = fit(corpus, np.ones(len(rows), bool))
    unseen = held_out(corpus)
    slope, offset = _ranks(corpus, unseen)
    scores = 1.0 / (1.0 + np.exp(-(slope * unseen + offset)))
    saving, quality = _table(corpus, scores)
    columns = zip(FEATURES, weights.means, weights.scales, weights.weights, strict=True)
    return {
        "limit": LIMIT,
        "slope": round(slope, 4),
        "offset": round(offset, 4),
        "features": {
            name: {"mean": _short(mean), "scale": _short(scale), "weight": _short(weight)}
            for name, mean, scale, weight in columns
        },
        "saving": saving,
        "quality": quality,
    }


def _short(number: float) -> float:
    return round(float(number), 5)


def _ranks(corpus: Corpus, unseen: Floats) -> tuple[float, float]:
    """Slope and offset that put the quartiles at a quarter, a half, three quarters.

    All sets count the same, whatever their size.
    """
    low, middle, high = (_quantile(corpus, unseen, share) for share in (0.25, 0.5, 0.75))
    slope = 2.0 * float(np.log(3.0)) / max(high - low, 1e-9)
    return slope, -slope * middle


def _quantile(corpus: Corpus, values: Floats, share: float) -> float:
    names, where, sizes = np.unique(corpus.source, return_inverse=True, return_counts=True)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(1.0 / (sizes[where][order] * names.size))
    return float(values[order][np.searchsorted(reached, share)])


def _table(corpus: Corpus, scores: Floats) -> tuple[list[float], list[float]]:
    """Saving over all sets, quality over the measured ones, at thresholds 0 to 1."""
    steps = np.linspace(0.0, 1.0, STEPS + 1)
    below = scores[:, None] < steps[None, :]
    everywhere = [below[corpus.of(name)].mean(axis=0) for name in sorted(set(corpus.source))]
    kept = []
    for name in corpus.sources:
        gains = corpus.gains[corpus.of(name)]
        kept.append(1.0 - (gains @ below[corpus.of(name)]) / max(1, int(gains.sum())))
    saving = np.mean(everywhere, axis=0)
    quality = np.clip(np.minimum.accumulate(np.mean(kept, axis=0)), 0.0, 1.0)
    return [round(float(x), 3) for x in saving], [round(float(x), 3) for x in quality]


def encode(card: dict[str, object]) -> str:
    """The file's text."""
    head = "# Written by make train-complexity: see docs/complexity.md.\n"
    return head + yaml.safe_dump(card, sort_keys=False, default_flow_style=None, width=100)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    folder = parser.parse_args().data
    rows = load(folder) if folder.is_dir() else []
    if not rows:
        print(f"no labelled questions in {folder}", file=sys.stderr)
        return 2
    TARGET.write_text(encode(train([*rows, *own()])), "utf-8")
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes from {len(rows)} questions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
