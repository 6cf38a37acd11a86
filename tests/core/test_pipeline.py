"""The pipeline: order, merging, and that nothing passes because something broke."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from gateway_extproc.core.errors import RequestError, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.pipeline import Pipeline
from gateway_extproc.core.stage import Stage, overrides
from gateway_extproc.core.verdict import (
    CONTINUE,
    PASS,
    Amend,
    Answer,
    Decision,
    Respond,
    RoutePlan,
    Verdict,
)
from support.parts import chat_exchange
from support.stages import Act, make_stage, plain_refusal

Run = Callable[[Pipeline, Exchange], Awaitable[Decision]]

PHASES: dict[str, Run] = {
    "request_headers": lambda p, e: p.request_headers(e),
    "request_body": lambda p, e: p.request_body(e, b"{}"),
    "response_headers": lambda p, e: p.response_headers(e),
    "response_body": lambda p, e: p.response_body(e, b"{}", last=True),
}


def build(*stages: Stage) -> Pipeline:
    return Pipeline(stages, plain_refusal)


def raising(error: Exception) -> Act:
    def act() -> Verdict:
        raise error

    return act


def returning(verdict: Verdict) -> Act:
    return lambda: verdict


@pytest.mark.parametrize("phase", ["request_headers", "request_body"])
async def test_requests_pass_inward(phase: str) -> None:
    calls: list[str] = []
    await PHASES[phase](build(*(make_stage(n, calls) for n in "abc")), chat_exchange())
    assert calls == [f"a.{phase}", f"b.{phase}", f"c.{phase}"]


@pytest.mark.parametrize("phase", ["response_headers", "response_body"])
async def test_answers_pass_outward(phase: str) -> None:
    calls: list[str] = []
    await PHASES[phase](build(*(make_stage(n, calls) for n in "abc")), chat_exchange())
    assert calls == [f"c.{phase}", f"b.{phase}", f"a.{phase}"]


@pytest.mark.parametrize("phase", PHASES)
async def test_a_refusal_ends_the_phase(phase: str) -> None:
    calls: list[str] = []
    refuses = returning(Respond(refuse("model_not_found", "No.")))
    exchange = chat_exchange()
    decision = await PHASES[phase](
        build(make_stage("a", calls), make_stage("b", calls, does=refuses), make_stage("c", calls)),
        exchange,
    )
    before = "a" if phase.startswith("request") else "c"
    assert calls == [f"{before}.{phase}", f"b.{phase}"]
    assert decision.answer is not None
    assert decision.answer.status == 404
    assert exchange.refusal is not None
    assert (exchange.outcome, exchange.refusal.reason) == ("refused", "model_not_found")


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), AssertionError(), OSError()])
async def test_an_exception_refuses_and_never_passes(phase: str, error: Exception) -> None:
    calls: list[str] = []
    exchange = chat_exchange()
    decision = await PHASES[phase](build(make_stage("a", calls, does=raising(error))), exchange)
    assert decision.answer is not None
    assert (decision.answer.status, decision.answer.body) == (500, b"gateway_error")
    assert exchange.outcome == "failed"


async def test_what_an_exception_says_does_not_reach_the_client() -> None:
    exchange = chat_exchange()
    broken = make_stage("a", [], does=raising(ValueError("planted-4711")))
    await build(broken).request_headers(exchange)
    assert exchange.refusal is not None
    assert "planted" not in exchange.refusal.message


async def test_a_request_error_is_the_refusal_it_carries() -> None:
    refusal = refuse("invalid_json", "Bad.", param="messages")
    stage = make_stage("a", [], does=raising(RequestError(refusal)))
    exchange = chat_exchange()
    await build(stage).request_body(exchange, b"{")
    assert exchange.refusal is refusal


async def test_an_amend_before_a_refusal_is_lost() -> None:
    amends = make_stage("a", [], does=returning(Amend(set_headers=(("x", "1"),), body=b"y")))
    refuses = make_stage("b", [], does=returning(Respond(refuse("overloaded", "No."))))
    decision = await build(amends, refuses).request_headers(chat_exchange())
    assert (decision.set_headers, decision.body) == ((), None)
    assert decision.answer is not None


async def test_an_own_answer_is_allowed() -> None:
    answer = Answer(200, (), b"[]")
    exchange = chat_exchange()
    stage = make_stage("a", [], does=returning(Respond(answer=answer, rule="models")))
    decision = await build(stage).request_body(exchange, b"")
    assert (decision.answer, exchange.outcome) == (answer, "allowed")
    assert exchange.trail[-1].step.rule == "models"


def test_a_response_carries_exactly_one_of_refusal_and_answer() -> None:
    with pytest.raises(ValueError, match="either"):
        Respond()
    with pytest.raises(ValueError, match="either"):
        Respond(refuse("overloaded", "No."), Answer(200, (), b""))


async def test_no_change_is_the_shared_pass() -> None:
    assert await build(make_stage("a", [])).request_headers(chat_exchange()) is PASS


async def merged(*amends: Amend) -> Decision:
    stages = [make_stage(str(i), [], does=returning(a)) for i, a in enumerate(amends)]
    return await build(*stages).request_body(chat_exchange(), b"{}")


async def test_later_stages_win_a_header_and_the_body() -> None:
    decision = await merged(
        Amend(set_headers=(("a", "1"), ("b", "1")), body=b"one"), Amend(set_headers=(("a", "2"),))
    )
    assert dict(decision.set_headers) == {"a": "2", "b": "1"}
    assert decision.body == b"one"
    assert (await merged(Amend(body=b"one"), Amend(body=b""))).body == b""


async def test_a_header_is_never_both_set_and_removed() -> None:
    decision = await merged(Amend(set_headers=(("a", "1"),)), Amend(remove_headers=("a", "b", "b")))
    assert decision.set_headers == (("a", "1"),)
    assert decision.remove_headers == ("b",)


async def test_plan_and_mode_survive_later_stages() -> None:
    plan = RoutePlan(("east",))
    decision = await merged(Amend(plan=plan, body_mode="streamed"), Amend())
    assert (decision.plan, decision.body_mode) == (plan, "streamed")


@pytest.mark.parametrize("error", [True, False])
async def test_a_refusal_inside_a_stream_aborts_it(*, error: bool) -> None:
    refusal = Respond(refuse("answer_blocked", "No."))
    does = raising(ValueError()) if error else returning(refusal)
    exchange = chat_exchange()
    exchange.streaming = True
    pipeline = build(make_stage("a", [], does=does))
    decision = await pipeline.response_body(exchange, b"x", last=False)
    assert decision.answer is None
    assert decision.abort == ("gateway_error" if error else "answer_blocked")


async def test_close_reaches_every_stage_when_one_fails_and_the_outermost_last() -> None:
    calls: list[str] = []
    exchange = chat_exchange()
    await build(
        make_stage("record", calls),
        make_stage("b", calls, closes=raising(ValueError())),
        make_stage("c", calls),
    ).close(exchange)
    assert calls == ["c.close", "b.close", "record.close"]
    assert [(t.step.stage, t.step.verdict) for t in exchange.trail] == [("b", "error")]


@pytest.mark.parametrize(("ended", "outcome"), [(True, "allowed"), (False, "aborted")])
async def test_the_outcome_of_what_nobody_refused(*, ended: bool, outcome: str) -> None:
    exchange = chat_exchange()
    exchange.response_ended = ended
    await build().close(exchange)
    assert exchange.outcome == outcome


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [("rate_limit_exceeded", "refused"), ("gateway_error", "failed"), ("overloaded", "failed")],
)
async def test_the_outcome_of_a_refusal_stays_at_close(reason: str, outcome: str) -> None:
    exchange = chat_exchange()
    pipeline = build(make_stage("a", [], does=returning(Respond(refuse(reason, "No.")))))
    await pipeline.request_headers(exchange)
    exchange.response_ended = True
    await pipeline.close(exchange)
    assert exchange.outcome == outcome


async def test_the_trail_says_who_said_what_under_which_rule() -> None:
    exchange = chat_exchange()
    await build(
        make_stage("a", []),
        make_stage("b", [], does=returning(Amend(rule="mask-cards"))),
        make_stage("c", [], does=returning(Respond(refuse("prompt_blocked", "No.", rule="r1")))),
    ).request_body(exchange, b"{}")
    assert [(s.stage, s.phase, s.verdict, s.rule) for s, _ in exchange.trail] == [
        ("a", "request_body", "continue", ""),
        ("b", "request_body", "amend", "mask-cards"),
        ("c", "request_body", "refuse", "r1"),
    ]


async def test_a_long_stream_does_not_grow_the_trail() -> None:
    exchange = chat_exchange()
    exchange.streaming = True
    pipeline = build(make_stage("a", []))
    for _ in range(100):
        await pipeline.response_body(exchange, b"x", last=False)
    assert exchange.trail == []


async def test_a_stage_is_not_called_in_phases_it_does_not_override() -> None:
    class Quiet(Stage):
        name = "quiet"

        async def request_headers(self, exchange: Exchange) -> Verdict:
            return CONTINUE

    exchange = chat_exchange()
    pipeline = build(Quiet())
    for run in PHASES.values():
        await run(pipeline, exchange)
    assert [t.step.phase for t in exchange.trail] == ["request_headers"]
    assert overrides(Quiet(), "request_headers")
    assert not overrides(Quiet(), "close")
