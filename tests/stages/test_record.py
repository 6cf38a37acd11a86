"""record: every request leaves exactly one record, also one that was refused at once."""

from __future__ import annotations

import pytest

from support import bodies, flow
from support.parts import Bench


async def test_the_exchange_is_opened_with_id_revision_and_trace(bench: Bench) -> None:
    exchange, decision = await flow.ask(bench, headers={"x-request-id": "of-envoy"})
    assert len(exchange.decision_id) == 32
    assert exchange.request_id == "of-envoy"
    assert exchange.revision == bench.parts.snapshot.revision
    assert exchange.trace is not None
    assert decision.answer is None


async def test_without_a_request_id_the_decisions_id_stands_for_it(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    assert exchange.request_id == exchange.decision_id


async def test_the_trace_goes_on(bench: Bench) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    exchange = bench.exchange(headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
    decision = await bench.pipeline().request_headers(exchange)
    verdict = await bench.stage("record").request_headers(exchange)
    assert decision.answer is not None
    [(name, value)] = verdict.set_headers
    assert (name, value[3:35]) == ("traceparent", trace_id)
    assert "b7ad6b7169203331" not in value


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/v1/chat/completions", {"x-request-id"}),
        ("/v1/messages", {"x-request-id", "request-id"}),
    ],
)
async def test_a_refusal_carries_the_id_its_sdk_reads(
    bench: Bench, path: str, names: set[str]
) -> None:
    exchange, decision = await flow.ask(bench, b"{", path=path, headers={"x-request-id": "r-7"})
    assert decision.answer is not None
    ids = {name for name, value in decision.answer.headers if value == "r-7"}
    assert ids == names
    assert exchange.outcome == "refused"


async def test_refused_aborted_and_answered_requests_leave_one_record_each(bench: Bench) -> None:
    refused, _ = await flow.ask(bench, key="nonsense")
    await bench.pipeline().close(refused)
    aborted, _ = await flow.ask(bench)
    await bench.pipeline().close(aborted)
    answered, _ = await flow.ask(bench)
    await flow.answer(bench, answered, bodies.completion())
    assert [e.outcome for e in bench.recorder.exchanges] == ["refused", "aborted", "allowed"]
    assert bench.parts.load.in_flight == 0


async def test_nothing_passes_while_nothing_can_be_recorded(bench: Bench) -> None:
    bench.recorder.accepting = False
    exchange, decision = await flow.ask(bench)
    assert decision.answer is not None
    assert decision.answer.status == 503
    assert exchange.refusal is not None
    assert exchange.refusal.reason == "evidence_unavailable"
    assert [entry.step.stage for entry in exchange.trail] == ["record"]
    await bench.pipeline().close(exchange)
    assert bench.recorder.exchanges == [exchange]
