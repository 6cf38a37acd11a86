"""Questions that were answered, by what they mean: which of them asks the same in other words.

One worker's memory, which may be lost.  The answers themselves stand in the store, so that a
question whose answer is gone finds nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from gateway_extproc.config.caching import SemanticCache
from gateway_extproc.core.ports import Meanings
from gateway_extproc.meaning.verify import Said, differ, said

CANDIDATES: Final = 4
"""Nearest questions that are looked at."""
FAMILY_QUESTIONS: Final = 4096
"""Questions of one family: comparing with so many takes half a millisecond."""

Vector = Any
"""A numpy array of float32, of length 1."""


class Question(NamedTuple):
    """The last turn of a request, and the name of all requests that differ in it only."""

    family: bytes
    said: Said
    vector: Vector


class Like(NamedTuple):
    """A question that asks the same; ``key`` names its answer in the store."""

    key: bytes
    similarity: float


class Likeness:
    """The memory, bounded by the configuration; the family that was used longest ago goes first."""

    def __init__(self, meanings: Meanings, settings: SemanticCache) -> None:
        self._meanings, self._settings = meanings, settings
        self._families: OrderedDict[bytes, _Family] = OrderedDict()
        self._questions = 0

    async def ask(self, family: bytes, text: str) -> Question | None:
        """The question with its vector; None for long ones and where the model is busy."""
        if len(text) > self._settings.max_chars:
            return None
        vector = await self._meanings.vector(text)
        if vector is None:
            return None
        return Question(family, said(text), np.asarray(vector, dtype=np.float32))

    def find(self, question: Question) -> list[Like]:
        """Questions that ask the same, the nearest first."""
        known = self._families.get(question.family)
        if known is None:
            return []
        self._families.move_to_end(question.family)
        return [
            Like(key, similarity)
            for key, other, similarity in known.nearest(question.vector)
            if similarity >= self._settings.threshold and not differ(question.said, other)
        ]

    def learn(self, question: Question, key: bytes) -> None:
        """The question is answered; its answer stands at ``key``."""
        known = self._families.get(question.family)
        if known is None:
            known = self._families[question.family] = _Family(len(question.vector))
        self._families.move_to_end(question.family)
        self._questions += known.add(question, key)
        while self._questions > self._settings.max_questions:
            _, oldest = self._families.popitem(last=False)
            self._questions -= len(oldest)


class _Family:
    """A ring of questions whose vectors stand in one matrix."""

    def __init__(self, width: int) -> None:
        self._vectors = np.zeros((8, width), dtype=np.float32)
        self._known: list[tuple[bytes, Said]] = []
        self._keys: dict[bytes, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._known)

    def add(self, question: Question, key: bytes) -> int:
        """How many more there are now: one, or none where one had to go."""
        if key in self._keys:
            return 0
        if len(self._known) < FAMILY_QUESTIONS:
            at = len(self._known)
            if at == len(self._vectors):
                self._vectors = np.concatenate((self._vectors, np.zeros_like(self._vectors)))
            self._known.append((key, question.said))
            grown = 1
        else:
            at, self._next = self._next, (self._next + 1) % FAMILY_QUESTIONS
            del self._keys[self._known[at][0]]
            self._known[at] = (key, question.said)
            grown = 0
        self._vectors[at] = question.vector
        self._keys[key] = at
        return grown

    def nearest(self, vector: Vector) -> Sequence[tuple[bytes, Said, float]]:
        count = len(self._known)
        cosines = self._vectors[:count] @ vector
        order = np.argsort(-cosines)[:CANDIDATES]
        return [(*self._known[at], float(cosines[at])) for at in order]
