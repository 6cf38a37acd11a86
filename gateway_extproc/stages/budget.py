"""budget: what a request may cost at worst, and what it did cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway_extproc.config.compile import Route
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.money import cost
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.usage import Usage, estimate_tokens
from gateway_extproc.core.verdict import CONTINUE, Respond, Verdict


class Budget(Stage):
    name = "budget"

    def __init__(self, routes: Mapping[str, Route], max_cost_nanos: int | None) -> None:
        self._routes = routes
        self._max_cost_nanos = max_cost_nanos

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        exchange.worst_case_nanos = self._worst_case_nanos(exchange, len(body))
        if self._max_cost_nanos is None or exchange.worst_case_nanos <= self._max_cost_nanos:
            return CONTINUE
        message = "This request could cost more than one request may; ask for fewer tokens."
        return Respond(refuse("request_cost_too_high", message))

    async def close(self, exchange: Exchange) -> None:
        """Settles, whoever ended the stream: a client that leaves early has used what it got."""
        target = exchange.answered_by
        if target is None or exchange.response_status != 200:
            return
        exchange.usage = final_usage(exchange)
        if target.price is not None:
            exchange.cost_nanos = cost(exchange.usage, target.price)
            exchange.price_version = target.price.version

    def _worst_case_nanos(self, exchange: Exchange, body_bytes: int) -> int:
        asked = exchange.approved
        assert asked is not None
        cap = self._routes[asked.model].max_tokens
        # A token is at least one byte of the body: no prompt has more tokens than bytes.
        worst = Usage(body_bytes, min(asked.max_tokens or cap, cap), source="estimated")
        return max(
            (cost(worst, target.price) for target in exchange.targets if target.price), default=0
        )


def final_usage(exchange: Exchange) -> Usage:
    """What the provider reported; an estimate, marked as such, for what it did not."""
    reported = exchange.reported_usage
    if reported is not None and exchange.answer_ended_well:
        return reported
    completion = estimate_tokens(exchange.answer_text_bytes)
    if reported is not None:
        # The stream broke off: the last report may be older than the last text.
        completion = max(completion, reported.completion_tokens)
        return replace(reported, completion_tokens=completion, source="estimated")
    assert exchange.approved is not None
    prompt_bytes = sum(len(at.text.encode()) for at in exchange.approved.texts)
    return Usage(estimate_tokens(prompt_bytes), completion, source="estimated")
