"""limit: counters by who and what, and what clients read of them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.verdict import Amend, Continue, Decision, Respond, Verdict
from gateway_extproc.evidence.records import cost_record
from gateway_extproc.stages.limit import headers_of
from gateway_extproc.stores.journal import Journal
from support import bodies, flow
from support.config import ANN, BOB, VIC
from support.parts import Bench, make_bench

NUMBERS = itertools.count()


def limited(folder: Path, *limits: dict[str, Any]) -> Bench:
    return make_bench(folder, limits=[{"id": f"l{i}", **limit} for i, limit in enumerate(limits)])


async def take(
    bench: Bench, key: str = ANN, path: str = "/v1/chat/completions", model: str = "small"
) -> tuple[Exchange, Verdict]:
    exchange = bench.exchange(key, path=path)
    body = bodies.chat(model=model) if "chat" in path else bodies.messages(model=model)
    await bench.stage("parse").request_body(exchange, body)
    await bench.stage("route").request_body(exchange, body)
    exchange.decision_id = f"d{next(NUMBERS)}"
    return exchange, await bench.stage("limit").request_body(exchange, body)


async def passes(bench: Bench, *args: str) -> bool:
    return isinstance((await take(bench, *args))[1], Continue)


async def test_the_wait_is_exact(tmp_path: Path) -> None:
    bench = limited(tmp_path, {"per": ["user"], "requests": 2, "window_s": 3})
    assert [await passes(bench) for _ in range(3)] == [True, True, False]
    bench.clock.advance(0.25)
    _, verdict = await take(bench)
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert (verdict.refusal.status, verdict.refusal.retry_after_s) == (429, 1.25)
    assert verdict.refusal.rule == "l0"
    bench.clock.advance(1.25)
    assert await passes(bench)


@pytest.mark.parametrize(
    ("per", "other", "apart"),
    [
        (["user"], (VIC,), True),
        (["tenant"], (VIC,), False),
        (["tenant"], (BOB,), True),
        ([], (BOB,), False),
        (["model"], (ANN, "/v1/chat/completions", "large"), True),
        (["endpoint"], (ANN, "/v1/messages"), True),
        (["user"], (ANN, "/v1/messages", "large"), False),
        (["application"], (VIC,), False),
        (["application"], (BOB,), True),
        (["user", "model"], (ANN, "/v1/chat/completions", "large"), True),
    ],
)
async def test_counters_are_apart_by_what_a_limit_names(
    tmp_path: Path, per: list[str], other: tuple[str, ...], *, apart: bool
) -> None:
    bench = limited(tmp_path, {"per": per, "requests": 1})
    assert await passes(bench)
    assert await passes(bench, *other) is apart


async def test_users_of_the_same_name_in_two_tenants_are_two(tmp_path: Path) -> None:
    bench = limited(tmp_path, {"per": ["user"], "requests": 1})
    object.__setattr__(bench.permit(BOB).principal, "user", "ann")
    assert await passes(bench, ANN)
    assert await passes(bench, BOB)


async def test_the_longest_wait_of_several_limits_is_told(tmp_path: Path) -> None:
    bench = limited(
        tmp_path,
        {"per": ["user"], "requests": 1, "window_s": 1},
        {"per": ["tenant"], "requests": 1, "window_s": 9},
    )
    await take(bench)
    _, verdict = await take(bench)
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert (verdict.refusal.rule, verdict.refusal.retry_after_s) == ("l1", 9.0)


async def test_a_shadow_limit_is_recorded_and_refuses_nobody(tmp_path: Path) -> None:
    bench = limited(tmp_path, {"per": ["user"], "requests": 1, "mode": "shadow"})
    assert await passes(bench)
    exchange, verdict = await take(bench)
    assert isinstance(verdict, Continue)
    assert [(s.allowed, s.mode) for s in exchange.limits] == [(False, "shadow")]
    assert headers_of(exchange) == ()


async def test_answers_carry_the_limits_headers(tmp_path: Path) -> None:
    bench = limited(tmp_path, {"per": ["user"], "requests": 5})
    exchange, _ = await take(bench)
    verdict = await bench.stage("limit").response_headers(exchange)
    assert isinstance(verdict, Amend)
    assert ("x-ratelimit-remaining-requests", "4") in verdict.set_headers


# ------------------------------------------------------------------ tokens and money


def budgeted(folder: Path, **budget: Any) -> Bench:
    base = {"id": "team", "per": ["tenant"], "period": "day"}
    return make_bench(folder, budgets=[{**base, **budget}])


async def ask(bench: Bench, key: str = ANN, **fields: Any) -> tuple[Exchange, Decision]:
    exchange, decision = await flow.ask(bench, bodies.chat(**fields), key=key)
    return exchange, decision


async def finish(bench: Bench, exchange: Exchange, body: bytes | None = None) -> None:
    await flow.answer(bench, exchange, bodies.completion() if body is None else body)
    await settled(bench)


async def settled(bench: Bench) -> None:
    """Lets the limiter do what it does behind the answer."""
    limiter: Any = bench.parts.limiter
    while limiter.unsettled:
        await limiter._settle_batch([limiter._pending.popleft()])


def reason(decision: Decision) -> str:
    return decision.answer.details if decision.answer is not None else ""


async def test_a_budget_of_money_holds_the_worst_case_and_settles_the_truth(
    tmp_path: Path,
) -> None:
    bench = budgeted(tmp_path, nanos=10_000_000)
    exchange, decision = await ask(bench, max_tokens=100)
    assert decision.answer is None
    (state,) = exchange.limits
    assert state.held == exchange.worst_case_nanos > 100 * 1000
    await finish(bench, exchange)
    assert exchange.settled == (exchange.cost_nanos,) == (10 * 100 + 5 * 400,)
    following, _ = await ask(bench, max_tokens=100)
    left = 10_000_000 - exchange.cost_nanos - following.worst_case_nanos
    assert following.limits[0].remaining == left


async def test_what_may_be_spoken_is_held_at_the_price_of_speech_and_settled_by_kind(
    tmp_path: Path,
) -> None:
    prices = {"version": "p1", "models": [
        {"model": model, "prompt_nanos": 100, "completion_nanos": 400,
         "audio_prompt_nanos": 4_000, "audio_completion_nanos": 9_000}
        for model in ("east-small", "west-small")
    ]}  # fmt: skip
    bench = make_bench(tmp_path, prices=prices)
    texts, _ = await flow.ask(bench, bodies.chat(max_tokens=100))
    spoken: dict[str, Any] = {
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "wav"},
    }
    exchange, decision = await flow.ask(bench, bodies.chat(max_tokens=100, **spoken))
    assert decision.answer is None
    assert texts.worst_case_nanos < 100 * 9_000 < exchange.worst_case_nanos
    usage = {"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 60,
             "completion_tokens_details": {"audio_tokens": 40}}  # fmt: skip
    await flow.answer(bench, exchange, bodies.completion(usage=usage))
    await bench.pipeline().close(exchange)
    assert exchange.cost_nanos == 10 * 100 + 10 * 400 + 40 * 9_000
    assert cost_record(exchange)["usage"]["audio_completion_tokens"] == 40


async def test_a_budget_that_is_used_up_refuses_and_says_when_it_begins_anew(
    tmp_path: Path,
) -> None:
    bench = budgeted(tmp_path, nanos=200_000)
    exchange, _ = await ask(bench, max_tokens=100)
    _, refused = await ask(bench, max_tokens=100)
    assert reason(refused) == "insufficient_quota"
    assert refused.answer is not None
    headers = dict(refused.answer.headers)
    assert refused.answer.status == 429
    assert headers["x-should-retry"] == "false"
    assert 0 < int(headers["retry-after"]) <= 86_400
    assert b"'team'" in refused.answer.body
    await finish(bench, exchange)
    _, again = await ask(bench, max_tokens=100)
    assert again.answer is None


async def test_a_request_larger_than_the_budget_is_told_so(tmp_path: Path) -> None:
    bench = budgeted(tmp_path, tokens=500)
    _, refused = await ask(bench, max_tokens=5000)
    assert reason(refused) == "request_exceeds_limit"


async def test_a_client_that_names_no_cap_gets_one_that_the_budget_affords(
    tmp_path: Path,
) -> None:
    bench = budgeted(tmp_path, tokens=2000)
    exchange, decision = await ask(bench)
    assert decision.answer is None
    assert decision.body is not None
    sent = orjson.loads(decision.body)["max_tokens"]
    assert 0 < sent == exchange.cap_tokens < 1000
    assert exchange.limits[0].held <= 1000


async def test_a_request_that_fails_at_the_provider_costs_its_budget_nothing(
    tmp_path: Path,
) -> None:
    bench = budgeted(tmp_path, tokens=2000)
    exchange, _ = await ask(bench, max_tokens=50)
    await flow.answer(bench, exchange, bodies.provider_error(), status=500)
    await settled(bench)
    assert exchange.settled == (0,)


async def test_a_client_that_leaves_before_the_answer_is_not_served_for_nothing(
    tmp_path: Path,
) -> None:
    bench = budgeted(tmp_path, tokens=2000)
    exchange, _ = await ask(bench, max_tokens=50)
    await bench.pipeline().close(exchange)
    assert exchange.outcome == "aborted"
    assert exchange.settled[0] >= exchange.expected_prompt_tokens > 0


async def test_a_request_that_the_guard_blocks_gives_its_tokens_back(tmp_path: Path) -> None:
    bench = budgeted(tmp_path, tokens=2000)
    exchange, decision = await ask(bench, text="forbidden zebra", max_tokens=50)
    assert reason(decision) == "prompt_blocked"
    await bench.pipeline().close(exchange)
    assert exchange.settled == (0,)


async def test_a_successor_would_charge_what_the_worker_itself_writes(tmp_path: Path) -> None:
    bench = budgeted(tmp_path, tokens=20_000)
    blocked, _ = await ask(bench, text="forbidden zebra", max_tokens=50)
    answered, _ = await ask(bench, max_tokens=50)
    await bench.pipeline().close(blocked)
    await flow.answer(bench, answered, bodies.completion())
    left = Journal(tmp_path / "reservations.journal").left()
    bills = {entry.opened["rid"]: entry.closed["bill"] for entry in left if entry.closed}
    for exchange in (blocked, answered):
        written = orjson.loads(orjson.dumps(cost_record(exchange)))
        assert bills[exchange.decision_id] == written
    assert bills[blocked.decision_id]["outcome"] == "REFUSED"
    assert bills[blocked.decision_id]["cost_nanos"] == 0


async def test_a_threshold_serves_by_a_cheaper_route(tmp_path: Path) -> None:
    thresholds = [{"percent": 50, "action": "route", "route": "pub-one"}]
    bench = budgeted(tmp_path, tokens=2000, thresholds=thresholds)
    first, _ = await ask(bench, max_tokens=900)
    second, _ = await ask(bench, max_tokens=300)
    assert (first.route_id, second.route_id) == ("small", "small")
    third, decision = await ask(bench, max_tokens=50)
    assert third.route_id == "pub-one"
    assert decision.answer is None
    assert [(e.category, e.action, e.subject) for e in third.events] == [
        ("spend", "route", "pub-one")
    ]


async def test_a_threshold_throttles(tmp_path: Path) -> None:
    thresholds = [{"percent": 10, "action": "throttle", "requests": 1}]
    bench = budgeted(tmp_path, tokens=100_000, thresholds=thresholds)
    outcomes = [reason((await ask(bench, max_tokens=9000))[1]) for _ in range(4)]
    assert outcomes[0] == ""
    assert outcomes[-1] == "rate_limit_exceeded"


async def test_a_threshold_is_told_once(tmp_path: Path) -> None:
    bench = budgeted(tmp_path, tokens=60, thresholds=[{"percent": 50, "action": "alert"}])
    for _ in range(3):
        exchange, decision = await ask(bench, max_tokens=1)
        assert decision.answer is None, decision.answer
        await finish(bench, exchange)
    assert [(a.budget, a.subject, a.percent, a.used) for a in bench.ledger.alerts] == [
        ("team", "acme", 50, 30)
    ]


async def test_a_budget_in_shadow_mode_refuses_nobody(tmp_path: Path) -> None:
    bench = budgeted(tmp_path, tokens=50, mode="shadow")
    exchange, decision = await ask(bench, max_tokens=500)
    assert decision.answer is None
    assert [(s.allowed, s.held) for s in exchange.limits] == [(False, 0)]


async def test_tokens_of_both_kinds_are_told_to_the_sdk(tmp_path: Path) -> None:
    bench = limited(tmp_path, {"per": ["user"], "tokens": 20_000})
    exchange, _ = await ask(bench, max_tokens=100)
    headers = dict(headers_of(exchange))
    assert headers["x-ratelimit-limit-tokens"] == "20000"
    assert 0 < int(headers["x-ratelimit-remaining-tokens"]) < 20_000


async def test_slots_are_freed_when_the_answer_is_over(tmp_path: Path) -> None:
    bench = limited(tmp_path, {"per": ["user"], "concurrency": 1})
    exchange, _ = await ask(bench)
    _, refused = await ask(bench)
    assert reason(refused) == "rate_limit_exceeded"
    await finish(bench, exchange)
    assert (await ask(bench))[1].answer is None


async def test_a_limit_of_tokens_is_asked_with_all_others_at_once(tmp_path: Path) -> None:
    bench = limited(tmp_path, {"per": ["user"], "requests": 5}, {"per": ["user"], "concurrency": 1})
    exchange, _ = await ask(bench)
    for _ in range(9):
        await ask(bench)  # refused for the slot: no request is counted
    await finish(bench, exchange)
    last, _ = await ask(bench)
    assert last.limits[0].remaining == 3
