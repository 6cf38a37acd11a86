"""What providers tell of their quotas: until when to wait, and how long a quota lasts.  Pure.

Which header says what stands in ``config.quotaheaders``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from gateway_extproc.config.health import Quota, ResetForm
from gateway_extproc.config.quotaheaders import RETRY_AFTER, Told


class Left(NamedTuple):
    """What was told of one measure; ``reset_s`` is a moment, 0 where nothing was told."""

    measure: int
    remaining: float
    limit: float
    reset_s: float


def read_left(headers: Mapping[str, str], table: Iterable[Told], now_s: float) -> tuple[Left, ...]:
    """What an answer's headers tell; what cannot be read is as good as untold."""
    found: dict[int, Left] = {}
    for told in table:
        text = headers.get(told.remaining)
        if text is None or told.measure in found:
            continue
        remaining = _number(text)
        if remaining is not None:
            limit = _number(headers.get(told.limit, "")) or remaining
            reset_s = read_reset(headers.get(told.reset, ""), told.reset_as, now_s)
            found[told.measure] = Left(told.measure, remaining, limit, reset_s or 0.0)
    return tuple(found.values())


_UNITS_S: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6}
_PART: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|us|d|h|m|s)", re.ASCII)
_DURATION: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_DECIMAL: Final = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)


def read_reset(text: str, form: ResetForm, now_s: float) -> float | None:
    """The moment that a header names; None for one that names none."""
    text = text.strip()
    if form == "time":
        return _moment(text)
    if form == "duration" and _DURATION.fullmatch(text):
        parts = _PART.findall(text)
        return now_s + sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    number = _number(text)
    if number is None:
        return None
    return number if form == "epoch" else now_s + number


def read_retry_after(headers: Mapping[str, str], now_s: float) -> float | None:
    """Until when a provider does not want to be asked; None where it says nothing.

    Seconds or an HTTP date (RFC 9110, section 10.2.3), and OpenAI's ``retry-after-ms``, which is
    more exact.
    """
    milliseconds = _number(headers.get(RETRY_AFTER[0], ""))
    if milliseconds is not None:
        return now_s + milliseconds / 1000
    text = headers.get(RETRY_AFTER[1], "").strip()
    if not text:
        return None
    seconds = _number(text)
    if seconds is not None:
        return now_s + seconds
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if _DECIMAL.fullmatch(text) else None


def _moment(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


# --------------------------------------------------------------------------- forecast

RATE_HALF_LIFE_S: Final = 3.0
LEAST_SHARE: Final = 0.05
RENEWED: Final = 0.1
"""A rise by more than this share of the whole is a renewal; less is what runs back bit by bit."""


class Meter(NamedTuple):
    """One measure of one key as it was last told, and how fast it would be used up."""

    remaining: float = 0.0
    limit: float = 0.0
    reset_s: float = 0.0
    seen_s: float = 0.0
    """0 where nothing was ever told."""
    rate: float = 0.0
    """Units a second with all of the target's traffic, whatever share it has now."""


def metered(meter: Meter, left: Left, share: float, now_s: float) -> Meter:
    """The meter after an answer told what is left; ``share`` is what the target has had of late."""
    passed_s = now_s - meter.seen_s
    rate = meter.rate
    used = meter.remaining - left.remaining
    if meter.seen_s and passed_s > 0 and used > -RENEWED * left.limit:
        kept = 2.0 ** (-passed_s / RATE_HALF_LIFE_S)
        rate = rate * kept + used / passed_s / max(share, LEAST_SHARE) * (1.0 - kept)
    return Meter(left.remaining, left.limit, left.reset_s, now_s, rate)


def seconds_left(meter: Meter) -> float:
    """Time to exhaustion with all of the target's traffic; infinite for what is not used up."""
    return meter.remaining / meter.rate if meter.rate > 0 else float("inf")


def meter_share(meter: Meter, now_s: float, rule: Quota) -> float:
    """The share with which the quota lasts.

    All of it while the quota lasts for the horizon, or until it is renewed; below that as much
    less as it falls short, and nothing once only the reserve is left.
    """
    if not meter.seen_s or now_s >= renewed_s(meter, rule):
        return 1.0
    spendable = meter.remaining - rule.reserve * meter.limit
    if spendable <= 0:
        return 0.0
    needed_s = min(renewed_s(meter, rule) - now_s, rule.horizon_s)
    return min(1.0, spendable / max(meter.rate * needed_s, 1e-9))


def renewed_s(meter: Meter, rule: Quota) -> float:
    """When what was told does not count any more: the renewal, within the longest rest."""
    told = meter.reset_s or meter.seen_s + rule.rest_s
    return min(told, meter.seen_s + rule.rest_max_s)


def fullness(meter: Meter, now_s: float, rule: Quota) -> float:
    """What is left as a share of the whole, for choosing among keys; 1 for the unknown."""
    if not meter.seen_s or not meter.limit or now_s >= renewed_s(meter, rule):
        return 1.0
    return meter.remaining / meter.limit
