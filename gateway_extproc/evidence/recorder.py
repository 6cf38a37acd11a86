"""A finished exchange goes to four sinks: decision log, cost ledger, metrics, span.

The sinks do not know of each other, and none can keep the others from their
part: an exception is counted and logged, the client never notices.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import orjson

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.limits import Crossed
from gateway_extproc.core.usage import Usage
from gateway_extproc.evidence.checkpoints import Shipper
from gateway_extproc.evidence.dropping import find_drop, route_of, tenant_of
from gateway_extproc.evidence.log import JsonLinesLog, Record, encode
from gateway_extproc.evidence.masking import FieldMasks
from gateway_extproc.evidence.metrics import KnownLabels, Metrics, open_metrics
from gateway_extproc.evidence.policy import WHOLE, RecordPolicy
from gateway_extproc.evidence.records import (
    alert_record,
    cost_record,
    decision_record,
    opened_record,
)
from gateway_extproc.evidence.segments import DEFAULT_RULES, SegmentRules, Segments
from gateway_extproc.evidence.storage import Sync
from gateway_extproc.evidence.traces import Traces, open_traces

log = logging.getLogger(__name__)

STRICT_LINGER_S: Final = 0.0005
"""Requests that come so close together share one commit; each waits so much longer for it."""


@dataclass(frozen=True, slots=True)
class Durability:
    """When a decision counts as recorded, and what follows when it cannot be.

    ``strict``: before its answer leaves, and at the latest after ``timeout_s``; else
    ``window_s`` later.  ``deny``: nothing passes unrecorded; else it passes and is counted.
    """

    strict: bool = False
    deny: bool = False
    window_s: float = 0.02
    timeout_s: float = 1.0


class RecordLog(Protocol):
    """A file of records; ``JsonLinesLog`` in production."""

    @property
    def accepted(self) -> int: ...

    @property
    def kept(self) -> int: ...

    @property
    def healthy(self) -> bool: ...

    async def durable(self, timeout_s: float) -> bool: ...

    def write(self, record: Record) -> None: ...

    def close(self, timeout_s: float = 5.0) -> bool: ...


class Texts(Protocol):
    """Keeps texts for reviewers; ``TextKeeper`` in production."""

    def keep(self, exchange: Exchange) -> bool:
        """Whether the texts of this request will be kept."""

    def close(self, timeout_s: float = 5.0) -> bool: ...


class NoTexts:
    """Nothing is kept."""

    def keep(self, exchange: Exchange) -> bool:
        return False

    def close(self, timeout_s: float = 5.0) -> bool:
        return True


NO_TEXTS: Final = NoTexts()


class EvidenceRecorder:
    """Implements ``core.ports.Recorder``, ``core.ports.Keeper`` and ``core.limits.Ledger``.

    ``prompt_key`` keys the prompts' fingerprints; it must be secret, or guesses
    at a prompt could be checked against the log.  ``policy`` says what records show and which are
    kept, ``texts`` keeps what was opted in.
    """

    def __init__(
        self,
        decisions: RecordLog,
        costs: RecordLog,
        alerts: RecordLog,
        metrics: Metrics,
        traces: Traces,
        *,
        version: str,
        worker: int,
        prompt_key: bytes,
        durability: Durability = Durability(),
        policy: RecordPolicy = WHOLE,
        texts: Texts = NO_TEXTS,
        wall_ns: Callable[[], int] = time.time_ns,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        on_close: Callable[[], object] = lambda: None,
    ) -> None:
        if not prompt_key:
            raise ValueError("prompt_key must not be empty")
        self.metrics = metrics
        self._in_flight = 0
        self._decisions, self._costs, self._traces = decisions, costs, traces
        self._alerts, self._wall_ns, self._clock_ns = alerts, wall_ns, clock_ns
        self.durability, self._on_close = durability, on_close
        self._policy, self.texts = policy, texts
        self._version, self._worker, self._prompt_key = version, worker, prompt_key
        self._sinks: tuple[tuple[str, Callable[[Exchange, int], None]], ...] = (
            ("decisions", self._decide),
            ("costs", self._charge),
            ("metrics", self._count),
            ("traces", self._trace),
        )

    @property
    def accepting(self) -> bool:
        """False while decisions cannot be recorded and policy says ``deny``."""
        return not self.durability.deny or self._decisions.healthy

    async def keep_opening(self, exchange: object) -> bool:
        """Records what was decided of a request before it goes on; False if it must not."""
        assert isinstance(exchange, Exchange)
        record = opened_record(exchange, version=self._version, worker=self._worker)
        self._decisions.write(self._masked(exchange, record))
        return await self.keep_ending()

    async def keep_ending(self) -> bool:
        """Waits for the decision that was recorded last; False if its answer must not leave."""
        kept = await self._decisions.durable(self.durability.timeout_s)
        return kept or not self.durability.deny

    def amend(self, exchange: object) -> None:
        """Another record of a request that is over; its cost stands."""
        assert isinstance(exchange, Exchange)
        self._decide(exchange, self._clock_ns())

    def opened(self) -> None:
        """Counts a request as in flight, until its record is taken."""
        self._in_flight += 1
        self.metrics.in_flight(self._in_flight)

    def record(self, exchange: object, ended_ns: int) -> None:
        """Takes a finished exchange; ``ended_ns`` is on the clock of ``started_ns``."""
        assert isinstance(exchange, Exchange)
        for name, sink in self._sinks:
            try:
                sink(exchange, ended_ns)
            except Exception:
                log.exception("no %s for %s", name, exchange.decision_id)
                self._count_error(name)
        if exchange.started_ns:
            # Last, so that whoever sees no request in flight sees all of them counted.
            self._in_flight -= 1
            self.metrics.in_flight(self._in_flight)

    def shed(self, priority: str) -> None:
        """Counts a request that was turned away before it was opened."""
        self.metrics.shed.inc((priority,))

    def bill(self, exchange: object, usage: Usage | None, cost_nanos: int) -> Record:
        """The cost record of a request that used so much; None where it used nothing."""
        assert isinstance(exchange, Exchange)
        return self._cost(exchange, usage, cost_nanos)

    def charge(self, record: Record) -> None:
        """A cost record that a dead worker did not write."""
        if record:
            self._costs.write(record)

    def crossed(self, crossed: Crossed) -> None:
        """A budget's threshold was passed."""
        self.metrics.budget_alerts.inc((crossed.budget, str(crossed.percent)))
        alert = alert_record(crossed, self._wall_ns())
        self._policy.alerts.of("", "").apply(alert)
        self._alerts.write(alert)

    def settled(self, outcome: str) -> None:
        """Counts a settlement."""
        self.metrics.settlements.inc((outcome,))

    def costs_accepted(self) -> int:
        """Cost records that were handed over so far."""
        return self._costs.accepted

    def costs_kept(self) -> int:
        """How many of them are in the file, or known to be lost."""
        return self._costs.kept

    def close(self, timeout_s: float = 5.0) -> bool:
        """Writes and sends all that waits; False when a log did not get done in time."""
        logs = (self._decisions, self._costs, self._alerts)
        done = [log.close(timeout_s) for log in logs]
        done.append(self.texts.close(timeout_s))
        self._on_close()
        self._traces.shutdown()
        if all(done):  # else a log's thread still counts its losses there
            self.metrics.close()
        return all(done)

    def _decide(self, exchange: Exchange, ended_ns: int) -> None:
        kept = self.texts.keep(exchange)
        # Whoever may read the texts must find the decision they belong to.
        drop = None if kept else find_drop(self._policy.drop, exchange)
        if drop is not None:
            self.metrics.decisions_left_out.inc((drop.id,))
            return
        record = decision_record(
            exchange,
            ended_ns,
            version=self._version,
            worker=self._worker,
            prompt_key=self._prompt_key,
        )
        if kept:
            record["texts"] = True
        self._decisions.write(self._masked(exchange, record))

    def _masked(self, exchange: Exchange, record: Record) -> Record:
        masks = self._masks(exchange)
        if masks.fields:
            record = orjson.loads(encode(record))  # parts of it are written already
            masks.apply(record)
        return record

    def _charge(self, exchange: Exchange, ended_ns: int) -> None:
        if exchange.started_ns:  # else there was no request: Envoy answered it before
            self._costs.write(self._cost(exchange))

    def _cost(
        self, exchange: Exchange, usage: Usage | None = None, cost_nanos: int | None = None
    ) -> Record:
        record = cost_record(exchange, usage, cost_nanos)
        self._policy.costs.of(tenant_of(exchange), route_of(exchange)).apply(record)
        return record

    def _count(self, exchange: Exchange, ended_ns: int) -> None:
        self.metrics.record(exchange, ended_ns, self._masks(exchange))

    def _trace(self, exchange: Exchange, ended_ns: int) -> None:
        self._traces.record(exchange, ended_ns, self._masks(exchange))

    def _masks(self, exchange: Exchange) -> FieldMasks:
        return self._policy.decisions.of(tenant_of(exchange), route_of(exchange))

    def _count_error(self, name: str) -> None:
        try:
            self.metrics.stage_errors.inc((f"evidence.{name}",))
        except Exception:
            log.exception("the error itself could not be counted")


