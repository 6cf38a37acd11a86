"""Ratios and added times are taken within a round, and only then put together."""

from __future__ import annotations

import pytest

from bench.figures import RATIOS, ROWS, Process, Ratio, Sample, Spread, ratio_spread, row_figures


def sample(processor_us: int | None = None, p50_ms: float = 1.0, units: int = 100) -> Sample:
    cpu: dict[Process, int] = {"envoy": 40_000, "client": 10_000}
    if processor_us is not None:
        cpu["processor"] = processor_us
    return Sample(units, 2.0, cpu, p50_ms, 10 * p50_ms, 4.0)


ROUNDS = [
    {"plain": sample(p50_ms=1), "noop-grpcio": sample(10_000, 5), "noop-fast": sample(2_000, 2)},
    # Everything took ten times as long in this round; the ratio did not.
    {"plain": sample(p50_ms=9), "noop-grpcio": sample(90_000, 50), "noop-fast": sample(18_000, 20)},
    {"plain": sample(p50_ms=1), "noop-grpcio": sample(10_000, 6), "noop-fast": sample(3_000, 3)},
]  # fmt: skip


def test_cpu_is_divided_by_units_and_by_time() -> None:
    one = sample(10_000)
    assert one.us_per_unit("processor") == 100
    assert one.busy("processor") == pytest.approx(0.005)
    assert one.units_per_s == 50


def test_a_process_that_a_row_has_not_has_no_figure() -> None:
    assert sample().us_per_unit("processor") is None
    assert sample().busy("provider") is None


def test_a_spread_is_median_low_and_high() -> None:
    assert Spread.of([3.0, None, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert Spread.of([None]) is None


def test_a_slow_round_does_not_move_the_ratio() -> None:
    ratio = Ratio("noop-fast", "noop-grpcio")
    assert ratio_spread(ratio, ROUNDS) == Spread(0.2, 0.2, 0.3)


def test_a_ratio_of_a_row_that_was_not_measured_is_none() -> None:
    assert ratio_spread(Ratio("gateway-fast", "noop-fast"), ROUNDS) is None


def test_added_time_is_over_plain_envoy_in_the_same_round() -> None:
    figures = row_figures("noop-grpcio", ROUNDS)
    assert figures.added_p50_ms == Spread(5, 4, 41)
    assert figures.added_p99_ms == Spread(50, 40, 410)
    assert row_figures("plain", ROUNDS).added_p50_ms is None


def test_without_plain_envoy_nothing_is_called_added() -> None:
    (alone,) = ({"noop-fast": ROUNDS[0]["noop-fast"]},)
    assert row_figures("noop-fast", [alone]).added_p50_ms is None


def test_every_ratio_is_between_known_rows() -> None:
    assert {row for ratio in RATIOS for row in (ratio.over, ratio.under)} == set(ROWS) - {"plain"}
