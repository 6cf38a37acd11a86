"""What the contract does not say of the embedded store: processes that die, and room that ends."""

from __future__ import annotations

import asyncio
import fcntl
import multiprocessing
import os
import random
import signal
import time
from array import array
from collections.abc import Mapping
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from gateway_extproc.core.calendar import CalendarPeriod
from gateway_extproc.core.limits import SECOND_US, Ask, Counter, Settlement, Share
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores import host, words
from gateway_extproc.stores.host import HostCounters

BUDGET = Counter("budget", "period", 10**12, period=CalendarPeriod("month"))
SLOTS = Counter("slots", "slots", 10**6)
RATE = Counter("rate", "rate", 10**9, 60 * SECOND_US, 10**9)
NOW_US = 1_700_000_000 * SECOND_US


def wall_us() -> int:
    return time.time_ns() // 1000


def asks(amount: int = 100) -> tuple[Ask, ...]:
    return (Ask(BUDGET, "b", amount), Ask(SLOTS, "s", 1), Ask(RATE, "r", 1, settles=False))


def settlement(rid: str, start_us: int, actual: int) -> Settlement:
    return Settlement(
        rid, (Share(BUDGET, "b", "", start_us, 100, actual), Share(SLOTS, "s", "", 0, 1, 1))
    )


async def stands(store: HostCounters) -> tuple[int, int, int]:
    """Used and held of the budget, slots held."""
    look = (Ask(BUDGET, "b", 0, settles=False), Ask(SLOTS, "s", 0, settles=False))
    budget, slots = (await store.reserve("look", look, SECOND_US)).states
    return budget.used, budget.held, slots.held


# ------------------------------------------------------------------ killed in a transaction


def die_after(path: Path, writes: int) -> None:
    """Dies so many words into applying a reservation, behind its redo area's mark."""

    def commit(self: words.WordFile, changes: Mapping[int, int]) -> None:
        redo = array("q", chain.from_iterable(changes.items()))
        at = words.HEADER_WORDS
        self.words[at : at + len(redo)] = memoryview(redo)
        if writes < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.words[words._MARK] = len(changes)
        for applied, (index, value) in enumerate(changes.items()):
            if applied == writes:
                os.kill(os.getpid(), signal.SIGKILL)
            self.words[index] = value
        os.kill(os.getpid(), signal.SIGKILL)

    store = HostCounters(path, lambda: NOW_US)
    words.WordFile.commit = commit  # type: ignore[method-assign]
    asyncio.run(store.reserve("doomed", asks(), 60 * SECOND_US))


@pytest.mark.parametrize("writes", [-1, 0, 1, 2, 5, 8, 12, 100])
async def test_a_process_that_dies_in_a_transaction_leaves_all_of_it_or_nothing(
    tmp_path: Path, writes: int
) -> None:
    path = tmp_path / "t"
    doomed = multiprocessing.get_context("spawn").Process(target=die_after, args=(path, writes))
    doomed.start()
    doomed.join(20)
    assert doomed.exitcode == -signal.SIGKILL
    store = HostCounters(path, lambda: NOW_US)
    assert await stands(store) == ((0, 0, 0) if writes < 0 else (0, 100, 1))
    start_us, _, _ = CalendarPeriod("month").window(NOW_US)
    outcome = await store.settle(settlement("doomed", start_us, 40))
    assert outcome.settled == ("duplicate" if writes < 0 else "settled")
    assert await stands(store) == ((0, 0, 0) if writes < 0 else (40, 0, 0))
    store.close()


# --------------------------------------------------------------- killed at any moment


