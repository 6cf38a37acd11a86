"""What a provider said, gathered while it passes, for those who keep texts of answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from gateway_extproc.core.chat import Chunk, Path, TextAt, TextDelta

HEARD_MAX: Final = 262_144
"""Characters of one answer that are gathered; what comes after them is only counted."""


class Heard:
    """The texts of one answer: those of a document, or the pieces of a stream by their place."""

    __slots__ = ("_chars", "_firsts", "_pieces", "document_texts", "missed")

    def __init__(self) -> None:
        self.document_texts: tuple[TextAt, ...] = ()
        self.missed = 0
        """Characters of a stream beyond ``HEARD_MAX``."""
        self._chars = 0
        self._firsts: dict[Path, TextDelta] = {}
        self._pieces: dict[Path, list[str]] = {}

    def add(self, chunks: Iterable[Chunk]) -> None:
        """The texts in events of a stream."""
        for chunk in chunks:
            for event in chunk.events:
                if isinstance(event, TextDelta):
                    self._add(event)

    def _add(self, event: TextDelta) -> None:
        room = HEARD_MAX - self._chars
        taken = event.text if len(event.text) <= room else event.text[:room]
        self._chars += len(taken)
        self.missed += len(event.text) - len(taken)
        if taken:
            path = place_of(event)
            self._firsts.setdefault(path, event)
            self._pieces.setdefault(path, []).append(taken)

    @property
    def deltas(self) -> tuple[TextDelta, ...]:
        """What was heard of a stream, one event for each place."""
        return tuple(
            replace(self._firsts[path], text="".join(pieces))
            for path, pieces in self._pieces.items()
        )


def place_of(event: TextDelta) -> Path:
    """A stream slot as a path; arguments end in their name, because they are JSON."""
    call = () if event.call is None else (event.call,)
    return (*event.slot, *call, event.field)


def texts_of(deltas: Iterable[TextDelta]) -> tuple[TextAt, ...]:
    """Events of a stream as texts of an answer, one for each place."""
    pieces: dict[Path, list[str]] = {}
    for event in deltas:
        pieces.setdefault(place_of(event), []).append(event.text)
    return tuple(TextAt(path, "assistant", "".join(some)) for path, some in pieces.items())
