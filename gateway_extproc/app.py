"""The composition root: the only module that knows all rooms.

``pipeline()`` is the order in which a request meets the stages; ``run_worker`` is
what one worker process does.  Clocks, ids and files enter here and nowhere below.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from gateway_extproc.caches import Answers, model_mistakes, open_answers
from gateway_extproc.catalogues import with_catalogue
from gateway_extproc.config.base import PASSTHROUGH
from gateway_extproc.config.compile import Snapshot, compile_config
from gateway_extproc.config.failing import failover_policies
from gateway_extproc.config.load import load, load_with_mistakes
from gateway_extproc.config.mistakes import ConfigError
from gateway_extproc.config.model import Config
from gateway_extproc.config.routes import families_of, websocket_cluster
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.limits import Limiter
from gateway_extproc.core.pipeline import Pipeline
from gateway_extproc.core.ports import (
    AnswerWriter,
    Credentials,
    Dialect,
    Guard,
    Keeper,
    Load,
    Once,
    Recorder,
    StoreUnavailable,
    Translator,
)
from gateway_extproc.core.shedding import TICK_S, Shedding
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.standing import NO_STANDINGS
from gateway_extproc.envoyconf.processor import socket_path, worker_address
from gateway_extproc.evidence.policy import WHOLE, RecordPolicy, masked_log_fields
from gateway_extproc.evidence.sealing import reviewer_mistakes
from gateway_extproc.evidence.texts import TextKeeper
from gateway_extproc.evidence.traces import trace_context
from gateway_extproc.guardrules import (
    open_conversations,
    open_guard,
    prompt_key,
    rule_mistakes,
)
from gateway_extproc.identities import (
    Identities,
    identify_stage,
    open_identities,
    redis_address,
    state_dir,
)
from gateway_extproc.limiters import make_spending, open_limits
from gateway_extproc.providers.translate import DIALECTS, translator
from gateway_extproc.recording import open_recorder
from gateway_extproc.routing.complexity import make_complexity
from gateway_extproc.routing.draws import Draws
from gateway_extproc.routings import language_mistakes, language_of, wishes_of
from gateway_extproc.shadowing import ShadowSender, open_shadows
from gateway_extproc.stages.admit import Admit
from gateway_extproc.stages.attempt import AttemptBuilder
from gateway_extproc.stages.authorize import Authorize
from gateway_extproc.stages.conversation import Conversations
from gateway_extproc.stages.credential import Credential
from gateway_extproc.stages.failover import Failover
from gateway_extproc.stages.fallback import Fallback
from gateway_extproc.stages.forget import Forget
from gateway_extproc.stages.guard import Guard as GuardStage
from gateway_extproc.stages.guard import guarded
from gateway_extproc.stages.keep import Keep
from gateway_extproc.stages.kept import Kept
from gateway_extproc.stages.limit import Limit, Spending
from gateway_extproc.stages.models import Models
from gateway_extproc.stages.parse import Parse
from gateway_extproc.stages.passing import Passage, Passages, Passing
from gateway_extproc.stages.record import Record
from gateway_extproc.stages.refusal import RefusalWriter
from gateway_extproc.stages.relay import Relay
from gateway_extproc.stages.resources import Resources, Tools
from gateway_extproc.stages.route import Outside, Route
from gateway_extproc.stages.sealedids import SealedIds
from gateway_extproc.stages.shadow import Shadow
from gateway_extproc.stages.shed import Shed
from gateway_extproc.stages.translate import Translate
from gateway_extproc.stages.truncate import Truncate
from gateway_extproc.standings import Watcher, credential_paths
from gateway_extproc.stores.following import catch_up, follow
from gateway_extproc.stores.once import OnceFiles, OnceRedis
from gateway_extproc.stores.reviews import FollowedAllowList
from gateway_extproc.stores.secrets import SecretFiles, SecretUnavailable, read_secret
from gateway_extproc.supervisor.worker import run_worker as run_process
from gateway_extproc.wire.server import make_server
from gateway_extproc.wire.session import Processor, log_fields
from gateway_extproc.wire.tls import ServerTls


@dataclass(frozen=True, slots=True)
class Parts:
    """What the stages need from outside: made once a worker."""

    snapshot: Snapshot
    dialects: Mapping[str, Dialect]
    guards: Guard
    conversations: Conversations | None
    limiter: Limiter
    spending: Spending
    answers: Answers
    credentials: Credentials
    identities: Identities
    recorder: Recorder
    shedding: Shedding
    keeper: Keeper | None = None
    policy: RecordPolicy = WHOLE
    texts: TextKeeper | None = None
    watcher: Watcher | None = None
    shadows: ShadowSender | None = None

    @property
    def load(self) -> Load:
        """What this worker has to do; the wire counts, shedding looks."""
        return self.shedding.load


def pipeline(parts: Parts) -> list[Stage]:
    """The stages, outermost first; answers pass them in reverse.

    parse stands before authorize, because a role allows models and the body names
    the model; a body is only read after identify accepted its sender.  route stands before
    limit, because what a request may cost hangs on who answers, and all that it takes from
    limits and budgets is one step; limit before guard, because who probes a guard is limited, too.
    remember stands outside of parse: what it keeps is what the client was given.
    """
    snapshot, config = parts.snapshot, parts.snapshot.config
    ids = Ids()
    passages = open_passages(snapshot)
    attempts = attempts_of(config, parts.credentials)
    authorize = Authorize(snapshot.routes, time.time)
    route = Route(
        snapshot.routes,
        config.failover.max_attempts,
        parts.spending.cheaper_route,
        snapshot.rules,
        wishes_of(config),
        Outside(
            standings=parts.watcher.standings if parts.watcher is not None else NO_STANDINGS,
            asks_again=lambda exchange: parts.guards.may_ask_again(guarded(exchange)),
            usual_tokens=parts.spending.usual_tokens,
            complexity=make_complexity(),
            language=language_of(snapshot.rules),
            now_s=time.time,
            draws=Draws(random.SystemRandom().random()),
        ),
    )
    kept = Tools(
        ids=SealedIds(parts.identities.pepper),
        routes=snapshot.routes,
        targets={(target.provider, target.model): target for target in snapshot.targets},
        dialect=parts.dialects["openai"],
        guards=parts.guards,
        translator_for=translator_for,
        once=open_once(config),
        max_depth=config.caps.depth,
        new_boundary=secrets.token_hex,
        now_s=time.monotonic,
        families=families_of(config),
        max_cost_nanos=config.caps.cost_nanos,
    )
    keep = [Keep(parts.texts.wants_answer)] if parts.texts is not None else []
    return [
        Record(parts.recorder, snapshot.revision, time.monotonic_ns, time.time_ns, ids.decision,
               partial(trace_context, new_id=ids.hex,
                       sample_ratio=config.evidence.trace_sample_ratio), passages.find),
        Admit(parts.shedding, config.caps.body_bytes, may_wait(config),
              max_upload_bytes=config.caps.upload_bytes),
        identify_stage(config, parts.identities, worker_count(config)),
        parts.answers.remember(snapshot),
        Parse(parts.dialects, writer_for, snapshot.routes, max_depth=config.caps.depth),
        authorize,
        Passing(passages),
        Resources(kept, authorize, route),
        route,
        Truncate(parts.dialects, snapshot.routes),
        Limit(parts.limiter, parts.spending, snapshot.routes, parts.recorder,
              config.caps.cost_nanos),
        Models(snapshot.routes, authorize.usable, route.servable),
        GuardStage(parts.guards, route.narrowed, parts.conversations),
        *keep,
        Kept(kept),
        parts.answers.cache(snapshot),
        *(parts.watcher.stages() if parts.watcher is not None else ()),
        Failover(failover_policies(config), time.monotonic_ns),
        Translate(parts.dialects, translator_for, attempts, config.caps.answer_bytes),
        Relay(config.failover.attempt_timeout_s),
        Credential(attempts),
        *([Shadow(parts.shadows.offer)] if parts.shadows is not None else []),
        Forget(),
    ]  # fmt: skip


def attempts_of(config: Config, credentials: Credentials) -> AttemptBuilder:
    """Who writes attempts, for the pipeline, for fallbacks and for shadows alike."""
    return AttemptBuilder(DIALECTS, translator_for, credentials, time.time, families_of(config))


def open_once(config: Config) -> Once:
    """Who remembers what was billed."""
    if config.redis is None:
        return OnceFiles(state_dir(config) / "billed")
    return OnceRedis(redis_address(config.redis), config.redis.prefix)


def open_passages(snapshot: Snapshot) -> Passages:
    """The paths that policy lets pass."""
    return Passages(
        Passage(
            name=f"{PASSTHROUGH}{item.id}",
            target=snapshot.passed[item.id],
            exact=frozenset(path for path in item.paths if not path.endswith("/*")),
            prefixes=tuple(path[:-1] for path in item.paths if path.endswith("/*")),
            methods=frozenset(item.methods),
            strip=item.strip,
            socket_target=(
                replace(snapshot.passed[item.id], cluster=websocket_cluster(item.provider))
                if item.websockets
                else None
            ),
        )
        for item in snapshot.config.passthrough
    )


def translator_for(client: str, provider: str, endpoint: str) -> Translator:
    """The translator of a pair; what it writes anew is dated by this machine's clock."""
    return translator(client, provider, endpoint, _now)


