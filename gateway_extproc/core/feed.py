"""Evidence as the admin API reads it: pages, sums, and what is written from now on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

Record = dict[str, Any]

PAGE_MAX: Final = 500
EQUAL: Final = (
    "tenant", "user", "application", "credential_id", "endpoint", "requested_model", "route",
    "provider", "outcome", "request_id",
)  # fmt: skip
"""Fields of a decision record that a filter compares as they are."""

DIMENSIONS: Final = (
    "tenant", "user", "application", "route", "provider", "model", "outcome", "price_version",
    "day", "hour",
)  # fmt: skip
"""What costs are summed by, beside ``labels.NAME``."""


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decision records are wanted; whatever is empty says nothing.

    ``since`` (included) and ``until`` (not included) are as ``time_text`` writes them.
    """

    equal: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    status: int = 0
    since: str = ""
    until: str = ""

    def fits(self, record: Record) -> bool:
        """Whether a record is wanted."""
        return (
            all(record.get(name) == value for name, value in self.equal)
            and (not self.reason or record.get("refusal", {}).get("reason") == self.reason)
            and (not self.status or record.get("status") == self.status)
            and within(record.get("time", ""), self.since, self.until)
        )


class Page(NamedTuple):
    """Records, those that ended last first; ``next`` continues behind them, "" at the end.

    A page may be short although more records follow: one call looks at so many lines only.
    """

    records: list[Record]
    next: str


class Follower(Protocol):
    """Reads what is written after it was made."""

    def read(self) -> list[Record]:
        """What came since the last time; never waits for more."""


class Feed(Protocol):
    """The records of this host.  All of it reads files: not for an event loop."""

    def page(self, wanted: DecisionFilter, limit: int, before: str) -> Page:
        """Raises ValueError for a ``before`` that no page gave."""

    def find(self, id_: str) -> Record | None:
        """The newest record of a decision or of a request."""

    def sums(self, by: Sequence[str], tenant: str, since: str, until: str) -> list[Record]:
        """Costs added up, as ``CostSum``; raises ValueError for too many different ones."""

    def follow(self, wanted: DecisionFilter) -> Follower: ...


def within(time: str, since: str, until: str) -> bool:
    """Whether a time lies there; times are written so that they sort as texts."""
    return (not since or time >= since) and (not until or time < until)


def time_text(text: str) -> str:
    """A time of RFC 3339 as records have it, in UTC to the microsecond; raises ValueError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time needs a zone, such as Z")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
