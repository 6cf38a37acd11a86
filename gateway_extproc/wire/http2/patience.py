"""How many frames without work a peer may send: a leaky bucket.

Floods of HTTP/2 differ in the frame they use and agree in one thing: frames that cost
the server and carry nothing.  One bucket counts them all.  Work pays back: a peer that
sends messages may also ping, reset and update windows as often as those need it.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway_extproc.wire.http2.limits import BYTES_A_WORKLESS, WORKLESS_BURST, WORKLESS_PER_S


class Patience:
    """Counts frames that carry no work; ``now_s`` is any monotonic clock."""

    __slots__ = ("_at_s", "_now_s", "level")

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._at_s = now_s()
        self.level = 0.0

    def bear(self, cost: float = 1.0) -> bool:
        """One more such frame, or one that costs as much as several; False if it is too much."""
        now_s = self._now_s()
        leaked = self.level - (now_s - self._at_s) * WORKLESS_PER_S
        self._at_s = now_s
        self.level = max(leaked, 0.0) + cost
        return self.level <= WORKLESS_BURST

    def restore(self, payload_bytes: int, messages: int = 0) -> None:
        """So many bytes came or went, and completed so many messages.

        Not a frame of them: a message dribbled byte by byte would pay for each byte.
        """
        self.level = max(self.level - messages - payload_bytes / BYTES_A_WORKLESS, 0.0)
