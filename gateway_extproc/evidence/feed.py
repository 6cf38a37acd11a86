"""Records as the admin API asks for them: pages, sums, an export, and what is written from now on.

The questions are those of the commands (``evidence.query``, ``evidence.ledger``), so both give the
same answers; here they are cut into what one call may give.  DuckDB is loaded by the first
question.  All of it reads files: not for an event loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway_extproc.evidence.columns import Filter
from gateway_extproc.evidence.following import Follower
from gateway_extproc.evidence.reading import Kind
from gateway_extproc.evidence.search import find_decision

if TYPE_CHECKING:
    from gateway_extproc.evidence.query import Question, Totals

Record = dict[str, Any]

PAGE_MAX: Final = 500
ROWS_MAX: Final = 10_000
"""Different sums that one call gives."""
BATCH: Final = 200
"""Records of an export that are read at once."""

DIMENSIONS: Final = (
    "tenant", "user", "application", "key", "endpoint", "route", "provider", "model", "outcome",
    "price_version", "day", "hour",
)  # fmt: skip
"""What costs are summed by, beside ``labels.NAME``."""


class Page(NamedTuple):
    """Records, the newest first; ``next`` continues behind them, "" at the end."""

    records: list[Record]
    next: str


class FileFeed:
    """The files of one folder, opened anew at each call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def page(self, which: Filter, limit: int, before: str = "") -> Page:
        """Raises ValueError for a ``before`` that no page gave, ``LogChanged``."""
        behind = position(before) if before else None
        with self._question("decisions") as asked:
            records = list(asked.page(which, limit + 1, behind))
        if len(records) <= limit:
            return Page([record for _, record in records], "")
        time_us, id_ = records[limit - 1][0]
        return Page([record for _, record in records[:limit]], f"{time_us}-{id_}")

    def totals(self, which: Filter) -> Totals:
        """How many decisions are meant."""
        with self._question("decisions") as asked:
            return asked.totals(which)

    def find(self, id_: str) -> Record | None:
        """The newest record of a decision or of a request."""
        return find_decision(self._folder, id_)

    def export(self, which: Filter, limit: int | None) -> Iterator[list[Record]]:
        """All records that are meant, the oldest first, some at a time; raises ``LogChanged``."""
        from gateway_extproc.evidence.query import OLDEST_FIRST

        with self._question("decisions") as asked:
            records = asked.records(which, limit, OLDEST_FIRST)
            while batch := list(islice(records, BATCH)):
                yield batch

    def sums(self, by: Sequence[str], which: Filter) -> list[Record]:
        """Costs added up, the dearest first, as ``CostSum``.

        Raises ValueError for too many different ones.
        """
        from gateway_extproc.evidence.ledger import report

        with self._question("costs") as asked:
            rows = report(asked, [_series(name) for name in by], which, ROWS_MAX + 1)
        if len(rows) > ROWS_MAX:
            raise ValueError(f"more than {ROWS_MAX} different sums: fewer dimensions, or less time")
        return [_cost_sum(by, row) for row in rows]

    def follow(self) -> Follower:
        """What is written from now on."""
        return Follower(self._folder)

    def _question(self, kind: Kind) -> Question:
        from gateway_extproc.evidence.query import Question

        return Question(self._folder, kind)


def position(text: str) -> tuple[int, str]:
    """The place behind which a page begins; raises ValueError."""
    time_us, _, decision = text.partition("-")
    if not time_us.isdecimal() or len(time_us) > 18 or not decision:
        raise ValueError("before: the 'next' of an earlier page")
    return int(time_us), decision


def _series(name: str) -> str:
    return f"label:{name[7:]}" if name.startswith("labels.") else name


def _cost_sum(by: Sequence[str], row: Record) -> Record:
    names = [_series(name) for name in by]
    sums = {name: int(value) for name, value in row.items() if name not in names}
    return {"by": {name: row[series] for name, series in zip(by, names, strict=True)}, **sums}
