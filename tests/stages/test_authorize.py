"""authorize: which endpoints and models a caller's roles allow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.verdict import Continue, Respond
from support import bodies
from support.config import ANN, CAT, VIC, api_key, key_entry
from support.parts import Bench, make_bench


@pytest.mark.parametrize(
    ("key", "path", "allowed"),
    [
        (ANN, "/v1/messages", True),
        (VIC, "/v1/chat/completions", True),
        (VIC, "/v1/models", True),
        (VIC, "/v1/messages", False),
    ],
)
async def test_endpoints_by_role(bench: Bench, key: str, path: str, *, allowed: bool) -> None:
    verdict = await bench.stage("authorize").request_headers(bench.exchange(key, path=path))
    assert isinstance(verdict, Continue) is allowed
    if isinstance(verdict, Respond):
        assert verdict.refusal is not None
        assert verdict.refusal.reason == "endpoint_not_allowed"


@pytest.mark.parametrize(
    ("key", "model", "reason"),
    [
        (ANN, "large", None),
        (VIC, "small", None),
        (VIC, "pub-one", None),
        (VIC, "large", "model_not_allowed"),
        (VIC, "pub-none", "model_not_found"),
        (ANN, "SMALL", "model_not_found"),
        (ANN, "east-small", "model_not_found"),
    ],
)
async def test_models_by_role(bench: Bench, key: str, model: str, reason: str | None) -> None:
    exchange = bench.exchange(key)
    await bench.stage("parse").request_body(exchange, bodies.chat(model=model))
    verdict = await bench.stage("authorize").request_body(exchange, b"")
    assert isinstance(verdict, Respond) is (reason is not None)
    if isinstance(verdict, Respond):
        assert verdict.refusal is not None
        assert (verdict.refusal.reason, verdict.refusal.param) == (reason, "model")


async def test_without_a_permit_nothing_is_decided(bench: Bench) -> None:
    with pytest.raises(AssertionError):
        await bench.stage("authorize").request_headers(bench.exchange())


async def test_a_long_model_name_is_not_repeated_whole(bench: Bench) -> None:
    exchange = bench.exchange(ANN)
    await bench.stage("parse").request_body(exchange, bodies.chat(model="m" * 5000))
    verdict = await bench.stage("authorize").request_body(exchange, b"")
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert len(verdict.refusal.message) < 200


# --------------------------------------------------------- grants, conditions, classes


ROLES = [
    {
        "id": "developer",
        "endpoints": ["models"],
        "rules": [
            {"id": "small", "endpoints": ["chat"], "models": ["small"]},
            {
                "id": "night",
                "endpoints": ["chat"],
                "models": ["large"],
                "when": "user == 'nobody'",
            },
            {"id": "health", "endpoints": ["messages"], "data_classes": ["health"]},
        ],
    },
    {"id": "visitor", "endpoints": ["models"]},
]


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[Bench]:
    bench = make_bench(tmp_path, roles=ROLES)
    yield bench
    bench.close()


async def decided(
    bench: Bench, key: str, model: str, path: str = "/v1/chat/completions"
) -> Exchange:
    exchange = bench.exchange(key, path=path)
    body = bodies.messages(model=model) if path == "/v1/messages" else bodies.chat(model=model)
    await bench.stage("parse").request_body(exchange, body)
    verdict = await bench.stage("authorize").request_body(exchange, b"")
    exchange.refusal = verdict.refusal if isinstance(verdict, Respond) else None
    return exchange


async def test_the_grant_that_allowed_it_is_kept(ruled: Bench) -> None:
    exchange = await decided(ruled, ANN, "small")
    assert exchange.grant is not None
    assert (exchange.grant.role, exchange.grant.rule) == ("developer", "small")


@pytest.mark.parametrize(
    ("key", "model", "path", "reason", "rule"),
    [
        (ANN, "pub-one", "/v1/chat/completions", "model_not_allowed", None),
        (ANN, "large", "/v1/chat/completions", "condition_not_met", "developer/night"),
        (ANN, "small", "/v1/messages", "data_class_not_allowed", None),
        (CAT, "small", "/v1/messages", None, None),
    ],
)
async def test_each_part_of_a_grant_refuses_with_its_own_reason(
    ruled: Bench, key: str, model: str, path: str, reason: str | None, rule: str | None
) -> None:
    exchange = await decided(ruled, key, model, path)
    refusal = exchange.refusal
    assert (refusal.reason if refusal else None) == reason
    assert (refusal.rule if refusal else None) == rule
    governed = [event.category for event in exchange.events]
    assert governed == (["governance"] if reason == "data_class_not_allowed" else [])


@pytest.mark.parametrize(
    ("narrowed", "reason"),
    [
        ({"endpoints": ["models"]}, "endpoint_not_allowed"),
        ({"models": ["large"]}, "model_not_allowed"),
        ({"models": ["small"], "endpoints": ["chat"]}, None),
    ],
)
async def test_a_key_is_narrower_than_its_roles(
    tmp_path: Path, narrowed: dict[str, Any], reason: str | None
) -> None:
    key = api_key("narrow01")
    bench = make_bench(tmp_path, keys=[key_entry(key, "acme", "ann", "developer", **narrowed)])
    exchange = bench.exchange(key)
    verdict = await bench.stage("authorize").request_headers(exchange)
    if isinstance(verdict, Continue):
        exchange = await decided(bench, key, "small")
        found = exchange.refusal.reason if exchange.refusal else None
    else:
        found = verdict.refusal.reason
    assert found == reason
    bench.close()


@pytest.mark.parametrize(
    ("key", "models"), [(ANN, {"small"}), (VIC, set()), (CAT, {"small", "large"})]
)
async def test_the_models_of_a_caller_are_those_that_it_could_use_now(
    ruled: Bench, key: str, models: set[str]
) -> None:
    exchange = ruled.exchange(key, path="/v1/models", method="GET")
    verdict = await ruled.stage("models").request_body(exchange, b"")
    assert isinstance(verdict, Respond)
    assert verdict.answer is not None
    assert {model["id"] for model in json.loads(verdict.answer.body)["data"]} == models
