"""cache: the same answer to the same question of the same tenant, and to nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.verdict import Decision
from support import bodies, config, flow
from support.config import ANN, BOB, CAT, VIC
from support.parts import Bench, make_bench


def caching_bench(tmp_path: Path, **more: Any) -> Bench:
    sections = config.document(**more)
    for model in sections["models"]:
        model["cache_ttl_s"] = 60
    sections["providers"][0]["data_classes"] = ["standard", "health"]
    return make_bench(tmp_path, **sections)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return caching_bench(tmp_path)


async def asked(bench: Bench, body: bytes | None = None, **more: str) -> tuple[Exchange, Decision]:
    headers = {"cache-control": more.pop("control")} if "control" in more else {}
    return await flow.ask(bench, body, headers=headers, **more)


async def stored(bench: Bench, body: bytes | None = None, **more: str) -> None:
    exchange, _ = await asked(bench, body, **more)
    await flow.answer(bench, exchange, bodies.completion())


async def hits(bench: Bench, body: bytes | None = None, **more: str) -> bool:
    exchange, decision = await asked(bench, body, **more)
    assert (decision.answer is not None) is exchange.cache_hit
    return exchange.cache_hit


async def test_an_identical_question_is_answered_at_once(bench: Bench) -> None:
    assert not await hits(bench)
    await stored(bench)
    exchange, decision = await asked(bench)
    assert decision.answer is not None
    assert (decision.answer.status, decision.answer.body) == (200, bodies.completion())
    assert dict(decision.answer.headers)["x-gateway-cache"] == "hit"
    assert exchange.outcome == "allowed"


async def test_the_order_of_keys_does_not_matter(bench: Bench) -> None:
    await stored(bench, b'{"model":"small","messages":[{"role":"user","content":"a"}]}')
    assert await hits(bench, b'{"messages":[{"content":"a","role":"user"}],"model":"small"}')


async def test_an_answer_ends_with_its_time(bench: Bench) -> None:
    await stored(bench)
    bench.clock.advance(60)
    assert not await hits(bench)


@pytest.mark.parametrize(
    "body",
    [
        bodies.chat("Hello!"),
        bodies.chat(temperature=0.5),
        bodies.chat(model="pub-one"),
        bodies.chat(user="somebody"),
    ],
)
async def test_another_question_is_another_question(bench: Bench, body: bytes) -> None:
    await stored(bench)
    assert not await hits(bench, body)


async def test_no_answer_reaches_who_has_tighter_rules(tmp_path: Path) -> None:
    rule = {"id": "r", "direction": "response", "kind": "pattern", "action": "block",
            "patterns": ["Hello"], "keys": [VIC.split("_")[2]]}  # fmt: skip
    bench = caching_bench(tmp_path, guards=[rule])
    await stored(bench, key=ANN)
    assert await hits(bench, key=ANN)
    assert not await hits(bench, key=VIC)


async def test_no_answer_crosses_tenants(bench: Bench) -> None:
    await stored(bench, key=ANN)
    assert not await hits(bench, key=BOB)
    assert await hits(bench, key=VIC)


async def test_no_answer_outlives_its_policy(bench: Bench) -> None:
    await stored(bench)
    other = replace(bench.parts.snapshot, revision="other")
    stages = {"cache": bench.parts.answers.cache(other)}
    bench.stages = [stages.get(stage.name, stage) for stage in bench.stages]
    assert not await hits(bench)


@pytest.mark.parametrize("control", ["no-cache", "No-Cache", "max-age=0, no-cache"])
async def test_a_client_may_ask_for_a_fresh_answer(bench: Bench, control: str) -> None:
    await stored(bench)
    assert not await hits(bench, control=control)
    assert await hits(bench)


@pytest.mark.parametrize("control", ["no-store", "NO-STORE", "no-cache, no-store"])
async def test_a_client_may_ask_that_nothing_is_stored(bench: Bench, control: str) -> None:
    await stored(bench, control=control)
    assert not await hits(bench)


async def test_what_a_guard_found_in_the_prompt_is_not_stored(bench: Bench) -> None:
    prompt = bodies.chat("write to jane@example.org")
    await stored(bench, prompt)
    assert not await hits(bench, prompt)
    assert not await hits(bench, bodies.chat("write to [EMAIL]"))


async def test_what_a_guard_found_in_the_answer_is_not_stored(bench: Bench) -> None:
    exchange, _ = await asked(bench)
    await flow.answer(bench, exchange, bodies.completion("ask jane@example.org"))
    assert not await hits(bench)


async def test_streams_are_neither_stored_nor_answered_from_the_cache(bench: Bench) -> None:
    await stored(bench)
    streamed = bodies.chat(stream=True)
    exchange, _ = await asked(bench, streamed)
    await flow.answer(
        bench, exchange, bodies.completion_event("Hi") + bodies.STREAM_END, headers=flow.EVENTS
    )
    assert exchange.outcome == "allowed"
    assert not await hits(bench, streamed)


async def test_a_special_data_class_is_not_stored(bench: Bench) -> None:
    await stored(bench, key=CAT)
    assert not await hits(bench, key=CAT)


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_an_error_is_not_stored(bench: Bench, status: int) -> None:
    exchange, _ = await asked(bench)
    await flow.answer(bench, exchange, bodies.provider_error(), status=status)
    assert not await hits(bench)


async def test_an_answer_that_did_not_arrive_is_not_stored(bench: Bench) -> None:
    exchange, _ = await asked(bench)
    await flow.answer_headers(bench, exchange)
    await bench.pipeline().close(exchange)
    assert not await hits(bench)


async def test_a_route_without_a_time_keeps_nothing(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    await stored(bench)
    assert not await hits(bench)


async def test_a_hit_saves_what_the_stored_answer_cost(bench: Bench) -> None:
    exchange, _ = await asked(bench)
    await flow.answer(bench, exchange, bodies.completion())
    assert exchange.cost_nanos == 10 * 100 + 5 * 400
    hit, _ = await asked(bench)
    await bench.pipeline().close(hit)
    assert (hit.saved_nanos, hit.cost_nanos, hit.usage) == (exchange.cost_nanos, 0, None)
