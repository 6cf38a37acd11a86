"""The arithmetic of windows (RFC 9113, section 5.2 and 6.9)."""

from __future__ import annotations

from collections import deque

from gateway_extproc.wire.http2.frames import MAX_WINDOW


class WindowOverflow(Exception):
    """A window grew beyond 2^31-1 bytes (section 6.9.1)."""


def grown(window: int, increment: int) -> int:
    """A window after an update; it may be below zero before and after (section 6.9.2)."""
    window += increment
    if window > MAX_WINDOW:
        raise WindowOverflow
    return window


class Unsent:
    """What of a message is not sent yet, as views: nothing is copied to cut it."""

    __slots__ = ("_views", "left")

    def __init__(self, *parts: bytes) -> None:
        self._views = deque(memoryview(part) for part in parts if part)
        self.left = sum(map(len, parts))

    def take(self, most: int) -> list[memoryview]:
        """The next ``most`` bytes, or what is left."""
        taken = []
        while most and self._views:
            view = self._views[0]
            if len(view) <= most:
                taken.append(self._views.popleft())
            else:
                taken.append(view[:most])
                self._views[0] = view[most:]
            most -= len(taken[-1])
            self.left -= len(taken[-1])
        return taken
