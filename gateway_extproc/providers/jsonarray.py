"""A JSON array that grows, cut into its objects (how Google streams without ``alt=sse``).

The objects do not depend on how the bytes are cut, and each is given as soon as its last brace is
there.  A single object without an array is taken for an array of one.
"""

from __future__ import annotations

import re
from typing import Final, Literal

MAX_OBJECT_BYTES: Final = 8 * 1024 * 1024
"""As of an event of a stream (``sse``)."""

_STRUCTURE: Final = re.compile(rb'["{}\[\]]')
_IN_STRING: Final = re.compile(rb'["\\]')
_OPENS: Final = ord("{")
_SPACE: Final = b" \t\r\n"


class BrokenArray(ValueError):
    """No array of objects; ``objects`` are those completed before."""

    def __init__(self, problem: str, objects: tuple[bytes, ...]) -> None:
        super().__init__(problem)
        self.objects = objects


class JsonArrayParser:
    """Takes a stream in any cut of its bytes."""

    __slots__ = ("_alone", "_depth", "_escaped", "_in_string", "_limit", "_object", "_state")

    def __init__(self, limit: int = MAX_OBJECT_BYTES) -> None:
        self._limit = limit
        self._state: Literal["begin", "first", "object", "behind", "next", "end"] = "begin"
        self._object = bytearray()
        self._depth = 0
        self._in_string = self._escaped = self._alone = False

    @property
    def complete(self) -> bool:
        """Whether the array was closed."""
        return self._state == "end"

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that ``data`` completed; raises ``BrokenArray``."""
        objects: list[bytes] = []
        at = 0
        while at < len(data):
            if self._state == "object":
                end = self._find_end(data, at)
                self._object += data[at : len(data) if end < 0 else end]
                if len(self._object) > self._limit:
                    raise BrokenArray("an object is too large", tuple(objects))
                if end < 0:
                    break
                objects.append(bytes(self._object))
                self._object.clear()
                self._state = "end" if self._alone else "behind"
                at = end
            else:
                byte = data[at]
                if byte not in _SPACE and not self._step(byte):
                    raise BrokenArray("no array of objects", tuple(objects))
                at += byte != _OPENS  # which is the object's own first byte
        return objects

    def _step(self, byte: int) -> bool:
        """What a byte between objects means; False where it may not stand."""
        match self._state, byte:
            case "begin", 0x5B:  # [
                self._state = "first"
            case (("begin" | "first" | "next"), 0x7B):  # {
                self._alone = self._state == "begin"
                self._state = "object"
            case (("first" | "behind"), 0x5D):  # ]
                self._state = "end"
            case "behind", 0x2C:  # ,
                self._state = "next"
            case _:
                return False
        return True

    def _find_end(self, data: bytes, at: int) -> int:
        """Where the object ends that goes on at ``at``; -1 where it does not end in here."""
        while at < len(data):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = (_IN_STRING if self._in_string else _STRUCTURE).search(data, at)
            if found is None:
                return -1
            mark, at = found[0], found.end()
            if self._in_string:
                self._escaped = mark == b"\\"
                self._in_string = self._escaped
            elif mark == b'"':
                self._in_string = True
            else:
                self._depth += 1 if mark in b"{[" else -1
                if self._depth == 0:
                    return at
        return -1
