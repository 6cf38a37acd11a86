"""What a run found, as a table to read and as JSON to keep."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.figures import (
    PLAIN,
    RATIOS,
    ROWS,
    Process,
    Round,
    RowFigures,
    Spread,
    ratio_spread,
    row_figures,
)
from bench.stand import MESSAGES_BEFORE_BODY
from bench.workloads import Workload

Results = Mapping[Workload, Sequence[Round]]

PROCESSES: tuple[Process, ...] = ("processor", "envoy", "client", "provider")
NAMES = max(len(title) for title in ROWS.values()) + 2
NOTHING = "-"


def machine() -> str:
    """Where this was measured, and what else ran when it began."""
    busy = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, load average {busy:.1f} at the start, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def table(workload: Workload, rounds: Sequence[Round]) -> str:
    """One workload: a line a row, then the ratios with their spread."""
    unit = workload.unit
    heads = (f"{unit}s/s", f"us/{unit}", "Envoy us", "p50 ms", "p99 ms",
             *(f"{process} %" for process in PROCESSES))  # fmt: skip
    lines = [
        f"{workload.title}  ({len(rounds)} rounds; medians)",
        " " * NAMES + "".join(f"{head:>13}" for head in heads),
    ]
    for row, title in ROWS.items():
        if row in rounds[0]:
            cells = _cells(row, row_figures(row, rounds))
            lines.append(f"{title:{NAMES}}" + "".join(f"{cell:>13}" for cell in cells))
        else:
            lines.append(f"{title:{NAMES}} not measured")
    if workload.chunks:
        lines.append(_chunks_seen(workload, rounds))
    for ratio in RATIOS:
        spread = ratio_spread(ratio, rounds)
        found = "not measured" if spread is None else _ratio(spread)
        lines.append(f"  CPU {ratio.title:<42}{found}")
    return "\n".join(lines)


def _cells(row: str, figures: RowFigures) -> tuple[str, ...]:
    plain = row == PLAIN
    return (
        _number(figures.units_per_s, 0),
        _number(figures.us_per_unit.get("processor"), 1),
        _number(figures.us_per_unit["envoy"], 1),
        _number(figures.p50_ms, 2) if plain else _number(figures.added_p50_ms, 2, sign="+"),
        _number(figures.p99_ms, 2) if plain else _number(figures.added_p99_ms, 2, sign="+"),
        *(_percent(figures.busy.get(process)) for process in PROCESSES),
    )


def _number(spread: Spread | None, digits: int, *, sign: str = "-") -> str:
    return NOTHING if spread is None else f"{spread.median:{sign}.{digits}f}"


def _percent(spread: Spread | None) -> str:
    return NOTHING if spread is None else f"{100 * spread.median:.0f}"


def _ratio(spread: Spread) -> str:
    return f"{spread.median:.3f}  ({spread.low:.3f} to {spread.high:.3f})"


def _chunks_seen(workload: Workload, rounds: Sequence[Round]) -> str:
    """A chunk that came joined to another is one message less."""
    fewest = {
        row: min(rows[row].messages for rows in rounds) - MESSAGES_BEFORE_BODY
        for row in rounds[0]
        if row != PLAIN
    }
    seen = ", ".join(f"{ROWS[row]} {chunks:.1f}" for row, chunks in fewest.items())
    return f"  body messages per stream, fewest of a round, of {workload.chunks} events: {seen}"


def document(results: Results) -> dict[str, Any]:
    """Everything, with the spread of each figure."""
    return {
        "machine": machine(),
        "workloads": {
            workload.id: {
                "title": workload.title,
                "unit": workload.unit,
                "rounds": len(rounds),
                "rows": {row: asdict(row_figures(row, rounds)) for row in rounds[0]},
                "cpu_ratios": {
                    f"{ratio.over}/{ratio.under}": None if spread is None else asdict(spread)
                    for ratio in RATIOS
                    for spread in [ratio_spread(ratio, rounds)]
                },
            }
            for workload, rounds in results.items()
        },
    }  # fmt: skip
