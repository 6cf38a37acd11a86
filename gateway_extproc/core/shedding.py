"""Which requests a worker turns away when it has more to do than it can.

The signal is how late its event loop runs: requests that wait for slow providers cost nothing, and
however many of them there are, the loop stays on time.  The lever is the share of new requests that
is refused, from 0 to all of them: first of those that may wait (``batch``), and only when
none of them is left of the others.  Pure; ``tick`` is told how late the loop was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from gateway_extproc.core.ports import Load

Priority = Literal["interactive", "batch"]

TICK_S: Final = 0.02
SMOOTHING: Final = 0.3
"""Weight of the newest lateness; a single slow turn sheds nothing."""
GAIN: Final = 0.06
MOST_UP: Final = 0.12
MOST_DOWN: Final = 0.05
"""How far the pressure moves in a tick: up within a fifth of a second, down within one."""
BATCH_TARGET: Final = 1 / 3
"""What may wait is turned away at a third of the lateness: each of the four messages of a request
waits for a turn of the loop, and the others shall hardly notice."""
MOST: Final = 1.95
"""Even in the worst case a few pass, or nobody would notice that it is over."""
BATCH_SHARE: Final = 0.8
"""Of the places for requests at a time, what those that may wait can take."""

RETRY_AFTER_S: Final = (1.0, 2.0, 3.0, 4.0)
"""Told in turn, or all that were refused would come back together."""


@dataclass(slots=True)
class Shedding:
    """One worker's decision; ``target_s`` is how late its loop may run."""

    load: Load
    max_in_flight: int
    target_s: float
    late_s: float = 0.0
    pressure: float = 0.0
    shed: dict[Priority, int] = field(default_factory=lambda: {"interactive": 0, "batch": 0})
    _owed: dict[Priority, float] = field(default_factory=lambda: {"interactive": 0.0, "batch": 0.0})
    _turn: int = 0

    def tick(self, late_s: float) -> None:
        """The loop was so late at this look."""
        self.late_s += (late_s - self.late_s) * SMOOTHING
        target_s = self.target_s * (BATCH_TARGET if self.pressure < 1.0 else 1.0)
        step = GAIN * (self.late_s / target_s - 1.0)
        self.pressure = min(MOST, max(0.0, self.pressure + min(MOST_UP, max(-MOST_DOWN, step))))

    def turns_away(self, priority: Priority) -> bool:
        """Whether this request is refused; counts it."""
        share = self.pressure if priority == "batch" else self.pressure - 1.0
        places = self.max_in_flight * (BATCH_SHARE if priority == "batch" else 1.0)
        if self.load.in_flight < places:
            if share <= 0.0:
                return False
            # Every nth, evenly, instead of by chance.
            self._owed[priority] += min(1.0, share)
            if self._owed[priority] < 1.0:
                return False
            self._owed[priority] -= 1.0
        self.shed[priority] += 1
        return True

    def retry_after_s(self) -> float:
        """When the next one that is refused shall come back."""
        self._turn = (self._turn + 1) % len(RETRY_AFTER_S)
        return RETRY_AFTER_S[self._turn]
