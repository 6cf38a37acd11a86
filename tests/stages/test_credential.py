"""credential: the provider's secret in, the caller's out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gateway_extproc.core.verdict import Decision
from support import bodies, flow
from support.config import ANN, SECRETS
from support.parts import Bench


def sent(decision: Decision) -> dict[str, str]:
    return dict(decision.set_headers)


async def test_an_openai_provider_gets_a_bearer(bench: Bench) -> None:
    _, decision = await flow.ask(bench)
    assert sent(decision)["authorization"] == f"Bearer {SECRETS['east']}"


async def test_an_anthropic_provider_gets_its_own_header_and_not_the_callers(
    bench: Bench,
) -> None:
    _, decision = await flow.ask(bench, bodies.chat(model="large"))
    assert sent(decision)["x-api-key"] == SECRETS["west"]
    assert "authorization" in decision.remove_headers


async def test_the_callers_key_goes_nowhere(bench: Bench) -> None:
    exchange, decision = await flow.ask(bench, headers={"x-api-key": ANN})
    assert ANN not in repr(decision)
    assert "x-api-key" in decision.remove_headers
    assert ANN not in repr(exchange.permit)


async def test_without_a_secret_nothing_is_sent(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "east").unlink()
    with caplog.at_level(logging.ERROR):
        exchange, decision = await flow.ask(bench)
    assert decision.answer is not None
    assert (decision.answer.status, decision.plan, decision.body) == (503, None, None)
    assert exchange.outcome == "failed"
    assert "east" not in decision.answer.body.decode()
    assert "no credential for provider east" in caplog.text


async def test_without_a_permit_no_secret_leaves(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    exchange.permit = None
    with pytest.raises(PermissionError):
        await bench.stage("credential").request_body(exchange, b"")


async def test_no_secret_stays_in_what_is_recorded(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    await flow.answer(bench, exchange, bodies.completion())
    [recorded] = bench.recorder.exchanges
    shown = repr(recorded)
    assert not any(secret in shown for secret in SECRETS.values())
