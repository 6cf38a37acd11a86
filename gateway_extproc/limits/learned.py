"""What is usual for a caller: completion tokens, and tokens of a request.

Running means in this worker's memory, which may be lost.  Bounded: the longest unseen leaves first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway_extproc.core.recent import Recent

KEYS: Final = 4096
ENOUGH: Final = 5
"""Answers before their mean says something."""
MARGIN: Final = 1.5
"""Times the mean: it kept the overshoot under 2 per cent with 512 requests in flight."""
LONG: Final = 1 / 200
"""Weight of the newest answer in the long mean."""
SHORT: Final = 1 / 10
"""The same in the short one, which a sudden rise moves first."""
ENOUGH_TO_RISE: Final = 50

Key = tuple[str, ...]


class Rise(NamedTuple):
    """Requests have become much larger: recent and usual tokens of one."""

    recent: int
    usual: int


@dataclass(slots=True)
class _Mean:
    completion: float = 0.0
    answers: int = 0
    long: float = 0.0
    short: float = 0.0
    requests: int = 0
    risen: bool = False


class Learned:
    """Means by caller and route; ``factor`` is how much larger a rise is (0: none is told)."""

    def __init__(self, factor: float = 0.0) -> None:
        self._factor = factor
        self._means: Recent[Key, _Mean] = Recent(KEYS)

    def expected(self, key: Key, cap: int) -> int:
        """Completion tokens of the next answer, generously; the cap until enough is known."""
        mean = self._means.get(key)
        if mean is None or mean.answers < ENOUGH:
            return cap
        return min(cap, max(1, round(MARGIN * mean.completion)))

    def observe(self, key: Key, tokens: int) -> None:
        """An answer of so many completion tokens."""
        mean = self._mean(key)
        mean.answers += 1
        mean.completion += (tokens - mean.completion) * max(LONG, 1 / mean.answers)

    def rise(self, key: Key, tokens: int) -> Rise | None:
        """Takes all tokens of a request; tells a sudden rise once, until it has fallen again."""
        mean = self._mean(key)
        mean.requests += 1
        mean.short += (tokens - mean.short) * max(SHORT, 1 / mean.requests)
        if not self._factor or mean.requests < ENOUGH_TO_RISE:
            mean.long += (tokens - mean.long) / mean.requests
            return None
        usual = mean.long
        mean.long += (tokens - mean.long) * LONG
        if mean.short <= self._factor * usual:
            mean.risen = mean.risen and mean.short > (1 + self._factor) / 2 * usual
            return None
        told, mean.risen = mean.risen, True
        return None if told else Rise(round(mean.short), round(usual))

    def _mean(self, key: Key) -> _Mean:
        return self._means.found(key) or self._means.keep(key, _Mean())
