"""``make bench``: what the two wires and the gateway cost, beside plain Envoy.

One Envoy with a listener for each row; they differ in their processor and in nothing
else.  In each round all rows are loaded one after the other, every other round backwards,
and ratios are taken within the round.  CPU is process time from the kernel, divided by
requests or, for streams, by chunks.  The last columns say which process used how much
of a core: a client or a provider near 100 would be what is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.figures import ROWS, Round, Sample
from bench.launch import running
from bench.report import document, machine, table
from bench.stand import BenchError, Stand
from bench.workloads import WORKLOADS, Workload


@dataclass(frozen=True, slots=True)
class Plan:
    """How long everything is measured.

    Plain requests are sent for ``seconds``, streams in ``waves`` of one per
    connection, so that each one is counted whole.
    """

    rounds: int
    seconds: float
    waves: int
    workloads: tuple[str, ...]


FULL: Final = Plan(
    rounds=7, seconds=4.0, waves=3, workloads=tuple(workload.id for workload in WORKLOADS)
)
SHORT: Final = Plan(
    rounds=5, seconds=0.8, waves=1, workloads=tuple(n for n in FULL.workloads if n != "stream-1")
)
WARM_UP_S: Final = 0.3
ATTEMPTS: Final = 3
RECOVERY_S: Final = 2.0
"""Longer than Envoy keeps a processor out that it takes for dead."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    plan = _plan(options)
    workloads = [workload for workload in WORKLOADS if workload.id in plan.workloads]
    # What is read as it comes; standard output holds nothing but JSON when that is asked for.
    console = sys.stderr if options.json else sys.stdout
    print(machine(), end="\n\n", file=console, flush=True)
    results: dict[Workload, list[Round]] = {}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="gwb-") as folder,
            running(Path(folder), options.rows) as stand,
        ):
            for workload in workloads:
                results[workload] = measure(stand, options.rows, workload, plan)
                print(table(workload, results[workload]), end="\n\n", file=console, flush=True)
    except BenchError as error:
        raise SystemExit(f"bench: {error}") from None
    left = [workload.title for workload in WORKLOADS if workload not in results]
    if left:
        print(f"not measured: {', '.join(left)} (make bench-full)", file=console)
    if options.json:
        print(json.dumps(document(results), indent=2))


def measure(stand: Stand, rows: Sequence[str], workload: Workload, plan: Plan) -> list[Round]:
    """The rounds of one workload, after a short warm-up of each row."""
    for row in rows:
        _measure_once(stand, row, workload, WARM_UP_S, 1)
    return [
        {
            row: _measure_once(stand, row, workload, plan.seconds, plan.waves)
            # Backwards every other time: no row always comes after the same one.
            for row in (rows if number % 2 == 0 else reversed(rows))
        }
        for number in range(plan.rounds)
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--full", action="store_true", help="every workload, long rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of one row in one round")
    parser.add_argument("--waves", type=int, help="streams per connection in one round")
    names = [workload.id for workload in WORKLOADS]
    parser.add_argument("--workloads", type=_choice(names), help=f"of {','.join(names)}")
    parser.add_argument(
        "--rows", type=_choice(list(ROWS)), default=list(ROWS), help=f"of {','.join(ROWS)}"
    )
    parser.add_argument("--json", action="store_true", help="figures on standard output")
    return parser


def _choice(known: Sequence[str]) -> Callable[[str], list[str]]:
    """A list with commas, in the order of ``known``."""

    def parse(text: str) -> list[str]:
        chosen = set(text.split(","))
        if unknown := chosen.difference(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return [name for name in known if name in chosen]

    return parse


def _plan(options: argparse.Namespace) -> Plan:
    given = {
        name: value
        for name in ("rounds", "seconds", "waves", "workloads")
        if (value := getattr(options, name)) is not None
    }
    return replace(FULL if options.full else SHORT, **given)


def _measure_once(stand: Stand, row: str, workload: Workload, seconds: float, waves: int) -> Sample:
    """Once more, and said so, when requests were refused.

    On a machine that others keep busy, Envoy now and then takes a processor that is late
    with its health check for dead.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if workload.chunks:
                return stand.measure(row, workload, count=waves * workload.in_flight)
            return stand.measure(row, workload, seconds=seconds)
        except BenchError as error:
            if attempt == ATTEMPTS:
                raise
            print(f"measured again: {error}", file=sys.stderr, flush=True)
            time.sleep(RECOVERY_S)
    raise AssertionError("no attempt")


if __name__ == "__main__":
    main()
