"""Runs the stages of one phase in order and merges their verdicts.

Requests pass the list from the outermost stage inward, answers pass it back in
reverse.  The first ``Respond`` ends the phase.  Whatever goes wrong inside a
stage becomes a refusal: nothing passes because something broke.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

from gateway_extproc.core.errors import Refusal, RequestError, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.phase import Phase
from gateway_extproc.core.stage import Stage, overrides
from gateway_extproc.core.verdict import (
    CONTINUE,
    PASS,
    Amend,
    Answer,
    BodyMode,
    Decision,
    Respond,
    RoutePlan,
    TrailEntry,
    TrailStep,
    Verdict,
    trail_step,
)

log = logging.getLogger(__name__)

EncodeRefusal = Callable[[Exchange, Refusal], Answer]

GATEWAY_ERROR = refuse("gateway_error", "The gateway failed to process this request.")


class Pipeline:
    """The stages, outermost first, and how a refusal is written for a client."""

    def __init__(self, stages: Sequence[Stage], encode_refusal: EncodeRefusal) -> None:
        self.stages = tuple(stages)
        self._encode_refusal = encode_refusal
        inward, outward = self.stages, self.stages[::-1]
        self._steps = {
            phase: tuple(
                (
                    stage.name,
                    getattr(stage, phase.value),
                    trail_step(stage.name, phase.value),
                )
                for stage in (
                    inward if phase in (Phase.REQUEST_HEADERS, Phase.REQUEST_BODY) else outward
                )
                if overrides(stage, phase.value)
            )
            for phase in Phase
        }

    async def request_headers(self, exchange: Exchange) -> Decision:
        return await self._run(Phase.REQUEST_HEADERS, exchange, (), {})

    async def request_body(self, exchange: Exchange, body: bytes) -> Decision:
        return await self._run(Phase.REQUEST_BODY, exchange, (body,), {})

    async def response_headers(self, exchange: Exchange) -> Decision:
        return await self._run(Phase.RESPONSE_HEADERS, exchange, (), {})

    async def response_body(self, exchange: Exchange, body: bytes, *, last: bool) -> Decision:
        decision = await self._run(Phase.RESPONSE_BODY, exchange, (body,), {"last": last})
        if exchange.streaming and decision.answer is not None:
            # The status line left long ago: a refusal can no longer be an answer.
            return Decision(abort=decision.answer.details or "answer_refused_in_stream")
        return decision

    async def close(self, exchange: Exchange) -> None:
        """Closes every stage, also when one of them fails."""
        if exchange.outcome == "open":
            exchange.outcome = "allowed" if exchange.response_ended else "aborted"
        for name, ask, _ in self._steps[Phase.CLOSE]:
            try:
                await ask(exchange)
            except Exception:
                log.exception("stage %s failed to close %s", name, exchange.decision_id)
                failed = trail_step(name, Phase.CLOSE.value, "error")
                exchange.trail.append(TrailEntry(failed, 0))

    async def _run(
        self,
        phase: Phase,
        exchange: Exchange,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Decision:
        amends: list[Amend] = []
        # A stream has thousands of body messages: only what a rule did is told of them.
        tells_all = phase is not Phase.RESPONSE_BODY
        trail = exchange.trail
        began = perf_counter_ns()
        for name, ask, went_on in self._steps[phase]:
            try:
                verdict: Verdict = await ask(exchange, *args, **kwargs)
            except RequestError as error:
                verdict = Respond(refusal=error.refusal)
            except Exception:
                log.exception("stage %s failed on %s", name, exchange.decision_id)
                verdict = Respond(refusal=GATEWAY_ERROR)
            ended = perf_counter_ns()
            if tells_all or _worth_telling(verdict):
                step = went_on if verdict is CONTINUE else _step(name, phase, verdict)
                trail.append(TrailEntry(step, (ended - began) // 1000))
            began = ended
            if isinstance(verdict, Amend):
                amends.append(verdict)
            elif isinstance(verdict, Respond):
                return self._end(exchange, verdict)
        return _merge(amends)

    def refuse(self, exchange: Exchange, refusal: Refusal) -> Decision:
        """Ends an exchange outside of any stage: what the wire or Envoy refuses."""
        exchange.refusal = refusal
        exchange.outcome = "failed" if refusal.status >= 500 else "refused"
        return Decision(answer=self._encode_refusal(exchange, refusal))

    def _end(self, exchange: Exchange, verdict: Respond) -> Decision:
        if verdict.refusal is not None:
            return self.refuse(exchange, verdict.refusal)
        exchange.outcome = "allowed"
        return Decision(answer=verdict.answer)


def _worth_telling(verdict: Verdict) -> bool:
    """Whether a rule did something."""
    return isinstance(verdict, Respond) or (isinstance(verdict, Amend) and verdict.rule != "")


def _step(stage: str, phase: Phase, verdict: Verdict) -> TrailStep:
    word, rule = "continue", ""
    if isinstance(verdict, Amend):
        word, rule = "amend", verdict.rule
    elif isinstance(verdict, Respond):
        word, rule = "respond", verdict.rule
        if verdict.refusal is not None:
            word, rule = "refuse", verdict.refusal.rule or verdict.refusal.reason
    return trail_step(stage, phase.value, word, rule)


def _merge(amends: Sequence[Amend]) -> Decision:
    """Later stages win where two set the same header or the body."""
    if not amends:
        return PASS
    headers: dict[str, str] = {}
    removed: dict[str, None] = {}
    body: bytes | None = None
    mode: BodyMode | None = None
    plan: RoutePlan | None = None
    for amend in amends:
        for name in amend.remove_headers:
            removed[name] = None
        headers.update(amend.set_headers)
        body = body if amend.body is None else amend.body
        mode = mode if amend.body_mode is None else amend.body_mode
        plan = plan if amend.plan is None else amend.plan
    return Decision(
        set_headers=tuple(headers.items()),
        remove_headers=tuple(name for name in removed if name not in headers),
        body=body,
        body_mode=mode,
        plan=plan,
    )
