"""The figures of identify and authorize, on a smaller store and with room for a busy machine."""

from __future__ import annotations

from bench.identity import (
    HIT,
    HIT_US,
    KNOWN_KEY_US,
    LOOKUP_P99_US,
    REMEMBERED_JWT_US,
    Figures,
    measure,
    missed,
    table_of,
)


def test_the_figures_hold_on_a_small_store() -> None:
    figures = measure(keys=5_000, requests=1_000, samples=2_000)
    print("\n" + table_of(figures, 5_000))
    assert figures.lookup_p99_us < LOOKUP_P99_US
    assert figures.known_key_cpu_us < 2 * KNOWN_KEY_US
    assert figures.remembered_jwt_cpu_us < 2 * REMEMBERED_JWT_US
    assert figures.proofs_us[HIT] < 2 * HIT_US
    assert figures.timing_ratio < 1.2


def test_what_misses_its_figure_is_named() -> None:
    bad = Figures(1.0, 1.0, 60.0, 1.0, 30.0, 31.0, {"a": 1.0, "b": 1.2}, {HIT: 6.0})
    assert [line.partition(":")[0] for line in missed(bad)] == [
        "look-up p99", "known key", "remembered JWT",
        "hit of a remembered token", "timing of a wrong key",
    ]  # fmt: skip
    good = Figures(1.0, 1.0, 1.0, 1.0, 10.0, 10.0, {"a": 1.0, "b": 1.01}, {HIT: 2.0})
    assert missed(good) == []
