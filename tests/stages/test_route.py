"""route: who shall answer, and who did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.verdict import Decision
from gateway_extproc.evidence.records import decision_record
from gateway_extproc.stages.route import Outside, Route
from support import bodies, config, flow
from support.config import ANN, CAT, VIC
from support.parts import Bench, make_bench


def reason(decision: Decision) -> str:
    assert decision.answer is not None
    return decision.answer.details


async def test_the_plan_follows_the_routes_order(bench: Bench) -> None:
    exchange, decision = await flow.ask(bench)
    assert [target.name for target in exchange.targets] == ["east/east-small", "west/west-small"]
    assert exchange.route_id == "small"
    assert decision.plan is not None
    assert decision.plan.clusters == ("east", "west:fallback")


async def test_data_goes_only_where_it_may(bench: Bench) -> None:
    exchange, decision = await flow.ask(bench, key=CAT)
    assert [target.name for target in exchange.targets] == ["west/west-small"]
    assert decision.plan is not None
    assert decision.plan.clusters == ("west",)
    assert decision.plan.fallback == ""


async def test_a_model_that_nobody_may_serve_is_refused(bench: Bench) -> None:
    _, decision = await flow.ask(bench, bodies.chat(model="pub-one"), key=CAT)
    assert reason(decision) == "no_eligible_target"


AGAIN = {
    "id": "json", "direction": "response", "kind": "format", "action": "block",
    "format": {"as_json": True, "retry": True},
}  # fmt: skip


@pytest.mark.parametrize(
    ("tries", "first"),
    [("0", "east"), ("1", "west"), ("2", "east"), ("x", "east"), ("-1", "east"), ("1" * 9, "east")],
)
async def test_another_try_begins_with_the_next_target_where_policy_says_so(
    tmp_path: Path, tries: str, first: str
) -> None:
    headers = {"x-stainless-retry-count": tries}
    exchange, _ = await flow.ask(make_bench(tmp_path, guards=[AGAIN]), headers=headers)
    assert exchange.targets[0].provider == first
    assert len(exchange.targets) == 2


async def test_other_retries_begin_where_the_first_one_did(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench, headers={"x-stainless-retry-count": "1"})
    assert exchange.targets[0].provider == "east"


@pytest.mark.parametrize(
    ("key", "models"),
    [
        (ANN, ["small", "large", "pub-one"]),
        (VIC, ["small", "pub-one"]),
        (CAT, ["small", "large"]),
    ],
)
async def test_models_lists_what_the_caller_may_use(
    bench: Bench, key: str, models: list[str]
) -> None:
    exchange, decision = await flow.ask(bench, b"", key=key, path="/v1/models", method="GET")
    assert decision.answer is not None
    listed = orjson.loads(decision.answer.body)
    assert listed["object"] == "list"
    assert [row["id"] for row in listed["data"]] == models
    assert exchange.outcome == "allowed"


async def test_the_list_names_no_provider(bench: Bench) -> None:
    _, decision = await flow.ask(bench, b"", path="/v1/models", method="GET")
    assert decision.answer is not None
    assert not any(word in decision.answer.body for word in (b"east", b"west"))


async def test_attempts_are_known_when_headers_come(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    exchange.attempt_count = 2
    exchange.attempt_notes = {"1": "503"}
    await flow.answer_headers(bench, exchange, cluster="west:fallback")
    assert [(a.cluster, a.status, a.outcome) for a in exchange.attempts] == [
        ("east", 503, "error"),
        ("west:fallback", 200, "ok"),
    ]


async def test_a_client_that_left_early_made_an_attempt(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    await bench.pipeline().close(exchange)
    assert [(a.cluster, a.outcome) for a in exchange.attempts] == [("east", "no_answer")]


async def test_a_request_refused_after_its_plan_made_no_attempt(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, **config.document(caps={"cost_nanos": 1}))
    exchange, decision = await flow.ask(bench)
    assert reason(decision) == "request_cost_too_high"
    await bench.pipeline().close(exchange)
    assert exchange.attempts == ()


# ------------------------------------------------------------------ rules, aliases, refusals

EAST, WEST = {"provider": "east"}, {"provider": "west"}
SMART = {
    "model": "smart",
    "targets": [{**EAST, "model": "east-smart"}, {**WEST, "model": "west-smart"}],
}


def routed(folder: Path, *rules: Mapping[str, object], **sections: object) -> Bench:
    """A worker with route rules, and a model ``smart`` beside the others."""
    base = config.document()
    models = [*base["models"], SMART, {"model": "best", "alias_of": "large"}]
    routing = {"rules": list(rules), **sections.pop("routing", {})}  # type: ignore[dict-item]
    return make_bench(folder, models=models, routing=routing, **sections)


async def first_of(bench: Bench, body: bytes | None = None, **fields: object) -> str:
    exchange, decision = await flow.ask(bench, body or bodies.chat(), **fields)  # type: ignore[arg-type]
    return exchange.targets[0].name if exchange.targets else reason(decision)


ELSEWHERE = {"targets": [{**WEST, "model": "west-other"}]}


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ('tenant == "acme" && user == "ann"', True),
        ('"developer" in roles && endpoint == "chat" && model == "small"', True),
        ('region == "eu" && !stream && !tools && !vision', True),
        ("prompt_tokens > 2 && prompt_tokens < 100 && max_tokens == 8192", True),
        ("complexity < 0.5 && language == ''", True),
        ('data_classes == ["standard"] && hour >= 0 && weekday <= 7', True),
        ("prompt_tokens > 1000", False),
        ('labels["team"] == "search"', False),
    ],
)
async def test_a_rule_holds_where_its_condition_does(
    tmp_path: Path, when: str, holds: bool
) -> None:
    bench = routed(tmp_path, {"id": "r", "when": when, **ELSEWHERE})
    exchange, _ = await flow.ask(bench, headers={"x-gateway-region": "eu"})
    assert (exchange.targets[0].name == "west/west-other") is holds
    assert exchange.plan is not None
    assert exchange.plan.rule == ("r" if holds else "")
    entries = [entry for entry in exchange.trail if entry.step.stage == "route"]
    assert (entries[-1].step.rule == "rule:r") is holds


async def test_the_first_rule_that_matches_decides(tmp_path: Path) -> None:
    bench = routed(
        tmp_path,
        {"id": "other-tenant", "tenants": ["beta"], "targets": [{**EAST, "model": "no"}]},
        {"id": "tried", "mode": "shadow", **ELSEWHERE},
        {"id": "mine", "tenants": ["acme"], "models": ["sma*"], **ELSEWHERE},
        {"id": "late", "targets": [{**EAST, "model": "never"}]},
    )
    exchange, _ = await flow.ask(bench)
    assert exchange.targets[0].name == "west/west-other"
    assert exchange.plan is not None
    assert (exchange.plan.rule, exchange.plan.shadow_rules) == ("mine", ("tried",))


async def test_a_rule_without_targets_chooses_among_the_models_own(tmp_path: Path) -> None:
    prices = {"version": "p", "models": [
        {"model": "east-smart", "prompt_nanos": 500, "completion_nanos": 500},
        {"model": "west-smart", "prompt_nanos": 50, "completion_nanos": 50},
    ]}  # fmt: skip
    cheap = {"id": "cheap", "strategy": "cost_optimized"}
    bench = routed(tmp_path, cheap, prices=prices)
    assert await first_of(bench, bodies.chat(model="smart")) == "west/west-smart"
    assert await first_of(bench, bodies.chat(model="large")) == "west/west-large"


async def test_a_rule_whose_targets_may_not_see_the_data_refuses_and_does_not_fall_through(
    tmp_path: Path,
) -> None:
    bench = routed(tmp_path, {"id": "east-only", "targets": [{**EAST, "model": "east-small"}]})
    exchange, decision = await flow.ask(bench, key=CAT)
    assert reason(decision) == "no_eligible_target"
    assert [event.kind for event in exchange.events] == ["data_class"]


async def test_an_alias_is_served_and_limited_as_the_model_that_it_stands_for(
    tmp_path: Path,
) -> None:
    limits = [{"id": "large", "per": [], "requests": 1, "models": ["large"]}]
    bench = routed(tmp_path, limits=limits)
    exchange, _ = await flow.ask(bench, bodies.chat(model="best"))
    assert exchange.targets[0].name == "west/west-large"
    assert (exchange.route_id, exchange.policy_model) == ("large", "large")
    _, decision = await flow.ask(bench, bodies.chat(model="large"))
    assert reason(decision) == "rate_limit_exceeded"


async def test_a_guard_of_a_model_watches_its_aliases_too(tmp_path: Path) -> None:
    guards = [{"id": "no-owls", "direction": "request", "kind": "pattern", "action": "block",
               "patterns": ["forbidden owl"], "routes": ["large"]}]  # fmt: skip
    bench = routed(tmp_path, guards=guards)
    for model in ("large", "best"):
        _, decision = await flow.ask(bench, bodies.chat("a forbidden owl", model=model))
        assert reason(decision) == "prompt_blocked"


async def test_a_role_is_asked_for_the_alias_itself(tmp_path: Path) -> None:
    bench = routed(tmp_path)
    _, decision = await flow.ask(bench, bodies.chat(model="best"), key=VIC)
    assert reason(decision) == "model_not_allowed"


async def test_a_roles_targets_hold_whatever_a_rule_says(tmp_path: Path) -> None:
    roles = [{"id": "developer", "targets": ["east/*"]}, {"id": "visitor"}]
    bench = routed(tmp_path, roles=roles)
    exchange, _ = await flow.ask(bench)
    assert [t.name for t in exchange.targets] == ["east/east-small"]
    assert await first_of(bench, bodies.chat(model="large")) == "target_not_allowed"


def known(**facts: object) -> dict[str, object]:
    return {"models": [{"model": name, **facts} for name in ("east-small", "west-small")]}


@pytest.mark.parametrize(
    ("facts", "body", "expected"),
    [
        ({"capabilities": ["tools"]}, bodies.chat(stream=True), "capability_not_available"),
        ({"capabilities": ["streaming"]}, bodies.chat(stream=True), "east/east-small"),
        ({"max_output_tokens": 10}, bodies.chat(max_tokens=11), "max_tokens_too_high"),
        ({"max_output_tokens": 10}, bodies.chat(), "east/east-small"),
        ({"context_tokens": 50}, bodies.chat(max_tokens=10), "east/east-small"),
        ({"context_tokens": 50}, bodies.chat("word " * 60, max_tokens=10),
         "context_length_exceeded"),
        ({"endpoints": ["messages"]}, bodies.chat(), "endpoint_not_served"),
    ],
)  # fmt: skip
async def test_what_a_model_cannot_do_is_refused_before_it_is_asked(
    tmp_path: Path, facts: dict[str, object], body: bytes, expected: str
) -> None:
    assert await first_of(routed(tmp_path, catalogue=known(**facts)), body) == expected


async def test_a_cap_that_nobody_named_is_no_more_than_the_model_gives(tmp_path: Path) -> None:
    exchange, _ = await flow.ask(routed(tmp_path, catalogue=known(max_output_tokens=77)))
    assert exchange.cap_tokens == 77


async def test_json_of_any_shape_goes_only_to_who_can_be_told(tmp_path: Path) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    bench = routed(tmp_path)
    exchange, _ = await flow.ask(bench, bodies.chat(response_format=schema))
    assert [t.name for t in exchange.targets] == ["east/east-small", "west/west-small"]
    json_mode = {"type": "json_object"}
    exchange, _ = await flow.ask(bench, bodies.chat(response_format=json_mode))
    assert [t.name for t in exchange.targets] == ["east/east-small"]
    body = bodies.chat(model="large", response_format=json_mode)
    assert await first_of(bench, body) == "unsupported_parameter"


PLACES = [
    {"id": "east", "dialect": "openai", "base_url": "http://127.0.0.1:9001/v1",
     "credential_file": "run/east", "region": "us-east"},
    {"id": "west", "dialect": "anthropic", "base_url": "https://west.example/api/v1",
     "credential_file": "run/west", "region": "eu-west", "data_classes": ["standard", "health"]},
]  # fmt: skip


async def test_a_region_is_a_wish_or_a_condition(tmp_path: Path) -> None:
    nearest = {"id": "near", "strategy": "region"}
    headers = {"x-gateway-region": "eu"}
    (tmp_path / "wish").mkdir()
    bench = routed(tmp_path / "wish", nearest, providers=PLACES)
    exchange, _ = await flow.ask(bench, headers=headers)
    assert [t.provider for t in exchange.targets] == ["west", "east"]
    strict = {"region_required": True}
    bench = routed(tmp_path, nearest, providers=PLACES, routing=strict)
    exchange, _ = await flow.ask(bench, headers=headers)
    assert [t.provider for t in exchange.targets] == ["west"]
    exchange, _ = await flow.ask(bench)
    assert [t.provider for t in exchange.targets] == ["east", "west"]
    exchange, decision = await flow.ask(bench, headers={"x-gateway-region": "ap"})
    assert reason(decision) == "region_not_available"


async def test_what_a_guard_finds_narrows_the_rules_plan_and_its_shadows(tmp_path: Path) -> None:
    guards = [{"id": "ill", "direction": "request", "kind": "pattern", "action": "route",
               "patterns": ["diagnosis"], "data_class": "health"}]  # fmt: skip
    rule = {
        "id": "both",
        "targets": [{**EAST, "model": "east-smart"}, {**WEST, "model": "west-smart"}],
        "shadow": [{**EAST, "model": "east-copy"}, {**WEST, "model": "west-copy"}],
    }
    bench = routed(tmp_path, rule, guards=guards, shadow={})
    exchange, _ = await flow.ask(bench)
    assert [t.name for t in exchange.shadow_targets] == ["east/east-copy", "west/west-copy"]
    exchange, _ = await flow.ask(bench, bodies.chat("the diagnosis"))
    assert [t.name for t in exchange.targets] == ["west/west-smart"]
    assert [t.name for t in exchange.shadow_targets] == ["west/west-copy"]


async def test_the_record_says_how_the_targets_were_chosen(tmp_path: Path) -> None:
    bench = routed(tmp_path, {"id": "r", "strategy": "quality_first"}, {"id": "s"})
    exchange, _ = await flow.ask(bench, key=CAT)
    made = decision_record(exchange, 0, version="1", worker=0, prompt_key=b"k")
    assert made["routing"] == {
        "rule": "r",
        "strategy": "quality_first",
        "targets": ["west/west-small"],
        "dropped": [{"target": "east/east-small", "cause": "data_class",
                     "why": "not approved for health"}],
    }  # fmt: skip


async def test_how_hard_a_request_is_is_worked_out_once_and_only_where_it_is_asked(
    tmp_path: Path,
) -> None:
    scored = list[str]()

    def score(request: LlmRequest) -> float:
        scored.append(request.model)
        return 0.7

    tiers = {**SMART, "model": "auto", "strategy": "complexity", "threshold": 0.6, "targets": [
        {**EAST, "model": "east-smart", "tier": "below"},
        {**WEST, "model": "west-smart", "tier": "above"},
    ]}  # fmt: skip
    rule = {"id": "hardest", "models": ["auto"], "when": "complexity > 0.9", **ELSEWHERE}
    bench = make_bench(
        tmp_path, models=[*config.document()["models"], tiers], routing={"rules": [rule]}
    )
    snapshot = bench.parts.snapshot
    stage = Route(
        snapshot.routes, 3, lambda exchange: "", snapshot.rules,
        outside=Outside(complexity=score),
    )  # fmt: skip
    stages = [stage if s.name == "route" else s for s in bench.stages]
    for model, expected in (("small", 0.0), ("auto", 0.7)):
        exchange = bench.exchange(headers={"x-api-key": ANN})
        pipeline = bench.pipeline_of(stages)
        await pipeline.request_headers(exchange)
        await pipeline.request_body(exchange, bodies.chat(model=model))
        assert exchange.complexity == expected
    assert scored == ["auto"]
    assert exchange.targets[0].name == "west/west-smart"


async def test_a_model_is_listed_where_a_rule_serves_it(tmp_path: Path) -> None:
    rule = {"id": "clinic", "tenants": ["clinic"], "models": ["pub-one"], **ELSEWHERE}
    bench = routed(tmp_path, rule)
    _, decision = await flow.ask(bench, b"", key=CAT, path="/v1/models", method="GET")
    assert decision.answer is not None
    listed = [row["id"] for row in orjson.loads(decision.answer.body)["data"]]
    assert listed == ["small", "large", "pub-one", "smart", "best"]
