"""What limits and budgets add to a request's CPU, and what turning a request away costs.

The stage alone, in this process: reserve at the request's body, settle at its close, with three
rates, a budget and a limit of concurrency; CPU is process time, the server's own is not in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import uvloop
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb

from gateway_extproc.config.model import Config
from gateway_extproc.core.endpoint import CHAT
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.limits import SECOND_US
from gateway_extproc.core.ports import Load
from gateway_extproc.core.shedding import Shedding
from gateway_extproc.core.usage import Usage
from gateway_extproc.limiters import make_spending, now_us
from gateway_extproc.limits.rules import alert_marks, compile_rules
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.stages.limit import Limit
from gateway_extproc.stages.shed import Shed
from gateway_extproc.stores.host import HostCounters
from gateway_extproc.stores.journal import Journal
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.limiter import WorkerLimiter
from gateway_extproc.stores.rediscounters import RedisCounters
from gateway_extproc.stores.redistopology import OneServer
from gateway_extproc.supervisor.worker import tune_process
from gateway_extproc.wire import codec
from support import bodies
from support.config import ANN, make_config
from support.parts import Bench, ListLedger, make_bench
from support.redisserver import redis_server

IN_FLIGHT: Final = 64
ROUNDS: Final = 8000
LIMITS: Final = [
    {"id": f"l{i}", "per": [per], "requests": 10**9} for i, per in
    enumerate(("user", "tenant", "endpoint"))
] + [{"id": "at-once", "per": ["user"], "concurrency": 10**6}]  # fmt: skip
BUDGETS: Final = [{"id": "team", "per": ["tenant"], "nanos": 10**15}]


def main() -> None:
    tune_process()
    with tempfile.TemporaryDirectory() as folder:
        bench = make_bench(Path(folder), limits=LIMITS, budgets=BUDGETS)
        uvloop.run(_all(bench, Path(folder)))
    print(f"a request turned away              {shed_us():6.1f} us")


async def _all(bench: Bench, folder: Path) -> None:
    with redis_server(folder) as server:
        address = RedisAddress("127.0.0.1", server.port, 1.0)
        remote = RedisCounters(OneServer(address, "gw"), "gw", now_us)
        await remote.open()
        own = HostCounters(folder / "own", now_us)
        for name, limits, budgets, store in (
            ("no limits", [], [], own),
            ("three rates in memory", LIMITS[:3], [], own),
            ("a rate and a budget in memory", LIMITS[:1], BUDGETS, own),
            ("all five in memory", LIMITS, BUDGETS, own),
            ("three rates in Redis", LIMITS[:3], [], remote),
            ("a rate and a budget in Redis", LIMITS[:1], BUDGETS, remote),
            ("all five in Redis", LIMITS, BUDGETS, remote),
        ):
            config = make_config(limits=limits, budgets=budgets)
            us = await stage_us(bench, config, store, folder / name)
            print(f"{name:34} {us:6.1f} us", flush=True)
        await remote.close()


async def stage_us(bench: Bench, config: Config, store: Any, journal: Path) -> float:
    """CPU of the stage for one request, with so many of them at a time."""
    limiter = WorkerLimiter(
        store, Journal(journal), ListLedger(), now_us=now_us, lease_us=60 * SECOND_US,
        alerts=alert_marks(compile_rules(config)),
    )  # fmt: skip
    await limiter.start()
    spending = make_spending(config)
    stage = Limit(limiter, spending, bench.parts.snapshot.routes, bench.recorder, None)
    made = [await _planned(bench) for _ in range(IN_FLIGHT)]
    numbers = itertools.count()

    async def one(exchange: Exchange, run: Callable[[Exchange], Awaitable[Any]]) -> None:
        for _ in range(ROUNDS // IN_FLIGHT):
            exchange.decision_id = f"{journal.name}{next(numbers)}"
            exchange.reservation, exchange.limits, exchange.outcome = None, (), "open"
            exchange.answered_by = exchange.targets[0]
            exchange.reported_usage, exchange.answer_ended_well = Usage(20, 30), True
            exchange.response_status = 200
            await run(exchange)
            await asyncio.sleep(0)

    async def work(exchange: Exchange) -> None:
        await stage.request_body(exchange, b"")
        await asyncio.sleep(0)
        await stage.close(exchange)

    async def nothing(exchange: Exchange) -> None:
        await asyncio.sleep(0)

    async def cpu(run: Callable[[Exchange], Awaitable[Any]]) -> float:
        began = time.process_time()
        await asyncio.gather(*(one(exchange, run) for exchange in made))
        for _ in range(2000):
            if not limiter.unsettled:
                break
            await asyncio.sleep(0.001)
        return (time.process_time() - began) / ROUNDS * 1e6

    await cpu(work)
    found = [await cpu(work) - await cpu(nothing) for _ in range(3)]
    await limiter.close()
    return sorted(found)[1]


async def _planned(bench: Bench) -> Exchange:
    exchange = bench.exchange(ANN, path=CHAT.path)
    body = bodies.chat("Tell me about the sea. " * 40, max_tokens=100)
    await bench.stage("parse").request_body(exchange, body)
    await bench.stage("route").request_body(exchange, body)
    return exchange


def shed_us() -> float:
    """CPU of a request that is turned away, from its message's bytes to its answer's."""
    message = pb.ProcessingRequest()
    for key, value in {
        ":method": "POST", ":path": CHAT.path, ":authority": "gateway", "content-length": "300",
        "authorization": "Bearer " + "x" * 60, "content-type": "application/json",
        "user-agent": "OpenAI/Python", "x-request-id": "0" * 36,
    }.items():  # fmt: skip
        message.request_headers.headers.headers.add(key=key, raw_value=value.encode())
    data = message.SerializeToString()
    shedding = Shedding(Load(), 10, 0.03, pressure=2.0)
    decide = Shed(shedding, DIALECTS, "x-gateway-priority", lambda priority: None)
    began = time.process_time()
    for _ in range(ROUNDS):
        decoded = codec.decode_or_none(data)
        assert decoded is not None
        values, _ = codec.read_headers(decoded.request_headers)
        answer = decide(values)
        assert answer is not None
        codec.encode_answer(answer, {})
    return (time.process_time() - began) / ROUNDS * 1e6


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
