"""CPU of a route decision: ``make bench-plan``.

The route stage alone, in this process, with 1,000 rules over 200 targets; CPU is process time.  A
decision is all of ``request_body``: needs, rule, query, filters, strategy, plan.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from gateway_extproc.config.compile import Snapshot
from gateway_extproc.core.endpoint import CHAT
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Permit, Principal, Tenant
from gateway_extproc.core.planning import STRATEGIES
from gateway_extproc.core.standing import Standing
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.routing.draws import Draws
from gateway_extproc.stages.route import Outside, Route, Wishes
from gateway_extproc.supervisor.worker import tune_process
from support.config import make_snapshot
from support.parts import chat_exchange
from support.plans import Stands

TARGET_US: Final = 30.0
RULES: Final = 1000
TENANTS: Final = 100
PROVIDERS, MODELS_EACH = 50, 4
MODELS: Final = 20
DECISIONS: Final = 200
"""In one round: less than a time slice, so that others on the machine disturb few rounds."""
ROUNDS: Final = 40


def main() -> int:
    tune_process()
    print(f"yardstick: an empty loop of 1,000 {yardstick_us():.1f} us")
    mixed = stage(make_snapshot(**sections(rules())))
    figure = decision_us(mixed, exchanges("model-3"))
    print(f"{RULES} rules, {PROVIDERS * MODELS_EACH} targets: {figure:5.1f} us a decision, "
          f"at most {TARGET_US:.0f}")  # fmt: skip
    for when in ("", 'labels["team"] == "search"'):
        one = [{"id": "one", "when": when, **chosen("priority", 4, 0)}]
        figure = decision_us(stage(make_snapshot(**sections(one))), exchanges("model-3"))
        print(f"one rule, condition {when or 'none':28} {figure:5.1f} us")
    for strategy in STRATEGIES:
        for count in (4, 200):
            one = [{"id": "one", **chosen(strategy, count, 0)}]
            made = stage(make_snapshot(**sections(one)))
            figure = decision_us(made, exchanges("model-3"))
            print(f"{strategy:15} among {count:3} targets {figure:7.1f} us")
    return 0


def yardstick_us() -> float:
    """How fast this machine is just now."""
    best = float("inf")
    for _ in range(50):
        began = time.process_time()
        for _ in range(1000):
            pass
        best = min(best, (time.process_time() - began) * 1e6)
    return best


def sections(route_rules: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A large installation, without what the stage does not look at."""
    names = [f"p{n}" for n in range(PROVIDERS)]
    known = [
        {"model": f"m{n}", "quality": n / MODELS_EACH, "context_tokens": 128_000,
         "capabilities": ["tools", "streaming"],
         "price": {"prompt_nanos": 100 * (n + 1), "completion_nanos": 400 * (n + 1)}}
        for n in range(MODELS_EACH)
    ]  # fmt: skip
    return {
        "tenants": [{"id": f"t{n}"} for n in range(TENANTS)],
        "keys": [], "limits": [], "guards": [], "prices": {},
        "providers": [
            {"id": name, "dialect": "openai", "base_url": f"http://127.0.0.1:{9100 + n}/v1",
             "credential_file": f"run/{name}", "region": "eu-west" if n % 2 else "us-east"}
            for n, name in enumerate(names)
        ],
        "models": [
            {"model": f"model-{n}", "targets": [{"provider": f"p{n}", "model": "m0"}]}
            for n in range(MODELS)
        ],
        "catalogue": {"version": "bench", "models": known},
        "routing": {"rules": list(route_rules)},
    }  # fmt: skip


def rules() -> list[dict[str, Any]]:
    """Rules as installations have them: most by tenant and model, some by condition, too."""
    made = []
    for n in range(RULES):
        how = chosen(("priority", "weighted", "cost_optimized", "score")[n // TENANTS % 4], 4, n)
        team = ("care", "search")[n // TENANTS % 2]
        when = f'labels["team"] == "{team}" && !stream' if n // TENANTS % 5 == 0 else ""
        scope = {"tenants": [f"t{n % TENANTS}"], "endpoints": ["chat"]}
        if n // TENANTS % 3:
            scope["models"] = [f"model-{3 + n % 7 % 2}", f"model-{n % MODELS}"]
        made.append({"id": f"r{n}", "when": when, **scope, **how})
    return made


def chosen(strategy: str, count: int, shift: int) -> dict[str, Any]:
    """A strategy over so many of the targets."""
    every = [(f"p{(n + shift) % PROVIDERS}", f"m{n // PROVIDERS}") for n in range(count)]
    tiers: dict[str, Any] = {"tier": "below"} if strategy == "complexity" else {}
    targets = [{"provider": p, "model": m, "weight": 1 + n % 3, **tiers}
               for n, (p, m) in enumerate(every)]  # fmt: skip
    if tiers:
        targets[0]["tier"] = "above"
    sticky = "user" if strategy == "weighted" else "none"
    return {"strategy": strategy, "sticky": sticky, "targets": targets}


def stage(snapshot: Snapshot) -> Route:
    """The stage with some targets that are slow or out."""
    stands = Stands(
        p1=Standing(p50_ms=300, p95_ms=900), p2=Standing(share=0.0, why="circuit open"),
        p3=Standing(share=0.5, why="slow", p50_ms=2000, p95_ms=9000),
    )  # fmt: skip
    wishes = Wishes("x-gateway-region", "region", "eu-west", False, "x-conversation-id")
    outside = Outside(
        standings=stands, usual_tokens=lambda exchange, cap: min(cap, 300), draws=Draws(),
        now_s=time.time,
    )  # fmt: skip
    return Route(snapshot.routes, 3, lambda exchange: "", snapshot.rules, wishes, outside)


def exchanges(model: str) -> list[Exchange]:
    """A kilobyte of chat from every tenant in turn, read once."""
    text = "How is the harvest in the northern valleys this year? " * 18
    document = {"model": model, "messages": [{"role": "user", "content": text}]}
    asked = DIALECTS["openai"].read_request("chat", document)
    made = []
    for n in range(DECISIONS):
        principal = Principal(
            Tenant(f"t{n % TENANTS}"), f"user-{n}", "app", ("developer",), "api_key", "k",
            (("team", "search"),),
        )  # fmt: skip
        exchange = chat_exchange()
        exchange.endpoint = CHAT
        exchange.permit = Permit(principal, (), frozenset({"standard"}))
        exchange.asked, exchange.asked_body = asked, b"x" * 1100
        made.append(exchange)
    return made


def decision_us(made: Route, batch: Sequence[Exchange]) -> float:
    """CPU of one decision in microseconds, mean of the best of some rounds."""

    async def run() -> float:
        best = float("inf")
        for _ in range(ROUNDS + 1):  # the first fills what is remembered
            began = time.process_time()
            for exchange in batch:
                await made.request_body(exchange, b"")
            best = min(best, (time.process_time() - began) / len(batch) * 1e6)
        return best

    figure = asyncio.run(run())
    assert all(exchange.targets for exchange in batch)
    return figure


if __name__ == "__main__":
    sys.exit(main())
