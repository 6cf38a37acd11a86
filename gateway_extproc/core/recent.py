"""What was looked up lately: a mapping of bounded size."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(OrderedDict[K, V]):
    """Holds ``most`` entries; the one that was neither kept nor found for longest leaves first.

    ``get`` and iteration look without counting as a use.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def found(self, key: K) -> V | None:
        """The entry, which counts as used; None where there is none."""
        value = self.get(key)
        if value is not None:
            self.move_to_end(key)
        return value

    def keep(self, key: K, value: V) -> V:
        """Keeps an entry as the newest, and returns its value."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)
        return value
