"""What the injection classifier finds, by folds, and what it costs.

    make guard-figures DATA=folder

Leave one family out: for each attack family and each half of the harmless families a model is
trained without both, nor a fifth of the templates of the project.  One threshold for each
fold: one (a tenth of a) per cent of the half that was left out.  An attack family is found
as often as the mean of its two folds; MACRO is the mean over kinds.  Over-defence is what
passes the same threshold among the project's templates that were left out, role-play requests
and hard negatives of the folder.  Disguises, buried attacks and times are those of the
shipped weights.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.guard_data import Placed, Row, documents, held_out, own, prompts, standard_library
from bench.guard_evasions import TRANSFORMS
from bench.guard_train import (
    APART,
    DATA,
    HALVES,
    PROMPT,
    Corpus,
    Floats,
    auc,
    data_rows,
    own_data_rows,
)
from gateway_extproc.guards.classifier import Classifier

BURIED = 8192


class Figures(NamedTuple):
    """Of one group of attacks beside one group of harmless texts."""

    auc: float
    at_1: float
    at_01: float

    def __str__(self) -> str:
        return f"AUC {self.auc:.3f}  R@1% {self.at_1:5.1f}  R@0.1% {self.at_01:5.1f}"


def figures(attacks: Floats, harmless: Floats) -> Figures:
    """Recall in per cent."""
    at_1, at_01 = np.quantile(harmless, (0.99, 0.999))
    return Figures(
        auc(attacks, harmless),
        float((attacks > at_1).mean() * 100),
        float((attacks > at_01).mean() * 100),
    )


def mean(many: Sequence[Figures]) -> Figures:
    """Of each figure."""
    return Figures(*(statistics.fmean(column) for column in zip(*many, strict=True)))


class Folds(NamedTuple):
    """By kind of attack, and what harmless texts passed the threshold, in per cent."""

    kinds: dict[str, list[Figures]]
    taken: dict[str, list[float]]


def leave_one_out(folder: Path) -> Folds:
    """See the module."""
    corpus = Corpus([*prompts(folder), *own(), *standard_library()], PROMPT)
    folds = Folds(defaultdict(list), defaultdict(list))
    attacks = sorted({r.family for r in corpus.rows if r.label and not r.family.startswith("own")})
    for family in attacks:
        for half in HALVES:
            model = corpus.train(lambda row, out=half | {family} | APART: _kept(row, out))  # type: ignore[misc]
            _measure(corpus, corpus.margins(model), family, half, folds)
    return folds


def _kept(row: Row, out: frozenset[str]) -> bool:
    return row.family not in out and not (row.family.startswith("own") and held_out(row))


def _measure(
    corpus: Corpus, margins: Floats, family: str, half: frozenset[str], folds: Folds
) -> None:
    harmless = margins[np.isin(corpus.families, list(half))]
    at_1 = np.quantile(harmless, 0.99)
    for kind in sorted(set(corpus.kinds[corpus.families == family])):
        found = margins[(corpus.kinds == kind) & (corpus.labels == 1)]
        folds.kinds[kind].append(figures(found, harmless))
    for name, rows in _apart(corpus).items():
        folds.taken[name].append(float((margins[rows] > at_1).mean() * 100))


def _apart(corpus: Corpus) -> dict[str, list[int]]:
    """Rows of harmless texts that are reported by themselves, by name."""
    found: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(corpus.rows):
        if (
            not row.label  # noqa: RUF021
            and row.family in APART
            or not row.label  # noqa: RUF021
            and row.family.startswith("own")
            and held_out(row)
        ):
            found[row.family].append(number)
    return found


def tool_results(folder: Path) -> Iterator[tuple[str, Figures]]:
    """Documents and instructions that the model never saw, by halves of both."""
    placed = documents(folder)
    own_rows = own_data_rows()
    whole = [Row(doc.text, int(bool(doc.orders)), doc.family, doc.kind) for doc in placed]
    test = Corpus(whole, DATA)
    found: dict[str, list[Figures]] = defaultdict(list)
    for part in range(2):
        training = [doc for doc in placed if not _touches(doc, part)]
        margins = test.margins(
            Corpus([*data_rows(training), *own_rows], DATA).train(lambda _: True)
        )
        for family in ("bipia", "injecagent"):
            inside = np.array([doc.family == family and _wholly(doc, part) for doc in placed])
            found[family].append(_split(margins[inside], test.labels[inside]))
        for kind in ("table", "email", "code"):
            inside = np.array([doc.kind == kind and _wholly(doc, part) for doc in placed])
            found[f"bipia {kind}"].append(_split(margins[inside], test.labels[inside]))
    yield from ((name, mean(many)) for name, many in found.items())
    other = {"bipia": "injecagent", "injecagent": "bipia"}
    for family, kept in other.items():
        training = [doc for doc in placed if doc.family == kept]
        margins = test.margins(
            Corpus([*data_rows(training), *own_rows], DATA).train(lambda _: True)
        )
        inside = np.array([doc.family == family for doc in placed])
        yield f"{family}, family unseen", _split(margins[inside], test.labels[inside])


def _split(margins: Floats, labels: Floats) -> Figures:
    return figures(margins[labels == 1], margins[labels == 0])


def _part(text: str) -> int:
    return random.Random(text).randrange(2)


def _touches(doc: Placed, part: int) -> bool:
    """Whether the document or the instruction in it is of the part that is tested."""
    return _part(doc.source) == part or (bool(doc.orders) and _part(doc.orders) == part)


def _wholly(doc: Placed, part: int) -> bool:
    return _part(doc.source) == part and (not doc.orders or _part(doc.orders) == part)


class Texts(NamedTuple):
    """Short English attacks and harmless prompts for the shipped weights."""

    attacks: list[str]
    harmless: list[str]


def short_texts(folder: Path) -> Texts:
    """300 attacks of 30 to 200 characters, 2,000 harmless prompts."""
    rng = random.Random(1)
    rows = prompts(folder)
    short = [r.text for r in rows if r.label and 30 < len(r.text) < 200 and r.text.isascii()]
    pool = [r.text for r in rows if not r.label and r.family not in APART]
    return Texts(rng.sample(short, 300), rng.sample(pool, 2000))


def recall(score: Callable[[str], float], texts: Sequence[str], threshold: float) -> float:
    """In per cent."""
    return 100 * statistics.fmean(score(text) > threshold for text in texts)


def disguises(classifier: Classifier, texts: Texts) -> Iterator[tuple[str, float]]:
    """Recall at the threshold of one per cent, plain and disguised."""
    score, threshold = classifier.prompt_score, classifier.PROMPT_1
    yield "plain", recall(score, texts.attacks, threshold)
    for name, transform in TRANSFORMS.items():
        yield name, recall(score, [transform(text) for text in texts.attacks], threshold)
    yield "buried in 8 KB", recall(score, list(buried(texts)), threshold)
    yield "harmless, with readings", recall(score, texts.harmless, threshold)
    yield "harmless, without", recall(classifier.plain_score, texts.harmless, threshold)
    yield "harmless 8 KB", recall(score, list(haystacks(texts)), threshold)


def haystacks(texts: Texts) -> Iterator[str]:
    """Harmless prompts behind each other, 8 KB each."""
    rng = random.Random(2)
    calm = [text for text in texts.harmless if len(text) < 1000]
    for _ in range(300):
        hay = ""
        while len(hay) < BURIED:
            hay += rng.choice(calm) + "\n"
        yield hay[:BURIED]


def buried(texts: Texts) -> Iterator[str]:
    """Each attack in the middle of harmless prompts."""
    for attack, hay in zip(texts.attacks, haystacks(texts), strict=True):
        yield f"{hay[: BURIED // 2]}\n{attack}\n{hay[BURIED // 2 :]}"


def microseconds(score: Callable[[str], float], texts: Sequence[str]) -> float:
    """Mean of the fastest of five rounds."""
    rounds: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        for text in texts:
            score(text)
        rounds.append(time.perf_counter() - start)
    return min(rounds) / len(texts) * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", choices=("folds", "tools", "disguises", "time"))
    arguments = parser.parse_args()
    parts = {"folds": _folds, "tools": _tools, "disguises": _disguises, "time": _time}
    for name, part in parts.items():
        if arguments.part in (None, name):
            part(arguments.data)
    return 0


def _folds(folder: Path) -> None:
    folds = leave_one_out(folder)
    print("Leave one family out")
    for kind, many in folds.kinds.items():
        print(f"  {kind:24} {mean(many)}")
    print(f"  {'MACRO':24} {mean([mean(many) for many in folds.kinds.values()])}")
    print("Taken at that 1 % threshold, of harmless texts apart")
    for name, shares in folds.taken.items():
        print(f"  {name:24} {statistics.fmean(shares):5.1f} %")


def _tools(folder: Path) -> None:
    print("Instructions in tool results and documents")
    for name, found in tool_results(folder):
        print(f"  {name:28} {found}")


def _disguises(folder: Path) -> None:
    print("Disguises, recall in per cent at the 1 % threshold, shipped weights")
    for name, share in disguises(Classifier.load(), short_texts(folder)):
        print(f"  {name:24} {share:5.1f}")


def _time(folder: Path) -> None:
    classifier = Classifier.load()
    texts = [row.text for row in prompts(folder) if 120 < len(row.text) < 360][:2000]
    print(f"Microseconds, {statistics.fmean(map(len, texts)):.0f} characters on the average")
    print(f"  prompt {microseconds(classifier.prompt_score, texts):6.1f}")
    joined = "\n".join(text for text in texts if text.isascii())
    kilobytes = [joined[at : at + 1024] for at in range(0, 200 * 1024, 1024)]
    print(f"  1 KB   {microseconds(classifier.prompt_score, kilobytes):6.1f}")
    print(f"  8 KB   {microseconds(classifier.prompt_score, [joined[:8192]] * 20):6.1f}")


if __name__ == "__main__":
    sys.exit(main())
