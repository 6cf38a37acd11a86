"""Stages that do one thing, to see how the pipeline treats it."""

from __future__ import annotations

from collections.abc import Callable

from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Answer, Verdict

Act = Callable[[], Verdict]


def make_stage(
    stage_name: str, calls: list[str], *, does: Act = lambda: CONTINUE, closes: Act | None = None
) -> Stage:
    """A stage that notes each call as ``name.phase`` and then does ``does``."""

    class Noted(Stage):
        name = stage_name

        async def request_headers(self, exchange: Exchange) -> Verdict:
            calls.append(f"{stage_name}.request_headers")
            return does()

        async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
            calls.append(f"{stage_name}.request_body")
            return does()

        async def response_headers(self, exchange: Exchange) -> Verdict:
            calls.append(f"{stage_name}.response_headers")
            return does()

        async def response_body(self, exchange: Exchange, body: bytes, *, last: bool) -> Verdict:
            calls.append(f"{stage_name}.response_body")
            return does()

        async def close(self, exchange: Exchange) -> None:
            calls.append(f"{stage_name}.close")
            if closes is not None:
                closes()

    return Noted()


def plain_refusal(exchange: Exchange, refusal: Refusal) -> Answer:
    """Refusals of tests that do not care for a dialect."""
    return Answer(refusal.status, (), refusal.reason.encode(), refusal.reason)