def _now() -> int:
    return int(time.time())


def writer_for(exchange: Exchange) -> AnswerWriter:
    """Writes the stream of whoever answers in the language of whoever asked."""
    assert exchange.approved is not None
    assert exchange.answered_by is not None
    request = exchange.approved
    spoken = exchange.answered_by.spoken(request.endpoint)
    pair = (request.dialect, spoken, request.endpoint)
    return translator_for(*pair).writer(request)


class Ids:
    """Fresh ids of one worker process: unique, not secret, so no system call for each."""

    def __init__(self) -> None:
        self._random = random.Random(os.urandom(32))  # noqa: S311 (ids, not secrets)
        self.draw = self._random.random

    def decision(self) -> str:
        """32 hex digits that sort by time."""
        return f"{time.time_ns() // 1_000_000:012x}{self._random.getrandbits(80):020x}"

    def hex(self, size: int) -> str:
        """``size`` random bytes as hex digits."""
        return f"{self._random.getrandbits(8 * size):0{2 * size}x}"


def read_config(text: str) -> Config:
    """A configuration that a worker will accept; raises ``ConfigError`` with all mistakes.

    Includes what only other rooms can judge: the guards' patterns, terms and schemas.
    """
    config, mistakes = load_with_mistakes(text)
    mistakes += rule_mistakes(config)
    mistakes += reviewer_mistakes(config)
    mistakes += language_mistakes(config)
    mistakes += model_mistakes(config)
    try:
        config = with_catalogue(config)
    except ConfigError as error:
        mistakes += error.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return config


