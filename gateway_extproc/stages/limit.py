"""limit: reserves what a request may use before it is sent, settles what it used afterwards.

All limits and budgets of a request are one reservation: granted whole or not at all, in one
round trip.  The settlement runs behind the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway_extproc.config.compile import Route
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Event, Exchange, LimitState
from gateway_extproc.core.limits import Ask, Limiter, Reservation
from gateway_extproc.core.money import as_batch
from gateway_extproc.core.ports import Recorder, StoreUnavailable
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.usage import Usage
from gateway_extproc.core.verdict import CONTINUE, Amend, Header, Respond, Verdict
from gateway_extproc.limits.amounts import NOTHING, Amounts, Forecast, affordable_cap, forecast
from gateway_extproc.limits.estimate import Tokens, estimate
from gateway_extproc.limits.learned import Learned
from gateway_extproc.limits.levels import Levels
from gateway_extproc.limits.rules import Named, Rule, RuleBook, Who
from gateway_extproc.limits.tell import can_never_fit, limit_headers, limit_state
from gateway_extproc.stages.bill import make_bill

RETRY_STORE_S = 1.0


class Spending(NamedTuple):
    """What limits know beside the store: rules, levels of budgets, what is usual."""

    rules: RuleBook
    levels: Levels
    learned: Learned
    now_us: Callable[[], int]

    def cheaper_route(self, exchange: Exchange) -> str:
        """The route that a budget near its end wants; empty for the requested model's own."""
        who = who_asks(exchange, "", "")
        return self.levels.cheaper_route(self.rules.of(who), self.now_us())

    def usual_tokens(self, exchange: Exchange, cap_tokens: int) -> int:
        """Tokens of an answer, as this caller's requests for this route usually have."""
        return self.learned.expected(_learned_key(exchange), cap_tokens)


