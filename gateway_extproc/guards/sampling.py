"""Which parts of a long text are looked at."""

from __future__ import annotations

from typing import NamedTuple

WHOLE = 65_536
_EDGE = 16_384
_PIECE = 2_048
_PIECES = 16


class Sampled(NamedTuple):
    """Pieces of a text in their order, and how many of its characters they hold."""

    pieces: tuple[str, ...]
    scanned: int


def sample(text: str) -> Sampled:
    """All of a text, or its beginning, its end and pieces evenly between.

    Orders to a model are put where they are read best: first or last.  What lies between
    is looked at in proportion, so the time has a bound whatever the length.
    """
    if len(text) <= WHOLE:
        return Sampled((text,), len(text))
    step = (len(text) - 2 * _EDGE) // _PIECES
    between = (_EDGE + at * step for at in range(_PIECES))
    pieces = (
        text[:_EDGE],
        *(text[start : start + min(step, _PIECE)] for start in between),
        text[-_EDGE:],
    )
    return Sampled(pieces, sum(map(len, pieces)))
