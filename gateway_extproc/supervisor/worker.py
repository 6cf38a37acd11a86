"""The life of one worker process: start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
from multiprocessing.connection import Connection
from typing import Final, Protocol

import uvloop

log = logging.getLogger(__name__)

READY = b"ready"


class Service(Protocol):
    """What a worker runs."""

    async def start(self) -> None:
        """Listens; returns when it serves."""

    async def drain(self) -> None:
        """Turns new work away, finishes the old within its grace, releases everything."""


def run_worker(service: Service, parent: Connection) -> None:
    """Runs ``service`` until SIGTERM, or until the supervisor is gone.

    ``parent`` tells the supervisor that the worker serves; its end of file tells the
    worker that nobody would stop it any more.
    """
    tune_process()
    uvloop.run(_run(service, parent))


def tune_process() -> None:
    """What the defaults of Python and of the C library get wrong for a server."""
    _tune_collector()
    _tune_allocator()


def _tune_collector() -> None:
    """A request makes thousands of short-lived objects and no cycles worth an early search.

    With Python's default thresholds the search costs a third of a request's CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


# mallopt(3); the names are those of <malloc.h>.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
MIB: Final = 1024 * 1024


def _tune_allocator() -> None:
    """Large bodies come and go all the time: their memory is kept for the next one.

    By default glibc gives it back to the kernel at once, and a body of 256 KB then costs
    more in page faults than in work.  Blocks above 4 MiB still come and go alone.
    """
    with contextlib.suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 4 * MIB)
        mallopt(M_TRIM_THRESHOLD, 32 * MIB)


async def _run(service: Service, parent: Connection) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Ctrl-C reaches the whole foreground group; the supervisor decides the order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop.add_reader(parent.fileno(), stop.set)
    await service.start()
    parent.send_bytes(READY)
    log.info("worker %d serves", os.getpid())
    await stop.wait()
    loop.remove_reader(parent.fileno())
    await service.drain()
