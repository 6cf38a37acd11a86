"""From what a team wishes to the complexity from which a strong model answers.

A request goes to the strong model if its complexity is at or above the threshold, so 0
sends all requests there and 1 sends none.  The table that comes with the weights was measured on
questions that the weights had not seen; a team's traffic is another mixture, which
``threshold_of_scores`` takes into account.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import ceil, inf, nextafter
from typing import NamedTuple


class Thresholds(NamedTuple):
    """For thresholds in even steps from 0 to 1, what each brings; both in [0, 1].

    ``saving`` is the share of requests that the weak model answers and never falls.
    ``quality`` is the share of the gap between both models' quality that is recovered and
    never rises.
    """

    saving: tuple[float, ...]
    quality: tuple[float, ...]

    def for_saving(self, wish: float) -> float:
        """The lowest threshold that saves as much."""
        return self._at(bisect_left(self.saving, _share(wish)))

    def for_quality(self, wish: float) -> float:
        """The highest threshold that keeps as much."""
        lost = [-share for share in self.quality]
        return self._at(bisect_left(lost, nextafter(-_share(wish), inf)) - 1)

    def saving_at(self, threshold: float) -> float:
        """The share that the weak model answers, to the nearest step."""
        return self.saving[self._step(threshold)]

    def quality_at(self, threshold: float) -> float:
        """The share of the quality gap that is recovered, to the nearest step."""
        return self.quality[self._step(threshold)]

    def _at(self, step: int) -> float:
        return min(max(step, 0), len(self.saving) - 1) / (len(self.saving) - 1)

    def _step(self, threshold: float) -> int:
        return round(_share(threshold) * (len(self.saving) - 1))


def threshold_of_scores(scores: Sequence[float], saving: float) -> float:
    """The lowest threshold below which at least the share ``saving`` of the scores lies.

    ``scores`` are complexities of a team's own requests, in any order, at least one; equal
    scores stay together, so more may be saved than wished.  Raises ``ValueError`` for none.
    """
    if not scores:
        raise ValueError("no scores: a threshold needs some requests to be taken from")
    below = ceil(_share(saving) * len(scores))
    return min(1.0, nextafter(sorted(scores)[below - 1], inf)) if below else 0.0


def _share(wish: float) -> float:
    if not 0.0 <= wish <= 1.0:
        raise ValueError(f"a share between 0 and 1 is needed, not {wish}")
    return wish
