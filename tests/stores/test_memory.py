"""The embedded store: limits that hold across processes, answers that fit in memory."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from gateway_extproc.core.ports import LimitAsk, StoreUnavailable
from gateway_extproc.stores.memory import (
    PROBES,
    SLOTS,
    MemoryCache,
    SharedLimits,
    gcra,
)
from support.clock import SECOND_NS, FakeClock
from support.hammer import hammer, hold_lock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[SharedLimits]:
    limits = SharedLimits(tmp_path / "limits.table", clock)
    yield limits
    limits.close()


def ask(
    name: str = "a",
    limit: int = 10,
    window_s: float = 10.0,
    burst: int = 0,
    *,
    shadow: bool = False,
) -> LimitAsk:
    return LimitAsk(name, name.encode(), limit, window_s, burst or limit, shadow)


async def allowed(store: SharedLimits, *asks: LimitAsk) -> list[bool]:
    return [reply.allowed for reply in await store.take(asks)]


# ------------------------------------------------------------------------- one limit


async def test_a_burst_passes_and_the_next_one_waits_its_exact_time(
    store: SharedLimits, clock: FakeClock
) -> None:
    replies = [(await store.take([ask()]))[0] for _ in range(10)]
    assert [reply.remaining for reply in replies] == list(range(9, -1, -1))
    [refused] = await store.take([ask()])
    assert (refused.allowed, refused.remaining, refused.retry_after_s) == (False, 0, 1.0)
    clock.now_ns += SECOND_NS - 1
    assert await allowed(store, ask()) == [False]
    clock.now_ns += 1
    assert await allowed(store, ask()) == [True]


async def test_a_limit_is_full_again_after_its_window(
    store: SharedLimits, clock: FakeClock
) -> None:
    for _ in range(10):
        [reply] = await store.take([ask()])
    assert reply.reset_s == 10.0
    clock.advance(10)
    assert (await store.take([ask()]))[0].remaining == 9


async def test_a_burst_smaller_than_the_window_holds(store: SharedLimits) -> None:
    assert [(await allowed(store, ask(burst=2)))[0] for _ in range(3)] == [True, True, False]


async def test_keys_do_not_share(store: SharedLimits) -> None:
    assert await allowed(store, ask("a", limit=1)) == [True]
    assert await allowed(store, ask("b", limit=1)) == [True]
    assert await allowed(store, ask("a", limit=1)) == [False]


async def test_more_requests_than_nanoseconds_is_no_crash(store: SharedLimits) -> None:
    assert await allowed(store, ask(limit=10**12, window_s=1.0)) == [True]


class Gcra(RuleBasedStateMachine):
    """The store beside a leaky bucket that counts in exact integers.

    The bucket holds the nanoseconds that are taken; it leaks one a nanosecond.
    """

    folder: Path

    RUNS = itertools.count()
    LIMITS = (ask("slow", 3, 30.0), ask("fast", 50, 1.0, 5), ask("odd", 7, 10.0, 3))

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = SharedLimits(self.folder / "model.table", self.clock)
        self.run = next(self.RUNS)
        self.taken = {limit.id: 0 for limit in self.LIMITS}
        self.loop = asyncio.new_event_loop()

    @rule(nanoseconds=st.integers(0, 3 * SECOND_NS))
    def wait(self, nanoseconds: int) -> None:
        self.clock.now_ns += nanoseconds
        for name in self.taken:
            self.taken[name] = max(0, self.taken[name] - nanoseconds)

    @rule(chosen=st.lists(st.sampled_from(LIMITS), min_size=1, unique_by=lambda limit: limit.id))
    def take(self, chosen: list[LimitAsk]) -> None:
        asks = [
            LimitAsk(a.id, f"{self.run}/{a.id}".encode(), a.limit, a.window_s, a.burst)
            for a in chosen
        ]
        replies = self.loop.run_until_complete(self.store.take(asks))
        costs = {a.id: int(a.window_s * SECOND_NS) // a.limit for a in asks}
        fits = [self.taken[a.id] + costs[a.id] <= costs[a.id] * a.burst for a in asks]
        assert [reply.allowed for reply in replies] == fits
        for one, reply in zip(asks, replies, strict=True):
            over = self.taken[one.id] + costs[one.id] - costs[one.id] * one.burst
            assert reply.retry_after_s == max(0, over) / SECOND_NS
            if all(fits):
                self.taken[one.id] += costs[one.id]

    def teardown(self) -> None:
        self.store.close()
        self.loop.close()


def test_the_store_is_its_model_over_thousands_of_steps(tmp_path: Path) -> None:
    Gcra.folder = tmp_path
    run_state_machine_as_test(
        Gcra, settings=settings(max_examples=60, stateful_step_count=60, deadline=None)
    )


# ---------------------------------------------------------------------- many limits


async def test_a_refused_request_takes_nothing_anywhere(store: SharedLimits) -> None:
    await store.take([ask("small", limit=1)])
    assert await allowed(store, ask("big"), ask("small", limit=1)) == [True, False]
    assert (await store.take([ask("big")]))[0].remaining == 9


async def test_a_shadow_limit_never_refuses_and_tells_that_it_would(store: SharedLimits) -> None:
    shadow = ask("shadow", limit=1, shadow=True)
    assert await allowed(store, ask("a"), shadow) == [True, True]
    assert await allowed(store, ask("a"), shadow) == [True, False]
    assert (await store.take([ask("a")]))[0].remaining == 7


async def test_a_shadow_limit_takes_only_with_an_allowed_request(store: SharedLimits) -> None:
    shadow = ask("shadow", shadow=True)
    await store.take([ask("a", limit=1)])
    assert await allowed(store, ask("a", limit=1), shadow) == [False, True]
    assert (await store.take([shadow]))[0].remaining == 9


async def test_no_limits_is_no_refusal(store: SharedLimits) -> None:
    assert await allowed(store) == []


# ------------------------------------------------------------------- across processes


async def test_two_openings_of_one_table_share_it(tmp_path: Path, clock: FakeClock) -> None:
    one, other = (SharedLimits(tmp_path / "t", clock) for _ in range(2))
    assert await allowed(one, ask(limit=1)) == [True]
    assert await allowed(other, ask(limit=1)) == [False]
    one.close()
    other.close()


async def test_a_table_survives_its_closing(tmp_path: Path, clock: FakeClock) -> None:
    one = SharedLimits(tmp_path / "t", clock)
    await one.take([ask(limit=1)])
    one.close()
    other = SharedLimits(tmp_path / "t", clock)
    assert await allowed(other, ask(limit=1)) == [False]
    other.close()


def test_two_processes_enforce_one_limit_exactly(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    limit, tries = 20_000, 15_000
    started = []
    for _ in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=hammer, args=(tmp_path / "t", theirs, tries, limit))
        process.start()
        started.append((process, ours))
    for _, pipe in started:
        assert pipe.poll(20)
        assert pipe.recv_bytes() == b"ready"
    for _, pipe in started:
        pipe.send_bytes(b"go")
    counts = [int(pipe.recv_bytes()) for _, pipe in started]
    for process, _ in started:
        process.join(5)
    assert sum(counts) == limit
    assert min(counts) > 0


async def test_a_held_lock_is_an_error_in_time_and_a_killed_holder_frees_it(
    tmp_path: Path, clock: FakeClock
) -> None:
    store = SharedLimits(tmp_path / "t", clock)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    holder = context.Process(target=hold_lock, args=(tmp_path / "t", theirs))
    # Also shows that a take leaves no lock behind: the holder gets it.
    await store.take([ask()])
    holder.start()
    assert await asyncio.to_thread(ours.poll, 8)
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(store.take([ask()]), 5)
    holder.kill()
    holder.join()
    [reply] = await store.take([ask()])
    assert (reply.allowed, reply.remaining) == (True, 8)
    store.close()


# --------------------------------------------------------------------- the table's slots


def test_a_time_far_ahead_counts_as_the_bound() -> None:
    now_ns = 5 * SECOND_NS
    one = ask(limit=10, window_s=10.0)
    is_allowed, _, reply = gcra(one, now_ns + 10**18, now_ns)
    assert (is_allowed, reply.retry_after_s, reply.reset_s) == (False, 1.0, 10.0)


async def test_a_clock_that_began_anew_does_not_lock_anybody_out(
    tmp_path: Path, clock: FakeClock
) -> None:
    before = SharedLimits(tmp_path / "t", clock)
    await before.take([ask()])
    before.close()
    rebooted = FakeClock(start_s=10)
    store = SharedLimits(tmp_path / "t", rebooted)
    [refused] = await store.take([ask()])
    rebooted.advance(refused.retry_after_s)
    assert await allowed(store, ask()) == [True]
    store.close()


async def test_a_limit_made_narrower_is_open_again_in_its_own_time(
    store: SharedLimits, clock: FakeClock
) -> None:
    wide, narrow = ask(limit=10, window_s=3600.0), ask(limit=10, window_s=10.0)
    for _ in range(10):
        await store.take([wide])
    [refused] = await store.take([narrow])
    clock.advance(refused.retry_after_s)
    assert await allowed(store, narrow) == [True]


def colliding(count: int) -> list[bytes]:
    """Keys whose probes begin close together: within ``PROBES`` slots of slot 0."""
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        key = f"k{number}".encode()
        start = int.from_bytes(hashlib.blake2b(key, digest_size=16).digest()[:4], "little") % SLOTS
        if start == 7:
            found.append(key)
        number += 1
    return found


KEYS = colliding(PROBES + 1)


def keyed(key: bytes, window_s: float) -> LimitAsk:
    return LimitAsk("x", key, 1, window_s, 1)


async def test_a_slot_is_taken_over_only_when_all_are_busy_and_then_the_stalest(
    store: SharedLimits,
) -> None:
    for number, key in enumerate(KEYS[:PROBES]):
        assert await allowed(store, keyed(key, 100.0 + (number * 7) % PROBES)) == [True]
    for number, key in enumerate(KEYS[:PROBES]):
        assert await allowed(store, keyed(key, 100.0 + (number * 7) % PROBES)) == [False]
    assert await allowed(store, keyed(KEYS[PROBES], 500.0)) == [True]
    states = [await allowed(store, keyed(key, 1000.0)) for key in KEYS[1:PROBES]]
    assert states == [[False]] * (PROBES - 1)
    assert await allowed(store, keyed(KEYS[PROBES], 500.0)) == [False]


async def test_a_slot_whose_time_is_over_is_free(store: SharedLimits, clock: FakeClock) -> None:
    for key in KEYS[:PROBES]:
        await store.take([keyed(key, 100.0)])
    clock.advance(50)
    await store.take([keyed(KEYS[0], 1.0)])
    clock.advance(50)
    for key in KEYS[1:]:
        assert await allowed(store, keyed(key, 100.0)) == [True]


async def test_two_limits_of_one_request_never_share_a_slot(store: SharedLimits) -> None:
    asks = [keyed(key, 100.0) for key in KEYS[:PROBES]]
    assert all(await allowed(store, *asks))
    assert not any(await allowed(store, *asks))


# ------------------------------------------------------------------------- answers


@pytest.fixture
def cache(clock: FakeClock) -> MemoryCache:
    return MemoryCache(8000, clock)


async def test_an_answer_lives_exactly_its_time(cache: MemoryCache, clock: FakeClock) -> None:
    await cache.put(b"k", b"v", 2.5)
    clock.now_ns += 2_500_000_000 - 1
    assert await cache.get(b"k") == b"v"
    clock.now_ns += 1
    assert await cache.get(b"k") is None


async def test_the_least_recently_used_leaves_first(cache: MemoryCache) -> None:
    for number in range(8):
        await cache.put(b"k%d" % number, bytes(1000), 60)
    await cache.get(b"k0")
    await cache.put(b"k8", bytes(1000), 60)
    kept = [n for n in range(9) if await cache.get(b"k%d" % n) is not None]
    assert kept == [0, 2, 3, 4, 5, 6, 7, 8]


async def test_an_answer_too_large_throws_nothing_out(cache: MemoryCache) -> None:
    await cache.put(b"small", b"v", 60)
    await cache.put(b"large", bytes(1001), 60)
    assert await cache.get(b"large") is None
    assert await cache.get(b"small") == b"v"


async def test_a_replaced_answer_is_counted_once(cache: MemoryCache) -> None:
    for _ in range(50):
        await cache.put(b"same", bytes(1000), 60)
    for number in range(7):
        await cache.put(b"k%d" % number, bytes(1000), 60)
    assert await cache.get(b"same") is not None


async def test_an_expired_answer_gives_its_bytes_back(cache: MemoryCache, clock: FakeClock) -> None:
    for number in range(8):
        await cache.put(b"old%d" % number, bytes(1000), 1)
    clock.advance(1)
    for number in range(8):
        assert await cache.get(b"old%d" % number) is None
    for number in range(8):
        await cache.put(b"new%d" % number, bytes(1000), 60)
    assert await cache.get(b"new0") is not None
