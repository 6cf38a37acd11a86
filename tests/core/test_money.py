"""Money is exact."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.money import NANOS_PER_DOLLAR, Price, Rates, cost, most
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


def test_sounds_and_images_have_rates_of_their_own() -> None:
    # gpt-4o-audio: $2.50 and $40 in, $10 and $80 out, each a million tokens.
    price = Price(2500, 10_000, audio_prompt_nanos=40_000, audio_completion_nanos=80_000,
                  image_completion_nanos=30_000)  # fmt: skip
    heard = Usage(100, 50, 20, audio_prompt_tokens=60, audio_completion_tokens=40)
    assert cost(heard, price) == 40 * 2500 + 60 * 40_000 + 10 * 10_000 + 40 * 80_000
    drawn = Usage(10, 50, image_prompt_tokens=10, image_completion_tokens=50)
    assert cost(drawn, price) == 10 * 2500 + 50 * 30_000  # without a rate as any other
    assert cost(heard, Price(2500, 10_000)) == 100 * 2500 + 50 * 10_000


@given(*[st.integers(0, 10_000)] * 7, *[st.none() | st.integers(0, 900)] * 4)
def test_however_tokens_are_told_apart_the_most_bounds_their_cost(
    prompt: int, completion: int, cached: int, heard: int, seen: int, spoken: int, drawn: int,
    per_heard: int | None, per_spoken: int | None, per_seen: int | None, per_drawn: int | None,
) -> None:  # fmt: skip
    price = Price(
        500, 700, 50, audio_prompt_nanos=per_heard, audio_completion_nanos=per_spoken,
        image_prompt_nanos=per_seen, image_completion_nanos=per_drawn,
    )  # fmt: skip
    usage = Usage(
        prompt, completion, cached, audio_prompt_tokens=heard, image_prompt_tokens=seen,
        audio_completion_tokens=spoken, image_completion_tokens=drawn,
    )  # fmt: skip
    assert 0 <= cost(usage, price) <= most(Usage(prompt, completion), price)
