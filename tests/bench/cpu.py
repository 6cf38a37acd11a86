"""CPU time of processes, threads and process trees, as Linux counts it.

All figures are microseconds of user plus system time since the start of the
process.  For a whole process the kernel has a clock of nanoseconds
(clock_getcpuclockid(3)); threads and trees are read from ``/proc/<pid>/stat``, in ticks
of (usually) 10 ms, so measure those over seconds.  A process that is gone raises
``ProcessLookupError``.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
TICK_US: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")
_LIBC: Final = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of one stat line that matter here (proc_pid_stat(5))."""

    name: str
    parent: int
    cpu_us: int


def parse_stat(line: str) -> Stat:
    """A stat line; the name stands in parentheses and may itself hold any character."""
    start, end = line.index("("), line.rindex(")")
    fields = line[end + 2 :].split()
    # Behind the name: state, ppid, ...; utime and stime are fields 14 and 15 of the line.
    return Stat(
        line[start + 1 : end], int(fields[1]), (int(fields[11]) + int(fields[12])) * TICK_US
    )


def process_cpu_us(pid: int) -> int:
    """All threads of one process, those that ended included; children are not."""
    clock = ctypes.c_int()
    if error := _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(error, f"no process {pid}")
    return time.clock_gettime_ns(clock.value) // 1000


def threads_cpu_us(pid: int) -> dict[int, Stat]:
    """The living threads of a process, by thread id."""
    return {
        int(task.name): stat
        for task in (PROC / str(pid) / "task").iterdir()
        if (stat := _find(task / "stat")) is not None
    }


def tree(pid: int) -> list[int]:
    """A process and all its living descendants, parents before children."""
    _read(PROC / str(pid) / "stat")
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (stat := _find(entry / "stat")) is not None:
            children[stat.parent].append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(sorted(children[parent]))
    return found


def tree_cpu_us(pid: int) -> dict[int, int]:
    """CPU time of each process of a tree."""
    return {
        member: stat.cpu_us
        for member in tree(pid)
        if (stat := _find(PROC / str(member) / "stat")) is not None
    }


class Meter:
    """CPU time that processes use while the block runs.

    ``with Meter([pid]) as meter: ...`` and then, after the block,
    ``meter.us_per(requests)``: microseconds a request for each pid.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)
        self._before: dict[int, int] = {}
        self.used_us: dict[int, int] = {}

    def __enter__(self) -> Meter:
        self._before = {pid: process_cpu_us(pid) for pid in self._pids}
        return self

    def __exit__(self, *_: object) -> None:
        self.used_us = {pid: process_cpu_us(pid) - self._before[pid] for pid in self._pids}

    def us_per(self, requests: int) -> dict[int, float]:
        return {pid: used / requests for pid, used in self.used_us.items()}


def _read(stat: Path) -> Stat:
    found = _find(stat)
    if found is None:
        raise ProcessLookupError(f"no process at {stat.parent}")
    return found


def _find(stat: Path) -> Stat | None:
    try:
        return parse_stat(stat.read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