def worker_count(config: Config) -> int:
    """Workers to start: as configured, or one for each core that this process may use."""
    return config.server.workers or len(os.sched_getaffinity(0))


def metrics_dir(config: Config) -> Path:
    """Where workers leave their metrics for the supervisor."""
    return Path(config.server.socket_dir) / "metrics"


class Gateway:
    """One worker's service: its parts, its server, and how they stop."""

    def __init__(self, config: Config, worker: int) -> None:
        snapshot = compile_config(config)
        pepper = read_secret(Path(config.identity.pepper_file))
        self._identities = open_identities(config, snapshot)
        self._drain_s = config.server.drain_s
        self._allowed = FollowedAllowList(state_dir(config), time.time)
        catch_up((self._allowed,))
        self._socket = Path(socket_path(config, worker))
        policy = RecordPolicy.of(config.evidence, prompt_key(pepper))
        self.recorder = open_recorder(
            config, snapshot.revision, metrics_dir(config), worker, prompt_key(pepper), policy
        )
        texts = self.recorder.texts
        spending = make_spending(config)
        self._limits = open_limits(
            config, spending.rules.rules, self.recorder, worker, worker_count(config)
        )
        self._watcher = Watcher(snapshot)
        self._answers = open_answers(config, pepper)
        kept = open_conversations(config, pepper)
        self._masks = kept[0] if kept is not None else None
        credentials = SecretFiles(credential_paths(config), time.monotonic_ns)
        self.parts = Parts(
            snapshot=snapshot,
            dialects=DIALECTS,
            guards=open_guard(config, pepper, self._allowed),
            conversations=kept[1] if kept is not None else None,
            limiter=self._limits.limiter,
            spending=spending,
            answers=self._answers.answers,
            credentials=credentials,
            identities=self._identities,
            recorder=self.recorder,
            shedding=make_shedding(config),
            keeper=self.recorder if self.recorder.durability.strict else None,
            policy=policy,
            texts=texts if isinstance(texts, TextKeeper) else None,
            watcher=self._watcher,
            shadows=open_shadows(
                config, snapshot.revision, worker, self.recorder.metrics,
                attempts_of(config, credentials), translator_for,
                self._limits.limiter, spending.rules,
            ),
        )  # fmt: skip
        self._watching: list[asyncio.Task[None]] = []
        self.processor = build_processor(self.parts)
        self._address = worker_address(config, worker)
        self._server = make_server(
            config.server.wire,
            self.processor,
            self.parts.load,
            self._address,
            _server_tls(config),
        )

    async def start(self) -> None:
        """Listens on the worker's socket."""
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        # A worker that was killed leaves its socket behind.
        self._socket.unlink(missing_ok=True)
        self._watching = [
            asyncio.create_task(
                follow((*self._identities.followed, self._allowed, self._watcher.drains))
            ),
            asyncio.create_task(self._watcher.tick()),
            asyncio.create_task(watch_lag(self.parts.shedding, self.recorder.metrics.pressure)),
        ]
        await self._limits.start()
        if self.parts.shadows is not None:
            self.parts.shadows.start()
        await self._answers.start()
        if self._masks is not None:
            await self._masks.open()
        try:
            await self._server.start()
            if self._address.startswith("unix:"):
                # Whoever may connect is handed providers' credentials: the owner and its group,
                # whatever the umask says.
                self._socket.chmod(0o660)
        except OSError as error:
            raise SystemExit(f"cannot listen on {self._address}: {error}") from None

    async def drain(self) -> None:
        """Finishes what runs, then writes out all evidence."""
        await self._server.drain(self._drain_s)
        for task in self._watching:
            task.cancel()
        if self.parts.shadows is not None:
            await self.parts.shadows.close()
        await self._limits.close()
        await self._answers.close()
        if self._masks is not None:
            await self._masks.close()
        self.recorder.close()
        self._identities.close()
        self._watcher.close()


