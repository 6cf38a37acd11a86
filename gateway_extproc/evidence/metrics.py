"""What the gateway counts, and how the supervisor serves it for all workers.

Labels come from the configuration or from lists in the code, anything else is
``other``, nothing at all is ``none``: never a user, a key or a text of a client.

The files live in one folder, named by worker number.  Writing to a mapped file on
a full disk kills the process (SIGBUS), so the folder belongs on a memory file
system.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway_extproc.config.base import PASSTHROUGH
from gateway_extproc.config.model import Config
from gateway_extproc.core.cached import CacheNote
from gateway_extproc.core.endpoint import ENDPOINTS, RESOURCES
from gateway_extproc.core.errors import REASONS
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.evidence.masking import NO_MASKS, FieldMasks
from gateway_extproc.evidence.records import sent_status
from gateway_extproc.evidence.series import Counter, Histogram, SeriesFile

OTHER: Final = "other"
NONE: Final = "none"

ANSWER_SECONDS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip
"""A cache hit takes milliseconds, a long stream minutes."""

PROCESSING_SECONDS: Final = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0,
)  # fmt: skip
"""The stages together take tenths of a millisecond; more is trouble."""

AUTH_REASONS: Final = frozenset(
    reason for reason, (_, type_) in REASONS.items() if type_ == "authentication_error"
) | {
    "network_not_allowed", "incomplete_identity", "unknown_tenant", "tenant_suspended",
    "endpoint_not_allowed", "model_not_allowed", "data_class_not_allowed", "condition_not_met",
    "credential_throttled",
}  # fmt: skip

LOGS: Final = ("decisions", "costs", "alerts", "shadows", "spans", "texts")
SETTLEMENTS: Final = ("settled", "late", "duplicate", "lost")

STATUS_CLASS: Final = {0: NONE, 1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}


@dataclass(frozen=True, slots=True)
class KnownLabels:
    """The label values that may appear; everything else is counted as ``other``."""

    tenants: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset(e.name for e in (*ENDPOINTS, *RESOURCES))

    @classmethod
    def of(cls, config: Config) -> KnownLabels:
        """The names in a configuration; a route is named by the model it serves."""
        asked = frozenset(route.model for route in config.models)
        served = frozenset(target.model for route in config.models for target in route.targets)
        return cls(
            tenants=frozenset(tenant.id for tenant in config.tenants),
            models=asked | served,
            providers=frozenset(provider.id for provider in config.providers),
            routes=asked,
            endpoints=cls().endpoints | {f"{PASSTHROUGH}{item.id}" for item in config.passthrough},
        )


class Metrics:
    """All metrics of one worker; made by ``open_metrics``.

    ``known`` may be replaced when the configuration changes.
    """

    def __init__(self, directory: Path, worker: int, known: KnownLabels) -> None:
        self.known = known
        self._files = (
            SeriesFile(directory, "counter", worker),
            SeriesFile(directory, "histogram", worker),
            SeriesFile(directory, "gauge_livesum", worker),
        )
        counters, histograms, gauges = self._files

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(counters, f"gateway_{name}", text, labels)

        def histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(histograms, f"gateway_{name}", text, labels, bounds)

        self.requests = counter(
            "requests", "Requests that ended, by what the client asked and got.",
            "endpoint", "tenant", "model", "provider", "outcome", "status", "reason",
        )  # fmt: skip
        self.auth_failures = counter(
            "auth_failures", "Requests refused for who asked, or for what they may.", "reason"
        )
        self.limit_hits = counter(
            "limit_hits", "Limits that said no; in shadow mode nobody noticed.", "limit", "mode"
        )
        self.shed = counter(
            "shed", "Requests turned away because the worker was overloaded.", "priority"
        )
        self.budget_alerts = counter(
            "budget_alerts", "Thresholds that a budget's use has passed.", "budget", "percent"
        )
        self.spend_events = counter(
            "spend_events", "Requests that a budget's threshold or a rise of tokens touched.",
            "kind", "action",
        )  # fmt: skip
        self.settlements = counter(
            "settlements", "Reservations whose truth is known; late: their hold had expired.",
            "outcome",
        )  # fmt: skip
        self.degraded = counter(
            "degraded", "Requests decided without something that was away.", "what", "outcome"
        )
        self.guard_findings = counter(
            "guard_findings", "Observations of guard rules.", "rule", "action", "mode", "direction"
        )
        self.governance_events = counter(
            "governance_events", "Data kept from where its class must not go.", "kind", "action"
        )
        self.abuse_events = counter(
            "abuse_events", "Abuse of credentials, by the rule that saw it.", "rule", "action"
        )
        self.circuit_changes = counter(
            "circuit_changes", "Circuits of targets that changed while a request passed.", "action"
        )
        self.shadows = counter("shadows", "Copies for shadow targets.", "outcome")
        self.failovers = counter("failovers", "Attempts after the first one.", "route")
        self.attempts = counter("attempts", "Tries at a provider.", "provider", "status_class")
        self.tokens = counter(
            "tokens", "Tokens used; source tells whether the provider reported them.",
            "direction", "model", "provider", "source",
        )  # fmt: skip
        self.cost_nanos = counter(
            "cost_nanos", "Cost in nano-dollars.", "tenant", "model", "provider"
        )
        self.cache = counter(
            "cache", "Requests of routes that keep answers, by what the cache did.",
            "status", "kind", "reason",
        )  # fmt: skip
        self.cache_saved_nanos = counter(
            "cache_saved_nanos",
            "What answers had cost that the cache gave again.",
            "tenant",
            "kind",
        )
        self.cache_saved_tokens = counter(
            "cache_saved_tokens",
            "Tokens of answers that the cache gave again.",
            "direction",
            "kind",
        )
        self.duration = histogram(
            "request_duration_seconds", "From the request's headers to the end of the answer.",
            ANSWER_SECONDS, "endpoint", "provider",
        )  # fmt: skip
        self.first_byte = histogram(
            "time_to_first_byte_seconds", "From the request's headers to the answer's.",
            ANSWER_SECONDS, "endpoint", "provider",
        )  # fmt: skip
        self.processing = histogram(
            "processing_seconds", "Time in the gateway's own stages, all phases of a request.",
            PROCESSING_SECONDS, "endpoint",
        )  # fmt: skip
        self.records_dropped = counter(
            "records_dropped", "Records and spans that could not be kept.", "log"
        )
        self.decisions_left_out = counter(
            "decisions_left_out", "Decision records that policy does not keep.", "rule"
        )
        self.stage_errors = counter(
            "stage_errors", "Exceptions in a stage or in a sink of evidence.", "stage"
        )
        self._in_flight = gauges.value(
            "gateway_in_flight", "gateway_in_flight", (), (), "Requests being handled."
        )
        self._late = gauges.value(
            "gateway_loop_lag_seconds", "gateway_loop_lag_seconds", (), (),
            "How late the workers' event loops run, all together.",
        )  # fmt: skip
        self._pressure = gauges.value(
            "gateway_shed_pressure", "gateway_shed_pressure", (), (),
            "Share of requests turned away: 0 to 1 of batch, 1 to 2 of the others; summed.",
        )  # fmt: skip
        self._in_flight.set(0)  # an earlier process of this worker took its requests along
        for name in LOGS:  # made here, because the logs' own threads count on them
            self.records_dropped.inc((name,), 0)
        for priority in ("interactive", "batch"):
            self.shed.inc((priority,), 0)
        for outcome in SETTLEMENTS:
            self.settlements.inc((outcome,), 0)

    def pressure(self, late_s: float, pressure: float) -> None:
        """How late this worker's loop runs, and how much of what comes it turns away."""
        self._late.set(late_s)
        self._pressure.set(pressure)

    def in_flight(self, requests: int) -> None:
        """How many requests this worker handles now."""
        self._in_flight.set(requests)

    def record(self, exchange: Exchange, ended_ns: int, masks: FieldMasks = NO_MASKS) -> None:
        """Counts a finished exchange; what its record does not show is ``masked`` here."""
        known = self.known
        principal = exchange.permit.principal if exchange.permit is not None else None
        target = exchange.answered_by
        endpoint = exchange.endpoint.name if exchange.endpoint is not None else OTHER
        tenant = _label(principal.tenant.id if principal is not None else "", known.tenants)
        asked = _label(exchange.asked.model if exchange.asked is not None else "", known.models)
        provider = _label(target.provider if target is not None else "", known.providers)
        reason = exchange.refusal.reason if exchange.refusal is not None else NONE
        status = sent_status(exchange)
        code = str(status) if 100 <= status <= 599 else NONE
        why = reason if reason in REASONS or reason is NONE else OTHER
        if masks.fields:
            endpoint, tenant = masks.label("endpoint", endpoint), masks.label("tenant", tenant)
            asked = masks.label("requested_model", asked)
            provider = masks.label("provider", provider)
            code, why = masks.label("status", code), masks.label("refusal.reason", why)

        self.requests.inc((endpoint, tenant, asked, provider, exchange.outcome, code, why))
        started = exchange.started_ns
        if started:  # else Envoy answered before the request reached the record stage
            self.duration.observe((endpoint, provider), (ended_ns - started) / 1e9)
        if started and exchange.first_byte_ns:
            self.first_byte.observe((endpoint, provider), (exchange.first_byte_ns - started) / 1e9)
        spent = 0
        for entry in exchange.trail:
            spent += entry.microseconds
        self.processing.observe((endpoint,), spent / 1e6)
        if exchange.refusal is not None:
            self._refused(exchange, reason, masks)
        self._policy(exchange, masks)
        if exchange.events:
            self._events(exchange, masks)
        self._attempts(exchange, masks)
        if exchange.cache is not None:
            self._cache(exchange.cache, tenant, exchange.saved_nanos)
        if target is not None and exchange.usage is not None:
            model = masks.label("target_model", _label(target.model, known.models))
            self._usage(exchange, tenant, model, provider)

    def close(self) -> None:
        """Closes the files; the numbers stay for the supervisor and the next process."""
        for file in self._files:
            file.close()

    def _refused(self, exchange: Exchange, reason: str, masks: FieldMasks) -> None:
        if reason in AUTH_REASONS:
            self.auth_failures.inc((masks.label("refusal.reason", reason),))
        elif reason == "gateway_error" and exchange.trail:
            # The stage that refuses is the last one that spoke.
            self.stage_errors.inc((exchange.trail[-1].step.stage,))

    def _policy(self, exchange: Exchange, masks: FieldMasks) -> None:
        for state in exchange.limits:
            if not state.allowed:
                self.limit_hits.inc((masks.label("limits.id", state.id), state.mode))
        for what in exchange.degraded:
            self.degraded.inc((masks.label("degraded", what), exchange.outcome))
        for found in exchange.findings:
            rule = masks.label("findings.rule", found.rule)
            self.guard_findings.inc((rule, found.action, found.mode, found.direction))

    def _events(self, exchange: Exchange, masks: FieldMasks) -> None:
        for event in exchange.events:
            kind = masks.label("events.kind", event.kind)
            if event.category == "governance":
                self.governance_events.inc((kind, event.action))
            elif event.category == "spend":
                self.spend_events.inc((kind, event.action))
            elif event.category == "health":
                self.circuit_changes.inc((event.action,))
            else:
                self.abuse_events.inc((masks.label("events.rule", event.rule), event.action))

    def _attempts(self, exchange: Exchange, masks: FieldMasks) -> None:
        for attempt in exchange.attempts:
            provider = _label(attempt.target.partition("/")[0], self.known.providers)
            provider = masks.label("attempts.target", provider)
            self.attempts.inc((provider, STATUS_CLASS.get(attempt.status // 100, OTHER)))
        if len(exchange.attempts) > 1:
            route = masks.label("route", _label(exchange.route_id, self.known.routes))
            self.failovers.inc((route,), len(exchange.attempts) - 1)

    def _cache(self, note: CacheNote, tenant: str, saved_nanos: int) -> None:
        kind = note.kind or NONE
        self.cache.inc((note.status, kind, note.reason or NONE))
        if saved_nanos:
            self.cache_saved_nanos.inc((tenant, kind), saved_nanos)
        if note.saved is not None:
            self.cache_saved_tokens.inc(("prompt", kind), note.saved.prompt_tokens)
            self.cache_saved_tokens.inc(("completion", kind), note.saved.completion_tokens)

    def _usage(self, exchange: Exchange, tenant: str, model: str, provider: str) -> None:
        usage = exchange.usage
        assert usage is not None
        self.tokens.inc(("prompt", model, provider, usage.source), usage.prompt_tokens)
        self.tokens.inc(("completion", model, provider, usage.source), usage.completion_tokens)
        if exchange.cost_nanos:
            self.cost_nanos.inc((tenant, model, provider), exchange.cost_nanos)


def open_metrics(directory: Path, worker: int, known: KnownLabels = KnownLabels()) -> Metrics:
    """The metrics of one worker; two live workers never share a number."""
    directory.mkdir(parents=True, exist_ok=True)
    return Metrics(directory, worker, known)


def render(directory: Path) -> bytes:
    """All workers' metrics as Prometheus text; for a thread, not a loop."""
    registry = CollectorRegistry()
    collector: Any = MultiProcessCollector
    collector(registry, path=str(directory))
    return generate_latest(registry)


def wipe(directory: Path) -> None:
    """Forgets what an earlier supervisor's workers counted; before any worker starts."""
    for file in directory.glob("*.db"):
        file.unlink()


def worker_died(directory: Path, worker: int) -> None:
    """Takes a dead worker out of the gauges; its counters stay."""
    (directory / f"gauge_livesum_{worker}.db").unlink(missing_ok=True)


def _label(value: str, known: frozenset[str]) -> str:
    if value in known:
        return value
    return OTHER if value else NONE
