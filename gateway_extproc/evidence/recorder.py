"""A finished exchange goes to four sinks: decision log, cost ledger, metrics, span.

The sinks do not know of each other, and none can keep the others from their
part: an exception is counted and logged, the client never notices.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.limits import Crossed
from gateway_extproc.core.usage import Usage
from gateway_extproc.evidence.dropping import find_drop, route_of, tenant_of
from gateway_extproc.evidence.log import JsonLinesLog, Record
from gateway_extproc.evidence.masking import FieldMasks
from gateway_extproc.evidence.metrics import KnownLabels, Metrics, open_metrics
from gateway_extproc.evidence.policy import WHOLE, RecordPolicy
from gateway_extproc.evidence.records import alert_record, cost_record, decision_record
from gateway_extproc.evidence.traces import Traces, open_traces

log = logging.getLogger(__name__)


class RecordLog(Protocol):
    """A file of records; ``JsonLinesLog`` in production."""

    @property
    def accepted(self) -> int: ...

    @property
    def kept(self) -> int: ...

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
    """Implements ``core.ports.Recorder`` and ``core.limits.Ledger``.

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
        policy: RecordPolicy = WHOLE,
        texts: Texts = NO_TEXTS,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        if not prompt_key:
            raise ValueError("prompt_key must not be empty")
        self.metrics = metrics
        self._in_flight = 0
        self._decisions, self._costs, self._traces = decisions, costs, traces
        self._alerts, self._wall_ns = alerts, wall_ns
        self._policy, self.texts = policy, texts
        self._version, self._worker, self._prompt_key = version, worker, prompt_key
        self._sinks: tuple[tuple[str, Callable[[Exchange, int], None]], ...] = (
            ("decisions", self._decide),
            ("costs", self._charge),
            ("metrics", self._count),
            ("traces", self._trace),
        )

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

    def bill(self, exchange: object, usage: Usage, cost_nanos: int) -> Record:
        """The cost record of a request that used so much."""
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
        self._masks(exchange).apply(record)
        self._decisions.write(record)

    def _charge(self, exchange: Exchange, ended_ns: int) -> None:
        if exchange.usage is not None:
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
    otlp_endpoint: str | None = None,
    policy: RecordPolicy = WHOLE,
    open_texts: Callable[[Callable[[int], object]], Texts] | None = None,
) -> EvidenceRecorder:
    """All sinks of one worker; call it in the worker process, after the fork.

    Writes ``decisions-{worker}.jsonl``, ``costs-{worker}.jsonl`` and ``alerts-{worker}.jsonl``
    under ``directory``.  ``open_texts`` is given what counts losses; without it no text is kept.
    """
    metrics = open_metrics(metrics_dir, worker, known)

    def losses(name: str) -> Callable[[int], None]:
        return partial(metrics.records_dropped.inc, (name,))

    return EvidenceRecorder(
        JsonLinesLog(directory / f"decisions-{worker}.jsonl", on_loss=losses("decisions")),
        JsonLinesLog(directory / f"costs-{worker}.jsonl", on_loss=losses("costs")),
        JsonLinesLog(directory / f"alerts-{worker}.jsonl", on_loss=losses("alerts")),
        metrics,
        open_traces(otlp_endpoint, version=version, worker=worker, on_loss=losses("spans")),
        version=version,
        worker=worker,
        prompt_key=prompt_key,
        policy=policy,
        texts=NO_TEXTS if open_texts is None else open_texts(losses("texts")),
    )
