"""Which headers of a provider say when to come again, and what is left of which quota.

A table, not code: a provider that counts like another one needs a line, and a configuration
may add lines of its own (``health.quota_headers``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from gateway_extproc.config.health import Measure, QuotaHeaders, ResetForm

MEASURES: Final[tuple[Measure, ...]] = (
    "requests", "tokens", "input_tokens", "output_tokens", "units",
)  # fmt: skip


class Told(NamedTuple):
    """One line of the table: where a measure's rest, whole and renewal stand."""

    measure: int
    remaining: str
    limit: str
    reset: str
    reset_as: ResetForm


def _told(measure: Measure, pattern: str, reset_as: ResetForm) -> Told:
    remaining, limit, reset = (
        pattern.replace("*", what) for what in ("remaining", "limit", "reset")
    )
    return Told(MEASURES.index(measure), remaining, limit, reset, reset_as)


HEADERS: Final[Mapping[str, tuple[Told, ...]]] = {
    "openai": (
        _told("requests", "x-ratelimit-*-requests", "duration"),
        _told("tokens", "x-ratelimit-*-tokens", "duration"),
    ),
    "anthropic": (
        _told("requests", "anthropic-ratelimit-requests-*", "time"),
        _told("tokens", "anthropic-ratelimit-tokens-*", "time"),
        _told("input_tokens", "anthropic-ratelimit-input-tokens-*", "time"),
        _told("output_tokens", "anthropic-ratelimit-output-tokens-*", "time"),
    ),
}
"""By dialect."""

BY_FAMILY: Final[Mapping[str, tuple[Told, ...]]] = {
    "mistral": (
        Told(
            MEASURES.index("tokens"), "x-ratelimitbysize-remaining-minute",
            "x-ratelimitbysize-limit-minute", "ratelimitbysize-reset", "seconds",
        ),
    ),
}  # fmt: skip
"""By family, of servers of OpenAI's dialect that tell it otherwise."""

GENERIC: Final = (_told("units", "ratelimit-*", "seconds"),)
"""The headers of the IETF's draft in their first form, which many gateways send."""


def headers_of(dialect: str, more: Iterable[QuotaHeaders], family: str = "") -> tuple[Told, ...]:
    """The lines of the table for a provider of this dialect, and of this family of servers; a
    configuration's come first."""
    added = tuple(
        Told(MEASURES.index(one.measure), one.remaining, one.limit, one.reset, one.reset_as)
        for one in more
    )
    return (*added, *BY_FAMILY.get(family, ()), *HEADERS.get(dialect, ()), *GENERIC)


RETRY_AFTER: Final = ("retry-after-ms", "retry-after")
"""When to come again, the more exact one first."""
