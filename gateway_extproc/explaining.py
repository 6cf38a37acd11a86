"""What would happen to a request now: the worker's own pipeline, over stores that nobody shares.

The stages are those of ``app.pipeline``; only the proof of identity is given instead of verified,
secrets are placeholders, and limits are counted in a copy of this host's table.  Nothing leaves,
and nothing that others see is changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from gateway_extproc import __version__
from gateway_extproc.app import Parts, make_shedding, pipeline, read_config
from gateway_extproc.caches import own_answers
from gateway_extproc.config.compile import Snapshot, compile_config, tenant_table
from gateway_extproc.config.load import load_tenants
from gateway_extproc.config.model import Config
from gateway_extproc.config.model import Tenant as TenantSection
from gateway_extproc.core.endpoint import ENDPOINTS, Endpoint
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Proven
from gateway_extproc.core.limits import SECOND_US, Crossed
from gateway_extproc.core.pipeline import Pipeline
from gateway_extproc.core.ports import KeyTable, StoreUnavailable
from gateway_extproc.core.secret import Secret
from gateway_extproc.core.usage import Usage
from gateway_extproc.core.verdict import Decision
from gateway_extproc.evidence.log import encode
from gateway_extproc.evidence.records import decision_record
from gateway_extproc.guardrules import open_guard
from gateway_extproc.identities import Identities, state_dir
from gateway_extproc.identity.apikeys import ApiKeys
from gateway_extproc.identity.directory import Directory
from gateway_extproc.limiters import limits_table, make_spending, now_us
from gateway_extproc.limits.rules import alert_marks
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.routing.planner import Candidate
from gateway_extproc.stages.identify import Identify
from gateway_extproc.stages.refusal import RefusalWriter
from gateway_extproc.stages.route import Route
from gateway_extproc.standings import Watcher, health_table
from gateway_extproc.stores.following import catch_up
from gateway_extproc.stores.host import HostCounters
from gateway_extproc.stores.journal import Journal
from gateway_extproc.stores.keyfile import FollowedKeys
from gateway_extproc.stores.keysets import KeySetFiles
from gateway_extproc.stores.limiter import WorkerLimiter
from gateway_extproc.stores.memory import FixedKeys, FixedTenants
from gateway_extproc.stores.nonces import SharedNonces
from gateway_extproc.stores.reviews import FollowedAllowList
from gateway_extproc.stores.secrets import SecretUnavailable, read_secret
from gateway_extproc.supervisor.explain_api import Asked

DEFAULT_APPLICATION: Final = "default"
DEFAULT_ROLES: Final = ("developer",)
NOT_SENT: Final = Secret("not-a-credential-explain-sends-nothing")


@dataclass(frozen=True, slots=True)
class Question:
    """A request as it would come, and from whom: a key by its id, or names.

    With ``only_tenant`` keys of other tenants are not there.
    """

    endpoint: Endpoint
    body: bytes
    headers: Mapping[str, str]
    source: str = ""
    key: str = ""
    tenant: str = ""
    user: str = ""
    application: str = ""
    roles: tuple[str, ...] = ()
    only_tenant: str = ""


class _Given:
    """``Authenticator`` that believes who the question says is asking."""

    def __init__(self, question: Question, keys: KeyTable, api_keys: ApiKeys) -> None:
        self._question, self._keys, self._api_keys = question, keys, api_keys

    def authenticate(self, exchange: Exchange) -> Proven | Refusal | None:
        given = self._question
        if not given.key:
            return Proven(
                given.tenant, given.user, given.application, given.roles, "given", "given"
            )
        record = self._keys.find(given.key)
        if record is None or given.only_tenant not in ("", record.tenant):
            return refuse("invalid_api_key", f"There is no key {given.key}.")
        return self._api_keys.judge(record, exchange.source)


class _NoCredentials:
    def get(self, provider: str) -> Secret:
        return NOT_SENT


class _NoRecorder:
    """Takes everything and keeps nothing; ``Recorder`` and ``Ledger``."""

    accepting = True

    def opened(self) -> None: ...

    def record(self, exchange: object, ended_ns: int) -> None: ...

    def shed(self, priority: str) -> None: ...

    def bill(self, exchange: object, usage: Usage | None, cost_nanos: int) -> dict[str, Any]:
        return {}

    def charge(self, record: dict[str, Any]) -> None: ...

    def crossed(self, crossed: Crossed) -> None: ...

    def settled(self, outcome: str) -> None: ...

    def costs_accepted(self) -> int:
        return 0

    def costs_kept(self) -> int:
        return 0


def explain_asked(config_text: str, asked: Asked, folder: str) -> dict[str, Any]:
    """The same for the admin API, in a process of its own.

    Raises ValueError for what cannot be meant or read.
    """
    config = read_config(config_text)
    tenants: tuple[TenantSection, ...] = ()
    if config.identity.tenants_file:
        tenants = load_tenants(Path(config.identity.tenants_file).read_bytes(), config)
    endpoint = find_named(asked.endpoint)
    question = Question(
        endpoint=endpoint,
        body=asked.body if endpoint.has_body else b"",
        headers=asked.headers,
        source=asked.source,
        key=asked.key,
        tenant=asked.tenant,
        user=asked.user,
        application=asked.application or DEFAULT_APPLICATION,
        roles=asked.roles or DEFAULT_ROLES,
        only_tenant=asked.only_tenant,
    )
    return asyncio.run(explain(config, question, Path(folder), tenants))


async def explain(
    config: Config, question: Question, folder: Path, more_tenants: tuple[TenantSection, ...] = ()
) -> dict[str, Any]:
    """What would become of a request, with all reasons; ``folder`` is for stores of its own."""
    notes: list[str] = []
    snapshot = compile_config(config)
    with _opened(config, snapshot, folder, more_tenants, notes) as parts:
        known = parts.identities
        api_keys = ApiKeys(known.keys, known.pepper, time.time)
        identify = Identify(
            [_Given(question, known.keys, api_keys)],
            known.directory,
            known.nonces,
            application_header=config.identity.application_header,
            class_header=config.identity.data_class_header,
        )
        stages = [identify if s.name == "identify" else s for s in pipeline(parts)]
        exchange = _exchange(question)
        decision = await _decide(Pipeline(stages, RefusalWriter(DIALECTS)), exchange, question.body)
        route = next(stage for stage in stages if isinstance(stage, Route))
        candidates = route.candidates(exchange)
    return _explanation(snapshot, exchange, decision, notes, candidates)


async def _decide(pipeline_: Pipeline, exchange: Exchange, body: bytes) -> Decision:
    decision = await pipeline_.request_headers(exchange)
    if decision.answer is None:
        exchange.request_body_bytes = len(body)
        decision = await pipeline_.request_body(exchange, body)
    return decision


def _exchange(question: Question) -> Exchange:
    endpoint = question.endpoint
    headers = {
        ":method": endpoint.method,
        ":path": endpoint.path,
        "content-type": "application/json",
        **question.headers,
    }
    if question.source:
        headers["x-forwarded-for"] = question.source
    return Exchange(endpoint.method, endpoint.path, headers, client_dialect=endpoint.dialect)


@contextlib.contextmanager
def _opened(
    config: Config,
    snapshot: Snapshot,
    folder: Path,
    more_tenants: tuple[TenantSection, ...],
    notes: list[str],
) -> Iterator[Parts]:
    try:
        pepper = read_secret(Path(config.identity.pepper_file))
    except SecretUnavailable:
        pepper = Secret(os.urandom(16).hex())
        notes.append("the pepper cannot be read: texts that a review approved are not known")
    table = _limits_table(config, folder, notes)
    spending = make_spending(config)
    recorder = _NoRecorder()
    tenants = {**snapshot.tenants, **tenant_table(more_tenants)}
    limiter = WorkerLimiter(
        table,
        Journal(folder / "reservations.journal"),
        recorder,
        now_us=now_us,
        lease_us=int(config.store.lease_s * SECOND_US),
        alerts=alert_marks(spending.rules.rules),
    )
    watcher = _watcher(snapshot, folder)
    yield Parts(
        snapshot=snapshot,
        dialects=DIALECTS,
        guards=open_guard(config, pepper, _allow_list(config, folder)),
        conversations=None,
        limiter=limiter,
        spending=spending,
        answers=own_answers(config.cache, time.monotonic_ns),
        credentials=_NoCredentials(),
        identities=Identities(
            keys=_keys(config, snapshot),
            pepper=pepper,
            directory=Directory(snapshot.roles, FixedTenants(tenants)),
            trusts=KeySetFiles(config.identity.issuers, folder / "jwks", time.monotonic),
            signer_secrets=_NoCredentials(),
            nonces=SharedNonces(folder / "nonces.table", time.time, slots=1024),
        ),
        recorder=recorder,
        shedding=make_shedding(config),
        watcher=watcher,
    )
    watcher.close()
    table.close()


def _watcher(snapshot: Snapshot, folder: Path) -> Watcher:
    """How targets stand now, in a copy; of a gateway that never ran here all are in order."""
    copy, live = folder / "health.table", health_table(snapshot.config)
    if live.exists():
        with contextlib.suppress(OSError):
            shutil.copyfile(live, copy)
    return Watcher(snapshot, copy)


def _limits_table(config: Config, folder: Path, notes: list[str]) -> HostCounters:
    """A copy of this host's counters; empty ones where there are none, or others count."""
    copy, live = folder / "limits.table", limits_table(config)
    if not (config.limits or config.budgets):
        return HostCounters(copy, now_us)
    if config.store.kind == "memory" and live.exists():
        try:
            shutil.copyfile(live, copy)
            table = HostCounters(copy, now_us)
        except (OSError, StoreUnavailable):
            copy.unlink(missing_ok=True)
        else:
            notes.append("limits stand as this host counts them now")
            return table
    notes.append("limits are shown as if nothing had been used of them")
    return HostCounters(copy, now_us)