def _server_tls(config: Config) -> ServerTls | None:
    tls = config.server.tcp.tls if config.server.tcp else None
    if tls is None:
        return None
    client_ca = tls.client_ca_file
    return ServerTls(
        Path(tls.cert_file), Path(tls.key_file), Path(client_ca) if client_ca else None
    )


def make_shedding(config: Config) -> Shedding:
    """What a worker turns away; its loop's lateness is told to it by ``watch_lag``."""
    return Shedding(Load(), config.server.max_in_flight, config.server.shed.lag_ms / 1000)


def may_wait(config: Config) -> Callable[[Exchange], bool]:
    """Whether policy lets a request wait; what says so itself was asked at its headers."""
    shed = config.server.shed
    tenants, applications = frozenset(shed.batch_tenants), frozenset(shed.batch_applications)

    def judge(exchange: Exchange) -> bool:
        if exchange.permit is None or not (tenants or applications):
            return False
        principal = exchange.permit.principal
        return principal.tenant.id in tenants or principal.application in applications

    return judge


async def watch_lag(shedding: Shedding, tell: Callable[[float, float], None]) -> None:
    """Tells how late this loop runs, until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        shedding.tick(max(0.0, loop.time() - due_s))
        tell(shedding.late_s, shedding.pressure)


def make_shed(parts: Parts) -> Shed:
    """Turns requests away before anything else is done."""
    header = parts.snapshot.config.server.shed.priority_header
    return Shed(parts.shedding, parts.dialects, header, parts.recorder.shed)


def build_processor(parts: Parts) -> Processor:
    """The wire's view of the gateway."""
    attempts = attempts_of(parts.snapshot.config, parts.credentials)
    return Processor(
        Pipeline(pipeline(parts), RefusalWriter(parts.dialects)),
        Fallback(parts.snapshot, parts.dialects, attempts),
        make_shed(parts),
        parts.keeper,
        masked_log_fields(parts.policy.decisions, log_fields),
    )


def run_worker(number: int, parent: Connection, config_text: str, log_level: int) -> None:
    """The whole life of one worker process."""
    logging.basicConfig(
        level=log_level,
        format=f"%(asctime)s %(levelname)s worker-{number} %(name)s: %(message)s",
    )
    try:
        gateway = Gateway(with_catalogue(load(config_text)), number)
    except (ConfigError, SecretUnavailable, StoreUnavailable, OSError) as error:
        raise SystemExit(f"worker {number} cannot start: {error}") from None
    run_process(gateway, parent)