class Limit(Stage):
    name = "limit"

    def __init__(
        self,
        limiter: Limiter,
        spending: Spending,
        routes: Mapping[str, Route],
        recorder: Recorder,
        max_cost_nanos: int | None,
    ) -> None:
        self._limiter, self._spending, self._routes = limiter, spending, routes
        self._recorder, self._max_cost_nanos = recorder, max_cost_nanos

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        provider = exchange.targets[0].provider if exchange.targets else ""
        rules = self._spending.rules.of(who_asks(exchange, exchange.route_id, provider))
        plan = self._plan(exchange, rules)
        dear = self._too_dear(exchange)
        if dear is not None:
            return Respond(dear)
        if not rules:
            return CONTINUE
        rules = (*rules, *self._spending.levels.throttles(rules, self._spending.now_us()))
        asks = _asks(exchange, rules, plan)
        try:
            made = await self._limiter.reserve(
                exchange.decision_id, asks, lambda: self._assumed(exchange, rules, asks, plan)
            )
        except StoreUnavailable:
            exchange.degraded = (*exchange.degraded, "limits")
            return Respond(_UNAVAILABLE)
        self._note(exchange, rules, made)
        if made.granted:
            exchange.reservation = made
            return CONTINUE
        return Respond(_refusal(made.asks, exchange.limits))

    async def response_headers(self, exchange: Exchange) -> Verdict:
        headers = headers_of(exchange)
        return Amend(set_headers=headers) if headers else CONTINUE

    async def close(self, exchange: Exchange) -> None:
        make_bill(exchange)
        usage, made = exchange.usage, exchange.reservation
        if usage is not None:
            self._learn(exchange, usage)
        if made is None:
            return
        used = (
            Amounts()
            if usage is None
            else Amounts(usage.prompt_tokens, usage.completion_tokens, exchange.cost_nanos)
        )
        actuals = _amounts(exchange.limits, made.asks, used)
        exchange.settled = actuals
        bill: dict[str, Any] = {}
        if made.ticket >= 0:
            # The same record as goes to the ledger, or a request would stand there with two costs.
            bill = self._recorder.bill(exchange, usage, exchange.cost_nanos)
        self._limiter.settle(made, actuals, bill)

    def _plan(self, exchange: Exchange, rules: Sequence[Named]) -> Forecast:
        """How much it may use and will probably use; decides the cap that is sent."""
        request = exchange.asked
        if request is None:
            return self._batch_plan(exchange)
        cap = self._routes[exchange.route_id].max_tokens
        cap = min(max(0, request.max_tokens or cap), cap)  # a mistake may be below 0
        if request.max_tokens is None:
            # Nobody asked for so much: a provider refuses more than its model can give.
            cap = min([cap, *_longest_answers(exchange)])
        prices = [target.price for target in exchange.targets if target.price]
        prompt = _prompt(exchange)
        usual = self._spending.learned.expected(_learned_key(exchange), cap)
        completions = request.completions
        media = may_hold_media(request)
        plan = forecast(
            prompt, completions, cap, usual * completions, prices, request.beside, media=media
        )
        if request.max_tokens is None:
            affordable = affordable_cap(rules, plan, prices)
            if affordable < cap:
                plan = forecast(
                    prompt, completions, affordable, usual * completions, prices, request.beside,
                    media=media,
                )  # fmt: skip
        exchange.cap_tokens = plan.cap_tokens
        exchange.worst_case_nanos = plan.worst.nanos
        exchange.expected_prompt_tokens = plan.expected.prompt_tokens
        exchange.expected_completion_tokens = plan.expected.completion_tokens
        return plan

    @staticmethod
    def _batch_plan(exchange: Exchange) -> Forecast:
        """What the requests of a batch may use together, at the prices of batches."""
        tokens = None if exchange.relayed is None else exchange.relayed.tokens
        if tokens is None:
            return NOTHING
        prices = [as_batch(target.price) for target in exchange.targets if target.price]
        prompt = Tokens(tokens.prompt, tokens.prompt)
        plan = forecast(prompt, 1, tokens.answer, tokens.answer, prices)
        exchange.worst_case_nanos = plan.worst.nanos
        return plan

    def _too_dear(self, exchange: Exchange) -> Refusal | None:
        if exchange.relayed is not None:  # each line of a batch was held against it
            return None
        if self._max_cost_nanos is None or exchange.worst_case_nanos <= self._max_cost_nanos:
            return None
        message = "This request could cost more than one request may; ask for fewer tokens."
        return refuse("request_cost_too_high", message)

    def _assumed(
        self, exchange: Exchange, rules: Sequence[Named], asks: Sequence[Ask], plan: Forecast
    ) -> tuple[tuple[int, ...], dict[str, Any]]:
        """What is charged if this process dies: the worst where a strict budget holds it."""
        strict = any(named.rule.strict and named.rule.budget for named in rules)
        used = plan.worst if strict else plan.expected
        usage = Usage(used.prompt_tokens, used.completion_tokens, source="estimated")
        record = self._recorder.bill(exchange, usage, used.nanos)
        return _amounts([named.rule for named in rules], asks, used), record

    def _note(self, exchange: Exchange, rules: Sequence[Named], made: Reservation) -> None:
        reserved, states = made.reserved, made.reserved.states
        exchange.limits = tuple(
            [
                limit_state(named.rule, ask, state, reserved, allowed=fit)
                for named, ask, state, fit in zip(
                    rules, made.asks, states, reserved.fit, strict=True
                )
            ]
        )
        if made.degraded:
            exchange.degraded = (*exchange.degraded, "limits")
            exchange.failed_open = any(a.counter.on_error == "open" for a in made.asks)
            return
        for named, ask, state in zip(rules, made.asks, states, strict=True):
            if named.rule.thresholds:
                taken = ask.amount if made.granted else 0
                self._spending.levels.note(named.name, named.rule, state, taken)

    def _learn(self, exchange: Exchange, usage: Usage) -> None:
        if usage.source != "reported" or exchange.asked is None:
            return
        key = _learned_key(exchange)
        self._spending.learned.observe(
            key, usage.completion_tokens // max(1, exchange.asked.completions)
        )
        rise = self._spending.learned.rise(key, usage.total_tokens)
        if rise is not None:
            exchange.events.append(Event("spend", "token_rise", "alert", "/".join(key[:2])))


def headers_of(exchange: Exchange) -> tuple[Header, ...]:
    """The rate-limit headers of the client's dialect, also for refusals."""
    now_s = exchange.started_wall_ns / 1e9
    return limit_headers(exchange.client_dialect, exchange.limits, now_s) if exchange.limits else ()


