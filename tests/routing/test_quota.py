"""What providers tell of quotas and rests, and a quota that is made to last."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.health import Quota, QuotaHeaders
from gateway_extproc.config.quotaheaders import MEASURES, headers_of
from gateway_extproc.routing.quota import (
    Left,
    Meter,
    fullness,
    meter_share,
    metered,
    read_left,
    read_reset,
    read_retry_after,
    renewed_s,
    seconds_left,
)

NOW = 1_764_460_800.0  # 2025-11-30 00:00:00 UTC, a Sunday
RULE = Quota()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Sun, 30 Nov 2025 00:01:30 GMT"}, 90),
        ({"retry-after": "Sunday, 30-Nov-25 00:00:10 GMT"}, 10),
        ({"retry-after": "Sat, 29 Nov 2025 23:59:00 GMT"}, -60),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    until_s = read_retry_after(headers, NOW)
    assert (None if until_s is None else until_s - NOW) == seconds


@pytest.mark.parametrize(
    ("text", "form", "seconds"),
    [
        ("6ms", "duration", 0.006),
        ("1m30s", "duration", 90),
        ("1h2m3.5s", "duration", 3723.5),
        ("12", "duration", 12),
        ("30", "seconds", 30),
        (str(int(NOW) + 40), "epoch", 40),
        ("2025-11-30T00:00:20Z", "time", 20),
        ("2025-11-30T01:00:20+01:00", "time", 20),
        ("later", "duration", None),
        ("", "seconds", None),
        ("2025-99-30", "time", None),
    ],
)
def test_a_reset_is_read_as_its_provider_writes_it(
    text: str, form: str, seconds: float | None
) -> None:
    found = read_reset(text, form, NOW)  # type: ignore[arg-type]
    assert (None if found is None else found - NOW) == pytest.approx(seconds, abs=1e-6)


@given(st.text(max_size=40), st.sampled_from(["duration", "seconds", "epoch", "time"]))
def test_no_header_breaks_anything(text: str, form: str) -> None:
    read_reset(text, form, NOW)  # type: ignore[arg-type]
    read_retry_after({"retry-after": text}, NOW)
    read_left({"ratelimit-remaining": text}, headers_of("openai", ()), NOW)


def test_openai_and_anthropic_and_others_tell_what_is_left() -> None:
    told = read_left(
        {
            "x-ratelimit-remaining-requests": "58",
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-reset-requests": "2s",
            "x-ratelimit-remaining-tokens": "149000",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-reset-tokens": "400ms",
        },
        headers_of("openai", ()),
        NOW,
    )
    assert told == (Left(0, 58, 60, NOW + 2), Left(1, 149000, 150000, NOW + 0.4))
    told = read_left(
        {
            "anthropic-ratelimit-input-tokens-remaining": "900",
            "anthropic-ratelimit-input-tokens-limit": "1000",
            "anthropic-ratelimit-input-tokens-reset": "2025-11-30T00:00:05Z",
        },
        headers_of("anthropic", ()),
        NOW,
    )
    assert told == (Left(MEASURES.index("input_tokens"), 900, 1000, NOW + 5),)
    generic = {"ratelimit-remaining": "3", "ratelimit-limit": "9", "ratelimit-reset": "12"}
    told = read_left(generic, headers_of("openai", ()), NOW)
    assert told == (Left(MEASURES.index("units"), 3, 9, NOW + 12),)


def test_a_configuration_names_headers_of_its_own() -> None:
    own = QuotaHeaders(
        measure="tokens", remaining="x-left", limit="x-all", reset="x-until", reset_as="epoch"
    )
    headers = {"x-left": "5", "x-all": "50", "x-until": str(int(NOW) + 8)}
    told = read_left(headers, headers_of("openai", (own,)), NOW)
    assert told == (Left(1, 5, 50, NOW + 8),)


def test_what_was_told_counts_until_the_renewal_and_never_longer_than_the_longest_rest() -> None:
    empty = Meter(0, 100, NOW + 10, NOW, 1.0)
    assert meter_share(empty, NOW + 9.9, RULE) == 0.0
    assert meter_share(empty, NOW + 10, RULE) == 1.0
    assert fullness(empty, NOW + 5, RULE) == 0.0
    assert fullness(empty, NOW + 10, RULE) == 1.0
    day = Meter(0, 100, NOW + 86400, NOW, 1.0)
    assert renewed_s(day, RULE) == NOW + RULE.rest_max_s


def test_time_to_exhaustion_follows_the_use() -> None:
    meter = Meter()
    for i in range(100):
        meter = metered(meter, Left(0, 10_000 - 50 * i, 10_000, NOW + 600), 1.0, NOW + i)
    assert meter.rate == pytest.approx(50, rel=0.01)
    assert seconds_left(meter) == pytest.approx(meter.remaining / 50, rel=0.01)


@dataclass
class Provider:
    """A provider with a quota of requests a minute, all of it renewed at once."""

    limit: int = 600
    window_s: float = 60.0
    used: int = 0
    window: float = 0.0
    refused: int = 0

    def ask(self, now_s: float) -> Left:
        window = now_s // self.window_s
        if window != self.window:
            self.window, self.used = window, 0
        if self.used >= self.limit:
            self.refused += 1
        else:
            self.used += 1
        return Left(0, self.limit - self.used, self.limit, (window + 1) * self.window_s)


@pytest.mark.parametrize("rate", [5, 15, 30, 60])
def test_overflow_leaves_before_the_wall_and_comes_back_after_the_renewal(rate: int) -> None:
    """Twice and six times what a quota of ten a second allows: it never says no."""
    draw, provider, meter = random.Random(rate), Provider(), Meter()
    asked = [0] * 5
    share = 1.0
    for step in range(5 * 60 * rate):
        now_s = NOW + step / rate
        if draw.random() < meter_share(meter, now_s, RULE):
            minute = step // (60 * rate)
            asked[minute] += 1
            meter = metered(meter, provider.ask(now_s), share, now_s)
            share = meter_share(meter, now_s, RULE)
    assert provider.refused == 0
    # All of the quota that is worth using is used, in each minute anew.
    worth = min(60 * rate, provider.limit)
    assert all(0.75 * worth <= count <= provider.limit for count in asked), asked
