"""authorize: may this principal use this endpoint and this model."""

from __future__ import annotations

from collections.abc import Container

from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Respond, Verdict


class Authorize(Stage):
    name = "authorize"

    def __init__(self, models: Container[str]) -> None:
        self._models = models

    async def request_headers(self, exchange: Exchange) -> Verdict:
        assert exchange.permit is not None
        assert exchange.endpoint is not None
        if exchange.endpoint.name not in exchange.permit.endpoints:
            message = f"Your roles do not allow the endpoint '{exchange.endpoint.name}'."
            return Respond(refuse("endpoint_not_allowed", message))
        return CONTINUE

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        if exchange.asked is None:
            return CONTINUE
        assert exchange.permit is not None
        model = exchange.asked.model
        if model not in self._models:
            message = f"The model '{model[:128]}' does not exist."
            return Respond(refuse("model_not_found", message, param="model"))
        if not exchange.permit.may_use_model(model):
            message = f"Your roles do not allow the model '{model}'."
            return Respond(refuse("model_not_allowed", message, param="model"))
        return CONTINUE
