"""route: who shall answer, in which order; and who did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from gateway_extproc.config.compile import Route as ModelRoute
from gateway_extproc.core.access import Grant, match_all
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.endpoint import ENDPOINTS, Endpoint
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.exchange import Event, Exchange
from gateway_extproc.core.planning import Plan, Policy, Query, RouteRule
from gateway_extproc.core.route import Target
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.standing import NO_STANDINGS, Standings
from gateway_extproc.core.verdict import CONTINUE, Amend, Respond, Verdict
from gateway_extproc.limits.estimate import estimate
from gateway_extproc.routing.attempts import attempts_made
from gateway_extproc.routing.draws import Draw, Draws
from gateway_extproc.routing.facts import Asking, fact_of, needs_json_mode, needs_same_dialect
from gateway_extproc.routing.filters import refusal_of
from gateway_extproc.routing.needs import needs_of
from gateway_extproc.routing.planner import Candidate, Planner
from gateway_extproc.routing.rules import Match, RuleIndex
from gateway_extproc.stages.authorize import data_class_event

TRIES: Final = "x-stainless-retry-count"
"""How often OpenAI's or Anthropic's SDK has asked before."""


CARRIED_BYTES: Final = 4 * 1024 * 1024
"""The largest form that is kept for a further attempt."""


class Wishes(NamedTuple):
    """Where a request says what it would like."""

    region_header: str = ""
    region_label: str = ""
    home_region: str = ""
    region_required: bool = False
    conversation_header: str = ""


NO_WISHES: Final = Wishes()


def _never(exchange: Exchange) -> bool:
    return False


def _simple(request: LlmRequest) -> float:
    return 0.0


def _unknown(request: LlmRequest) -> str:
    return ""


def _all_of_it(exchange: Exchange, cap_tokens: int) -> int:
    return cap_tokens


class Outside(NamedTuple):
    """What the stage is told by others; each default knows nothing.

    ``asks_again`` tells whether a later try of a client should go elsewhere first;
    ``usual_tokens`` how long answers usually are, of a caller and under a cap; ``draws`` gives
    the numbers by which shares are kept.
    """

    standings: Standings = NO_STANDINGS
    asks_again: Callable[[Exchange], bool] = _never
    usual_tokens: Callable[[Exchange, int], int] = _all_of_it
    complexity: Callable[[LlmRequest], float] = _simple
    language: Callable[[LlmRequest], str] = _unknown
    now_s: Callable[[], float] = lambda: 0.0
    draws: Callable[[], Draw] | None = None


NOBODY: Final = Outside()


def _counter(route: ModelRoute) -> Callable[[LlmRequest], int]:
    """Estimates a prompt; one that is too long by policy will be shortened before it is sent."""
    most = route.prompt_tokens if route.too_long == "oldest_turns" else None
    if most is None:
        return count_tokens
    return lambda request: min(most, count_tokens(request))


def _cap_of(asked: LlmRequest, route: ModelRoute) -> int:
    """Tokens of one answer at most; 0 where no model writes one."""
    if not asked.completions:
        return 0
    return min(asked.max_tokens or route.max_tokens, route.max_tokens)


def may_go_on(exchange: Exchange) -> bool:
    """Whether a request can be made again for a further target.

    Envoy carries it there as metadata, a form with its file as base64: large files are sent once.
    """
    form = exchange.endpoint is not None and exchange.endpoint.form
    return not form or len(exchange.asked_body) <= CARRIED_BYTES


def count_tokens(request: LlmRequest) -> int:
    """Tokens of a prompt, estimated for no model in particular."""
    return estimate(request, "").expected


class Route(Stage):
    """Plans by the first route rule that holds, else by the policy of the model asked for."""

    name = "route"

    def __init__(
        self,
        routes: Mapping[str, ModelRoute],
        max_attempts: int,
        cheaper_route: Callable[[Exchange], str],
        rules: Iterable[RouteRule] = (),
        wishes: Wishes = NO_WISHES,
        outside: Outside = NOBODY,
    ) -> None:
        self._routes, self._cheaper_route = routes, cheaper_route
        self._rules, self._wishes, self._outside = RuleIndex(rules), wishes, outside
        self._planner = Planner(outside.standings, max_attempts)
        self._draws = outside.draws or Draws()

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        assert exchange.permit is not None
        if exchange.asked is None:
            return CONTINUE
        route = self._routes[exchange.asked.model]
        exchange.route_id = route.id
        draw = self._draws()
        self._take(exchange, self._plan(exchange, route, draw))
        cheaper = self._cheaper_route(exchange)
        if cheaper and exchange.targets:
            return self._switch(exchange, self._routes[cheaper], draw)
        if exchange.targets:
            return self._taken_by(exchange)
        assert exchange.plan is not None
        if any(drop.cause == "data_class" for drop in exchange.plan.dropped):
            exchange.events.append(data_class_event(exchange))
        return Respond(refusal_of(exchange.plan, route.id))

    def targets_for(
        self, exchange: Exchange, asked: LlmRequest, endpoint: Endpoint, grant: Grant
    ) -> tuple[Target, ...] | Refusal:
        """Who would answer a request inside of another one, such as a line of a batch."""
        as_its_own = replace(exchange, asked=asked, endpoint=endpoint, grant=grant)
        plan = self._plan(as_its_own, self._routes[asked.model], self._draws())
        return plan.targets or refusal_of(plan, asked.model)

    def narrowed(self, exchange: Exchange, classes: frozenset[str]) -> tuple[Target, ...]:
        """The targets of the request's plan that may also see data of these classes."""
        plan = exchange.plan
        assert plan is not None
        query = plan.query._replace(classes=plan.query.classes | classes)
        self._take(exchange, self._planner.plan(plan.policy, query, plan.rule, plan.shadow_rules))
        return exchange.targets

    def candidates(self, exchange: Exchange) -> list[Candidate]:
        """Every target that was looked at, with what a strategy sees of it; for who asks why."""
        plan, asked = exchange.plan, exchange.asked
        if plan is None or asked is None:
            return []
        # Costs are told, too, where the strategy did not have to know them.
        query = plan.query._replace(
            prompt_tokens=plan.query.prompt_tokens or count_tokens(asked),
            expected_tokens=self._outside.usual_tokens(exchange, plan.query.cap_tokens),
        )
        return self._planner.explain(replace(plan, query=query))

    def servable(self, exchange: Exchange, model: str) -> bool:
        """Whether some target, of a rule or of the model's own, may see this caller's data."""
        permit = exchange.permit
        assert permit is not None
        route = self._routes[model]
        policies = [route.own_policy] + [
            rule.policies[route.id]
            for endpoint in ENDPOINTS
            for rule in self._rules.candidates(permit.principal.tenant.id, endpoint.name, route.id)
            if rule.mode == "enforce"
        ]
        return any(
            permit.data_classes <= choice.target.data_classes
            for policy in policies
            for choice in policy.choices
        )

    # ------------------------------------------------------------------------- planning

    def _plan(self, exchange: Exchange, route: ModelRoute, draw: Draw) -> Plan:
        asking = self._asking(exchange, route)
        found = self._find_rule(exchange, route.id, asking)
        policy = route.own_policy if found.rule is None else found.rule.policies[route.id]
        query = self._query(exchange, asking, policy, draw)
        rule = "" if found.rule is None else found.rule.id
        return self._planner.plan(policy, query, rule, found.shadows)

    def _asking(self, exchange: Exchange, route: ModelRoute) -> Asking:
        assert exchange.asked is not None
        asked = exchange.asked
        return Asking(
            asked, route.id, len(exchange.asked_body), needs_of(asked), self._region(exchange),
            _cap_of(asked, route), _counter(route),
        )  # fmt: skip

    def _find_rule(self, exchange: Exchange, model: str, asking: Asking) -> Match:
        permit, endpoint = exchange.permit, exchange.endpoint
        assert permit is not None
        assert endpoint is not None

        def find_fact(name: str) -> Any:
            if name == "complexity":
                return self._complexity(exchange)
            if name == "language":
                return self._outside.language(asking.request)
            return fact_of(name, asking, permit, exchange.source, self._outside.now_s())

        return self._rules.find(permit.principal.tenant.id, endpoint.name, model, find_fact)

    def _query(self, exchange: Exchange, asking: Asking, policy: Policy, draw: Draw) -> Query:
        permit, endpoint, grant = exchange.permit, exchange.endpoint, exchange.grant
        assert permit is not None
        assert endpoint is not None
        principal = permit.principal
        tokens = asking.tokens_for(policy)
        usual = self._outside.usual_tokens
        sticky = policy.sticky
        return Query(
            endpoint.name,
            asking.request.dialect,
            permit.data_classes,
            asking.needs,
            needs_same_dialect(asking),
            needs_json_mode(asking),
            asking.region or self._wishes.home_region,
            self._wishes.region_required and bool(asking.region),
            tokens,
            asking.cap_tokens,
            asking.request.max_tokens is not None,
            usual(exchange, asking.cap_tokens) if policy.weighs_cost else 0,
            self._complexity(exchange) if policy.strategy == "complexity" else 0.0,
            draw.share,
            draw.choice,
            f"{principal.tenant.id}\0{principal.user}" if sticky == "user" else "",
            self._conversation(exchange) if sticky == "conversation" else "",
            "" if grant is None else f"{grant.role}/{grant.rule}",
            match_all if grant is None else grant.may_use_target,
        )

    def _complexity(self, exchange: Exchange) -> float:
        """The request's score, worked out once and only where something asks for it."""
        assert exchange.asked is not None
        if not exchange.complexity:
            exchange.complexity = self._outside.complexity(exchange.asked)
        return exchange.complexity

    def _region(self, exchange: Exchange) -> str:
        assert exchange.permit is not None
        wishes = self._wishes
        asked = exchange.headers.get(wishes.region_header, "")
        if asked:
            return asked.strip()
        for name, value in exchange.permit.principal.labels:
            if name == wishes.region_label:
                return value
        return ""

    def _conversation(self, exchange: Exchange) -> str:
        """Callers with the same name for a conversation have conversations of their own."""
        assert exchange.permit is not None
        called = exchange.headers.get(self._wishes.conversation_header, "")
        principal = exchange.permit.principal
        return f"{principal.tenant.id}\0{principal.user}\0{called}" if called else ""

    # ------------------------------------------------------------------------- taking

    def _take(self, exchange: Exchange, plan: Plan) -> None:
        exchange.plan, exchange.shadow_targets = plan, plan.shadows
        targets = plan.targets
        tries = exchange.headers.get(TRIES, "0")
        if tries != "0" and len(targets) > 1 and self._outside.asks_again(exchange):
            first = int(tries) % len(targets) if tries.isdecimal() and len(tries) < 4 else 0
            targets = targets[first:] + targets[:first]
        exchange.targets = targets if may_go_on(exchange) else targets[:1]

    @staticmethod
    def _taken_by(exchange: Exchange) -> Verdict:
        assert exchange.plan is not None
        rule = exchange.plan.rule
        return Amend(rule=f"rule:{rule}") if rule else CONTINUE

    def _switch(self, exchange: Exchange, route: ModelRoute, draw: Draw) -> Verdict:
        """A budget near its end is served by a cheaper route, if one may see the data."""
        if route.id == exchange.route_id:
            return self._taken_by(exchange)
        plan = self._plan(exchange, route, draw)
        if not plan.targets:
            return self._taken_by(exchange)
        exchange.route_id = route.id
        self._take(exchange, plan)
        exchange.events.append(Event("spend", "threshold", "route", route.id))
        return Amend(rule=f"route:{route.id}")

    # ------------------------------------------------------------------------- afterwards

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
