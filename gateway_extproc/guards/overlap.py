"""Which of several readings of one stretch of text stands.

A card number has groups that look like a telephone number, an e-mail address may hold a date.
The reading with the stronger proof stands: check digits before form, form before context.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from gateway_extproc.guards.nationalids import NATIONAL_IDS
from gateway_extproc.guards.numbers import Spans, merged

STRENGTH: Final[dict[str, int]] = {
    name: -rank
    for rank, names in enumerate(
        (
            ("iban",),
            ("card",),
            tuple(national.name for national in NATIONAL_IDS),
            ("email",),
            ("us_ssn",),
            ("ip",),
            ("phone",),
            ("date_of_birth",),
            ("address",),
        )
    )
    for name in names
}
"""The greater, the stronger.  Kinds that are not listed neither yield nor prevail."""

_UNBEATEN: Final = frozenset(("email",))
"""An address stays one whatever digits it holds; others yield to it."""


def stronger_than(name: str) -> tuple[str, ...]:
    """The kinds to which a value of kind ``name`` yields."""
    own = None if name in _UNBEATEN else STRENGTH.get(name)
    return () if own is None else tuple(n for n, strength in STRENGTH.items() if strength > own)


def without_overlaps(spans: Spans, others: Iterable[tuple[int, int]]) -> Spans:
    """The ``spans`` that no other one touches."""
    blocks = merged(list(others))
    ends = [end for _, end in blocks]
    return [span for span in spans if not _touches(span, blocks, ends)]


def _touches(span: tuple[int, int], blocks: Spans, ends: list[int]) -> bool:
    index = bisect_left(ends, span[0] + 1)
    return index < len(blocks) and blocks[index][0] < span[1]
