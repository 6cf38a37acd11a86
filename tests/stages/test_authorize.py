"""authorize: which endpoints and models a caller's roles allow."""

from __future__ import annotations

import pytest

from gateway_extproc.core.verdict import Continue, Respond
from support import bodies
from support.config import ANN, VIC
from support.parts import Bench


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
