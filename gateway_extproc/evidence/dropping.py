"""Which decision records policy does not keep; pure.

Only a request in which nothing happened can be left out: allowed, no finding, no event, nothing
degraded.  Its cost is kept all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from gateway_extproc.config.evidencing import DropRule, EvidenceScope
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.evidence.records import sent_status


def find_drop(rules: Sequence[DropRule], exchange: Exchange) -> DropRule | None:
    """The first rule that fits, if the draw then says that the record is not kept."""
    if not rules or not uneventful(exchange):
        return None
    tenant, route = tenant_of(exchange), route_of(exchange)
    endpoint = exchange.endpoint.name if exchange.endpoint is not None else ""
    for rule in rules:
        if (
            concerns(rule, tenant, route)
            and (not rule.endpoints or endpoint in rule.endpoints)
            and (not rule.statuses or sent_status(exchange) in rule.statuses)
        ):
            return None if draw(exchange.decision_id, rule.id) < rule.keep else rule
    return None


def uneventful(exchange: Exchange) -> bool:
    """Whether nobody could ask later what happened there."""
    return (
        exchange.outcome == "allowed"
        and exchange.refusal is None
        and not exchange.findings
        and not exchange.events
        and not exchange.degraded
        and not exchange.failed_open
        and all(state.allowed for state in exchange.limits)
    )


def concerns(scope: EvidenceScope, tenant: str, route: str) -> bool:
    """Whether all lists that stand there name the request."""
    return (not scope.tenants or tenant in scope.tenants) and (
        not scope.routes or route in scope.routes
    )


def draw(decision_id: str, rule: str) -> float:
    """A number in [0, 1) that is the same whenever it is asked."""
    return crc32(f"{rule}:{decision_id}".encode()) / (1 << 32)


def tenant_of(exchange: Exchange) -> str:
    """The tenant's id; empty when nobody was recognised."""
    return exchange.permit.principal.tenant.id if exchange.permit is not None else ""


def route_of(exchange: Exchange) -> str:
    """The route, which is named by the model asked for; empty when the body was not read."""
    return exchange.route_id or (exchange.asked.model if exchange.asked is not None else "")
