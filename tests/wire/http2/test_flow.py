"""Windows, and messages that leave in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.wire.http2.flow import Unsent, WindowOverflow, grown
from gateway_extproc.wire.http2.frames import MAX_WINDOW


@given(st.lists(st.binary(max_size=50), max_size=4), st.lists(st.integers(1, 40)))
def test_pieces_put_together_are_the_message(parts: list[bytes], sizes: list[int]) -> None:
    unsent, whole = Unsent(*parts), b"".join(parts)
    sent = b""
    for size in [*sizes, *[7] * len(whole)]:
        taken = b"".join(unsent.take(size))
        assert len(taken) == min(size, len(whole) - len(sent))
        sent += taken
        assert unsent.left == len(whole) - len(sent)
    assert sent == whole


def test_a_window_may_be_below_zero_and_not_above_its_bound() -> None:
    assert grown(10, -30) == -20
    assert grown(-20, 50) == 30
    assert grown(MAX_WINDOW - 1, 1) == MAX_WINDOW
    with pytest.raises(WindowOverflow):
        grown(MAX_WINDOW, 1)
