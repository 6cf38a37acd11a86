"""limit: how many requests are left, by user, tenant, application, endpoint, model."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime

from gateway_extproc.config.model import Limit as LimitRule
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange, LimitState
from gateway_extproc.core.ports import LimitAsk, LimitStore
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Amend, Respond, Verdict

LimitsFor = Callable[[str, str], tuple[LimitRule, ...]]


class Limit(Stage):
    name = "limit"

    def __init__(self, store: LimitStore, limits_for: LimitsFor) -> None:
        self._store = store
        self._limits_for = limits_for
        self._rules: dict[tuple[str, str], tuple[LimitRule, ...]] = {}

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        rules = self._rules_of(exchange)
        if not rules:
            return CONTINUE
        replies = await self._store.take([_ask(rule, exchange) for rule in rules])
        exchange.limits = tuple(
            LimitState(rule.id, rule.requests, r.remaining, r.reset_s, r.allowed, rule.mode)
            for rule, r in zip(rules, replies, strict=True)
        )
        refused = [
            (reply.retry_after_s, rule)
            for rule, reply in zip(rules, replies, strict=True)
            if not reply.allowed and rule.mode == "enforce"
        ]
        if not refused:
            return CONTINUE
        wait_s, rule = max(refused, key=lambda pair: pair[0])
        return Respond(
            refuse(
                "rate_limit_exceeded",
                f"Rate limit '{rule.id}' of {rule.requests} requests per {rule.window_s:g} s "
                f"reached; try again in {math.ceil(wait_s * 1000) / 1000:g} s.",
                retry_after_s=wait_s,
                rule=rule.id,
            )
        )

    async def response_headers(self, exchange: Exchange) -> Verdict:
        headers = limit_headers(exchange)
        return Amend(set_headers=headers) if headers else CONTINUE

    def _rules_of(self, exchange: Exchange) -> tuple[LimitRule, ...]:
        assert exchange.permit is not None
        assert exchange.endpoint is not None
        key = (exchange.permit.principal.tenant.id, exchange.endpoint.name)
        rules = self._rules.get(key)
        if rules is None:
            rules = self._rules[key] = self._limits_for(*key)
        return rules


def limit_headers(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    """The tightest enforced limit, under the names and in the forms that the SDKs read.

    OpenAI tells the reset as a duration, Anthropic as an RFC 3339 time.
    """
    enforced = [state for state in exchange.limits if state.mode == "enforce"]
    if not enforced:
        return ()
    tightest = min(enforced, key=lambda state: (state.remaining, -state.reset_s))
    limit, remaining = str(tightest.limit), str(tightest.remaining)
    if exchange.client_dialect == "anthropic":
        reset_s = exchange.started_wall_ns / 1e9 + tightest.reset_s
        reset = datetime.fromtimestamp(math.ceil(reset_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            ("anthropic-ratelimit-requests-limit", limit),
            ("anthropic-ratelimit-requests-remaining", remaining),
            ("anthropic-ratelimit-requests-reset", reset),
        )
    return (
        ("x-ratelimit-limit-requests", limit),
        ("x-ratelimit-remaining-requests", remaining),
        ("x-ratelimit-reset-requests", duration(tightest.reset_s)),
    )


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it: ``6ms``, ``12s``, ``1m30s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _ask(rule: LimitRule, exchange: Exchange) -> LimitAsk:
    assert exchange.permit is not None
    assert exchange.endpoint is not None
    principal = exchange.permit.principal
    values = {
        "tenant": principal.tenant.id,
        "user": f"{principal.tenant.id}/{principal.user}",
        "application": f"{principal.tenant.id}/{principal.application}",
        "endpoint": exchange.endpoint.name,
        "model": exchange.asked.model if exchange.asked else "",
    }
    key = "\x1f".join([rule.id, *(values[name] for name in rule.per)])
    return LimitAsk(
        id=rule.id,
        key=key.encode(),
        limit=rule.requests,
        window_s=rule.window_s,
        burst=rule.burst or rule.requests,
        shadow=rule.mode == "shadow",
    )
