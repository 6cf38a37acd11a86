"""How long reviewers wait: questions to a million decisions and costs, a replay of 100,000.

The records are those of invented traffic, made and encoded as a worker does it, in rotated files of
four workers in a temporary folder.  Each question is a process of its own, as at a terminal.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, BinaryIO, NamedTuple

import yaml

from evidence import traffic
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.verdict import TrailEntry, trail_step
from gateway_extproc.evidence.log import encode
from gateway_extproc.evidence.records import cost_record, decision_record
from support import config

WORKERS = 4
SEGMENT_BYTES = 128 << 20
OPENED_SHARE = 50
"""Every so many requests stand twice: opened, then complete."""
RUNS = 5

TRAIL = [
    TrailEntry(trail_step(stage, phase, "continue", ""), 7)
    for phase, stages in (
        ("request_headers", ("record", "admit", "identify", "parse", "authorize")),
        ("request_body", ("admit", "identify", "parse", "authorize", "route", "truncate", "limit",
                          "models", "guard", "cache", "translate", "credential")),
        ("response_headers", ("translate", "limit", "route", "record")),
    )
    for stage in stages
]  # fmt: skip


class Rotated:
    """The files of one worker and kind; gives the current one away when it has grown."""

    def __init__(self, folder: Path, kind: str, worker: int) -> None:
        self._folder, self._stem, self._number = folder, f"{kind}-{worker}", 0
        self._file: BinaryIO = self._current().open("ab")
        self.bytes = 0

    def write(self, record: dict[str, Any]) -> None:
        line = encode(record) + b"\n"
        self._file.write(line)
        self.bytes += len(line)
        if self._file.tell() >= SEGMENT_BYTES:
            self._file.close()
            self._number += 1
            self._current().rename(self._folder / f"{self._stem}.{self._number:06d}.jsonl")
            self._file = self._current().open("ab")

    def close(self) -> None:
        self._file.close()

    def _current(self) -> Path:
        return self._folder / f"{self._stem}.jsonl"


def exchanges(count: int) -> Iterator[Exchange]:
    """Traffic with trails as long as real ones."""
    for exchange in traffic.mixed(count):
        exchange.trail = [*TRAIL, *exchange.trail[1:]]
        yield exchange


def write_records(folder: Path, count: int) -> dict[str, int]:
    """Decisions and costs of so many requests; the bytes of each kind."""
    folder.mkdir()
    files = {
        kind: [Rotated(folder, kind, worker) for worker in range(WORKERS)]
        for kind in ("decisions", "costs")
    }
    for number, exchange in enumerate(exchanges(count)):
        record = decision_record(
            exchange, traffic.ended_ns(number), version="bench", worker=0, prompt_key=b"k"
        )
        decisions, costs = (files[kind][number % WORKERS] for kind in files)
        if number % OPENED_SHARE == 0:
            decisions.write({**record, "outcome": "OPENED"})
        decisions.write(record)
        costs.write(cost_record(exchange))
    for file in (file for kind in files.values() for file in kind):
        file.close()
    return {kind: sum(file.bytes for file in made) for kind, made in files.items()}


class Ran(NamedTuple):
    """One command: seconds from its start to its end, seconds of CPU, and what it printed."""

    seconds: float
    cpu_s: float
    out: str


def run(*arguments: str) -> Ran:
    """Runs one command to its end; it must end well."""
    began, used = time.perf_counter(), _cpu_s()
    command = [sys.executable, "-m", "gateway_extproc.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Ran(time.perf_counter() - began, _cpu_s() - used, done.stdout)


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def ask(name: str, *arguments: str) -> None:
    """One row: the first run, and the median of those that follow; something must be found."""
    first = run(*arguments)
    if not first.out.strip() or "\n0 " in f"\n{first.out}":
        sys.exit(f"{name}: nothing found: {first.out}")
    later = [run(*arguments) for _ in range(RUNS)]
    seconds, cpu_s = median(r.seconds for r in later), median(r.cpu_s for r in later)
    print(
        f"{name:<44} {first.seconds:>8.2f} {first.cpu_s:>8.2f} {seconds:>8.2f} {cpu_s:>8.2f}",
        flush=True,
    )


def replay(folder: Path, count: int) -> None:
    """One row each: the same policy, and one with other limits, guards and targets."""
    document = config.document(evidence={"dir": str(folder)})
    document["server"]["socket_dir"] = str(folder / "nobody")
    document["limits"] = [{"id": "per-user", "per": ["user"], "requests": 600, "window_s": 60}]
    old = folder / "old.yaml"
    old.write_text(yaml.safe_dump(document))
    document["limits"][0]["requests"] = 3
    document["guards"][0]["mode"] = "shadow"
    document["models"][0]["targets"].reverse()
    new = folder / "new.yaml"
    new.write_text(yaml.safe_dump(document))
    for name, policy in (("the same policy", old), ("other limits, guards, targets", new)):
        ran = run("decisions", "replay", "--config", str(old), "--policy", str(policy), "--json")
        assert f'"records":{count}' in ran.out
        told = f"replay of {count:,}, {name}"
        print(f"{told:<53} {ran.seconds:>8.2f} {ran.cpu_s:>8.2f}", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--replayed", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-evidence-") as place:
        folder = Path(place) / "evidence"
        began = time.perf_counter()
        sizes = write_records(folder, options.records)
        told = ", ".join(f"{size / 1e6:,.0f} MB of {kind}" for kind, size in sizes.items())
        print(
            f"{options.records:,} requests: {told}, written in {time.perf_counter() - began:.0f} s"
        )
        print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
        print(f"{'seconds':<44} {'first':>8} {'CPU':>8} {'later':>8} {'CPU':>8}", flush=True)
        where = ("--dir", str(folder))
        ask("decisions: refused of one tenant, newest 50", "decisions", "query", *where,
            "--tenant", "acme", "--outcome", "refused")  # fmt: skip
        ask("decisions: one user and rule, counted", "decisions", "query", *where,
            "--user", "u7", "--rule", "no-zebras", "--count")  # fmt: skip
        ask("decisions: one by its id", "decisions", "show", *where, f"d{options.records // 2:09d}")
        ask("costs: by tenant, model and label", "costs", "report", *where,
            "--by", "tenant,model,label:team")  # fmt: skip
        ask("costs: anomalies by tenant", "costs", "anomalies", *where, "--by", "tenant")
        kept = sum(path.stat().st_size for path in (folder / "query-cache").iterdir())
        print(f"\ncolumns kept: {kept / 1e6:,.0f} MB\n", flush=True)
        smaller = Path(place) / "replayed"
        write_records(smaller, options.replayed)
        replay(smaller, options.replayed)


if __name__ == "__main__":
    main()
