"""Days and months of a time zone, as windows on the clock.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class CalendarPeriod:
    """Implements ``core.limits.Period``.

    A day lasts from midnight to midnight where the zone says, so one of 23 or 25 hours, too.
    """

    unit: Literal["day", "month"]
    zone: str = "UTC"

    def window(self, now_us: int) -> tuple[int, int, int]:
        """Start and end of the window around ``now_us``, and the end of the one after it."""
        return _window(self.unit, self.zone, now_us // _US)


def find_zone(name: str) -> ZoneInfo | None:
    """The zone of this name in the system's tables or in the package tzdata."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return None


@lru_cache(maxsize=256)
def _window(unit: str, zone: str, now_s: int) -> tuple[int, int, int]:
    # A second's requests share one look at the calendar.
    here = ZoneInfo(zone)
    today = datetime.fromtimestamp(now_s, here).replace(
        hour=0, minute=0, second=0, microsecond=0, fold=0, tzinfo=None
    )
    if unit == "day":
        days = (today, today + timedelta(days=1), today + timedelta(days=2))
        first, second, third = (_at(day, here) for day in days)
    else:
        month = today.replace(day=1)
        following = _next_month(month)
        first, second, third = (_at(m, here) for m in (month, following, _next_month(following)))
    return first, second, third


def _next_month(first: datetime) -> datetime:
    return (first + timedelta(days=32)).replace(day=1)


def _at(local: datetime, zone: ZoneInfo) -> int:
    """Where a local midnight lies; one that the zone skips lies where its clocks go on."""
    return int(local.replace(tzinfo=zone).astimezone(UTC).timestamp()) * _US
