"""Nonces: each passes once, for all workers of a host, and none is forgotten while it counts."""

from __future__ import annotations

import asyncio
import fcntl
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from gateway_extproc.core.identity import Nonce
from gateway_extproc.stores import nonces
from gateway_extproc.stores.nonces import SharedNonces
from support.clock import FakeClock

MINUTE_S = 60.0


def nonce(name: str, clock: FakeClock, life_s: float = MINUTE_S) -> Nonce:
    return Nonce(name.encode(), clock.now_s() + life_s)


async def test_a_nonce_passes_once(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SharedNonces(tmp_path / "table", clock.now_s)
    first = nonce("a", clock)
    assert await store.take(first) == "fresh"
    assert await store.take(first) == "seen"
    assert await store.take(nonce("b", clock)) == "fresh"
    clock.advance(MINUTE_S - 0.001)
    assert await store.take(first) == "seen"
    clock.advance(0.001)
    assert await store.take(nonce("a", clock)) == "fresh"


async def test_another_worker_remembers_and_so_does_the_next_one(tmp_path: Path) -> None:
    clock = FakeClock()
    one, two = (SharedNonces(tmp_path / "table", clock.now_s) for _ in range(2))
    assert await one.take(nonce("a", clock)) == "fresh"
    assert await two.take(nonce("a", clock)) == "seen"
    one.close()
    two.close()
    assert await SharedNonces(tmp_path / "table", clock.now_s).take(nonce("a", clock)) == "seen"


async def test_a_full_table_refuses_and_forgets_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SharedNonces(tmp_path / "table", clock.now_s, slots=64)
    first = [await store.take(nonce(f"n-{i}", clock)) for i in range(64)]
    assert first == ["fresh"] * 64
    assert await store.take(nonce("one-more", clock)) == "unavailable"
    again = [await store.take(nonce(f"n-{i}", clock)) for i in range(64)]
    assert again == ["seen"] * 64
    clock.advance(MINUTE_S)
    assert await store.take(nonce("one-more", clock)) == "fresh"


async def test_a_lock_that_is_never_freed_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nonces, "LOCK_TRIES", 5)
    clock = FakeClock()
    path = tmp_path / "table"
    store = SharedNonces(path, clock.now_s)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    holder = context.Process(target=_hold, args=(str(path), theirs))
    holder.start()
    try:
        assert await asyncio.to_thread(ours.recv) == "locked"
        assert await store.take(nonce("a", clock)) == "unavailable"
    finally:
        ours.send("enough")
        holder.join(10)
    assert await store.take(nonce("a", clock)) == "fresh"


def _hold(path: str, pipe: multiprocessing.connection.Connection) -> None:
    descriptor = os.open(path, os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    pipe.send("locked")
    pipe.recv()


def test_of_the_same_nonces_in_four_processes_each_passes_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    until_s = time.time() + MINUTE_S
    with context.Pool(4) as pool:
        counts = pool.starmap(_take_all, [(str(tmp_path / "table"), until_s, 500)] * 4)
    assert sum(counts) == 500


def _take_all(path: str, until_s: float, count: int) -> int:
    async def run() -> int:
        store = SharedNonces(Path(path), time.time)
        outcomes = [await store.take(Nonce(f"n-{i}".encode(), until_s)) for i in range(count)]
        assert "unavailable" not in outcomes
        return outcomes.count("fresh")

    return asyncio.run(run())


class NonceMachine(RuleBasedStateMachine):
    """The table against a plain dictionary."""

    @initialize(folder=st.uuids())
    def open(self, folder: object) -> None:
        self.clock = FakeClock()
        self.store = SharedNonces(Path(f"/tmp/gw-nonces-{folder}"), self.clock.now_s, slots=16)
        os.unlink(f"/tmp/gw-nonces-{folder}")
        self.model: dict[bytes, float] = {}

    @rule(name=st.integers(0, 30), life_s=st.sampled_from([1.0, 5.0, 60.0]))
    def take(self, name: int, life_s: float) -> None:
        now_s = self.clock.now_s()
        asked = Nonce(str(name).encode(), now_s + life_s)
        outcome = asyncio.run(self.store.take(asked))
        live = {key for key, until_s in self.model.items() if until_s > now_s}
        if asked.key in live:
            assert outcome == "seen"
        elif len(live) == 16:
            assert outcome == "unavailable"
        else:
            assert outcome == "fresh"
            self.model[asked.key] = asked.until_s

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()


NonceMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=60, deadline=None)
TestNonceMachine = NonceMachine.TestCase
