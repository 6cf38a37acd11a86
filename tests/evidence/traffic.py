"""Invented traffic, written by the recorder itself: exchanges of every outcome, some twice."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway_extproc.core.access import Grant
from gateway_extproc.core.chat import LlmRequest, TextAt
from gateway_extproc.core.endpoint import CHAT
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Exchange, Finding, LimitState, TraceContext
from gateway_extproc.core.guarding import Action
from gateway_extproc.core.identity import Permit, Principal, Tenant
from gateway_extproc.core.money import Price
from gateway_extproc.core.route import Attempt, Target
from gateway_extproc.core.usage import Usage
from gateway_extproc.core.verdict import TrailEntry, trail_step
from gateway_extproc.evidence.metrics import KnownLabels
from gateway_extproc.evidence.recorder import EvidenceRecorder, open_evidence

SECOND_NS = 1_000_000_000
START_NS = 1_790_000_000 * SECOND_NS
"""A morning in September 2026."""

TENANTS = ("acme", "beta", "clinic")
MODELS = ("small", "large")
PRICES = {"small": Price(100, 400, 50, "p1"), "large": Price(3_000, 15_000, None, "p1")}
TARGETS = {
    model: Target(
        provider, "openai", f"{provider}-{model}", provider, f"{provider}:fallback", "/v1",
        price=PRICES[model],
    )
    for model, provider in (("small", "east"), ("large", "west"))
}  # fmt: skip


def recorder(folder: Path, worker: int = 0) -> EvidenceRecorder:
    """The sinks of one worker, in a folder of the test."""
    return open_evidence(
        folder / "evidence", folder / "metrics", version="1", worker=worker, prompt_key=b"k",
        known=KnownLabels(),
    )  # fmt: skip


def exchange(
    number: int,
    *,
    tenant: str = "acme",
    user: str = "ann",
    application: str = "portal",
    model: str = "small",
    usage: Usage | None = None,
    refusal: Refusal | None = None,
    outcome: str = "allowed",
    at_s: float | None = None,
    labels: tuple[tuple[str, str], ...] = (),
    findings: tuple[Finding, ...] = (),
    limits: tuple[LimitState, ...] = (),
    roles: tuple[str, ...] = ("developer",),
    key: str = "k1",
) -> Exchange:
    """One request as it stands when it is over; number tells requests apart, and when they came."""
    made = Exchange("POST", CHAT.path, {})
    made.decision_id, made.request_id = f"d{number:09d}", f"r{number:09d}"
    made.endpoint, made.client_dialect = CHAT, "openai"
    made.trace = TraceContext(f"{number:032x}", f"{number:016x}")
    made.started_ns = SECOND_NS
    made.started_wall_ns = START_NS + int((number * 10 if at_s is None else at_s) * SECOND_NS)
    principal = Principal(Tenant(tenant), user, application, roles, "api_key", key, labels)
    made.permit = Permit(principal, (), frozenset({"standard"}))
    made.grant = Grant("developer", "base")
    made.asked = LlmRequest(
        "openai", "chat", model, False, None, False, {},
        (TextAt(("messages", 0, "content"), "user", "invented"),),
    )  # fmt: skip
    made.request_body_bytes = 120
    target = TARGETS.get(model, TARGETS["small"])
    made.route_id, made.targets = model, (target,)
    made.findings, made.limits = list(findings), limits
    made.refusal, made.outcome = refusal, outcome  # type: ignore[assignment]
    made.revision = "rev-1"
    made.trail = [TrailEntry(trail_step("authorize", "request_body", "continue", ""), 5)]
    if refusal is not None:
        made.trail.append(
            TrailEntry(trail_step("guard", "request_body", "refuse", refusal.rule or ""), 9)
        )
        return made
    made.attempts = (Attempt(target.name, target.cluster, 200, "ok"),)
    made.answered_by, made.response_status = target, 200
    made.usage = usage or Usage(10, 5)
    price = PRICES.get(model, PRICES["small"])
    made.cost_nanos = (
        made.usage.prompt_tokens * price.prompt_nanos
        + made.usage.completion_tokens * price.completion_nanos
    )
    if price.cached_nanos is not None:
        made.cost_nanos -= made.usage.cached_tokens * (price.prompt_nanos - price.cached_nanos)
    made.price_version = price.version
    return made


def ended_ns(number: int) -> int:
    """When a request was over, on the clock of ``started_ns``."""
    return SECOND_NS + 1_000_000 * (50 + number % 400)


def mixed(count: int, seed: int = 1) -> Iterator[Exchange]:
    """So many requests of all kinds."""
    dice = random.Random(seed)
    for number in range(count):
        tenant = dice.choice(TENANTS)
        common = {
            "tenant": tenant,
            "user": f"u{dice.randrange(40)}",
            "application": dice.choice(("portal", "batch")),
            "model": dice.choice(MODELS),
            "labels": (("team", dice.choice(("search", "ads"))),) if dice.random() < 0.7 else (),
        }
        lot = dice.random()
        if lot < 0.1:
            yield exchange(number, refusal=blocked("no-zebras"), outcome="refused",
                           findings=(finding("no-zebras", "pattern", "block"),), **common)  # type: ignore[arg-type]  # fmt: skip
        elif lot < 0.15:
            made = exchange(number, **common)  # type: ignore[arg-type]
            made.usage, made.cost_nanos, made.price_version = None, 0, ""
            made.cache_hit, made.saved_nanos = True, dice.randrange(1, 10**9)
            made.answered_by, made.attempts = None, ()
            yield made
        else:
            prompt = dice.randrange(1, 200_000)
            usage = Usage(prompt, dice.randrange(0, 8000), dice.randrange(0, prompt))
            outcome = "aborted" if lot < 0.2 else "allowed"
            yield exchange(number, usage=usage, outcome=outcome, **common)  # type: ignore[arg-type]


def blocked(rule: str) -> Refusal:
    return refuse("prompt_blocked", "No.", rule=rule)


def finding(
    rule: str, kind: str = "pattern", action: Action = "block", *, mode: str = "enforce",
    score: float = 1.0,
) -> Finding:  # fmt: skip
    return Finding(rule, kind, "request", action, mode, "messages[0].content", 0, 5, score)  # type: ignore[arg-type]


def fresh(one: Exchange, decision_id: str) -> Exchange:
    """The same request under another id."""
    return replace(one, decision_id=decision_id)


def records_in(path: Path) -> list[dict[str, Any]]:
    """The records of one file, by the rule for every reader: what has a decision's id is one."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if "decision_id" in line]
