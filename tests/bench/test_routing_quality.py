"""The figures of ``make bench-routing`` on orders whose figures are known, and the training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from bench.routing_quality import auc, quality
from bench.routing_train import TARGET, Row, corpus_of, encode, held_out, load, own, train

DATA = Path(__file__).parents[3] / "shared" / "data" / "routing"
GAINS = np.array([1] * 20 + [0] * 70 + [-1] * 10)


def test_sending_the_gains_first_needs_as_many_calls_as_there_are_gains() -> None:
    best = quality(GAINS.astype(float), GAINS)
    assert (best.cpt_50, best.cpt_80) == (0.05, 0.08)


def test_equal_scores_are_worth_what_chance_is() -> None:
    chance = quality(np.zeros(GAINS.size), GAINS)
    assert chance.apgr == pytest.approx(0.5)
    assert (chance.cpt_50, chance.cpt_80) == (0.5, 0.8)


def test_the_opposite_order_is_as_far_below_chance_as_the_order_is_above() -> None:
    scores = np.random.default_rng(1).normal(size=GAINS.size)
    assert quality(scores, GAINS).apgr + quality(-scores, GAINS).apgr == pytest.approx(1.0)


def test_the_spread_is_that_of_random_orders() -> None:
    rng = np.random.default_rng(2)
    found = [quality(rng.random(GAINS.size), GAINS).apgr for _ in range(2000)]
    assert np.std(found) == pytest.approx(quality(GAINS * 1.0, GAINS).spread, rel=0.1)


def test_without_a_gap_there_is_no_quality() -> None:
    with pytest.raises(ValueError, match="no gap"):
        quality(np.zeros(4), np.array([1, 0, 0, -1]))


def test_auc_counts_ties_as_a_half() -> None:
    assert auc(np.array([2.0, 1.0]), np.array([1.0, 0.0])) == 0.875


def test_folds_keep_groups_together_and_leave_no_row_unjudged() -> None:
    corpus = corpus_of(own())
    groups = [row.group for row in corpus.rows]
    assert len(
        {(group, int(fold)) for group, fold in zip(groups, corpus.fold, strict=True)}
    ) == len(set(groups))
    assert np.all(held_out(corpus) != 0.0)


def rows() -> list[Row]:
    """The project's own requests, half of them as a set that was measured."""
    return [
        row._replace(source="measured", weak=not row.weak, strong=number % 5 > 0)
        if number % 2 else row
        for number, row in enumerate(own())
    ]  # fmt: skip


def test_training_twice_gives_the_same_bytes() -> None:
    assert encode(train(rows())) == encode(train(rows()))


def test_training_follows_its_labels() -> None:
    flipped = [row._replace(weak=not row.weak) if row.source == "own" else row for row in rows()]
    assert encode(train(rows())) != encode(train(flipped))


def test_the_shipped_weights_are_what_training_gives() -> None:
    if not DATA.is_dir():
        pytest.skip(f"no labelled questions in {DATA}")
    shipped, trained = yaml.safe_load(TARGET.read_text("utf-8")), train([*load(DATA), *own()])
    features = trained["features"]
    assert isinstance(features, dict)
    assert list(shipped["features"]) == list(features)
    for name, row in features.items():
        assert shipped["features"][name] == pytest.approx(row, abs=2e-4)
    assert shipped["saving"] == pytest.approx(trained["saving"], abs=0.01)


def test_without_a_folder_the_figures_are_skipped_with_a_message(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.routing_quality", str(tmp_path / "absent")],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("skipped: ")
