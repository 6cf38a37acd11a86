"""The model and the verifier together, on questions of which half were not looked at before."""

from __future__ import annotations

import asyncio
import threading
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from gateway_extproc.config.caching import SemanticCache
from gateway_extproc.meaning.model import ModelMissing, SentenceModel, ThreadMeanings
from gateway_extproc.meaning.verify import differ, said
from meaning.pairs import ROWS, Row

THRESHOLD = SemanticCache().threshold


@cache
def model() -> SentenceModel:
    return SentenceModel()


@cache
def vector(text: str) -> Any:
    return model().vector(text)


def hit(one: str, two: str) -> bool:
    near = float(vector(one) @ vector(two)) >= THRESHOLD
    return near and not differ(said(one), said(two))


def judged(rows: tuple[Row, ...]) -> tuple[int, int, int, int]:
    """Paraphrases that hit, all paraphrases, near misses that hit, all near misses."""
    same = [hit(row.question, text) for row in rows for text in row.same]
    other = [hit(row.question, text) for row in rows for _, text in row.other]
    return sum(same), len(same), sum(other), len(other)


def test_vectors_have_length_one_and_are_the_same_every_time() -> None:
    one = model().vector("How tall is Mount Everest?")
    assert one.shape == (384,)
    assert float(np.linalg.norm(one)) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(one, model().vector("How tall is Mount Everest?"))


@pytest.mark.parametrize("half", ["seen", "unseen"])
def test_at_least_97_of_100_hits_are_right(half: str) -> None:
    rows = ROWS[0::2] if half == "seen" else ROWS[1::2]
    right, same, wrong, other = judged(rows)
    print(f"{half}: {right} of {same} paraphrases hit, {wrong} of {other} near misses")
    assert right + wrong > 0
    assert right / (right + wrong) >= 0.97
    assert right / same >= 0.5


@pytest.mark.parametrize("kind", ["negation", "number", "name", "direction", "opposite"])
def test_no_near_miss_of_a_kind_hits(kind: str) -> None:
    pairs = [(row.question, text) for row in ROWS for k, text in row.other if k == kind]
    assert pairs
    assert [pair for pair in pairs if hit(*pair)] == []


def test_questions_of_different_rows_never_meet() -> None:
    texts = [(n, text) for n, row in enumerate(ROWS) for text in (row.question, *row.same)]
    meetings = [
        (one, two) for (n, one), (m, two) in combinations(texts, 2) if n != m and hit(one, two)
    ]
    assert meetings == []


async def test_more_than_may_wait_are_not_made() -> None:
    meanings = ThreadMeanings(model, queue=2, wait_s=30)
    meanings.wait()
    made = await asyncio.gather(*(meanings.vector(f"question {n}") for n in range(5)))
    assert [vector is not None for vector in made] == [True, True, False, False, False]
    assert meanings.skipped == 3
    assert await meanings.vector("once more") is not None
    meanings.close()


async def test_nobody_waits_longer_than_policy_says() -> None:
    meanings = ThreadMeanings(model, queue=50, wait_s=0.0001)
    meanings.wait()
    made = await asyncio.gather(*(meanings.vector(f"question {n}") for n in range(20)))
    assert None in made
    meanings.close()


async def test_the_loop_goes_on_while_the_model_works() -> None:
    meanings = ThreadMeanings(model, queue=50, wait_s=30)
    meanings.wait()
    turns = 0
    task = asyncio.gather(*(meanings.vector(f"question {n}" * 20) for n in range(10)))
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
    assert all(vector is not None for vector in await task)
    meanings.close()


async def test_without_a_model_no_text_has_a_vector() -> None:
    def broken() -> SentenceModel:
        raise ModelMissing("no such file")

    meanings = ThreadMeanings(broken, queue=2, wait_s=1)
    meanings.wait()
    assert await meanings.vector("How?") is None
    meanings.close()


async def test_nobody_waits_for_the_model_to_be_made() -> None:
    gate = threading.Event()

    def slow() -> SentenceModel:
        gate.wait()
        return model()

    meanings = ThreadMeanings(slow, queue=2, wait_s=30)
    assert await meanings.vector("How?") is None
    gate.set()
    meanings.wait()
    assert await meanings.vector("How?") is not None
    meanings.close()