def open_evidence(
    directory: Path,
    metrics_dir: Path,
    *,
    version: str,
    worker: int,
    prompt_key: bytes,
    known: KnownLabels,
    rules: SegmentRules = DEFAULT_RULES,
    durability: Durability = Durability(),
    otlp_endpoint: str | None = None,
    shipper: Shipper | None = None,
    sync: Sync = os.fdatasync,
    policy: RecordPolicy = WHOLE,
    open_texts: Callable[[Callable[[int], object]], Texts] | None = None,
) -> EvidenceRecorder:
    """All sinks of one worker; call it in the worker process, after the fork.

    Writes ``decisions-{worker}.jsonl``, ``costs-{worker}.jsonl`` and ``alerts-{worker}.jsonl``
    under ``directory``, all chained and durable; only decisions are ever waited for.
    ``open_texts`` is given what counts losses; without it no text is kept.  ``shipper`` takes the
    checkpoints of ``rules`` away; it is told what counts its losses, and closed.
    """
    metrics = open_metrics(metrics_dir, worker, known)

    def opened(name: str, linger_s: float, *, retry: bool) -> JsonLinesLog:
        return JsonLinesLog(
            Segments(directory, name, worker, rules, sync=sync),
            linger_s=linger_s,
            retry=retry,
            on_loss=losses(name),
        )

    def losses(name: str) -> Callable[[int], None]:
        return partial(metrics.records_dropped.inc, (name,))

    if shipper is not None:
        shipper.count_losses(losses("checkpoints"))
    window_s, deny = durability.window_s, durability.deny
    return EvidenceRecorder(
        opened("decisions", STRICT_LINGER_S if durability.strict else window_s, retry=deny),
        opened("costs", window_s, retry=deny),
        opened("alerts", window_s, retry=deny),
        metrics,
        open_traces(otlp_endpoint, version=version, worker=worker, on_loss=losses("spans")),
        version=version,
        worker=worker,
        prompt_key=prompt_key,
        durability=durability,
        on_close=shipper.close if shipper else lambda: None,
        policy=policy,
        texts=NO_TEXTS if open_texts is None else open_texts(losses("texts")),
    )
