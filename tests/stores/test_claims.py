"""Who asks a provider now: one worker of a host at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_extproc.stores.claims import PLACES, HostClaims

KEY, OTHER = b"k" * 32, b"o" * 32


class Clock:
    now_us = 1_000_000

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workers(tmp_path: Path, clock: Clock) -> Iterator[tuple[HostClaims, HostClaims]]:
    both = (HostClaims(tmp_path / "claims", clock), HostClaims(tmp_path / "claims", clock))
    yield both
    for worker in both:
        worker.close()


async def test_one_of_two_workers_may_ask(workers: tuple[HostClaims, HostClaims]) -> None:
    one, two = workers
    assert await one.take(KEY, 5)
    assert not await two.take(KEY, 5)
    assert await two.take(OTHER, 5)
    assert await two.held(KEY)


async def test_who_is_done_lets_the_next_one_ask(workers: tuple[HostClaims, HostClaims]) -> None:
    one, two = workers
    await one.take(KEY, 5)
    await one.drop(KEY)
    assert not await two.held(KEY)
    assert await two.take(KEY, 5)


async def test_a_claim_of_the_dead_ends_by_itself(
    workers: tuple[HostClaims, HostClaims], clock: Clock
) -> None:
    one, two = workers
    await one.take(KEY, 5)
    clock.now_us += 4_999_999
    assert not await two.take(KEY, 5)
    clock.now_us += 1
    assert not await two.held(KEY)
    assert await two.take(KEY, 5)


async def test_a_full_table_lets_everybody_ask(
    workers: tuple[HostClaims, HostClaims], clock: Clock
) -> None:
    one, two = workers
    same_place = [b"k" * 8 + number.to_bytes(24, "big") for number in range(20)]
    for key in same_place:
        key = key[:8] + key[-8:] + key[8:24]
        assert await one.take(key, 5)
    last = same_place[-1][:8] + same_place[-1][-8:] + same_place[-1][8:24]
    assert await two.take(last, 5)
    assert len(same_place) < PLACES
