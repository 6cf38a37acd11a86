"""Money is exact."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.money import NANOS_PER_DOLLAR, Price, cost
from gateway_extproc.core.usage import Usage

TOKENS = st.integers(0, 10**9)
NANOS = st.integers(0, 10**9)


def test_a_known_bill() -> None:
    # gpt-4o: $2.50 in, $10 out, $1.25 cached, each a million tokens.
    price = Price(2500, 10_000, 1250)
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=100_000, cached_tokens=400_000)
    assert cost(usage, price) == (
        NANOS_PER_DOLLAR * 3 // 2 + NANOS_PER_DOLLAR // 2 + NANOS_PER_DOLLAR
    )


@given(TOKENS, TOKENS, TOKENS, NANOS, NANOS)
def test_without_a_cached_price_cached_tokens_cost_as_any(
    prompt: int, completion: int, cached: int, per_prompt: int, per_completion: int
) -> None:
    bill = cost(Usage(prompt, completion, cached), Price(per_prompt, per_completion))
    assert bill == prompt * per_prompt + completion * per_completion


@given(TOKENS, TOKENS, NANOS, NANOS)
def test_more_cached_than_prompt_tokens_never_bill_below_zero(
    prompt: int, cached: int, per_prompt: int, per_cached: int
) -> None:
    bill = cost(Usage(prompt, 0, cached), Price(per_prompt, 0, per_cached))
    assert min(per_prompt, per_cached) * prompt <= bill <= max(per_prompt, per_cached) * prompt


def test_a_free_cache_is_free() -> None:
    assert cost(Usage(100, 0, 100), Price(5, 5, 0)) == 0
