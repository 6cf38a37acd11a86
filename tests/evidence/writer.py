"""A process that writes a log until it is killed, and tells what it was promised."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

from evidence.logs import Key, Log
from gateway_extproc.evidence.log import JsonLinesLog

TASKS = 16
WINDOW_S = 0.02


def write_strictly(folder: Path, boot: int, pipe: Connection) -> None:
    """Tells the id of a record once it is durable."""
    asyncio.run(_strict(_opened(folder, boot, 0.0005), boot, pipe.fileno()))


def write_in_batches(folder: Path, boot: int, pipe: Connection) -> None:
    """Tells the id of a record when it was handed over, with the time."""
    log = _opened(folder, boot, WINDOW_S)
    for number in itertools.count():
        log.write(_record(boot, number))
        os.write(pipe.fileno(), f"b{boot}-{number} {time.monotonic_ns()}\n".encode())
        time.sleep(0.0005)


def _opened(folder: Path, boot: int, linger_s: float) -> JsonLinesLog:
    made = Log(folder, Key(), max_bytes=100_000, checkpoint_records=100, boots=boot)
    return JsonLinesLog(made.boot(), linger_s=linger_s)


async def _strict(log: JsonLinesLog, boot: int, pipe: int) -> None:
    numbers = itertools.count()

    async def work() -> None:
        while True:
            number = next(numbers)
            log.write(_record(boot, number))
            if await log.durable(5.0):
                os.write(pipe, f"b{boot}-{number} {time.monotonic_ns()}\n".encode())

    await asyncio.gather(*(work() for _ in range(TASKS)))


def _record(boot: int, number: int) -> dict[str, str]:
    return {"decision_id": f"b{boot}-{number}", "requested_model": "m" * 500}