def hammer(path: Path, journal: Path, seed: int, pipe: Connection) -> None:
    """Reserves and settles for ever; says before each settlement what it intends, and then done."""

    async def work() -> None:
        store = HostCounters(path, wall_us)
        chance = random.Random(seed)
        with journal.open("a", buffering=1) as book:
            pipe.send_bytes(b"ready")
            number = 0
            while True:
                rid, actual = f"{seed}-{number}", chance.randrange(100)
                reserved = await store.reserve(rid, asks(), SECOND_US // 2)
                book.write(f"intends {actual}\n")
                start_us = reserved.states[0].start_us
                await store.settle(settlement(rid, start_us, actual))
                book.write(f"done {actual}\n")
                number += 1

    asyncio.run(work())


async def test_what_killed_processes_used_is_counted_to_the_unit(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    chance = random.Random(5)
    books: list[Path] = []
    for round_ in range(6):
        running = []
        for number in range(2):
            ours, theirs = context.Pipe()
            books.append(tmp_path / f"book-{round_}-{number}")
            seed = round_ * 10 + number
            process = context.Process(target=hammer, args=(tmp_path / "t", books[-1], seed, theirs))
            process.start()
            running.append((process, ours))
        for _, pipe in running:
            assert pipe.poll(20)
        for process, _ in running:
            await asyncio.sleep(chance.uniform(0.02, 0.15))
            process.kill()
            process.join()
    done, doubtful = 0, []
    for book in books:
        lines = [line.split() for line in book.read_text().splitlines() if " " in line]
        done += sum(int(amount) for word, amount in lines if word == "done")
        if lines and lines[-1][0] == "intends":
            doubtful.append(int(lines[-1][1]))
    await asyncio.sleep(0.6)
    store = HostCounters(tmp_path / "t", wall_us)
    used, held, slots = await stands(store)
    assert done > 0
    assert done <= used <= done + sum(doubtful)
    assert (held, slots) == (0, 0)
    store.close()


# ------------------------------------------------------------------------------ room


async def test_a_counter_that_says_something_is_never_given_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_counter_hash", lambda kind, name, start: (7, hash(name)))
    store = HostCounters(tmp_path / "t", lambda: NOW_US)
    for number in range(host.PROBES):
        ask = (Ask(BUDGET, f"b{number}", 1),)
        assert (await store.reserve(f"r{number}", ask, SECOND_US)).granted
    with pytest.raises(StoreUnavailable):
        await store.reserve("more", (Ask(BUDGET, "one more", 1),), SECOND_US)
    store.close()


async def test_of_rates_the_one_that_is_idle_first_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_counter_hash", lambda kind, name, start: (7, hash(name)))
    store = HostCounters(tmp_path / "t", lambda: NOW_US)
    rate = Counter("rate", "rate", 60, 60 * SECOND_US, 60)

    async def take(name: str, amount: int) -> int:
        reserved = await store.reserve(name, (Ask(rate, name, amount, settles=False),), SECOND_US)
        return reserved.states[0].used

    for number in range(host.PROBES):
        await take(f"r{number}", 10 + number)
    assert await take("new", 50) == 0
    # It took the place of r0; to look for that one takes the next place.
    assert await take("r0", 1) == 0
    assert await take("r5", 0) == 15 * SECOND_US
    store.close()


async def test_a_table_of_another_format_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"an old table" * 1000)
    store = HostCounters(path, lambda: NOW_US)
    assert await stands(store) == (0, 0, 0)
    store.close()


def hold_lock(path: Path, pipe: Connection) -> None:
    descriptor = os.open(path, os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    pipe.send_bytes(b"locked")
    time.sleep(60)


async def test_a_held_lock_is_an_error_in_time_and_a_killed_holder_frees_it(
    tmp_path: Path,
) -> None:
    store = HostCounters(tmp_path / "t", lambda: NOW_US)
    await store.reserve("a", asks(), 60 * SECOND_US)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    holder = context.Process(target=hold_lock, args=(tmp_path / "t", theirs))
    holder.start()
    assert await asyncio.to_thread(ours.poll, 8)
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(store.reserve("b", asks(), SECOND_US), 5)
    holder.kill()
    holder.join()
    assert (await store.reserve("b", asks(), SECOND_US)).granted
    store.close()
