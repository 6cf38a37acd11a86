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
        permit, endpoint = _context(exchange)
        allowed = not permit.endpoints or endpoint in permit.endpoints
        if not allowed or all(endpoint not in grant.endpoints for grant in permit.grants):
            return Respond(_refusal(Denial("endpoint_not_allowed"), endpoint, ""))
        return CONTINUE

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        _, endpoint = _context(exchange)
        model = None if exchange.asked is None else exchange.asked.model
        if model is not None and model not in self._routes:
            message = f"The model '{model[:128]}' does not exist."
            return Respond(refuse("model_not_found", message, param="model"))
        grant = self._decide(exchange, endpoint, model)
        if isinstance(grant, Denial):
            if grant.reason == "data_class_not_allowed":
                exchange.events.append(data_class_event(exchange))
            return Respond(_refusal(grant, endpoint, model or ""))
        exchange.grant = grant
        return CONTINUE

    def usable(self, exchange: Exchange, model: str) -> bool:
        """Whether the principal may use this model anywhere, as things stand now."""
        permit, _ = _context(exchange)
        return any(
            isinstance(self._decide(exchange, endpoint.name, model), Grant)
            for endpoint in ENDPOINTS
            if endpoint.has_body and (not permit.endpoints or endpoint.name in permit.endpoints)
        )

    def _decide(self, exchange: Exchange, endpoint: str, model: str | None) -> Grant | Denial:
        permit, _ = _context(exchange)
        if model is not None and not permit.may_use_model(model):
            return Denial("model_not_allowed")
        return find_grant(
            permit.grants,
            endpoint,
            model,
            None if model is None else self._routes[model].id,
            permit.data_classes,
            lambda: request_facts(exchange, permit, endpoint, model, self._now_s()),
        )


def request_facts(
    exchange: Exchange, permit: Permit, endpoint: str, model: str | None, now_s: float
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
        "source": exchange.source,
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
