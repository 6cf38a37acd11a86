"""``make bench-cache``: what a hit costs beside a miss, through the real Envoy and by itself.

One gateway with every stage on.  In each round the same request is sent as a hit, as a miss that
is stored (``cache-control: no-cache``) and past the cache, one after the other, so that ratios
are of one moment.  The provider of plain answers is Envoy itself and takes no time: what a real
one takes comes on top of every miss.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.cpu import Meter
from bench.launch import running
from bench.load import build_request, load
from bench.stand import BenchError, Stand
from bench.workloads import HOST, PATH, WORKLOADS, Workload
from gateway_extproc.core.cached import CachedAnswer
from gateway_extproc.core.usage import Usage
from gateway_extproc.meaning.verify import differ, said
from gateway_extproc.stages.cachekey import CachePolicy
from gateway_extproc.stores.answers import HostAnswers, SealedAnswers
from gateway_extproc.stores.memory import CacheBounds
from support import bodies, config, flow
from support.parts import Bench, make_bench

ROW: Final = "gateway-fast"
KINDS: Final = {
    "hit": (),
    "miss, stored": (("cache-control", "no-cache"),),
    "past the cache": (("x-gateway-cache", "bypass"),),
}
CALLS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Figures:
    """One kind of request in one round."""

    per_s: float
    worker_us: float
    p50_ms: float


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(_by_itself(Path(folder)))
    if options.alone:
        return
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), [ROW], _caching) as stand:
        for id_ in ("chat-1", "chat-16", "stream-16"):
            workload = next(w for w in WORKLOADS if w.id == id_)
            _compare(stand, workload, options.rounds, options.seconds)


def _caching(document: dict[str, Any]) -> None:
    document["failover"]["attempt_timeout_s"] = 30  # a busy machine is no failure
    for model in document["models"]:
        model["cache_ttl_s"] = 3600


def _compare(stand: Stand, workload: Workload, rounds: int, seconds: float) -> None:
    made: dict[str, list[Figures]] = {kind: [] for kind in KINDS}
    for number in range(rounds + 1):
        for kind in KINDS:
            figures = _measure(stand, workload, kind, seconds)
            if number:  # the first round warms up
                made[kind].append(figures)
    print(f"\n{workload.title}")
    for kind, rows in made.items():
        ratios = [hit.per_s / row.per_s for hit, row in zip(made["hit"], rows, strict=True)]
        cpu = [row.worker_us / hit.worker_us for hit, row in zip(made["hit"], rows, strict=True)]
        print(
            f"  {kind:15} {_middle(row.per_s for row in rows):8.0f}/s"
            f"  worker {_middle(row.worker_us for row in rows):7.0f} us"
            f"  p50 {_middle(row.p50_ms for row in rows):7.2f} ms"
            f"  a hit is {_middle(ratios):5.2f} x as fast, {_middle(cpu):5.2f} x as cheap"
        )


def _measure(stand: Stand, workload: Workload, kind: str, seconds: float) -> Figures:
    request = _request(stand.key, workload, kind)
    pid = stand.targets[ROW].processor_pid
    assert pid is not None
    with Meter([pid]) as meter:
        report = load(
            HOST, stand.targets[ROW].port, request,
            connections=workload.in_flight, seconds=seconds,
        )  # fmt: skip
    if report.non_2xx or not report.requests:
        raise BenchError(f"{kind}: {report.non_2xx} of {report.requests} refused")
    return Figures(report.requests_per_s, meter.used_us[pid] / report.requests, report.p50_ms)


def _request(key: str, workload: Workload, kind: str) -> bytes:
    headers = [("authorization", f"Bearer {key}"), ("content-type", "application/json")]
    return build_request("POST", PATH, HOST, [*headers, *KINDS[kind]], workload.body())


def _middle(values: Iterable[float]) -> float:
    return float(statistics.median(values))


# ------------------------------------------------------------------- CPU by itself


async def _by_itself(folder: Path) -> None:
    sections = config.document()
    for model in sections["models"]:
        model["cache_ttl_s"] = 60
    bench = make_bench(folder, **sections)
    exchange, _ = await flow.ask(bench, WORKLOADS[0].body().replace(b"gpt-4o-mini", b"small"))
    policy = CachePolicy(bench.parts.snapshot.config.cache, bench.parts.snapshot.revision)
    host = HostAnswers(folder / "answers", CacheBounds(1 << 28, 10_000, 1 << 20), time.time)
    store = SealedAnswers(host, b"k" * 32)
    key = policy.key(exchange)
    answer = CachedAnswer("whole", bodies.completion("text " * 200), 0.0, Usage(10, 20))
    await store.put(key, answer.encode(), 3600)
    one, two = "How do I reset my password?", "How can I reset my password, please?"

    async def look() -> None:
        await store.get(key)

    async def write() -> None:
        await store.put(key, answer.encode(), 3600)

    print(f"name of a 1 KB request            {_cpu_us(lambda: policy.key(exchange)):7.1f} us")
    print(f"look-up of 1 KB, opened           {await _acpu_us(look):7.1f} us")
    print(f"writing of 1 KB, with its thread  {await _acpu_us(write, CALLS // 10):7.1f} us")
    print(
        f"two questions verified            {_cpu_us(lambda: differ(said(one), said(two))):7.1f} us"
    )
    await _through_all_stages(bench)
    host.close()
    bench.close()


async def _through_all_stages(bench: Bench) -> None:
    """Without the wire: a hit ends at its request's body, a miss at its answer's."""
    request = WORKLOADS[0].body().replace(b"gpt-4o-mini", b"small")
    answer = bodies.completion("text " * 200)
    exchange, _ = await flow.ask(bench, request)
    await flow.answer(bench, exchange, answer)
    pipeline = bench.pipeline()

    async def hit() -> None:
        exchange, decision = await flow.ask(bench, request)
        assert decision.answer is not None
        await pipeline.close(exchange)

    async def miss() -> None:
        exchange, _ = await flow.ask(bench, request, headers={"cache-control": "no-cache"})
        await flow.answer(bench, exchange, answer)

    hits, misses = await _acpu_us(hit, 2000), await _acpu_us(miss, 2000)
    print(f"all stages, a hit                 {hits:7.1f} us")
    print(f"all stages, a miss that is stored {misses:7.1f} us")


def _cpu_us(call: Callable[[], Any]) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - began) / CALLS * 1e6


async def _acpu_us(call: Callable[[], Awaitable[None]], calls: int = CALLS) -> float:
    began = time.process_time()
    for _ in range(calls):
        await call()
    return (time.process_time() - began) / calls * 1e6


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.cache", description=__doc__)
    parser.add_argument("--alone", action="store_true", help="only what needs no Envoy")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    return parser


if __name__ == "__main__":
    main()
