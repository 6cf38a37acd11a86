"""Exchanges as they stand when the record stage closes."""

from __future__ import annotations

from gateway_extproc.core.access import Grant
from gateway_extproc.core.cached import CacheNote
from gateway_extproc.core.chat import LlmRequest, TextAt
from gateway_extproc.core.endpoint import CHAT
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Event, Exchange, Finding, LimitState, TraceContext
from gateway_extproc.core.identity import Permit, Principal, Tenant
from gateway_extproc.core.planning import Choice, Drop, Plan, Policy, Query
from gateway_extproc.core.route import Attempt, Target
from gateway_extproc.core.usage import Usage
from gateway_extproc.core.verdict import TrailEntry, trail_step
from gateway_extproc.evidence.records import MAX_DROPPED

PROMPT = "planted-prompt-4711 my card is 4111 1111 1111 1111"
CREDENTIAL = "aigw_live_planted-credential"
PROVIDER_SECRET = "sk-planted-provider-secret"
PLANTED = (PROMPT, "4111", "planted-prompt", CREDENTIAL, PROVIDER_SECRET, "planted-header")

STARTED_NS = 5_000_000_000
STARTED_WALL_NS = 1_767_323_045_123_456_789
ENDED_NS = STARTED_NS + 1_234_567_890

STAGES = ("record", "admit", "identify", "authorize", "parse", "limit", "guard", "route")


def trace() -> TraceContext:
    return TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7")


def full() -> Exchange:
    """Everything that can be known of a request is known of this one."""
    principal = Principal(
        Tenant("acme"), "ann", "portal", ("chatter",), "api_key", "k1a2b3c4", (("team", "search"),)
    )
    target = Target("east", "openai", "gpt-x-1", "east", "east-fb", "/v1")
    exchange = Exchange(
        "POST",
        "/v1/chat/completions?api-key=planted-header",
        {"authorization": f"Bearer {CREDENTIAL}", "x-odd": "planted-header"},
    )
    exchange.response_status = 200
    exchange.response_headers = {"x-provider": PROVIDER_SECRET}
    exchange.response_ended = True
    exchange.request_body_bytes, exchange.response_body_bytes = 900, 1500
    exchange.delivered_bytes = 1400
    exchange.response_details = "via_upstream"
    exchange.decision_id, exchange.request_id = "d-1", "r-1"
    exchange.endpoint, exchange.trace = CHAT, trace()
    exchange.started_ns, exchange.started_wall_ns = STARTED_NS, STARTED_WALL_NS
    exchange.first_byte_ns = STARTED_NS + 250_000_000
    exchange.admitted = True
    exchange.permit = Permit(principal, (), frozenset({"standard"}))
    exchange.grant = Grant("chatter", "base")
    exchange.events = [Event("abuse", "volume", "alert", "k1a2b3c4", "sudden-volume")]
    exchange.asked = LlmRequest(
        "openai", "chat", "gpt-x", True, 100, False, {"messages": [PROMPT]},
        (TextAt(("messages", 0, "content"), "user", PROMPT),),
    )  # fmt: skip
    exchange.limits = (
        LimitState("team", 60, 12, 30.5, True, "enforce", "tokens", budget=True, held=300),
    )
    exchange.settled = (200,)
    exchange.scannable_chars, exchange.scanned_chars = 40, 30
    exchange.findings = [
        Finding("cards", "card", "request", "redact", "enforce", "messages.0.content", 31, 50, 0.9)
    ]
    exchange.route_id = "gpt-x"
    exchange.targets = (target,)
    query = Query("chat", "openai", frozenset({"standard"}))
    policy = Policy("rule:canary", (Choice(target),))
    west = Target("west", "openai", "gpt-x-1", "west", "west-fb", "/v1")
    dropped = (Drop(west, "data_class", "not approved for health"),) * (MAX_DROPPED + 2)
    exchange.plan = Plan((target,), policy, query, dropped, (west,), "canary", ("later",))
    exchange.complexity = 0.4
    exchange.attempts = (
        Attempt("west/gpt-x-1", "west", 503, "failed"),
        Attempt("east/gpt-x-1", "east-fb", 200, "answered"),
    )
    exchange.answered_by = target
    exchange.worst_case_nanos, exchange.dropped_messages = 900_000, 2
    exchange.usage = Usage(120, 80, 20, 10, "reported", 5)
    exchange.cost_nanos, exchange.price_version = 456_000, "2026-01"
    exchange.provider_request_id = "req-9"
    exchange.response_model, exchange.stop_reason = "gpt-x-1-0101", "stop"
    exchange.cache_hit, exchange.saved_nanos = True, 7_000
    exchange.cache = CacheNote(
        "hit", "asked", "semantic", 0.93, age_s=1.5, saved=Usage(110, 70, 20, 10, "reported")
    )
    exchange.trail = [
        TrailEntry(trail_step(stage, phase, "continue", ""), 7)
        for phase in ("request_headers", "request_body", "response_headers")
        for stage in STAGES
    ]
    exchange.trail.append(TrailEntry(trail_step("guard", "request_body", "amend", "cards"), 11))
    exchange.outcome, exchange.streaming = "allowed", True
    exchange.revision = "rev-7"
    exchange.degraded, exchange.failed_open = ("redis",), True
    return exchange


def refused_early() -> Exchange:
    """Nobody was recognised; the body was never read."""
    exchange = Exchange("POST", "/v1/chat/completions", {"authorization": f"Bearer {CREDENTIAL}"})
    exchange.decision_id, exchange.endpoint = "d-2", CHAT
    exchange.started_ns, exchange.started_wall_ns = STARTED_NS, STARTED_WALL_NS
    exchange.trail = [
        TrailEntry(trail_step("identify", "request_headers", "refuse", "invalid_api_key"), 9)
    ]
    exchange.refusal = refuse("invalid_api_key", f"Not a key: {PROMPT}")
    exchange.outcome = "refused"
    return exchange
