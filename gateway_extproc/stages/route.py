"""route: who shall answer, in which order; and who did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway_extproc.config.compile import Route as ModelRoute
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Event, Exchange
from gateway_extproc.core.route import Target
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.standing import NO_STANDINGS, Standings
from gateway_extproc.core.verdict import CONTINUE, Amend, Respond, Verdict
from gateway_extproc.routing.attempts import attempts_made
from gateway_extproc.routing.candidates import by_standing, plan_targets
from gateway_extproc.stages.authorize import data_class_event

TRIES: Final = "x-stainless-retry-count"
"""How often OpenAI's or Anthropic's SDK has asked before."""


class Route(Stage):
    """``asks_again`` tells whether a later try of a client should go elsewhere first."""

    name = "route"

    def __init__(
        self,
        routes: Mapping[str, ModelRoute],
        max_attempts: int,
        cheaper_route: Callable[[Exchange], str],
        asks_again: Callable[[Exchange], bool] = lambda exchange: False,
        standings: Standings = NO_STANDINGS,
        draw: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._standings, self._draw = standings, draw
        self._routes = routes
        self._asks_again = asks_again
        self._cheaper_route = cheaper_route
        self._max_attempts = max_attempts

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        assert exchange.permit is not None
        if exchange.asked is None:
            return CONTINUE
        route = self._routes[exchange.asked.model]
        exchange.route_id = route.id
        exchange.targets = self._plan(exchange, route)
        cheaper = self._cheaper_route(exchange)
        if cheaper and exchange.targets:
            return self._switch(exchange, self._routes[cheaper])
        if not exchange.targets:
            exchange.events.append(data_class_event(exchange))
            message = f"No provider of '{route.id}' is approved for this request's data class."
            return Respond(refuse("no_eligible_target", message, param="model"))
        return CONTINUE

    def narrowed(self, exchange: Exchange, classes: frozenset[str]) -> tuple[Target, ...]:
        """The targets of the request's route that may also see data of these classes."""
        return self._plan(exchange, self._routes[exchange.route_id], classes)

    def _plan(
        self, exchange: Exchange, route: ModelRoute, classes: frozenset[str] = frozenset()
    ) -> tuple[Target, ...]:
        assert exchange.permit is not None
        route = by_standing(route, self._standings, self._draw)
        targets = plan_targets(exchange.permit, route, self._max_attempts, classes)
        tries = exchange.headers.get(TRIES, "0")
        if tries == "0" or len(targets) < 2 or not self._asks_again(exchange):
            return targets
        first = int(tries) % len(targets) if tries.isdecimal() and len(tries) < 4 else 0
        return targets[first:] + targets[:first]

    def _switch(self, exchange: Exchange, route: ModelRoute) -> Verdict:
        """A budget near its end is served by a cheaper route, if one may see the data."""
        targets = self._plan(exchange, route)
        if not targets or route.id == exchange.route_id:
            return CONTINUE
        exchange.route_id, exchange.targets = route.id, targets
        exchange.events.append(Event("spend", "threshold", "route", route.id))
        return Amend(rule=f"route:{route.id}")

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