def who_asks(exchange: Exchange, route: str, provider: str) -> Who:
    """All that rules tell requests apart by."""
    assert exchange.permit is not None
    assert exchange.endpoint is not None
    principal = exchange.permit.principal
    model = exchange.policy_model
    return Who(
        principal.tenant.id, principal.user, principal.application, principal.credential_id,
        exchange.endpoint.name, model, route, provider,
    )  # fmt: skip


def _longest_answers(exchange: Exchange) -> Iterator[int]:
    for target in exchange.targets:
        if target.facts.max_output_tokens is not None:
            yield target.facts.max_output_tokens


def may_hold_media(request: LlmRequest) -> bool:
    """Whether some of its tokens may be of sounds or images, which have prices of their own."""
    document = request.document
    config = document.get("generationConfig")
    return (
        request.media > 0
        or request.endpoint == "images"
        or "modalities" in document
        or (type(config) is dict and "responseModalities" in config)
    )


def _prompt(exchange: Exchange) -> Tokens:
    assert exchange.asked is not None
    return estimate(exchange.asked, exchange.targets[0].model if exchange.targets else "")


def _learned_key(exchange: Exchange) -> tuple[str, ...]:
    assert exchange.permit is not None
    principal = exchange.permit.principal
    return (principal.tenant.id, principal.application, exchange.route_id)


def _asks(exchange: Exchange, rules: Sequence[Named], plan: Forecast) -> tuple[Ask, ...]:
    named_cap = exchange.asked is not None and exchange.asked.max_tokens is not None
    return tuple([_ask(named, plan, named_cap=named_cap) for named in rules])


def _ask(named: Named, plan: Forecast, *, named_cap: bool) -> Ask:
    rule = named.rule
    amount = (plan.worst if rule.strict else plan.expected).of(rule.measure)
    settles = rule.measure != "requests"
    if settles and not rule.strict and not named_cap and rule.measure != "concurrency":
        # Nobody asked for so much: an estimate shall not refuse what may well fit.
        amount = min(amount, max(1, rule.counter.limit // 2))
    return Ask(rule.counter, named.name, amount, named.tag, settles)


def _amounts(
    measured: Sequence[Rule | LimitState], asks: Sequence[Ask], used: Amounts
) -> tuple[int, ...]:
    """What each ask comes to, for a request that used so much."""
    return tuple(
        [
            used.of(by.measure) if ask.settles else ask.amount
            for by, ask in zip(measured, asks, strict=True)
        ]
    )


def _refusal(asks: Sequence[Ask], limits: Sequence[LimitState]) -> Refusal:
    """The limit that will refuse for longest; one that is too small for ever comes first."""
    refused = [
        (ask, state)
        for ask, state in zip(asks, limits, strict=True)
        if not state.allowed and state.mode == "enforce"
    ]
    for ask, state in refused:
        if can_never_fit(ask):
            return refuse(
                "request_exceeds_limit",
                f"This request could use {ask.amount} {_unit(state)}; '{state.id}' allows "
                f"{state.limit} at most. Send a shorter prompt or ask for fewer tokens.",
                rule=state.id,
            )
    _, state = max(refused, key=lambda pair: pair[1].retry_after_s)
    wait_s = state.retry_after_s
    tail = f"try again in {math.ceil(wait_s * 1000) / 1000:g} s."
    if state.budget and state.measure in ("nanos", "tokens"):
        message = f"Budget '{state.id}' has not enough left for this request; it begins anew "
        when = f"in {math.ceil(wait_s)} s."
        return refuse("insufficient_quota", message + when, retry_after_s=wait_s, rule=state.id)
    return refuse(
        "rate_limit_exceeded",
        f"Rate limit '{state.id}' of {state.limit} {_unit(state)} reached; {tail}",
        retry_after_s=wait_s,
        rule=state.id,
    )


def _unit(state: LimitState) -> str:
    units = {"nanos": "nano-dollars", "concurrency": "requests at a time"}
    return units.get(state.measure, state.measure.replace("_", " "))


_UNAVAILABLE = refuse(
    "limits_unavailable",
    "How much is left of your limits is not known now; try again shortly.",
    retry_after_s=RETRY_STORE_S,
)
