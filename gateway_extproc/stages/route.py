"""route: who shall answer, in which order; and who did."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from gateway_extproc.config.compile import Route as ModelRoute
from gateway_extproc.core.endpoint import MODELS
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Permit
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Answer, Respond, Verdict
from gateway_extproc.routing.attempts import attempts_made
from gateway_extproc.routing.candidates import plan_targets
from gateway_extproc.stages.authorize import data_class_event
from gateway_extproc.stages.record import request_id_headers


class Route(Stage):
    name = "route"

    def __init__(
        self,
        routes: Mapping[str, ModelRoute],
        max_attempts: int,
        usable: Callable[[Exchange, str], bool],
    ) -> None:
        self._routes = routes
        self._usable = usable
        self._max_attempts = max_attempts

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        assert exchange.permit is not None
        if exchange.endpoint is MODELS:
            return Respond(answer=self._models(exchange, exchange.permit), rule="models")
        assert exchange.approved is not None
        route = self._routes[exchange.approved.model]
        exchange.route_id = route.id
        exchange.targets = plan_targets(exchange.permit, route, self._max_attempts)
        if not exchange.targets:
            exchange.events.append(data_class_event(exchange))
            message = f"No provider of '{route.id}' is approved for this request's data class."
            return Respond(refuse("no_eligible_target", message, param="model"))
        return CONTINUE

    async def response_headers(self, exchange: Exchange) -> Verdict:
        self._observe(exchange)
        return CONTINUE

    async def close(self, exchange: Exchange) -> None:
        # A request that a later stage refused was never sent anywhere.
        if exchange.targets and not exchange.attempts and not exchange.answer_status:
            self._observe(exchange)

    def _observe(self, exchange: Exchange) -> None:
        exchange.attempts = attempts_made(
            exchange.targets,
            exchange.attempt_count,
            exchange.attempt_notes,
            exchange.response_status if exchange.answered_by else 0,
        )

    def _models(self, exchange: Exchange, permit: Permit) -> Answer:
        listed = [
            {"id": name, "object": "model", "created": 0, "owned_by": "gateway"}
            for name, route in self._routes.items()
            if plan_targets(permit, route, 1) and self._usable(exchange, name)
        ]
        headers = (("content-type", "application/json"), *request_id_headers(exchange))
        body = orjson.dumps({"object": "list", "data": listed})
        return Answer(200, headers, body, "models")
