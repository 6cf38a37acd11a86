"""How full budgets were when they were last asked, in this worker: what thresholds act upon.

A reservation must not ask twice, so an action follows the threshold by one request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway_extproc.core.limits import State
from gateway_extproc.core.recent import Recent
from gateway_extproc.limits.rules import Named, Rule

REMEMBERED: Final = 16_384


class Levels:
    """Budgets' counters by name, each with its per cent; the longest unasked leaves first."""

    def __init__(self) -> None:
        self._percent: Recent[str, tuple[int, int]] = Recent(REMEMBERED)

    def note(self, name: str, rule: Rule, state: State, taken: int) -> None:
        """A budget stood so when it was asked."""
        percent = (state.used + state.held + taken) * 100 // rule.whole
        self._percent.keep(name, (percent, state.end_us))

    def percent(self, name: str, now_us: int) -> int:
        """How full it was; 0 where nothing is known, or its window is over."""
        percent, end_us = self._percent.get(name, (0, 0))
        return percent if now_us < end_us else 0

    def cheaper_route(self, rules: Iterable[Named], now_us: int) -> str:
        """The route that the fullest budget wants to be served by; empty for none."""
        wanted: tuple[int, str] = (0, "")
        for rule, name, _ in rules:
            for threshold in rule.thresholds:
                if (
                    threshold.action == "route"
                    and rule.counter.mode == "enforce"
                    and self.percent(name, now_us) >= threshold.percent
                ):
                    wanted = max(wanted, (threshold.percent, threshold.route))
        return wanted[1]

    def throttles(self, rules: Iterable[Named], now_us: int) -> list[Named]:
        """The further limits of budgets that are full enough for them."""
        return [
            Named(throttle, f"{name}\x1fthrottle{percent}", tag)
            for rule, name, tag in rules
            for percent, throttle in rule.throttles
            if self.percent(name, now_us) >= percent
        ]
