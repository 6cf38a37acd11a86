"""The overshoot experiment: what budgets are worth while many requests run at once.

Worker processes run the gateway's own pipeline (all stages, journal, ledger, store), and ask a
provider that lives in the parent process: it decides how long an answer takes and how many tokens
it has, keeps its own books, and goes on when a worker is killed.  In the end three figures must
agree or be in order: what the provider delivered (spent), what the store counts (counter), and
what the cost records say (ledger).

    python -m bench.limits [--store memory|redis|both] [--quick]

Rows: ``check`` asks on arrival and counts at the end, as is common; ``estimate`` and ``strict``
are the gateway's two ways.  A tenth of the clients leave early, a fifth of the settlements are
told twice, and workers are killed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from gateway_extproc.app import Gateway, pipeline
from gateway_extproc.config.load import load
from gateway_extproc.core.endpoint import CHAT
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.limits import SECOND_US, Ask, Settlement
from gateway_extproc.core.pipeline import Pipeline
from gateway_extproc.limiters import limits_table, make_spending, now_us, open_redis
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.stages.limit import who_asks
from gateway_extproc.stages.refusal import RefusalWriter
from gateway_extproc.stores.host import HostCounters
from gateway_extproc.stores.rediscounters import RedisCounters
from support.config import ANN, PEPPER, document
from support.redisserver import RedisServer, redis_server

MODES: Final = ("check", "estimate", "strict")
CAP: Final = 1000
"""``max_tokens`` of each request; the mean completion is about 150."""
PROMPT: Final = 25
LEASE_S: Final = 10
ABORTED, TOLD_TWICE = 0.1, 0.2


@dataclass(frozen=True, slots=True)
class Setting:
    """One run."""

    store: str
    mode: str
    workers: int
    in_flight: int
    kills: int = 0

    @property
    def limit(self) -> int:
        """Hundreds of answers, and besides what requests that die with their worker are charged."""
        died = self.kills * self.in_flight // self.workers
        return max(60_000, self.in_flight * 400) + died * CAP


@dataclass(slots=True)
class Result:
    setting: Setting
    spent: int
    counter: int
    ledger: int
    held: int
    answered: int
    refused: int
    kills: int
    largest: int = 0


@dataclass(slots=True)
class Provider:
    """Answers over a Unix socket; ``spent`` holds what it delivered for each request."""

    spent: dict[str, int] = field(default_factory=dict)
    random: random.Random = field(default_factory=lambda: random.Random(7))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running: dict[str, asyncio.Task[None]] = {}
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                asked = orjson.loads(line)
                if asked["verb"] == "leave":
                    running.pop(asked["rid"]).cancel()
                    continue
                running[asked["rid"]] = asyncio.create_task(self._answer(asked, writer))
        # A worker died: the provider goes on and charges for what it makes.

    async def _answer(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        rid = asked["rid"]
        tokens = min(asked["max_tokens"], max(1, int(self.random.lognormvariate(4.6, 0.9))))
        seconds = self.random.uniform(0.3, 0.8)
        began = time.monotonic()
        self.spent[rid] = PROMPT + tokens
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            share = min(1.0, (time.monotonic() - began) / seconds)
            self.spent[rid] = PROMPT + int(tokens * share)
            share_tokens = int(tokens * share)
            _send(writer, {"rid": rid, "tokens": share_tokens, "left": True})
            return
        _send(writer, {"rid": rid, "tokens": tokens, "left": False})


def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    if not writer.is_closing():
        writer.write(orjson.dumps(message) + b"\n")


# ---------------------------------------------------------------------- one worker


class Client:
    """The clients of one worker, and the worker's side of the provider."""

    def __init__(self, gateway: Gateway, setting: Setting, seed: int) -> None:
        self.gateway, self.setting = gateway, setting
        self.pipeline = Pipeline(pipeline(gateway.parts), RefusalWriter(DIALECTS))
        self.random = random.Random(seed)
        self.waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.answered = self.refused = 0

    async def connect(self, path: str) -> None:
        self.reader, self.writer = await asyncio.open_unix_connection(path)
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while line := await self.reader.readline():
            reply = orjson.loads(line)
            self.waiting.pop(reply["rid"]).set_result(reply)

    async def request(self) -> bool:
        """One request through all stages; False where it was refused."""
        exchange = Exchange(
            "POST", CHAT.path,
            {"authorization": f"Bearer {ANN}", "content-type": "application/json"},
        )  # fmt: skip
        body = orjson.dumps(
            {"model": "small", "max_tokens": CAP, "stream": True,
             "messages": [{"role": "user", "content": "x" * 4 * PROMPT}]}
        )  # fmt: skip
        await self.pipeline.request_headers(exchange)
        decision = await self.pipeline.request_body(exchange, body)
        if decision.answer is not None:
            exchange.answer_status = decision.answer.status
            await self.pipeline.close(exchange)
            self.refused += 1
            return False
        assert decision.body is not None
        await self._answer(exchange, orjson.loads(decision.body)["max_tokens"])
        self.answered += 1
        return True

    async def _answer(self, exchange: Exchange, cap: int) -> None:
        rid = exchange.decision_id
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.waiting[rid] = future
        _send(self.writer, {"verb": "ask", "rid": rid, "max_tokens": cap})
        if self.random.random() < ABORTED:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.random.uniform(0.05, 0.5)):
                    await asyncio.shield(future)
            if not future.done():
                _send(self.writer, {"verb": "leave", "rid": rid})
        reply = await future
        exchange.response_status = 200
        exchange.response_headers = {":status": "200", "content-type": "text/event-stream"}
        exchange.response_cluster = exchange.targets[0].cluster
        exchange.response_details = "via_upstream"
        await self.pipeline.response_headers(exchange)
        await self.pipeline.response_body(exchange, _text(reply["tokens"]), last=False)
        if not reply["left"]:
            await self.pipeline.response_body(exchange, _end(reply["tokens"]), last=True)
            exchange.response_ended = True
        await self.pipeline.close(exchange)
        if exchange.reservation is not None and self.random.random() < TOLD_TWICE:
            limiter = self.gateway.parts.limiter
            shares = tuple(
                share._replace(actual=exchange.settled[i])
                for i, share in exchange.reservation.shared
            )
            limiter._pending.append((Settlement(rid, shares), -1))  # type: ignore[attr-defined]


