"""A clock that stands still until it is told to move."""

from __future__ import annotations

SECOND_NS = 1_000_000_000


class FakeClock:
    """Called, it gives nanoseconds; ``now_s`` gives seconds."""

    def __init__(self, start_s: float = 1_000_000.0) -> None:
        self.now_ns = int(start_s * SECOND_NS)

    def __call__(self) -> int:
        return self.now_ns

    def now_s(self) -> float:
        return self.now_ns / SECOND_NS

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)
