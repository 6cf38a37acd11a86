"""Sends copies of requests to shadow targets, off the way of every answer.

A bounded queue and a few tasks on the worker's loop; Envoy makes the connection to the provider.
What does not fit, what a budget has no room for and what fails is counted, and harms nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson

from gateway_extproc.config.model import Config
from gateway_extproc.config.shadowing import Shadow as Section
from gateway_extproc.core.chat import Stop, StreamError, TextDelta, UsageReport
from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.limits import Ask, Limiter, Reservation
from gateway_extproc.core.money import cost
from gateway_extproc.core.names import SHADOW_HEADER
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.core.route import Target
from gateway_extproc.core.usage import Usage, estimate_tokens
from gateway_extproc.envoyconf.shadow import shadow_socket
from gateway_extproc.evidence.metrics import Metrics
from gateway_extproc.evidence.records import rfc3339
from gateway_extproc.limits.amounts import Amounts
from gateway_extproc.limits.rules import Named, RuleBook
from gateway_extproc.recording import open_shadow_log
from gateway_extproc.stages.attempt import AttemptBuilder, TranslatorFor
from gateway_extproc.stages.shadow import Copy
from gateway_extproc.stores.postbox import Posted, PostFailed, UnixPostbox

log = logging.getLogger(__name__)

Record = dict[str, Any]

Tell = Callable[[str, Record | None], None]
"""Is told the outcome of each copy, and what to record of one that was sent."""

DROPPED: Final = frozenset({"queue_full", "too_large", "data_class", "budget"})
"""Outcomes of copies that were never sent."""


def open_shadows(
    config: Config,
    revision: str,
    worker: int,
    metrics: Metrics,
    attempts: AttemptBuilder,
    translator_for: TranslatorFor,
    limiter: Limiter,
    rules: RuleBook,
) -> ShadowSender | None:
    """The sender of one worker and its log; None where the configuration has no such section."""
    if config.shadow is None:
        return None
    records = open_shadow_log(
        config, revision, worker, partial(metrics.records_dropped.inc, ("shadows",))
    )

    def tell(outcome: str, record: Record | None) -> None:
        metrics.shadows.inc((outcome,))
        if record is not None:
            records.write(record)

    return ShadowSender(
        config.shadow,
        UnixPostbox(shadow_socket(config), config.caps.answer_bytes),
        attempts,
        translator_for,
        limiter,
        rules,
        tell,
        close_log=records.close,
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """What is kept of a shadow's answer: never its text."""

    ok: bool
    usage: Usage | None = None
    stop_reason: str = ""