def _text(tokens: int) -> bytes:
    delta = {"choices": [{"index": 0, "delta": {"content": "y" * 4 * tokens}}]}
    return b"data: " + orjson.dumps(delta) + b"\n\n"


def _end(tokens: int) -> bytes:
    usage = {
        "prompt_tokens": PROMPT, "completion_tokens": tokens, "total_tokens": PROMPT + tokens,
    }  # fmt: skip
    stop = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    events = (orjson.dumps(stop), orjson.dumps({"choices": [], "usage": usage}), b"[DONE]")
    return b"".join(b"data: " + event + b"\n\n" for event in events)


def run_worker(
    text: str, number: int, setting: Setting, path: str, seed: int, seconds: float, pipe: Any
) -> None:
    """One worker process: clients that ask as long as there is time."""
    asyncio.run(_run_worker(text, number, setting, path, seed, seconds, pipe))


async def _run_worker(
    text: str, number: int, setting: Setting, path: str, seed: int, seconds: float, pipe: Any
) -> None:
    gateway = Gateway(load(text), number)
    await gateway._limits.start()
    client = Client(gateway, setting, seed)
    if setting.mode == "check":
        _count_at_the_end(gateway)
    await client.connect(path)
    until = time.monotonic() + seconds

    async def ask_on() -> None:
        while time.monotonic() < until:
            if not await client.request():
                await asyncio.sleep(0.05)

    each = max(1, setting.in_flight // setting.workers)
    await asyncio.gather(*(ask_on() for _ in range(each)))
    client.reading.cancel()
    await gateway._limits.close()
    gateway.recorder.close()
    pipe.send((client.answered, client.refused))


def _count_at_the_end(gateway: Gateway) -> None:
    """The common way, for comparison: look on arrival, add afterwards."""
    limiter: Any = gateway.parts.limiter
    reserve, settle = limiter.reserve, limiter.settle

    async def look(rid: str, asks: tuple[Ask, ...], bill: Any) -> Any:
        # One token, or a budget that is just full would still be looked at as open.
        return await reserve(rid, tuple(ask._replace(amount=1) for ask in asks), bill)

    limiter.reserve, limiter.settle = look, settle


# ----------------------------------------------------------------------- the whole


def configuration(folder: Path, setting: Setting, redis: RedisServer | None) -> str:
    (folder / "pepper").write_text(PEPPER)
    for name in ("east", "west"):
        (folder / name).write_text("secret")
    sections: dict[str, Any] = {
        "server": {"workers": setting.workers, "socket_dir": str(folder)},
        "identity": {"pepper_file": str(folder / "pepper")},
        "evidence": {"dir": str(folder / "evidence"), "trace_sample_ratio": 0.0},
        "store": {"kind": setting.store, "lease_s": LEASE_S},
        "guards": [],
        "budgets": [
            {
                "id": "team",
                "per": ["tenant"],
                "tokens": setting.limit,
                "period": "month",
                "hold": "strict" if setting.mode == "strict" else "estimate",
            }
        ],
    }
    if redis is not None:
        sections["redis"] = {
            "address": {"port": redis.port}, "prefix": folder.name.lower(), "timeout_ms": 1000,
        }  # fmt: skip
    config = document(**sections)
    for provider in config["providers"]:
        provider["credential_file"] = str(folder / provider["id"])
    return yaml.safe_dump(config)


async def run(setting: Setting, folder: Path, redis: RedisServer | None, seconds: float) -> Result:
    """One row."""
    text = configuration(folder, setting, redis)
    provider = Provider()
    path = str(folder / "provider.sock")
    server = await asyncio.start_unix_server(provider.serve, path, limit=1 << 20)
    context = multiprocessing.get_context("spawn")
    until = time.monotonic() + seconds
    seeds = iter(range(1, 10_000))
    running: dict[int, tuple[Any, Any]] = {}

    def start(number: int) -> None:
        ours, theirs = context.Pipe()
        left = max(0.1, until - time.monotonic())
        process = context.Process(
            target=run_worker, args=(text, number, setting, path, next(seeds), left, theirs)
        )
        process.start()
        theirs.close()
        running[number] = (process, ours)

    for number in range(setting.workers):
        start(number)
    chance, killed = random.Random(3), 0
    await asyncio.sleep(1.5)
    while killed < setting.kills and time.monotonic() < until - 0.5:
        number = chance.randrange(setting.workers)
        process, pipe = running[number]
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.join)
        pipe.close()
        killed += 1
        start(number)
        await asyncio.sleep(chance.uniform(0.1, 0.6))
    answered = refused = 0
    for process, pipe in running.values():
        with contextlib.suppress(EOFError):
            counts = await asyncio.to_thread(pipe.recv)
            answered, refused = answered + counts[0], refused + counts[1]
        await asyncio.to_thread(process.join)
    if setting.kills:
        await asyncio.sleep(LEASE_S + 0.5)
    server.close()
    counter, held = await _stands(text)
    spent = sum(provider.spent.values())
    return Result(
        setting, spent, counter, sum(ledger(folder / "evidence")), held, answered, refused, killed
    )


