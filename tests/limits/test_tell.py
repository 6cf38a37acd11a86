"""What clients read of their limits."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_extproc.core.exchange import LimitState
from gateway_extproc.limits.tell import duration, limit_headers


def state(remaining: int, reset_s: float = 6.0, limit: int = 60, mode: Any = "enforce") -> Any:
    return LimitState(f"l{limit}", limit, remaining, reset_s, True, mode)


def headers_of(dialect: str, *states: LimitState) -> dict[str, str]:
    return dict(limit_headers(dialect, states, 1_767_225_599.5))


def test_openais_clients_read_their_headers() -> None:
    assert headers_of("openai", state(59, 0.5)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "500ms",
    }


def test_anthropics_clients_read_theirs_with_a_time_of_rfc_3339() -> None:
    # Asked half a second before 2026; the limit is full again six seconds later.
    assert headers_of("anthropic", state(59)) == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:06Z",
    }


def test_the_tightest_enforced_limit_is_told() -> None:
    states = [state(5, limit=10), state(2, limit=20), state(0, limit=30, mode="shadow")]
    headers = headers_of("openai", *states)
    assert headers["x-ratelimit-limit-requests"] == "20"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0ms"),
        (0.0001, "1ms"),
        (0.9999, "1000ms"),
        (1, "1s"),
        (59.2, "1m0s"),
        (90, "1m30s"),
        (7205, "2h0m5s"),
    ],
)
def test_durations_are_written_as_openai_does(seconds: float, written: str) -> None:
    assert duration(seconds) == written