def _keys(config: Config, snapshot: Snapshot) -> KeyTable:
    folder = state_dir(config)
    if not folder.is_dir():
        return FixedKeys(snapshot.keys)
    keys = FollowedKeys(folder, snapshot.keys)
    catch_up((keys,))
    return keys


def _allow_list(config: Config, folder: Path) -> FollowedAllowList:
    place = state_dir(config)
    allowed = FollowedAllowList(place if place.is_dir() else folder, time.time)
    catch_up((allowed,))
    return allowed


# ----------------------------------------------------------------------- what is told


def _explanation(
    snapshot: Snapshot,
    exchange: Exchange,
    decision: Decision,
    notes: list[str],
    candidates: list[Candidate],
) -> dict[str, Any]:
    made = decision_record(
        exchange, exchange.started_ns, version=__version__, worker=0, prompt_key=b"explain"
    )
    record = orjson.loads(encode(made))  # parts of it are written already
    told: dict[str, Any] = {"would": _would(exchange, decision)}
    if exchange.refusal is not None:
        told["refusal"] = {**record["refusal"], "message": exchange.refusal.message}
    told["policy_revision"] = snapshot.revision
    names = (
        "tenant", "user", "application", "credential_id", "auth_method", "roles", "data_classes",
        "role", "rule", "endpoint", "requested_model", "stream", "trail", "limits", "findings",
        "scannable_chars", "scanned_chars", "dropped_messages", "events", "degraded",
        "worst_case_nanos",
    )  # fmt: skip
    told |= {name: record[name] for name in names if name in record}
    if exchange.expected_prompt_tokens:
        told["expected_prompt_tokens"] = exchange.expected_prompt_tokens
        told["expected_completion_tokens"] = exchange.expected_completion_tokens
        told["cap_tokens"] = exchange.cap_tokens
    if exchange.route_id:
        told["route"] = exchange.route_id
        told["routing"] = record.get("routing", {})
        told["candidates"] = [_candidate(exchange, candidate) for candidate in candidates]
    if decision.plan is not None:
        told["clusters"] = list(decision.plan.clusters)
    told["notes"] = notes + list(_unknown(snapshot, exchange))
    return told


