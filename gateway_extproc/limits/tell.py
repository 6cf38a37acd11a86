"""How limits stand, as records keep it and as clients read it.

OpenAI's SDKs read ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}`` with the reset as a
duration, Anthropic's ``anthropic-ratelimit-*`` with an RFC 3339 time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from gateway_extproc.core.exchange import LimitState
from gateway_extproc.core.limits import SECOND_US, Ask, Reserved, State, fits
from gateway_extproc.core.verdict import Header
from gateway_extproc.limits.rules import Rule

SLOT_WAIT_S: Final = 1.0
"""When a slot becomes free nobody knows."""

KINDS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "openai": {
        "requests": ("requests",),
        "tokens": ("tokens", "prompt_tokens", "completion_tokens"),
    },
    "anthropic": {
        "requests": ("requests",),
        "tokens": ("tokens",),
        "input-tokens": ("prompt_tokens",),
        "output-tokens": ("completion_tokens",),
    },
}
"""Kind in a header's name -> measures of which the tightest limit is told."""


def limit_state(
    rule: Rule, ask: Ask, state: State, reserved: Reserved, *, allowed: bool
) -> LimitState:
    """One limit or budget, as the request left it."""
    counter = ask.counter
    taken = ask.amount if reserved.granted and allowed else 0
    if counter.kind == "rate":
        ahead = state.used + (counter.cost_us(taken) if taken else 0)
        left = max(0, counter.capacity_us - ahead)
        remaining, reset_us = left * counter.limit // counter.window_us, ahead
        wait_us = 0 if allowed else state.used + counter.cost_us(ask.amount) - counter.capacity_us
    else:
        remaining = max(0, counter.limit - state.used - state.held - taken)
        reset_us = state.end_us - reserved.now_us if state.end_us else 0
        wait_us = reset_us or int(SLOT_WAIT_S * SECOND_US)
    return LimitState(
        counter.id,
        counter.burst if counter.kind == "rate" else counter.limit,
        remaining,
        reset_us / SECOND_US,
        allowed,
        counter.mode,
        rule.measure,
        rule.budget,
        taken,
        0.0 if allowed else max(0, wait_us) / SECOND_US,
    )


def can_never_fit(ask: Ask) -> bool:
    """Whether the ask is larger than its limit ever gives."""
    return not fits(ask, State(0))


def limit_headers(dialect: str, states: Sequence[LimitState], now_s: float) -> tuple[Header, ...]:
    """The tightest enforced limit of each kind; ``now_s`` is Unix time."""
    headers: list[Header] = []
    for kind, measures in KINDS["anthropic" if dialect == "anthropic" else "openai"].items():
        tightest = _tightest(states, measures)
        if tightest is not None:
            write = _anthropic if dialect == "anthropic" else _openai
            headers += write(kind, tightest, now_s)
    return tuple(headers)


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it: ``6ms``, ``12s``, ``1m30s``, ``2h0m5s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _tightest(states: Iterable[LimitState], measures: Sequence[str]) -> LimitState | None:
    chosen = None
    for state in states:
        if state.mode == "enforce" and not state.budget and state.measure in measures:
            key = (state.remaining, -state.reset_s)
            if chosen is None or key < (chosen.remaining, -chosen.reset_s):
                chosen = state
    return chosen


def _openai(kind: str, state: LimitState, now_s: float) -> list[Header]:
    return [
        (f"x-ratelimit-limit-{kind}", str(state.limit)),
        (f"x-ratelimit-remaining-{kind}", str(state.remaining)),
        (f"x-ratelimit-reset-{kind}", duration(state.reset_s)),
    ]


def _anthropic(kind: str, state: LimitState, now_s: float) -> list[Header]:
    at = datetime.fromtimestamp(math.ceil(now_s + state.reset_s), UTC)
    return [
        (f"anthropic-ratelimit-{kind}-limit", str(state.limit)),
        (f"anthropic-ratelimit-{kind}-remaining", str(state.remaining)),
        (f"anthropic-ratelimit-{kind}-reset", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
    ]
