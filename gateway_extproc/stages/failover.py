"""failover: which failures of this request go on to its next target, and how long it may take.

Envoy does the retrying; it is told for each request what to try again, by headers that only
its router reads and that no client can set: a client's own are removed (credential).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from gateway_extproc.config.failing import Failover as Policy
from gateway_extproc.config.failing import FailoverPolicies
from gateway_extproc.core.errors import DEADLINE, Refusal, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.names import CAUSE_HEADERS
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Amend, Header, Respond, Verdict
from gateway_extproc.routing.attempts import attempts_made

IDEMPOTENCY_KEY: Final = "idempotency-key"
NOT_SERVED: Final = frozenset({429})
"""Statuses by which a provider says that it did nothing."""

GRACE_S: Final = 0.25
"""What an attempt has beyond the whole request's deadline."""

_NO_ANSWER: Final = {
    "any": "connect-failure,refused-stream,reset,",
    # "reset" would take in connections that broke while the provider was at work.
    "unsent": "connect-failure,refused-stream,reset-before-request,",
    "never": "",
}


class Failover(Stage):
    name = "failover"

    def __init__(self, policies: FailoverPolicies, clock_ns: Callable[[], int]) -> None:
        self._policies = policies
        self._clock_ns = clock_ns
        self._headers = {
            (route, repeat): retry_headers(policy, repeat=repeat)
            for route, policy in (("", policies.general), *policies.all().items())
            for repeat in (True, False)
        }

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        request = exchange.asked
        if request is None or not exchange.targets:
            return CONTINUE
        policy = self._policies.of(exchange.route_id)
        attempt_s = policy.attempt_timeout_s
        if request.stream and policy.first_byte_timeout_s is not None:
            attempt_s = policy.first_byte_timeout_s
        limit_s = attempt_s
        total = total_s(policy, exchange.headers.get(policy.timeout_header))
        if isinstance(total, Refusal):
            return Respond(total)
        if total is not None:
            exchange.deadline_ns = exchange.started_ns + int(total * 1e9)
            left_s = (exchange.deadline_ns - self._clock_ns()) / 1e9
            if left_s <= 0:
                return Respond(DEADLINE)
            # The wire ends the request at its deadline, with a reason of its own: not Envoy.
            limit_s = min(attempt_s, left_s + GRACE_S)
        further = len(exchange.targets) - 1
        headers: tuple[Header, ...] = (
            ("x-envoy-max-retries", str(further)),
            ("x-envoy-upstream-rq-per-try-timeout-ms", str(max(1, int(limit_s * 1000)))),
        )
        if not further:
            return Amend(set_headers=headers)
        repeat = may_repeat(exchange, policy)
        own = exchange.route_id if exchange.route_id in self._policies.all() else ""
        return Amend(set_headers=(*headers, *self._headers[own, repeat]))

    async def close(self, exchange: Exchange) -> None:
        if exchange.refusal is DEADLINE and exchange.targets and not exchange.attempts:
            # Envoy told nothing of the attempts that its deadline cut short; one was made.
            exchange.attempts = attempts_made(exchange.targets, 1, {}, 0)


def total_s(policy: Policy, wish: str | None) -> float | Refusal | None:
    """How long a request may take: the policy's bound, or its client's wish if that is less."""
    if wish is None or not policy.timeout_header:
        return policy.total_timeout_s
    try:
        asked_s = float(wish)
    except ValueError:
        asked_s = math.nan
    if not 0 < asked_s < math.inf:
        message = f"{policy.timeout_header} must be a number of seconds, such as 30 or 2.5."
        return refuse("invalid_request", message, param=policy.timeout_header)
    bound = policy.total_timeout_s
    return asked_s if bound is None else min(asked_s, bound)


def may_repeat(exchange: Exchange, policy: Policy) -> bool:
    """Whether a provider may be asked although another one may have served the request."""
    assert exchange.endpoint is not None
    if exchange.endpoint.name not in policy.repeat:
        return False
    return policy.repeat_keyed or IDEMPOTENCY_KEY not in exchange.headers


def retry_headers(policy: Policy, *, repeat: bool) -> tuple[Header, ...]:
    """What Envoy's router reads; the route's own policy tries nothing again."""
    no_answer, statuses = policy.no_answer, policy.statuses
    if not repeat:
        no_answer = "never" if no_answer == "never" else "unsent"
        statuses = tuple(status for status in statuses if status in NOT_SERVED)
    retry_on = f"{_NO_ANSWER[no_answer]}retriable-status-codes"
    headers = [("x-envoy-retriable-status-codes", ",".join(str(status) for status in statuses))]
    if policy.refusals:
        retry_on += ",retriable-headers"
        names = ",".join(CAUSE_HEADERS[kind] for kind in policy.refusals)
        headers.append(("x-envoy-retriable-header-names", names))
    return (("x-envoy-retry-on", retry_on), *((name, value) for name, value in headers if value))
