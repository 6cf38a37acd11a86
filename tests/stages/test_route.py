"""route: who shall answer, and who did."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from gateway_extproc.core.verdict import Decision
from support import bodies, config, flow
from support.config import ANN, CAT, VIC
from support.parts import Bench, make_bench


def reason(decision: Decision) -> str:
    assert decision.answer is not None
    return decision.answer.details


async def test_the_plan_follows_the_routes_order(bench: Bench) -> None:
    exchange, decision = await flow.ask(bench)
    assert [target.name for target in exchange.targets] == ["east/east-small", "west/west-small"]
    assert exchange.route_id == "small"
    assert decision.plan is not None
    assert decision.plan.clusters == ("east", "west:fallback")


async def test_data_goes_only_where_it_may(bench: Bench) -> None:
    exchange, decision = await flow.ask(bench, key=CAT)
    assert [target.name for target in exchange.targets] == ["west/west-small"]
    assert decision.plan is not None
    assert decision.plan.clusters == ("west",)
    assert decision.plan.fallback == ""


async def test_a_model_that_nobody_may_serve_is_refused(bench: Bench) -> None:
    _, decision = await flow.ask(bench, bodies.chat(model="pub-one"), key=CAT)
    assert reason(decision) == "no_eligible_target"


AGAIN = {
    "id": "json", "direction": "response", "kind": "format", "action": "block",
    "format": {"as_json": True, "retry": True},
}  # fmt: skip


@pytest.mark.parametrize(
    ("tries", "first"),
    [("0", "east"), ("1", "west"), ("2", "east"), ("x", "east"), ("-1", "east"), ("1" * 9, "east")],
)
async def test_another_try_begins_with_the_next_target_where_policy_says_so(
    tmp_path: Path, tries: str, first: str
) -> None:
    headers = {"x-stainless-retry-count": tries}
    exchange, _ = await flow.ask(make_bench(tmp_path, guards=[AGAIN]), headers=headers)
    assert exchange.targets[0].provider == first
    assert len(exchange.targets) == 2


async def test_other_retries_begin_where_the_first_one_did(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench, headers={"x-stainless-retry-count": "1"})
    assert exchange.targets[0].provider == "east"


@pytest.mark.parametrize(
    ("key", "models"),
    [
        (ANN, ["small", "large", "pub-one"]),
        (VIC, ["small", "pub-one"]),
        (CAT, ["small", "large"]),
    ],
)
async def test_models_lists_what_the_caller_may_use(
    bench: Bench, key: str, models: list[str]
) -> None:
    exchange, decision = await flow.ask(bench, b"", key=key, path="/v1/models", method="GET")
    assert decision.answer is not None
    listed = orjson.loads(decision.answer.body)
    assert listed["object"] == "list"
    assert [row["id"] for row in listed["data"]] == models
    assert exchange.outcome == "allowed"


async def test_the_list_names_no_provider(bench: Bench) -> None:
    _, decision = await flow.ask(bench, b"", path="/v1/models", method="GET")
    assert decision.answer is not None
    assert not any(word in decision.answer.body for word in (b"east", b"west"))


async def test_attempts_are_known_when_headers_come(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    exchange.attempt_count = 2
    exchange.attempt_notes = {"1": "503"}
    await flow.answer_headers(bench, exchange, cluster="west:fallback")
    assert [(a.cluster, a.status, a.outcome) for a in exchange.attempts] == [
        ("east", 503, "error"),
        ("west:fallback", 200, "ok"),
    ]


async def test_a_client_that_left_early_made_an_attempt(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    await bench.pipeline().close(exchange)
    assert [(a.cluster, a.outcome) for a in exchange.attempts] == [("east", "no_answer")]


async def test_a_request_refused_after_its_plan_made_no_attempt(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, **config.document(caps={"cost_nanos": 1}))
    exchange, decision = await flow.ask(bench)
    assert reason(decision) == "request_cost_too_high"
    await bench.pipeline().close(exchange)
    assert exchange.attempts == ()
