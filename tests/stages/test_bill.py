"""What a request may cost beforehand, and what it did cost afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.usage import Usage
from gateway_extproc.limits.estimate import MESSAGE_TOKENS, REPLY_TOKENS
from support import bodies, flow
from support.parts import Bench, make_bench

BODY = bodies.chat(max_tokens=100)
PROMPT = len("Hello") + 2 * (MESSAGE_TOKENS + REPLY_TOKENS)
"""More tokens than this "Hello" cannot have."""
WORST = PROMPT * 200 + 100 * 1000
"""At the dearer target of the route."""


async def test_the_worst_case_is_the_dearest_target_for_every_byte_and_token(
    bench: Bench,
) -> None:
    exchange, _ = await flow.ask(bench, BODY)
    assert exchange.worst_case_nanos == WORST


async def test_a_client_that_names_no_cap_is_held_to_the_routes(bench: Bench) -> None:
    body = bodies.chat()
    exchange, _ = await flow.ask(bench, body)
    assert exchange.worst_case_nanos == PROMPT * 200 + 8192 * 1000


async def test_no_request_asks_for_more_than_the_cap(bench: Bench) -> None:
    body = bodies.chat(max_tokens=10**6)
    exchange, decision = await flow.ask(bench, body)
    assert exchange.worst_case_nanos == PROMPT * 200 + 8192 * 1000
    assert decision.body is not None
    assert b'"max_tokens":8192' in decision.body


@pytest.mark.parametrize(("cap", "refused"), [(WORST, False), (WORST - 1, True)])
async def test_the_price_of_one_request_is_bounded(
    tmp_path: Path, cap: int, *, refused: bool
) -> None:
    bench = make_bench(tmp_path, caps={"cost_nanos": cap})
    _, decision = await flow.ask(bench, BODY)
    assert (decision.answer is not None) is refused
    if decision.answer is not None:
        assert decision.answer.details == "request_cost_too_high"
        assert ("x-should-retry", "false") in decision.answer.headers


async def test_what_the_provider_reports_is_billed(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    await flow.answer(bench, exchange, bodies.completion())
    assert exchange.usage == Usage(10, 5)
    assert (exchange.cost_nanos, exchange.price_version) == (10 * 100 + 5 * 400, "p1")


async def test_a_fallback_is_billed_at_its_own_price(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    body = (
        b'{"id":"m","type":"message","role":"assistant","model":"w","stop_reason":"end_turn",'
        b'"content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":10,"output_tokens":5}}'
    )
    await flow.answer(bench, exchange, body, cluster="west:fallback")
    assert exchange.cost_nanos == 10 * 200 + 5 * 1000


async def test_an_answer_without_usage_is_estimated_and_says_so(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench, bodies.chat("x" * 40))
    await flow.answer(bench, exchange, bodies.completion("y" * 20, usage=None))
    assert exchange.usage == Usage(exchange.expected_prompt_tokens, 5, source="estimated")


async def streamed(bench: Bench, *pieces: bytes) -> Exchange:
    """A stream of which only these pieces came; then the client left."""
    exchange, _ = await flow.ask(bench, bodies.chat("x" * 40, stream=True))
    await flow.answer_headers(bench, exchange, headers=flow.EVENTS)
    for piece in pieces:
        await bench.pipeline().response_body(exchange, piece, last=False)
    await bench.pipeline().close(exchange)
    return exchange


async def test_a_client_that_leaves_pays_at_least_for_what_came(bench: Bench) -> None:
    exchange = await streamed(bench, *(bodies.completion_event("y" * 40) for _ in range(3)))
    assert exchange.outcome == "aborted"
    prompt = exchange.expected_prompt_tokens
    assert exchange.usage == Usage(prompt, 30, source="estimated")
    assert exchange.cost_nanos == prompt * 100 + 30 * 400


async def test_a_client_that_leaves_at_the_last_moment_pays_what_was_reported(
    bench: Bench,
) -> None:
    exchange = await streamed(bench, bodies.completion_event("y" * 4), bodies.STREAM_END)
    assert exchange.usage == Usage(10, 5, source="reported")


async def test_an_early_report_is_not_the_last_word_of_a_broken_stream(bench: Bench) -> None:
    early = bodies.completion_event(
        choices=[], usage={"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    )
    exchange = await streamed(bench, early, bodies.completion_event("y" * 40))
    assert exchange.usage == Usage(9, 10, source="estimated")


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_an_error_costs_nothing(bench: Bench, status: int) -> None:
    exchange, _ = await flow.ask(bench)
    await flow.answer(bench, exchange, bodies.provider_error(), status=status)
    assert (exchange.usage, exchange.cost_nanos) == (None, 0)


async def test_a_model_without_price_is_metered_and_costs_nothing(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench, bodies.chat(model="pub-one"))
    await flow.answer(bench, exchange, bodies.completion())
    assert (exchange.usage, exchange.cost_nanos) == (Usage(10, 5), 0)
    assert exchange.price_version == ""
