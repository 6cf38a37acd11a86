"""Quantiles of latency that forget: a histogram in a row of numbers, and the rule of slowness.

Bounds of the buckets grow by a quarter, so that a quantile is off by an eighth at most.  An
observation weighs more the later it comes (forward decay), so that nothing has to be touched to
let the old ones fade; the whole row is scaled down once the weights get large.  Pure.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from math import log
from typing import Final

from gateway_extproc.config.health import Slowness

GROWTH: Final = 1.25
BUCKETS: Final = 58
"""From 1 ms to about five minutes."""
CELLS: Final = 1 + BUCKETS
"""The moment at which an observation weighs 1, then the buckets."""
RESCALED_AT: Final = 40.0
"""Half-lives after which the row is scaled down: weights stay below 2^40."""

_PER_LOG: Final = 1.0 / log(GROWTH)

RECENT_HALF_LIFE_S: Final = 2.0
RECENT_MIN: Final = 3.0
"""Observations (decayed) without which nothing is said of what is recent, and of what is usual."""
USUAL_MIN: Final = 10.0
STEP_S: Final = 0.5
"""How often a share is changed at most; it is halved each time."""


def add(
    cells: MutableSequence[float], at: int, ms: float, now_s: float, half_life_s: float,
    weight: float = 1.0,
) -> None:  # fmt: skip
    """Puts an observation into the histogram that begins at ``at``."""
    add_to(cells, at, bucket_of(ms), now_s, half_life_s, weight)


def bucket_of(ms: float) -> int:
    """Which bucket a latency falls into."""
    return min(int(log(ms) * _PER_LOG) + 1, BUCKETS - 1) if ms > 1.0 else 0


def add_to(
    cells: MutableSequence[float], at: int, bucket: int, now_s: float, half_life_s: float,
    weight: float,
) -> None:  # fmt: skip
    """Puts observations of together this weight into one bucket."""
    age = (now_s - cells[at]) / half_life_s
    if age > RESCALED_AT:
        _rescale(cells, at, now_s, age)
        age = 0.0
    cells[at + 1 + bucket] += weight * 2.0 ** max(age, -RESCALED_AT)


def _rescale(cells: MutableSequence[float], at: int, now_s: float, age: float) -> None:
    scale = 2.0**-age if age < 1000 else 0.0
    for i in range(at + 1, at + CELLS):
        cells[i] *= scale
    cells[at] = now_s


def weight_of(row: Sequence[float], now_s: float, half_life_s: float) -> float:
    """How many observations a histogram holds, each counted as much as it still weighs."""
    age = min(max((now_s - row[0]) / half_life_s, -RESCALED_AT), 1000.0)
    weight: float = 2.0**-age
    return sum(row[1:]) * weight


def quantile(row: Sequence[float], share: float) -> float:
    """Milliseconds below which this share of a histogram lies; 0 for an empty one.

    Within a bucket it is taken to be spread evenly on the logarithmic scale.
    """
    wanted = sum(row[1:]) * share
    if wanted <= 0:
        return 0.0
    below = 0.0
    for bucket, weight in enumerate(row[1:]):
        if below + weight >= wanted:
            part = (wanted - below) / weight
            return GROWTH ** (bucket - 1 + part) if bucket else part
        below += weight
    return GROWTH ** (BUCKETS - 1)


def is_slow(recent_ms: float, usual_ms: float, others_ms: float | None, rule: Slowness) -> bool:
    """Whether traffic should leave: slower than it used to be, and than somebody else is.

    ``others_ms`` is the best median among the targets that could serve instead: 0 for one that
    nobody has measured yet (worth a try), None where there is no other.  A target that is as
    slow as it always was is not slow: that is what a route's order or strategy is for.
    """
    return (
        others_ms is not None
        and recent_ms >= rule.factor * usual_ms
        and recent_ms >= usual_ms + rule.least_ms
        and recent_ms > others_ms
    )


def next_share(share: float, passed_s: float, rule: Slowness, *, slow: bool) -> float:
    """The share after ``passed_s``: halved while it is slow, given back bit by bit else."""
    if slow:
        return max(rule.floor, share * 0.5)
    return min(1.0, share + (1.0 - rule.floor) * min(passed_s, 2 * STEP_S) / rule.return_s)
