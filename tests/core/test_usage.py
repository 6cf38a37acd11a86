"""Tokens, counted and estimated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.usage import BYTES_PER_TOKEN, Usage, estimate_tokens


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2)])
def test_estimates_round_up(size: int, tokens: int) -> None:
    assert estimate_tokens(size) == tokens


@given(st.integers(0, 10**12), st.integers(0, 10**6))
def test_more_text_is_never_estimated_lower(size: int, more: int) -> None:
    assert estimate_tokens(size) <= estimate_tokens(size + more)
    assert size <= estimate_tokens(size) * BYTES_PER_TOKEN < size + BYTES_PER_TOKEN


def test_the_total_counts_parts_of_parts_once() -> None:
    assert Usage(10, 5, cached_tokens=8, reasoning_tokens=4).total_tokens == 15
