"""CPU time is read from the kernel, by process, thread and tree."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from bench.cpu import (
    TICK_US,
    Meter,
    parse_stat,
    process_cpu_us,
    threads_cpu_us,
    tree,
    tree_cpu_us,
)


def burn(cpu_s: float) -> None:
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        pass


def test_a_name_with_parentheses_is_parsed() -> None:
    fields = ["S", "7", *["0"] * 9, "3", "4", *["0"] * 30]
    stat = parse_stat(f"42 (a) b (c) {' '.join(fields)}")
    assert (stat.name, stat.parent, stat.cpu_us) == ("a) b (c", 7, 7 * TICK_US)


def test_a_busy_process_uses_what_it_burns() -> None:
    with Meter([os.getpid()]) as meter:
        burn(0.1)
    used = meter.used_us[os.getpid()]
    assert 100_000 <= used < 1_000_000
    assert meter.us_per(100) == {os.getpid(): used / 100}


def test_another_process_is_measured_finer_than_a_tick() -> None:
    script = (
        "import time; input()\n"
        "while time.process_time() < 0.105: pass\n"
        "print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        used = process_cpu_us(child.pid)
        assert 105_000 <= used < 125_000
        child.stdin.write(b"\n")
        child.stdin.close()


def test_threads_are_counted_apart() -> None:
    ready, done = threading.Event(), threading.Event()

    def work() -> None:
        burn(0.1)
        ready.set()
        done.wait()

    worker = threading.Thread(target=work)
    worker.start()
    ready.wait()
    try:
        threads = threads_cpu_us(os.getpid())
        assert worker.native_id is not None
        assert threads[worker.native_id].cpu_us >= 100_000 - 2 * TICK_US
    finally:
        done.set()
        worker.join()


def test_a_tree_holds_grandchildren() -> None:
    script = (
        "import subprocess,sys; subprocess.run([sys.executable,'-c','print(1,flush=True);input()'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        members = tree(child.pid)
        assert members[0] == child.pid
        assert len(members) == 2
        assert set(tree_cpu_us(child.pid)) == set(members)
        assert child.pid in tree(os.getpid())
        child.stdin.write(b"\n")
        child.stdin.close()


def test_a_process_that_is_gone_is_an_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    with pytest.raises(ProcessLookupError):
        process_cpu_us(child.pid)
