"""The arithmetic of the bench: what one measurement says, what several rounds say.

A ratio is taken within a round, between rows that ran one after the other, and only
then put together over the rounds: on a shared machine ratios hold, absolute times
do not.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Process = Literal["processor", "envoy", "client", "provider"]

PLAIN: Final = "plain"
ROWS: Final[dict[str, str]] = {
    PLAIN: "plain Envoy",
    "noop-grpcio": "no-op, grpc.aio",
    "noop-fast": "no-op, fast wire",
    "gateway-grpcio": "gateway, grpc.aio",
    "gateway-fast": "gateway, fast wire",
}
"""What is measured, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One row in one round.

    ``units`` are what CPU is divided by: requests, or the chunks of streams.
    ``messages`` are what Envoy sent to the processor per request.
    """

    units: int
    seconds: float
    cpu_us: Mapping[Process, int]
    p50_ms: float
    p99_ms: float
    messages: float

    @property
    def units_per_s(self) -> float:
        return self.units / self.seconds

    def us_per_unit(self, process: Process) -> float | None:
        """None for a process that this row does not have."""
        used = self.cpu_us.get(process)
        return None if used is None else used / self.units

    def busy(self, process: Process) -> float | None:
        """Share of one core that the process used: near 1, it is the limit."""
        used = self.cpu_us.get(process)
        return None if used is None else used / self.seconds / 1_000_000


Round = Mapping[str, Sample]
"""The rows that were measured, one after the other."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """None when there is no value."""
        known = [value for value in values if value is not None]
        return cls(statistics.median(known), min(known), max(known)) if known else None


@dataclass(frozen=True, slots=True)
class RowFigures:
    """One row over all rounds; added times are over plain Envoy in the same round."""

    units_per_s: Spread | None
    us_per_unit: dict[Process, Spread | None]
    busy: dict[Process, Spread | None]
    p50_ms: Spread | None
    p99_ms: Spread | None
    added_p50_ms: Spread | None
    added_p99_ms: Spread | None
    messages: Spread | None


@dataclass(frozen=True, slots=True)
class Ratio:
    """CPU of one row's processor over another's."""

    over: str
    under: str

    @property
    def title(self) -> str:
        return f"{ROWS[self.over]} / {ROWS[self.under]}"

    def within(self, rows: Round) -> float | None:
        """None where one of the two was not measured."""
        if self.over not in rows or self.under not in rows:
            return None
        over = rows[self.over].us_per_unit("processor")
        under = rows[self.under].us_per_unit("processor")
        return over / under if over and under else None


RATIOS: Final = (
    Ratio("noop-fast", "noop-grpcio"),
    Ratio("gateway-grpcio", "noop-grpcio"),
    Ratio("gateway-fast", "noop-fast"),
    Ratio("gateway-fast", "noop-grpcio"),
)


def row_figures(row: str, rounds: Sequence[Round]) -> RowFigures:
    """What the rounds say about one row that all of them measured."""
    samples = [rows[row] for rows in rounds]
    processes = samples[0].cpu_us
    return RowFigures(
        units_per_s=Spread.of(sample.units_per_s for sample in samples),
        us_per_unit={p: Spread.of(s.us_per_unit(p) for s in samples) for p in processes},
        busy={p: Spread.of(s.busy(p) for s in samples) for p in processes},
        p50_ms=Spread.of(sample.p50_ms for sample in samples),
        p99_ms=Spread.of(sample.p99_ms for sample in samples),
        added_p50_ms=Spread.of(_added(rows, row, "p50_ms") for rows in rounds),
        added_p99_ms=Spread.of(_added(rows, row, "p99_ms") for rows in rounds),
        messages=Spread.of(sample.messages for sample in samples),
    )


def _added(rows: Round, row: str, name: Literal["p50_ms", "p99_ms"]) -> float | None:
    if row == PLAIN or PLAIN not in rows:
        return None
    added: float = getattr(rows[row], name) - getattr(rows[PLAIN], name)
    return added


def ratio_spread(ratio: Ratio, rounds: Sequence[Round]) -> Spread | None:
    """The ratio of each round, put together; None when a row of it was not measured."""
    return Spread.of(ratio.within(rows) for rows in rounds)
