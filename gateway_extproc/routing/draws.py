"""Numbers for choosing by shares: evenly spread, so that few requests already keep a share.

Roberts' R2 sequence, a pair of numbers for each request: of n requests a share of them gets its
part to within a few, where independent draws would be off by the root of n.  One of the pair says
nothing of the other.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PLASTIC: Final = 1.32471795724474602596
"""The real root of x^3 = x + 1."""

_STEPS: Final = (1 / PLASTIC, 1 / PLASTIC**2)


class Draw(NamedTuple):
    """Two numbers in [0, 1)."""

    share: float
    choice: float


class Draws:
    """The sequence of one worker; ``start`` in [0, 1) sets workers apart."""

    def __init__(self, start: float = 0.0) -> None:
        self._share = self._choice = start % 1.0

    def __call__(self) -> Draw:
        self._share = (self._share + _STEPS[0]) % 1.0
        self._choice = (self._choice + _STEPS[1]) % 1.0
        return Draw(self._share, self._choice)