def _would(exchange: Exchange, decision: Decision) -> str:
    if exchange.refusal is not None:
        return "be refused"
    if decision.answer is not None:
        return "be answered by the gateway itself"
    return "be sent"


def _candidate(exchange: Exchange, candidate: Candidate) -> dict[str, Any]:
    """A target: the place in which it is tried, or why it is not; and what a strategy saw of it."""
    target = candidate.target
    taken = target in exchange.targets
    told: dict[str, Any] = {
        "target": target.name,
        "region": target.region,
        "attempt": exchange.targets.index(target) + 1 if taken else 0,
        "why": candidate.why,
    }
    told |= {
        name: value
        for name in ("cost_nanos", "quality", "latency_ms", "score")
        if (value := getattr(candidate, name)) is not None
    }
    return told if candidate.share >= 1 else {**told, "share": candidate.share}


def _unknown(snapshot: Snapshot, exchange: Exchange) -> Iterator[str]:
    """What a worker knows that nobody else does."""
    if exchange.asked is None:
        return
    if any(budget.thresholds for budget in snapshot.config.budgets):
        yield "how full budgets are is known to workers only: their thresholds are not applied"
    if exchange.plan is not None and exchange.plan.policy.strategy == "weighted":
        yield "a draw decides between weights: another request may be sent elsewhere"
    route = snapshot.routes.get(exchange.asked.model)
    if route is not None and route.cache_ttl_s and exchange.cache_key:
        yield "the same question may be answered from the cache"
    if exchange.dropped and exchange.dropped[0]:
        yield f"{exchange.targets[0].name} is not told: {', '.join(exchange.dropped[0])}"


def find_named(name: str) -> Endpoint:
    """The endpoint of this name; raises StopIteration."""
    return next(endpoint for endpoint in ENDPOINTS if endpoint.name == name)
