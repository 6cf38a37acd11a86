"""authorize: does one grant of this principal's roles allow all of this request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from gateway_extproc.config.compile import Route
from gateway_extproc.core.access import Denial, DenialReason, Facts, Grant, find_grant
from gateway_extproc.core.endpoint import ENDPOINTS
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Event, Exchange
from gateway_extproc.core.identity import Permit
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Respond, Verdict

MESSAGES: Final[dict[DenialReason, str]] = {
    "endpoint_not_allowed": "Your roles do not allow the endpoint '{endpoint}'.",
    "model_not_allowed": "Your roles do not allow the model '{model}'.",
    "data_class_not_allowed": "Your roles do not allow data of this class.",
    "condition_not_met": "A condition of your roles does not hold for this request.",
}


class Authorize(Stage):
    name = "authorize"

    def __init__(self, routes: Mapping[str, Route], now_s: Callable[[], float]) -> None:
        self._routes = routes
        self._now_s = now_s

    async def request_headers(self, exchange: Exchange) -> Verdict:
        refusal = judge_endpoint(*_context(exchange))
        return CONTINUE if refusal is None else Respond(refusal)

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        permit, endpoint = _context(exchange)
        model = None if exchange.asked is None else exchange.asked.model
        grant = judge_access(permit, endpoint, model, self._routes, self._facts(exchange, model))
        if isinstance(grant, Refusal):
            if grant.reason == "data_class_not_allowed":
                exchange.events.append(data_class_event(exchange))
            return Respond(grant)
        exchange.grant = grant
        exchange.model = "" if model is None else self._routes[model].id
        return CONTINUE

    def may(self, exchange: Exchange, endpoint: str, model: str) -> Grant | Refusal:
        """The grant for a request inside of another one, such as a line of a batch."""
        permit, _ = _context(exchange)
        refusal = judge_endpoint(permit, endpoint)
        if refusal is not None:
            return refusal
        facts = self._facts(exchange, model, endpoint)
        return judge_access(permit, endpoint, model, self._routes, facts)

    def usable(self, exchange: Exchange, model: str) -> bool:
        """Whether the principal may use this model anywhere, as things stand now."""
        permit, _ = _context(exchange)
        return any(
            isinstance(
                find_access(
                    permit,
                    endpoint.name,
                    model,
                    self._routes,
                    self._facts(exchange, model, endpoint.name),
                ),
                Grant,
            )
            for endpoint in ENDPOINTS
            if endpoint.has_body and (not permit.endpoints or endpoint.name in permit.endpoints)
        )

    def _facts(
        self, exchange: Exchange, model: str | None, endpoint: str = ""
    ) -> Callable[[], Facts]:
        permit, asked = _context(exchange)
        source = exchange.source
        return lambda: request_facts(permit, endpoint or asked, model, source, self._now_s())


def judge_endpoint(permit: Permit, endpoint: str) -> Refusal | None:
    """What can be told before the body is there: whether any grant allows the endpoint."""
    allowed = not permit.endpoints or endpoint in permit.endpoints
    if not allowed or all(endpoint not in grant.endpoints for grant in permit.grants):
        return _refusal(Denial("endpoint_not_allowed"), endpoint, "")
    return None


def judge_access(
    permit: Permit,
    endpoint: str,
    model: str | None,
    routes: Mapping[str, Route],
    facts: Callable[[], Facts],
) -> Grant | Refusal:
    """The grant that allows a request, or why there is none; no model where none is asked for."""
    if model is not None and model not in routes:
        message = f"The model '{model[:128]}' does not exist."
        return refuse("model_not_found", message, param="model")
    grant = find_access(permit, endpoint, model, routes, facts)
    return grant if isinstance(grant, Grant) else _refusal(grant, endpoint, model or "")


def find_access(
    permit: Permit,
    endpoint: str,
    model: str | None,
    routes: Mapping[str, Route],
    facts: Callable[[], Facts],
) -> Grant | Denial:
    """The grant that allows a model that there is, or how far the nearest one came."""
    if model is not None and not permit.may_use_model(model):
        return Denial("model_not_allowed")
    route = None if model is None else routes[model].id
    return find_grant(permit.grants, endpoint, model, route, permit.data_classes, facts)


def request_facts(
    permit: Permit, endpoint: str, model: str | None, source: str, now_s: float
) -> Facts:
    """What conditions may ask about; the names are those of docs/configuration.md."""
    principal = permit.principal
    now = datetime.fromtimestamp(now_s, UTC)
    return {
        "tenant": principal.tenant.id,
        "user": principal.user,
        "application": principal.application,
        "roles": list(principal.roles),
        "method": principal.method,
        "labels": dict(principal.labels),
        "data_classes": sorted(permit.data_classes),
        "endpoint": endpoint,
        "model": model or "",
        "source": source,
        "hour": now.hour,
        "weekday": now.isoweekday(),
    }


def data_class_event(exchange: Exchange) -> Event:
    """Data was kept from where its class must not go."""
    assert exchange.permit is not None
    classes = ",".join(sorted(exchange.permit.data_classes))
    return Event("governance", "data_class", "refuse", classes, exchange.route_id)


def _context(exchange: Exchange) -> tuple[Permit, str]:
    assert exchange.permit is not None
    assert exchange.endpoint is not None
    return exchange.permit, exchange.endpoint.name


def _refusal(denial: Denial, endpoint: str, model: str) -> Refusal:
    return refuse(
        denial.reason,
        MESSAGES[denial.reason].format(endpoint=endpoint, model=model),
        param="model" if denial.reason == "model_not_allowed" else None,
        rule=denial.rule or None,
    )
