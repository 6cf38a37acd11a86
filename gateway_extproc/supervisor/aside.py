"""Work in a process of its own, which cannot stall the supervisor and ends with its time."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Work = Callable[..., dict[str, Any]]
"""Runs in the other process: a function of a module, with arguments that can be pickled."""


class TookTooLong(Exception):
    """The work was ended."""


class WorkFailed(Exception):
    """The work raised something; says what."""


async def run_aside(
    work: Work, arguments: tuple[Any, ...], *, timeout_s: float, max_bytes: int
) -> dict[str, Any]:
    """What ``work`` returns; its process may take so much memory beside what it begins with.

    ValueError of the work is raised here as it is, anything else as ``WorkFailed``.  Raises
    ``TookTooLong``.
    """
    # The fork server of the workers, which has their modules loaded.
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, work, arguments, timeout_s, max_bytes))
    try:
        await asyncio.to_thread(process.start)
        theirs.close()
        answer = await asyncio.to_thread(_receive, ours, timeout_s)
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
        process.close()
        ours.close()
    kind, value = answer
    if kind == "done":
        return dict(value)
    if kind == "refused":
        raise ValueError(value)
    raise WorkFailed(value)


def _receive(pipe: Connection, timeout_s: float) -> tuple[str, Any]:
    if not pipe.poll(timeout_s):
        raise TookTooLong(f"it took longer than {timeout_s:g} seconds")
    try:
        kind, value = pipe.recv()
    except EOFError:
        return "failed", "its process died"
    return kind, value


def _run(
    pipe: Connection, work: Work, arguments: tuple[Any, ...], timeout_s: float, max_bytes: int
) -> None:
    # What Python itself cannot interrupt, the kernel ends; the parent's death ends nothing else.
    cpu_s = int(timeout_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    limit = _virtual_bytes() + max_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        answer: tuple[str, Any] = ("done", work(*arguments))
    except ValueError as error:
        answer = ("refused", str(error))
    except Exception as error:
        answer = ("failed", f"{type(error).__name__}: {error}")
    with contextlib.suppress(BrokenPipeError):
        pipe.send(answer)


def _virtual_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
