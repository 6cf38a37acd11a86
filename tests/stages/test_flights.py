"""Identical questions at once are asked once; who waits in vain goes on alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.verdict import Decision
from gateway_extproc.limiters import now_us
from gateway_extproc.stores.answers import HostAnswers
from gateway_extproc.stores.claims import HostClaims
from gateway_extproc.stores.memory import CacheBounds
from support import bodies, config, flow
from support.config import BOB
from support.parts import Bench, make_bench

Asking = asyncio.Task[tuple[Exchange, Decision]]


def caching_bench(folder: Path, wait_s: float = 4.0, **more: Any) -> Bench:
    sections = config.document(cache={"wait_s": wait_s}, **more)
    for model in sections["models"]:
        model["cache_ttl_s"] = 60
    return make_bench(folder, **sections)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = caching_bench(tmp_path)
    yield made
    made.close()


async def under_way(bench: Bench, count: int = 1, **asked: Any) -> list[Asking]:
    """Requests that have come as far as they can without an answer."""
    tasks = [asyncio.create_task(flow.ask(bench, **asked)) for _ in range(count)]
    for _ in range(20):
        await asyncio.sleep(0)
    return tasks


async def test_the_followers_are_given_the_leaders_answer(bench: Bench) -> None:
    leader, decision = await flow.ask(bench)
    assert decision.answer is None
    followers = await under_way(bench, 5)
    assert not any(task.done() for task in followers)
    await flow.answer(bench, leader, bodies.completion("Together"))
    for exchange, given in await asyncio.gather(*followers):
        assert given.answer is not None
        assert b"Together" in given.answer.body
        assert exchange.cache is not None
        assert (exchange.cache.status, exchange.cache.kind) == ("hit", "flight")
        await bench.pipeline().close(exchange)
        assert (exchange.usage, exchange.cost_nanos) == (None, 0)
        assert exchange.saved_nanos == leader.cost_nanos > 0


async def test_followers_of_a_stream_are_given_it_when_it_is_whole(bench: Bench) -> None:
    streamed = bodies.chat(stream=True)
    leader, _ = await flow.ask(bench, streamed)
    (same,) = await under_way(bench, body=streamed)
    (whole,) = await under_way(bench)
    events = bodies.completion_event("Bit by bit") + bodies.STREAM_END
    _, at_body = await flow.answer(bench, leader, events, headers=flow.EVENTS)
    _, streamed_again = await same
    assert streamed_again.answer is not None
    assert streamed_again.answer.body == at_body.body
    _, at_once = await whole
    assert at_once.answer is not None
    assert b"Bit by bit" in at_once.answer.body


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, bodies.provider_error()),
        (200, bodies.completion("ask jane@example.org")),
        (200, bodies.completion(choices=[{"index": 0, "finish_reason": "length",
                                          "message": {"role": "assistant", "content": "a"}}])),
    ],
    ids=["failed", "guarded", "cut"],
)  # fmt: skip
async def test_without_an_answer_for_them_they_go_on(
    bench: Bench, status: int, body: bytes
) -> None:
    leader, _ = await flow.ask(bench)
    followers = await under_way(bench, 3)
    await flow.answer(bench, leader, body, status=status)
    for exchange, given in await asyncio.gather(*followers):
        assert given.answer is None
        assert given.plan is not None
        assert not exchange.cache_hit


async def test_a_leader_that_leaves_lets_the_others_go_on(bench: Bench) -> None:
    leader, _ = await flow.ask(bench)
    (follower,) = await under_way(bench)
    await bench.pipeline().close(leader)
    _, given = await follower
    assert given.plan is not None


async def test_nobody_waits_longer_than_policy_says(tmp_path: Path) -> None:
    bench = caching_bench(tmp_path, wait_s=0.05)
    await flow.ask(bench)
    began = time.monotonic()
    _, given = await flow.ask(bench)
    assert time.monotonic() - began >= 0.05
    assert given.plan is not None
    bench.close()


async def test_nobody_waits_where_policy_says_never(tmp_path: Path) -> None:
    bench = caching_bench(tmp_path, wait_s=0)
    await flow.ask(bench)
    (other,) = await under_way(bench)
    assert other.done()
    bench.close()


@pytest.mark.parametrize("control", ["no-cache", "no-store", "max-age=0"])
async def test_who_wants_an_answer_of_its_own_does_not_wait(bench: Bench, control: str) -> None:
    await flow.ask(bench)
    (other,) = await under_way(bench, headers={"cache-control": control})
    assert other.done()


async def test_who_wants_only_what_is_cached_does_not_wait(bench: Bench) -> None:
    await flow.ask(bench)
    (other,) = await under_way(bench, headers={"cache-control": "only-if-cached"})
    _, given = await other
    assert given.answer is not None
    assert given.answer.status == 504


async def test_nobody_waits_for_another_tenant(bench: Bench) -> None:
    await flow.ask(bench)
    (other,) = await under_way(bench, key=BOB)
    assert other.done()


async def test_the_next_one_after_an_end_leads_again(bench: Bench) -> None:
    leader, _ = await flow.ask(bench)
    await flow.answer(bench, leader, bodies.provider_error(), status=500)
    again, decision = await flow.ask(bench)
    assert decision.plan is not None
    assert again.cache is not None
    assert again.cache.land is not None


# ------------------------------------------------------------------ workers of one host


@pytest.fixture
def two_workers(tmp_path: Path) -> Iterator[tuple[Bench, Bench]]:
    """Each with connections of its own to the same two files."""
    made = list[Bench]()
    opened = list[HostAnswers | HostClaims]()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        bench = caching_bench(tmp_path / name)
        store = HostAnswers(tmp_path / "answers", CacheBounds(1 << 20, 100, 1 << 16), time.time)
        claims = HostClaims(tmp_path / "claims", now_us)
        answers = replace(bench.parts.answers, store=store, claims=claims, now_s=time.time)
        stages = {"cache": answers.cache(bench.parts.snapshot),
                  "remember": answers.remember(bench.parts.snapshot)}  # fmt: skip
        bench.stages = [stages.get(stage.name, stage) for stage in bench.stages]
        made.append(bench)
        opened += [store, claims]
    yield made[0], made[1]
    for bench in made:
        bench.close()
    for part in opened:
        part.close()


async def test_one_worker_waits_for_the_other_ones_answer(
    two_workers: tuple[Bench, Bench],
) -> None:
    one, two = two_workers
    leader, _ = await flow.ask(one)
    followers = await under_way(two, 3)
    await flow.answer(one, leader, bodies.completion("From next door"))
    for exchange, given in await asyncio.gather(*followers):
        assert given.answer is not None
        assert b"From next door" in given.answer.body
        assert exchange.cache is not None
        assert exchange.cache.kind == "flight"


async def test_a_failure_in_one_worker_lets_one_of_the_other_lead(
    two_workers: tuple[Bench, Bench],
) -> None:
    one, two = two_workers
    leader, _ = await flow.ask(one)
    first, second = await under_way(two, 2)
    await flow.answer(one, leader, bodies.provider_error(), status=500)
    exchange, given = await first
    assert given.plan is not None
    assert not second.done()
    await flow.answer(two, exchange, bodies.completion("After all"))
    _, late = await second
    assert late.answer is not None
    assert b"After all" in late.answer.body
