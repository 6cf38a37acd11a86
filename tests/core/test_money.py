"""Money is exact."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.money import NANOS_PER_DOLLAR, Price, Rates, cost
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


def test_tokens_written_to_the_cache_have_a_rate_of_their_own() -> None:
    price = Price(100, 0, 10, cache_write_nanos=125)
    assert cost(Usage(50, 0, 20, cache_write_tokens=10), price) == 20 * 100 + 20 * 10 + 10 * 125
    assert cost(Usage(50, 0, cache_write_tokens=10), Price(100, 0)) == 50 * 100


def test_a_long_prompt_is_charged_as_a_whole_and_its_answer_with_it() -> None:
    price = Price(10, 20, 1, long_above_tokens=100, long=Rates(15, 30, 2))
    assert cost(Usage(100, 5, 50), price) == 50 * 10 + 50 * 1 + 5 * 20
    assert cost(Usage(101, 5, 50), price) == 51 * 15 + 50 * 2 + 5 * 30


def test_a_batch_has_its_price_whatever_the_length() -> None:
    price = Price(10, 20, long_above_tokens=100, long=Rates(15, 30), batch=Rates(5, 9))
    assert cost(Usage(1000, 5), price, batch=True) == 1000 * 5 + 5 * 9
    assert cost(Usage(10, 5), Price(10, 20), batch=True) == 10 * 10 + 5 * 20


@given(*[st.integers(0, 10_000)] * 4, st.integers(0, 500), st.integers(0, 500))
def test_parts_of_a_prompt_are_never_charged_twice(
    prompt: int, cached: int, written: int, completion: int, per_cached: int, per_written: int
) -> None:
    price = Price(500, 500, per_cached, cache_write_nanos=per_written)
    usage = Usage(prompt, completion, cached, cache_write_tokens=written)
    assert completion * 500 <= cost(usage, price) <= (prompt + completion) * 500
