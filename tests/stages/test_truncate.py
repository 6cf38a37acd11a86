"""truncate: longer prompts are shortened by policy, or refused."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from support import flow
from support.parts import make_bench

TURNS = [
    {"role": role, "content": f"{role} number {i} " + "word " * 20}
    for i in range(8)
    for role in ("user", "assistant")
] + [{"role": "user", "content": "and now?"}]


def body(*extra: dict[str, str]) -> bytes:
    return orjson.dumps({"model": "small", "messages": [*extra, *TURNS], "max_tokens": 5})


async def test_the_oldest_turns_leave_and_the_client_is_told(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, caps={"prompt_tokens": 150, "too_long": "oldest_turns"})
    exchange, decision = await flow.ask(bench, body({"role": "system", "content": "Be brief."}))
    assert decision.body is not None
    sent = orjson.loads(decision.body)["messages"]
    assert sent[0] == {"role": "system", "content": "Be brief."}
    assert sent[-1] == TURNS[-1]
    assert len(sent) == 18 - exchange.dropped_messages
    assert exchange.expected_prompt_tokens <= 150
    answered = await flow.answer_headers(bench, exchange)
    header = ("x-gateway-dropped-messages", str(exchange.dropped_messages))
    assert header in answered.set_headers
    # A fallback sends the same shortened prompt.
    assert decision.plan is not None
    assert len(orjson.loads(decision.plan.fallback)["document"]["messages"]) == len(sent)


async def test_without_the_policy_it_is_refused(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, caps={"prompt_tokens": 150})
    _, decision = await flow.ask(bench, body())
    assert decision.answer is not None
    assert decision.answer.details == "prompt_too_long"
    assert ("x-should-retry", "false") in decision.answer.headers


@pytest.mark.parametrize("policy", ["refuse", "oldest_turns"])
async def test_what_cannot_be_made_to_fit_is_refused(tmp_path: Path, policy: str) -> None:
    bench = make_bench(tmp_path, caps={"prompt_tokens": 5, "too_long": policy})
    _, decision = await flow.ask(bench, body())
    assert decision.answer is not None
    assert decision.answer.details == "prompt_too_long"


async def test_a_prompt_that_fits_is_left_alone(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, caps={"prompt_tokens": 5000, "too_long": "oldest_turns"})
    exchange, decision = await flow.ask(bench, body())
    assert exchange.dropped_messages == 0
    assert decision.body is not None
    assert orjson.loads(decision.body)["messages"] == TURNS
