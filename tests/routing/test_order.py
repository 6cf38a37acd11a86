"""Targets in the order in which they should be tried now, by how they stand."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.compile import Route
from gateway_extproc.core.route import Target
from gateway_extproc.core.standing import Standing
from gateway_extproc.routing.candidates import by_standing

TARGETS = tuple(
    Target(name, "openai", "m", name, f"{name}:fallback", "/v1") for name in ("a", "b", "c", "d")
)
ROUTE = Route("r", TARGETS, 100, 0.0)
SHARES = st.lists(st.sampled_from([0.0, 0.05, 0.5, 1.0]), min_size=4, max_size=4)


class Fixed:
    def __init__(self, shares: list[float]) -> None:
        self._shares = dict(zip("abcd", shares, strict=True))

    def of(self, target: Target) -> Standing:
        return Standing(self._shares[target.provider])


@given(SHARES, st.floats(0, 1, exclude_max=True))
def test_nobody_is_lost_and_who_gets_nothing_stands_last(shares: list[float], draw: float) -> None:
    ordered = by_standing(ROUTE, Fixed(shares), lambda: draw).targets
    assert sorted(t.provider for t in ordered) == ["a", "b", "c", "d"]
    ranked = [dict(zip("abcd", shares, strict=True))[t.provider] for t in ordered]
    kept = [share for share in ranked if share >= 1.0 or draw < share]
    assert ranked[: len(kept)] == kept
    assert ranked[len(kept) :] == sorted(ranked[len(kept) :], reverse=True)
    front = [t.provider for t in ordered[: len(kept)]]
    assert front == sorted(front), "the route's own order among those that stay"


def test_a_target_keeps_its_place_for_its_share_of_the_requests() -> None:
    draw = random.Random(1)
    first = [
        by_standing(ROUTE, Fixed([0.3, 1.0, 1.0, 1.0]), draw.random).targets[0].provider
        for _ in range(5000)
    ]
    assert first.count("a") / len(first) == pytest.approx(0.3, abs=0.03)
