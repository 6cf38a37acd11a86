"""models: lists the models that this caller could use now."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from gateway_extproc.config.compile import Route
from gateway_extproc.core.endpoint import MODELS
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Answer, Respond, Verdict
from gateway_extproc.stages.record import request_id_headers


class Models(Stage):
    name = "models"

    def __init__(
        self,
        routes: Mapping[str, Route],
        usable: Callable[[Exchange, str], bool],
        servable: Callable[[Exchange, str], bool],
    ) -> None:
        self._routes, self._usable, self._servable = routes, usable, servable

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        if exchange.endpoint is not MODELS:
            return CONTINUE
        listed = [
            {"id": name, "object": "model", "created": 0, "owned_by": "gateway"}
            for name in self._routes
            if self._servable(exchange, name) and self._usable(exchange, name)
        ]
        headers = (("content-type", "application/json"), *request_id_headers(exchange))
        answer = Answer(200, headers, orjson.dumps({"object": "list", "data": listed}), "models")
        return Respond(answer=answer, rule="models")
