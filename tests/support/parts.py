"""Everything that stages need, real where real is cheap, in a folder of the test."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway_extproc import app
from gateway_extproc.caches import own_answers
from gateway_extproc.config.compile import compile_config
from gateway_extproc.config.guardchecks import guard_rules
from gateway_extproc.config.routes import families_of
from gateway_extproc.core.endpoint import error_dialect, find_endpoint
from gateway_extproc.core.exchange import Exchange, TraceContext
from gateway_extproc.core.identity import Permit, Proven
from gateway_extproc.core.limits import Crossed
from gateway_extproc.core.pipeline import Pipeline
from gateway_extproc.core.secret import Secret
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.usage import Usage
from gateway_extproc.evidence.records import cost_record
from gateway_extproc.guardrules import open_conversations
from gateway_extproc.guards.guard import RuleGuard
from gateway_extproc.identities import Identities
from gateway_extproc.identity.apikeys import ApiKeys
from gateway_extproc.identity.directory import Directory
from gateway_extproc.limits.learned import Learned
from gateway_extproc.limits.levels import Levels
from gateway_extproc.limits.rules import RuleBook, alert_marks, compile_rules
from gateway_extproc.providers.translate import DIALECTS, translator
from gateway_extproc.stages.attempt import AttemptBuilder
from gateway_extproc.stages.fallback import Fallback
from gateway_extproc.stages.limit import Spending
from gateway_extproc.stages.refusal import RefusalWriter
from gateway_extproc.stores.host import HostCounters
from gateway_extproc.stores.journal import Journal
from gateway_extproc.stores.keysets import KeySetFiles
from gateway_extproc.stores.limiter import WorkerLimiter
from gateway_extproc.stores.memory import FixedKeys, FixedTenants
from gateway_extproc.stores.nonces import SharedNonces
from gateway_extproc.stores.secrets import SecretFiles
from gateway_extproc.wire.session import Processor
from support.clock import FakeClock
from support.config import PEPPER, SECRETS, make_config


@dataclass
class ListRecorder:
    """Counts what began and keeps what is over."""

    exchanges: list[Exchange] = field(default_factory=list)
    begun: int = 0
    accepting: bool = True
    turned_away: list[str] = field(default_factory=list)

    def opened(self) -> None:
        self.begun += 1

    def record(self, exchange: object, ended_ns: int) -> None:
        assert isinstance(exchange, Exchange)
        self.exchanges.append(exchange)

    def shed(self, priority: str) -> None:
        self.turned_away.append(priority)

    def bill(self, exchange: object, usage: Usage | None, cost_nanos: int) -> dict[str, Any]:
        assert isinstance(exchange, Exchange)
        return cost_record(exchange, usage, cost_nanos)


@dataclass
class ListLedger:
    """Keeps what a limiter tells; every cost record is in its file at once."""

    charged: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[Crossed] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)

    def charge(self, record: dict[str, Any]) -> None:
        self.charged.append(record)

    def crossed(self, crossed: Crossed) -> None:
        self.alerts.append(crossed)

    def settled(self, outcome: str) -> None:
        self.outcomes.append(outcome)

    def costs_accepted(self) -> int:
        return 0

    def costs_kept(self) -> int:
        return 0


@dataclass
class Bench:
    """The parts of one worker, its stages by name, and what they recorded."""

    parts: app.Parts
    recorder: ListRecorder
    clock: FakeClock
    stages: list[Stage]
    table: HostCounters
    ledger: ListLedger

    def close(self) -> None:
        self.table.close()

    def stage(self, name: str) -> Any:
        return next(stage for stage in self.stages if stage.name == name)

    @property
    def attempts(self) -> AttemptBuilder:
        families = families_of(self.parts.snapshot.config)
        return AttemptBuilder(DIALECTS, translator, self.parts.credentials, lambda: 0.0, families)

    @property
    def fallback(self) -> Fallback:
        return Fallback(self.parts.snapshot, DIALECTS, self.attempts)

    def pipeline(self, *, without: tuple[str, ...] = ()) -> Pipeline:
        stages = [stage for stage in self.stages if stage.name not in without]
        return Pipeline(stages, RefusalWriter(DIALECTS))

    def pipeline_of(self, stages: list[Stage]) -> Pipeline:
        """A pipeline of just these stages."""
        return Pipeline(stages, RefusalWriter(DIALECTS))

    def processor(self) -> Processor:
        shed = app.make_shed(self.parts)
        return Processor(self.pipeline(), self.fallback, shed, self.parts.keeper)

    def permit(self, key: str) -> Permit:
        """What the identify stage makes for who has this key."""
        exchange = chat_exchange(headers={"x-api-key": key})
        known = self.parts.identities
        proven = ApiKeys(known.keys, known.pepper, lambda: 0.0).authenticate(exchange)
        assert isinstance(proven, Proven)
        permit = known.directory.permit(proven)
        assert isinstance(permit, Permit)
        return permit

    def exchange(self, key: str | None = None, **fields: Any) -> Exchange:
        """A chat request as the record stage leaves it; with ``key`` also identified."""
        exchange = chat_exchange(**fields)
        if key is not None:
            exchange.permit = self.permit(key)
        return exchange


def make_bench(folder: Path, **sections: Any) -> Bench:
    """A worker's parts over files in ``folder``; keyword arguments replace sections."""
    for name, secret in SECRETS.items():
        (folder / name).write_text(secret)
    clock, recorder, ledger = FakeClock(), ListRecorder(), ListLedger()
    table = HostCounters(folder / "limits.table", lambda: clock() // 1000)
    config = make_config(**sections)
    snapshot = compile_config(config)
    rules = RuleBook(compile_rules(config))
    parts = app.Parts(
        snapshot=snapshot,
        dialects=DIALECTS,
        guards=RuleGuard(guard_rules(config), config.guard_levels),
        conversations=kept[1] if (kept := open_conversations(config, Secret(PEPPER))) else None,
        limiter=WorkerLimiter(
            table,
            Journal(folder / "reservations.journal"),
            ledger,
            now_us=lambda: clock() // 1000,
            lease_us=60_000_000,
            alerts=alert_marks(rules.rules),
        ),
        spending=Spending(rules, Levels(), Learned(), lambda: clock() // 1000),
        answers=own_answers(config.cache, clock),
        credentials=SecretFiles({p.id: folder / p.id for p in config.providers}, clock),
        identities=Identities(
            keys=FixedKeys(snapshot.keys),
            pepper=Secret(PEPPER),
            directory=Directory(snapshot.roles, FixedTenants(snapshot.tenants)),
            trusts=KeySetFiles(config.identity.issuers, folder / "jwks", clock.now_s),
            signer_secrets=SecretFiles(
                {s.id: folder / s.id for s in config.identity.signed.signers if s.secret_file},
                clock,
            ),
            nonces=SharedNonces(folder / "nonces.table", time.time, slots=1024),
        ),
        recorder=recorder,
        shedding=app.make_shedding(config),
    )
    return Bench(parts, recorder, clock, app.pipeline(parts), table, ledger)


def chat_exchange(
    path: str = "/v1/chat/completions",
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> Exchange:
    """A request of which only the headers are known."""
    given = {":method": method, ":path": path, "content-type": "application/json"}
    all_headers = {**given, **(headers or {})}
    exchange = Exchange(method, path, all_headers, client_dialect=error_dialect(path, all_headers))
    exchange.endpoint = find_endpoint(path)
    exchange.decision_id, exchange.request_id = "d-1", "r-1"
    exchange.trace = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    return exchange
