"""Scores of whole texts, on one scale for every head, remembered for texts that come again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import exp, log
from typing import Final, NamedTuple, Protocol

from gateway_extproc.core.recent import Recent

REMEMBERED: Final = 8192
"""Texts whose score a worker remembers: a conversation's old turns come with each new one."""
TURNS: Final = 4
"""Last turns of a user that are also read as one text: an attack may come in pieces."""
TURN_CHARS: Final = 2000
"""Of each of them at most the end, and the beginning of the last."""


class Score(Protocol):
    """What a head says of a text, and how many of its characters it read."""

    @property
    def value(self) -> float: ...

    @property
    def scanned(self) -> int: ...


class Heads(Protocol):
    """A classifier of prompts and of data that a model is given to read."""

    VERSION: str
    PROMPT_1: float
    PROMPT_01: float
    DATA_1: float
    DATA_01: float

    def prompt(self, text: str) -> Score: ...

    def data(self, text: str) -> Score: ...


class Scored(NamedTuple):
    """``level`` lies in [0, 1]: 0.5 where one in a hundred harmless texts lies above, 0.9 where
    one in a thousand does.  So a threshold outlives the weights it was chosen for."""

    level: float
    scanned: int


class Scale:
    """From a head's probability to the level of ``Scored``, by its two marks."""

    def __init__(self, at_1: float, at_01: float) -> None:
        self._middle = _logit(at_1)
        self._slope = log(9) / max(1e-6, _logit(at_01) - self._middle)

    def level(self, probability: float) -> float:
        steps = self._slope * (_logit(probability) - self._middle)
        return 1 / (1 + exp(-max(-60.0, min(60.0, steps))))


def _logit(probability: float) -> float:
    bounded = min(max(probability, 1e-12), 1 - 1e-12)
    return log(bounded / (1 - bounded))


class Scores:
    """Scores by role: what tools and documents say is data, all else is a prompt."""

    def __init__(self, heads: Heads) -> None:
        self.version = heads.VERSION
        self._heads = heads
        self._prompt = Scale(heads.PROMPT_1, heads.PROMPT_01)
        self._data = Scale(heads.DATA_1, heads.DATA_01)
        self._known: Recent[bytes, Scored] = Recent(REMEMBERED)

    def of(self, role: str, text: str) -> Scored:
        """How likely the text gives orders that are not its sender's to give."""
        is_data = role == "tool"
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        key = digest + b"d" if is_data else digest
        known = self._known.found(key)
        if known is not None:
            return known
        said = self._heads.data(text) if is_data else self._heads.prompt(text)
        scale = self._data if is_data else self._prompt
        return self._known.keep(key, Scored(scale.level(said.value), said.scanned))


def joined(turns: Sequence[str]) -> str:
    """The last turns as one text; empty where there is only one."""
    if len(turns) < 2:
        return ""
    *before, last = turns[-TURNS:]
    return "\n".join([*(turn[-TURN_CHARS:] for turn in before), last[:TURN_CHARS]])