def ledger(folder: Path) -> Iterator[int]:
    """Tokens of each request in the cost records; one that stands twice counts once."""
    seen: dict[str, int] = {}
    for file in folder.glob("costs-*.jsonl"):
        for line in file.read_text().splitlines():
            with contextlib.suppress(ValueError):  # the last line of a killed process
                record = json.loads(line)
                usage = record.get("usage", {})  # none where nothing was used
                seen[record["decision_id"]] = sum(
                    usage.get(kind, 0) for kind in ("prompt_tokens", "completion_tokens")
                )
    yield from seen.values()


async def _stands(text: str) -> tuple[int, int]:
    """What the store counts in the end, and what it still holds."""
    config = load(text)
    exchange = Exchange("POST", CHAT.path, {})
    gateway = Gateway(config, 200)
    exchange.endpoint = CHAT
    client = Pipeline(pipeline(gateway.parts), RefusalWriter(DIALECTS))
    exchange.headers = {"authorization": f"Bearer {ANN}", "content-type": "application/json"}
    await client.request_headers(exchange)
    [named] = make_spending(config).rules.of(who_asks(exchange, "small", "east"))
    store: Any = open_redis(config) or HostCounters(limits_table(config), now_us)
    if isinstance(store, RedisCounters):
        await store.open()
    look = (Ask(named.rule.counter, named.name, 0, named.tag, settles=False),)
    reserved = await store.reserve("the-end", look, SECOND_US)
    state = reserved.states[0]
    if isinstance(store, RedisCounters):
        await store.close()
    return state.used, state.held


def show(result: Result) -> str:
    """One line of the table."""
    setting = result.setting
    share = 100 * result.spent / setting.limit
    equal = "yes" if result.counter == result.ledger else f"no ({result.ledger})"
    return (
        f"{setting.store:7} {setting.mode:9} {setting.workers:7} {setting.in_flight:9} "
        f"{result.kills:5} {result.answered:8} {result.refused:8} {setting.limit:9} "
        f"{result.spent:9} {share:7.1f} % {result.counter:9} {equal:>14} {result.held:5}"
    )


HEAD: Final = (
    "store   mode      workers in flight kills answered  refused     limit     spent  of limit"
    "   counter = ledger's sum  held"
)


def settings(store: str, *, quick: bool) -> Iterator[Setting]:
    """The rows for one store."""
    flights = (64, 512) if quick else (16, 64, 256, 512)
    for mode in MODES:
        for flight in flights:
            yield Setting(store, mode, 2 if flight < 512 else 4, flight)
    for mode in ("estimate", "strict"):
        yield Setting(store, mode, 2, 64, kills=5 if quick else 20)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="make bench-limits")
    parser.add_argument("--store", choices=("memory", "redis", "both"), default="both")
    parser.add_argument("--quick", action="store_true", help="fewer rows and kills")
    options = parser.parse_args()
    stores = ("memory", "redis") if options.store == "both" else (options.store,)
    print(HEAD, flush=True)
    good = True
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        redis = stack.enter_context(redis_server(Path(folder))) if "redis" in stores else None
        for store in stores:
            for setting in settings(store, quick=options.quick):
                with tempfile.TemporaryDirectory() as place:
                    seconds = 8.0 + setting.kills * 0.6
                    result = asyncio.run(run(setting, Path(place), redis, seconds))
                print(show(result), flush=True)
                good = good and within(result)
    return 0 if good else 1


def within(result: Result) -> bool:
    """Whether a row is what it shall be; the common way only shows what it is."""
    most = {"strict": 1.0, "estimate": 1.02}.get(result.setting.mode, float("inf"))
    return (
        result.spent <= most * result.setting.limit
        and result.counter == result.ledger
        and result.held == 0
    )


if __name__ == "__main__":
    sys.exit(main())
