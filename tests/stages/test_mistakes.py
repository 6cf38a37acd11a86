"""Mistaken requests that a model's section leaves to the provider, through all stages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from support import bodies, flow
from support.config import document
from support.parts import Bench, make_bench

WRONG: tuple[Any, ...] = (
    None,
    7,
    -1.5,
    True,
    "text",
    [],
    [None],
    {},
    {"a": 1},
    [[]],
    [{"role": 1}],
)
FIELDS = (
    "messages", "temperature", "max_tokens", "tools", "stream", "stop", "n", "top_p", "tool_choice",
    "response_format", "stream_options", "reasoning_effort", "modalities", "audio", "functions",
)  # fmt: skip


@pytest.fixture(params=[{}, {"prompt_tokens": 1, "too_long": "oldest_turns"}])
def lenient(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    base = document()
    base["providers"][0]["family"] = "openai"
    base["models"][0] |= {"mistakes": "provider", "cache_ttl_s": 60.0, **request.param}
    bench = make_bench(
        tmp_path, providers=base["providers"], models=base["models"],
        guards=[*base["guards"], {"id": "shape", "direction": "response", "kind": "format",
                                  "action": "block", "format": {"as_json": True}}],
    )  # fmt: skip
    yield bench
    bench.close()


async def test_wrong_values_go_on_or_are_refused_but_never_break_a_stage(lenient: Bench) -> None:
    sent = 0
    for field, value in itertools.product(FIELDS, WRONG):
        body = {**orjson.loads(bodies.chat()), "model": "small", field: value}
        exchange, decision = await flow.ask(lenient, orjson.dumps(body))
        if decision.answer is not None:
            assert decision.answer.status == 400, (field, value, decision.answer)
            continue
        assert exchange.asked is not None
        if exchange.asked.mistake is None:
            continue
        sent += 1
        assert next((s.stage, s.rule) for s, _ in exchange.trail if s.rule) == ("parse", "mistakes")
        assert [target.provider for target in exchange.targets] == ["east"]
        assert decision.plan is not None
        assert decision.plan.clusters == ("east",)
        told = bodies.provider_error("In the provider's words", code="odd_value")
        _, at_body = await flow.answer(lenient, exchange, told, status=400)
        assert at_body.answer is not None
        assert b"In the provider's words" in at_body.answer.body
    assert sent > 20 or lenient.parts.snapshot.routes["small"].prompt_tokens


async def test_a_guard_reads_a_mistaken_request(lenient: Bench) -> None:
    body = {"model": "small", "messages": [{"role": "user", "content": {"x": "forbidden zebra"}}]}
    exchange, decision = await flow.ask(lenient, orjson.dumps(body))
    assert decision.answer is not None
    assert exchange.refusal is not None
    assert exchange.refusal.reason in ("prompt_blocked", "prompt_too_long")


async def test_without_leave_the_gateway_says_what_is_wrong(bench: Bench) -> None:
    body = {**orjson.loads(bodies.chat()), "temperature": -1}
    exchange, decision = await flow.ask(bench, orjson.dumps(body))
    assert decision.answer is not None
    assert exchange.refusal is not None
    assert (decision.answer.status, exchange.refusal.reason) == (400, "invalid_request")


@pytest.mark.parametrize("endpoint", ["embeddings", "completions"])
async def test_numbers_of_tokens_go_on_with_leave_and_are_told(
    tmp_path: Path, endpoint: str
) -> None:
    base = document()
    base["models"][0] |= {"unread_tokens": "allow", "prompt_tokens": 10, "too_long": "oldest_turns"}
    base["roles"][0]["endpoints"] = ["embeddings", "completions"]
    bench = make_bench(tmp_path, models=base["models"], roles=base["roles"])
    field = {"embeddings": "input", "completions": "prompt"}[endpoint]
    for count, reason in ((1, ""), (90, "prompt_too_long")):
        body = {"model": "small", field: [7] * count}
        exchange, _ = await flow.ask(bench, orjson.dumps(body), path=f"/v1/{endpoint}")
        assert (exchange.refusal.reason if exchange.refusal else "") == reason
        assert ("parse", "unread_tokens") in [(s.stage, s.rule) for s, _ in exchange.trail]
    bench.close()
