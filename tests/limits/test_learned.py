"""What is usual for a caller, and when it suddenly is not."""

from __future__ import annotations

from gateway_extproc.limits import learned as module
from gateway_extproc.limits.learned import ENOUGH, ENOUGH_TO_RISE, Learned, Rise

KEY = ("acme", "bot", "small")


def test_until_enough_is_known_the_cap_is_expected() -> None:
    known = Learned()
    for _ in range(ENOUGH - 1):
        known.observe(KEY, 10)
    assert known.expected(KEY, 1000) == 1000
    known.observe(KEY, 10)
    assert known.expected(KEY, 1000) == 15
    assert known.expected(KEY, 12) == 12
    assert known.expected(("beta",), 1000) == 1000


def test_the_mean_follows_what_changes() -> None:
    known = Learned()
    for tokens in (10,) * 100 + (100,) * 2000:
        known.observe(KEY, tokens)
    assert known.expected(KEY, 1000) == 150


def test_a_sudden_rise_is_told_once_until_it_has_fallen() -> None:
    known = Learned(factor=3.0)

    def told(tokens: int, times: int) -> list[Rise]:
        found = [known.rise(KEY, tokens) for _ in range(times)]
        return [rise for rise in found if rise is not None]

    assert told(100, 2 * ENOUGH_TO_RISE) == []
    [rise] = told(2000, 20)
    assert rise.usual < 150 < 300 < rise.recent
    assert told(100, 60) == []
    assert len(told(5000, 20)) == 1


def test_slow_growth_is_no_rise_and_a_factor_of_0_tells_nothing() -> None:
    known, silent = Learned(factor=3.0), Learned(factor=0.0)
    assert [known.rise(KEY, 100 + i) for i in range(600)] == [None] * 600
    assert [silent.rise(KEY, t) for t in (1,) * 100 + (10**6,) * 100] == [None] * 200


def test_callers_are_bounded_and_the_longest_unseen_leaves() -> None:
    known = Learned()
    for _ in range(ENOUGH):
        known.observe(KEY, 10)
    for number in range(module.KEYS):
        known.observe((str(number),), 10)
    assert known.expected(KEY, 1000) == 1000
