"""What other processes do to a shared table; importable, so that they can be spawned."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

from gateway_extproc.core.ports import LimitAsk, StoreUnavailable
from gateway_extproc.stores.memory import SharedLimits


def stopped_clock() -> int:
    return 1_000_000_000_000


def hammer(path: Path, pipe: Connection, tries: int, limit: int) -> None:
    """Takes from one limit as fast as it can; sends how often it was allowed."""
    asyncio.run(_hammer(path, pipe, tries, limit))


async def _hammer(path: Path, pipe: Connection, tries: int, limit: int) -> None:
    store = SharedLimits(path, stopped_clock)
    ask = LimitAsk("shared", b"shared", limit, 3600.0, limit)
    pipe.send_bytes(b"ready")
    pipe.recv_bytes()
    allowed = 0
    for _ in range(tries):
        try:
            [reply] = await store.take([ask])
        except StoreUnavailable:
            continue
        allowed += reply.allowed
    pipe.send_bytes(str(allowed).encode())


def hold_lock(path: Path, pipe: Connection) -> None:
    """Takes the table's lock and keeps it until killed."""
    descriptor = os.open(path, os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    pipe.send_bytes(b"held")
    time.sleep(60)
