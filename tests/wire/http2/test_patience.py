"""Frames without work: how many are borne, and what pays for them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.wire.http2.limits import BYTES_A_WORKLESS, WORKLESS_BURST, WORKLESS_PER_S
from gateway_extproc.wire.http2.patience import Patience


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def borne(patience: Patience, most: int = 10 * WORKLESS_BURST) -> int:
    return next((count for count in range(most) if not patience.bear()), most)


def test_a_burst_is_borne_and_no_more() -> None:
    assert borne(Patience(Clock())) == WORKLESS_BURST


def test_time_forgets() -> None:
    clock = Clock()
    patience = Patience(clock)
    borne(patience)
    clock.now_s += 1.0
    # The one that was too many counts, too.
    assert borne(patience) == WORKLESS_PER_S - 1
    clock.now_s += 3600.0
    assert borne(patience) == WORKLESS_BURST


@given(st.integers(0, 50), st.integers(0, 100_000))
def test_work_pays(messages: int, payload_bytes: int) -> None:
    patience = Patience(Clock())
    for _ in range(WORKLESS_BURST):
        patience.bear()
    patience.restore(payload_bytes, messages)
    paid = min(messages + payload_bytes / BYTES_A_WORKLESS, WORKLESS_BURST)
    assert borne(patience) == int(paid + 1e-6)


def test_nothing_is_paid_ahead() -> None:
    patience = Patience(Clock())
    patience.restore(1 << 30, 1000)
    assert borne(patience) == WORKLESS_BURST


def test_a_dear_frame_counts_for_many() -> None:
    patience = Patience(Clock())
    assert patience.bear(WORKLESS_BURST)
    assert not patience.bear()
