"""What the decision log and the cost ledger add to a request's CPU, and how fast logs verify.

The loop's own part (building and queueing the records) and the writer threads' (encoding,
hashing, writing, syncing) are told apart; both count, they share one interpreter.  "typical" is
a chat as it passes the whole pipeline; "everything" has every field that a record can have.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvloop

from evidence import samples
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.evidence.chain import Head, extend
from gateway_extproc.evidence.log import JsonLinesLog, encode
from gateway_extproc.evidence.metrics import open_metrics
from gateway_extproc.evidence.recorder import STRICT_LINGER_S, Durability, EvidenceRecorder
from gateway_extproc.evidence.records import cost_record, decision_record, opened_record
from gateway_extproc.evidence.segments import Segments
from gateway_extproc.evidence.storage import PlainFile
from gateway_extproc.evidence.traces import NoTraces
from gateway_extproc.evidence.verify import verify
from gateway_extproc.supervisor.worker import tune_process
from support import bodies, flow
from support.parts import make_bench

REQUESTS: Final = 6_400
IN_FLIGHT: Final = 64
ROUNDS: Final = 7
ENDED_NS: Final = samples.ENDED_NS


def main() -> None:
    tune_process()
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(_all(Path(folder)))


async def _all(folder: Path) -> None:
    for name, exchange in (("typical", await typical(folder)), ("everything", samples.full())):
        size = len(encode(_decision(exchange)))
        print(f"{name}: {size} bytes a decision, {len(encode(cost_record(exchange)))} a cost")
        record = _decision(exchange)
        body = encode(record)
        for what, work in (
            ("decision, built", partial(_decision, exchange)),
            ("decision, encoded", partial(encode, record)),
            ("decision, chained", partial(extend, Head(), [body])),
            ("opened, built", partial(opened_record, exchange, version="1", worker=0)),
            ("cost, built", partial(cost_record, exchange)),
        ):
            print(f"  {what:28} {_us(work):6.1f} us")
        for what, durability, chained in (
            ("unchained, unsynced", Durability(), False),
            ("batch", Durability(), True),
            ("strict", Durability(strict=True), True),
        ):
            place = folder / f"{name}-{what}"
            loop_us, thread_us = await _recorded(place, exchange, durability, chained=chained)
            total_us = loop_us + thread_us
            print(f"  {what:28} {total_us:6.1f} us  (loop {loop_us:.1f}, threads {thread_us:.1f})")
        files = list((folder / f"{name}-batch").glob("*.jsonl"))
        began = time.perf_counter()
        report = verify(files)
        assert not report.problems
        print(f"  verified {report.records / (time.perf_counter() - began):12,.0f} records/s")


async def typical(folder: Path) -> Exchange:
    """A chat that was answered, as its record stage closes."""
    bench = make_bench(folder, limits=[{"id": "all", "per": ["user"], "requests": 10**9}])
    exchange, _ = await flow.ask(bench, bodies.chat("Tell me about the sea. " * 40))
    await flow.answer(bench, exchange, bodies.completion())
    await bench.pipeline().close(exchange)
    exchange.started_wall_ns = samples.STARTED_WALL_NS
    return exchange


async def _recorded(
    folder: Path, exchange: Exchange, durability: Durability, *, chained: bool
) -> tuple[float, float]:
    """CPU of one request in the loop's thread and in all others, with so many at a time."""

    def opened(name: str, linger_s: float) -> JsonLinesLog:
        storage = Segments(folder, name, 0) if chained else PlainFile(folder / f"{name}-0.jsonl")
        return JsonLinesLog(storage, linger_s=linger_s)

    logs = (
        opened("decisions", STRICT_LINGER_S if durability.strict else 0.02),
        opened("costs", 0.02),
        opened("alerts", 0.02),
    )
    recorder = EvidenceRecorder(
        *logs, open_metrics(folder / "metrics", 0),
        NoTraces(), version="1", worker=0, prompt_key=b"k" * 32, durability=durability,
    )  # fmt: skip
    recorder._sinks = recorder._sinks[:2]  # decisions and costs

    async def one() -> None:
        if durability.strict:
            await recorder.keep_opening(exchange)
        recorder.record(exchange, ENDED_NS)
        if durability.strict:
            await recorder.keep_ending()

    async def cpu(work: Callable[[], Any]) -> tuple[float, float]:
        mine, all_ = time.thread_time(), time.process_time()
        for _ in range(REQUESTS // IN_FLIGHT):
            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        _await_threads(logs)
        mine, all_ = time.thread_time() - mine, time.process_time() - all_
        return mine / REQUESTS * 1e6, (all_ - mine) / REQUESTS * 1e6

    async def nothing() -> None:
        return

    await cpu(one)
    figures = []
    for _ in range(ROUNDS):
        idle, _ = await cpu(nothing)
        loop, threads = await cpu(one)
        figures.append((loop - idle, threads))
    recorder.close()
    return min(figures, key=sum)


def _await_threads(logs: Sequence[JsonLinesLog]) -> None:
    while any(log.kept < log.accepted for log in logs):
        time.sleep(0.01)


def _decision(exchange: Exchange) -> dict[str, Any]:
    return decision_record(exchange, ENDED_NS, version="1", worker=0, prompt_key=b"k" * 32)


def _us(work: Callable[[], Any], rounds: int = 5_000) -> float:
    best = float("inf")
    for _ in range(5):
        began = time.thread_time()
        for _ in range(rounds):
            work()
        best = min(best, time.thread_time() - began)
    return best / rounds * 1e6


if __name__ == "__main__":
    main()
