"""How much a request gains from a strong model, as one number in [0, 1).

Higher means that a weak model is more likely to fail where a strong one would not.  The
number is a rank, not a probability: half of the questions that the weights were learned from
lie above 0.5, a quarter above 0.75.  What the client asked last counts most; that it has tools,
pictures or a history adds a little.  Deterministic; sees no clock, and no file after it was
loaded.  The weights are made by ``make train-complexity``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from itertools import islice
from math import exp, log1p
from typing import Any, Final, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from gateway_extproc.core.chat import LlmRequest, TextAt
from gateway_extproc.routing.complexityfeatures import FEATURES, read, shortened
from gateway_extproc.routing.complexitythresholds import Thresholds

WEIGHTS: Final = "complexity.yaml"

ENOUGH: Final = 200
"""Characters that make a question by themselves; a shorter one is read with those before it."""
LAST_TEXTS: Final = 64
"""Texts that are looked at, from the end: a history of any length costs the same."""
HIGHEST: Final = 0.9999

# What no labelled data shows is a judgement, in units in which 1.1 leads from the middle to
# the upper quarter.
TOOLS: Final = 0.5
"""Choosing among tools and filling in their arguments."""
MEDIA: Final = 0.3
HISTORY: Final = 0.4
"""Of ``LAST_TEXTS`` texts or more; fewer are worth less."""

Floats = NDArray[np.float64]
Complexity = Callable[[LlmRequest], float]


class Weights(NamedTuple):
    """Arrays in the order of ``FEATURES``; ``slope`` and ``offset`` make ranks of margins."""

    means: Floats
    scales: Floats
    weights: Floats
    limit: float  # a feature counts for at most so many scales
    slope: float
    offset: float

    def margin(self, text: str) -> float:
        """The weighted sum of a question's features."""
        return float(self.weights @ self.standard(np.array(read(text))))

    def standard(self, features: Floats) -> Floats:
        """Features in scales from their means, one row or many."""
        away: Floats = (features - self.means) / self.scales
        return np.minimum(np.maximum(away, -self.limit), self.limit)

    def score(self, text: str, more: float = 0.0) -> float:
        """The rank of a question; an empty one needs nobody."""
        if not text.strip():
            return 0.0
        return rank(self.slope * self.margin(text) + self.offset + more)


def rank(logit: float) -> float:
    """In [0, ``HIGHEST``], with four digits: what a record shows is what was compared."""
    return min(HIGHEST, round(1.0 / (1.0 + exp(-max(-60.0, min(60.0, logit)))), 4))


@cache
def shipped() -> tuple[Weights, Thresholds]:
    """What came with the package; read once in a process."""
    return decode(resources.files(__package__).joinpath(WEIGHTS).read_text("utf-8"))


def decode(text: str) -> tuple[Weights, Thresholds]:
    """Weights and thresholds of a file; one that knows other features raises ``ValueError``."""
    card = yaml.safe_load(text)
    rows: Mapping[str, Any] = card["features"]
    if tuple(rows) != FEATURES:
        raise ValueError("the weights are of other features: run make train-complexity")
    means, scales, values = (
        np.array([row[name] for row in rows.values()]) for name in ("mean", "scale", "weight")
    )
    weights = Weights(means, scales, values, card["limit"], card["slope"], card["offset"])
    return weights, Thresholds(tuple(card["saving"]), tuple(card["quality"]))


def make_complexity() -> Complexity:
    """The scorer with the weights of the package."""
    weights, _ = shipped()

    def complexity(request: LlmRequest) -> float:
        return weights.score(question_of(request.texts), extra_of(request))

    return complexity


def threshold_for(*, saving: float | None = None, quality: float | None = None) -> float:
    """The complexity from which a strong model answers, by one wish in [0, 1].

    ``saving``: the share of requests that the weak model shall answer; ``quality``: the share
    of the gap between both models' quality that shall be recovered.  By held-out questions of
    the training sets: other traffic is other, see ``threshold_of_scores``.  Raises
    ``ValueError`` for none or both, and for what is no share.
    """
    _, table = shipped()
    if saving is not None and quality is None:
        return table.for_saving(saving)
    if quality is not None and saving is None:
        return table.for_quality(quality)
    raise ValueError("a threshold follows from saving or from quality: give one of them")


def question_of(texts: tuple[TextAt, ...]) -> str:
    """What the client asks: its last turn, and those before it while that is a few words.

    Where no turn is the client's (an agent's loop among tool results), the last texts count.
    """
    last = list(islice(reversed(texts), LAST_TEXTS))
    turns: list[str] = []
    size, message = 0, None
    for text in [text for text in last if text.role == "user"] or last:
        if text.path[:2] != message and size >= ENOUGH:
            break
        message = text.path[:2]
        turns.append(shortened(text.text))
        size += len(turns[-1])
    return shortened("\n".join(reversed(turns)))


def extra_of(request: LlmRequest) -> float:
    """What tools, media and a history add; never negative."""
    history = log1p(min(LAST_TEXTS, max(0, len(request.texts) - 1))) / log1p(LAST_TEXTS)
    return TOOLS * request.has_tools + MEDIA * (request.media > 0) + HISTORY * history
