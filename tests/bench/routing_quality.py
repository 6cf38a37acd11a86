"""What the complexity scorer saves on questions that it has not seen, and what it costs.

    make bench-routing DATA=folder

All requests whose score is highest go to the strong model.  CPT(50) and CPT(80) are the
shares of calls to the strong model that recover a half and four fifths of the gap between
both models' shares of right answers; what is left is saved.  APGR is the mean of the recovered
gap over all shares: a half is what chance gives, and "over random" is what is above.  Equal
scores count as in any order.

The shipped model learned from these sets, so each figure is of models refitted without the
questions they are measured on: in folds ("scorer"; questions of one subject, or made of one
template, are held out together) and without the whole set ("other sets").  Baselines: chance, the
length of the prompt, the mean gain of a question's subject (which no router can know: it is
taken from the answers), and an oracle that sees both models' answers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.routing_train import (
    OWN,
    Corpus,
    Floats,
    Ints,
    Row,
    corpus_of,
    fit,
    held_out,
    load,
    margins,
    own,
)
from gateway_extproc.core.chat import LlmRequest, TextAt
from gateway_extproc.routing.complexity import make_complexity

TIMED = 3000
ROUNDS = 3
KILOBYTE = 1024


class Quality(NamedTuple):
    """All are shares; ``spread`` is the standard error of ``apgr`` if the order were chance."""

    cpt_50: float
    cpt_80: float
    apgr: float
    spread: float

    def __str__(self) -> str:
        return (
            f"{100 * self.cpt_50:5.1f} %  {100 * self.cpt_80:5.1f} %   "
            f"{100 - 100 * self.cpt_50:5.1f} %  {100 - 100 * self.cpt_80:5.1f} %   "
            f"{self.apgr:.3f}   {self.apgr - 0.5:+.3f}"
        )


def quality(scores: Floats, gains: Ints) -> Quality:
    """Of sending the highest scores to the strong model first.

    ``gains`` are 1, 0 and -1 as ``Corpus`` has them; their sum, the gap, must be positive.
    """
    gap = int(gains.sum())
    if gap <= 0:
        raise ValueError("the strong model is not better here: there is no gap to recover")
    _, where = np.unique(-scores, return_inverse=True)
    expected = (np.bincount(where, gains) / np.bincount(where))[np.sort(where)]
    recovered = np.concatenate(([0.0], np.cumsum(expected))) / gap
    apgr = float((recovered[1:] + recovered[:-1]).mean() / 2)
    spread = float(np.sqrt((gains * gains).sum() / 12.0)) / gap
    return Quality(_share(recovered, 0.5), _share(recovered, 0.8), apgr, spread)


def _share(recovered: Floats, wish: float) -> float:
    # Sums of shares end a hair below what they mean.
    return float(np.argmax(recovered >= wish - 1e-9)) / (recovered.size - 1)


def auc(above: Floats, below: Floats) -> float:
    """How often one of ``above`` has the higher score; equal ones count a half."""
    ordered = np.sort(below)
    places = np.searchsorted(ordered, above, "left") + np.searchsorted(ordered, above, "right")
    return float(places.mean() / 2 / below.size)


def ways(corpus: Corpus, unseen: Floats, source: str) -> Iterator[tuple[str, Floats]]:
    """Name and scores of each way to route one set."""
    inside = corpus.of(source)
    rows = [row for row, taken in zip(corpus.rows, inside, strict=True) if taken]
    gains = corpus.gains[inside]
    yield "scorer", unseen[inside]
    if len(corpus.sources) > 1:
        yield "scorer, other sets", margins(fit(corpus, ~inside), corpus.features[inside])
    yield "random", np.zeros(gains.size)
    yield "length", np.array([float(len(row.text)) for row in rows])
    if all(row.subject for row in rows):
        yield "subject, seen", _subject_means(rows, gains)
    yield "oracle", gains.astype(float)


def _subject_means(rows: Sequence[Row], gains: Ints) -> Floats:
    _, where = np.unique([row.subject for row in rows], return_inverse=True)
    found: Floats = (np.bincount(where, gains) / np.bincount(where))[where]
    return found


def show_set(corpus: Corpus, unseen: Floats, source: str) -> None:
    gains = corpus.gains[corpus.of(source)]
    rows = [row for row in corpus.rows if row.source == source]
    weak, strong = (np.mean([getattr(row, name) for row in rows]) for name in ("weak", "strong"))
    print(f"\n{source}: {gains.size} questions, right: weak {weak:.3f}, strong {strong:.3f}")
    if gains.sum() <= 0:
        print("  the strong model is not better here: nothing to recover")
        return
    print("                      CPT(50)  CPT(80)   saved at 50  at 80     APGR   over random")
    for name, scores in ways(corpus, unseen, source):
        print(f"  {name:18}  {quality(scores, gains)}")
    spread = quality(np.zeros(gains.size), gains).spread
    print(f"  (the APGR of a random order varies by {spread:.3f}, one standard deviation)")


def request_of(text: str) -> LlmRequest:
    """A chat request of one turn."""
    texts = (TextAt(("messages", 0, "content"), "user", text),)
    return LlmRequest("openai", "chat_completions", "auto", False, None, False, {}, texts)


def cpu_us(score: Callable[[LlmRequest], float], requests: Sequence[LlmRequest]) -> Floats:
    """CPU time of each request; the fastest of some rounds, as the machine has others to serve."""
    found = np.full(len(requests), np.inf)
    for _ in range(ROUNDS):
        for number, request in enumerate(requests):
            before = time.thread_time_ns()
            score(request)
            found[number] = min(found[number], (time.thread_time_ns() - before) / 1000)
    return found


def show_cpu(rows: Sequence[Row]) -> None:
    score = make_complexity()
    step = max(1, len(rows) // TIMED)
    texts = [row.text for row in rows[::step]]
    kilobytes = ["\n".join(texts[at : at + 8])[:KILOBYTE] for at in range(0, len(texts), 8)]
    print("\nCPU a request            median      p99")
    for name, sample in (("these questions", texts), ("texts of 1 KB", kilobytes)):
        times = cpu_us(score, [request_of(text) for text in sample])
        print(f"  {name:18}  {np.median(times):7.0f} us  {np.quantile(times, 0.99):5.0f} us")


def show(rows: Sequence[Row]) -> None:
    """All figures of the sets."""
    corpus = corpus_of([*rows, *own()])
    unseen = held_out(corpus)
    print("Refitted without the questions measured, as the shipped weights learned from them.")
    for source in corpus.sources:
        show_set(corpus, unseen, source)
    mine, hard = corpus.of(OWN), corpus.gains > 0
    found = auc(unseen[mine & hard], unseen[mine & ~hard])
    print(f"\nthe project's own requests, hard above easy (templates held out): AUC {found:.3f}")
    show_cpu(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    folder = parser.parse_args().data
    rows = load(folder) if folder and folder.is_dir() else []
    if not rows:
        print(f"skipped: no labelled questions in {folder or 'DATA (give DATA=folder)'}")
        return 0
    show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