class ShadowSender:
    """One a worker; ``tell`` hears of each copy, dropped ones without a record."""

    def __init__(
        self,
        section: Section,
        postbox: UnixPostbox,
        attempts: AttemptBuilder,
        translator_for: TranslatorFor,
        limiter: Limiter,
        rules: RuleBook,
        tell: Tell,
        *,
        close_log: Callable[[], object] = lambda: None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._section, self._postbox, self._attempts = section, postbox, attempts
        self._translator_for, self._limiter, self._rules = translator_for, limiter, rules
        self._tell, self._clock_ns, self._wall_ns = tell, clock_ns, wall_ns
        self._close_log = close_log
        self._queue: asyncio.Queue[Copy] = asyncio.Queue(section.waiting)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to send."""
        self._tasks = [asyncio.create_task(self._send_all()) for _ in range(self._section.parallel)]

    async def close(self) -> None:
        """Gives up what waits and what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._close_log()

    def offer(self, copy: Copy) -> None:
        """Takes a copy, or drops it; never waits, never raises."""
        if not copy.data_classes <= copy.target.data_classes:
            # The planner filters; this is the last place where data could leave.
            log.error("shadow target %s is not approved for its data", copy.target.name)
            self._tell("data_class", None)
        elif copy.size_bytes > self._section.body_bytes:
            self._tell("too_large", None)
        elif self._queue.full():
            self._tell("queue_full", None)
        else:
            self._queue.put_nowait(copy)

    async def _send_all(self) -> None:
        while True:
            copy = await self._queue.get()
            try:
                await self._send(copy)
            except Exception:
                log.exception("the copy of %s failed", copy.decision_id)
                self._tell("error", None)

    async def _send(self, copy: Copy) -> None:
        budgets = [named for named in self._rules.of(copy.who) if named.rule.budget]
        held = await self._reserve(copy, budgets)
        if held is not None and not held.granted:
            self._tell("budget", None)
            return
        usage: Usage | None = None
        try:
            outcome, record, usage = await self._ask(copy)
            self._tell(outcome, record)
        finally:
            if held is not None:
                used = _amounts_of(usage, copy.target)
                actuals = tuple([used.of(named.rule.measure) for named in budgets])
                self._limiter.settle(held, actuals, {})

    async def _reserve(self, copy: Copy, budgets: list[Named]) -> Reservation | None:
        """What the copy will probably use, held in the budgets of who asked; None without any."""
        if not budgets:
            return None
        prompt, completion = copy.expected_tokens
        expected = _amounts_of(Usage(prompt, completion), copy.target)
        asks = tuple(
            [
                Ask(named.rule.counter, named.name, expected.of(named.rule.measure), named.tag,
                    True)
                for named in budgets
            ]
        )  # fmt: skip
        amounts = tuple([ask.amount for ask in asks])
        rid = f"{copy.decision_id}s{copy.number}"
        try:
            return await self._limiter.reserve(rid, asks, lambda: (amounts, {}))
        except StoreUnavailable:
            return None

    async def _ask(self, copy: Copy) -> tuple[str, Record, Usage | None]:
        began_ns, wall_ns = self._clock_ns(), self._wall_ns()
        answer: Posted | None = None
        try:
            answer = await self._post(copy)
        except (PostFailed, RequestError, LookupError) as error:
            log.debug("no answer of %s: %s", copy.target.name, type(error).__name__)
        heard = Heard(ok=False) if answer is None else self._read(copy, answer)
        outcome = "answered" if heard.ok else "failed" if answer is not None else "no_answer"
        record: Record = {
            "decision_id": copy.decision_id,
            "time": rfc3339(wall_ns),
            "route": copy.who.route,
            "provider": copy.target.provider,
            "target_model": copy.target.model,
            "outcome": outcome,
            "duration_ms": round((self._clock_ns() - began_ns) / 1e6, 3),
            "cost_nanos": 0,
        }
        if answer is not None:
            record["status"] = answer.status
        if heard.stop_reason:
            record["stop_reason"] = heard.stop_reason[:64]
        if heard.usage is not None:
            record["usage"] = _usage_record(heard.usage)
            record["cost_nanos"] = _amounts_of(heard.usage, copy.target).nanos
            if copy.target.price is not None:
                record["price_version"] = copy.target.price.version
        return outcome, record, heard.usage

    async def _post(self, copy: Copy) -> Posted:
        request, target = copy.request, copy.target
        spoken = target.spoken(request.endpoint)
        body = self._attempts.write(
            request, spoken, target.model, copy.cap_tokens,
            provider=target.provider, drop=target.drops,
        ).body  # fmt: skip
        path, *others = self._attempts.body_headers(
            request, spoken, target.base_path, target.model, body, target.provider
        )
        headers = [
            ("host", "shadow"),
            (SHADOW_HEADER, target.provider),
            *others,
            *self._attempts.credential_headers(
                target.provider,
                target.dialect,
                {},
                host=target.host,
                region=target.region,
                path=path[1],
                body=body,
            ),
        ]
        if copy.traceparent:
            headers.append(("traceparent", copy.traceparent))
        return await self._postbox.post(path[1], headers, body, self._section.timeout_s)

    def _read(self, copy: Copy, answer: Posted) -> Heard:
        if answer.status != 200:
            return Heard(ok=False)
        request = copy.request
        spoken = copy.target.spoken(request.endpoint)
        translator = self._translator_for(request.dialect, spoken, request.endpoint)
        if request.stream:
            return _read_stream(copy, translator.reader().feed(answer.body, last=True))
        try:
            document = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            return Heard(ok=False)
        if not isinstance(document, dict):
            return Heard(ok=False)
        release = translator.answer(document, answer.body)
        size = sum(len(at.text.encode()) for at in release.texts)
        usage = release.usage or _estimated(copy, size)
        return Heard(release.refusal is None, usage, release.stop_reason)


def _read_stream(copy: Copy, chunks: tuple[Any, ...]) -> Heard:
    usage, stop, ok, size = None, "", True, 0
    for chunk in chunks:
        for event in chunk.events:
            match event:
                case UsageReport(usage=reported):
                    usage = reported
                case Stop(reason=reason):
                    stop = reason
                case TextDelta(text=text):
                    size += len(text.encode())
                case StreamError():
                    ok = False
    return Heard(ok, usage or _estimated(copy, size), stop)


def _estimated(copy: Copy, text_bytes: int) -> Usage:
    return Usage(copy.expected_tokens[0], estimate_tokens(text_bytes), source="estimated")


def _amounts_of(usage: Usage | None, target: Target) -> Amounts:
    if usage is None:
        return Amounts()
    nanos = cost(usage, target.price) if target.price is not None else 0
    return Amounts(usage.prompt_tokens, usage.completion_tokens, nanos)


def _usage_record(usage: Usage) -> Record:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "source": usage.source,
    }
