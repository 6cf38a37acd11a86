"""A whole request through all stages, without the wire."""

from __future__ import annotations

from typing import Any

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.verdict import Decision
from support import bodies
from support.config import ANN
from support.parts import Bench

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}


async def ask(
    bench: Bench,
    body: bytes | None = None,
    *,
    key: str = ANN,
    path: str = "/v1/chat/completions",
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> tuple[Exchange, Decision]:
    """A request's decision: at its headers if it is refused there, else at its body."""
    exchange = bench.exchange(
        path=path, method=method, headers={"authorization": f"Bearer {key}", **(headers or {})}
    )
    pipeline = bench.pipeline()
    decision = await pipeline.request_headers(exchange)
    if decision.answer is None:
        decision = await pipeline.request_body(exchange, bodies.chat() if body is None else body)
    if decision.answer is not None:
        exchange.answer_status = decision.answer.status
    return exchange, decision


async def answer_headers(
    bench: Bench,
    exchange: Exchange,
    *,
    status: int = 200,
    headers: dict[str, str] = JSON,
    cluster: str | None = None,
    only: bool = False,
) -> Decision:
    """What is decided at the headers of an answer; of the first target by default."""
    exchange.response_status = status
    exchange.response_headers = {":status": str(status), **headers}
    exchange.response_cluster = exchange.targets[0].cluster if cluster is None else cluster
    if exchange.response_cluster.endswith(":fallback"):
        exchange.attempt_count = max(exchange.attempt_count, 2)
    exchange.response_headers_only = only
    exchange.response_details = (
        "via_upstream" if exchange.response_cluster else "no_healthy_upstream"
    )
    return await bench.pipeline().response_headers(exchange)


async def answer(
    bench: Bench, exchange: Exchange, body: bytes, **headers: Any
) -> tuple[Decision, Decision]:
    """A whole answer: what is decided at its headers and at its body; then the close."""
    at_headers = await answer_headers(bench, exchange, **headers)
    at_body = await bench.pipeline().response_body(exchange, body, last=True)
    exchange.response_ended = True
    await bench.pipeline().close(exchange)
    await bench.parts.answers.errands.done()
    return at_headers, at_body
