"""How targets stand now: what health, quota and an operator's drain say of each.

Written by whoever watches answers, read by whoever plans.  Values only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from gateway_extproc.core.route import Target


@dataclass(frozen=True, slots=True)
class Standing:
    """One target, as a plan should treat it.

    ``share`` lies in [0, 1]: the part of its ordinary traffic that it should get now, 0 for none
    (``why`` says it in a word or two, such as ``circuit open`` or ``drained``).  Latencies are
    those to the first byte, in milliseconds; None where too little was seen.
    """

    share: float = 1.0
    why: str = ""
    p50_ms: float | None = None
    p95_ms: float | None = None


IN_ORDER: Final = Standing()


class Standings(Protocol):
    """Looked up while a request is planned: no waiting, no I/O."""

    def of(self, target: Target) -> Standing:
        """The target's standing; ``IN_ORDER`` for one that nobody has seen yet."""


class NoStandings:
    """Knows of nothing: every target is in order."""

    def of(self, target: Target) -> Standing:
        return IN_ORDER


NO_STANDINGS: Final = NoStandings()
