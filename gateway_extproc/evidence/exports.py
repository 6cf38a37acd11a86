"""Decisions in the shapes that other tools read: JSON, CSV, OCSF; Parquet is DuckDB's own."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from gateway_extproc.evidence.columns import (
    DECISION_COLUMNS,
    NO_TIME,
    SEPARATOR,
    decision_row,
)
from gateway_extproc.evidence.ocsf import api_activity
from gateway_extproc.evidence.reading import INTERRUPTED, OPENED
from gateway_extproc.evidence.records import rfc3339

Records = Iterable[Mapping[str, Any]]

FLAT: Final = tuple(name for name in DECISION_COLUMNS if name not in ("id_hash",))
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

PARQUET: Final = ", ".join(
    {
        "time_us": "CASE WHEN time_us > 0 THEN make_timestamp(time_us) END AS time",
        "outcome": f"CASE outcome WHEN '{OPENED}' THEN '{INTERRUPTED}' ELSE outcome END AS outcome",
        "rules": "list_filter(string_split(rules, chr(31)), lambda rule: rule <> '') AS rules",
    }.get(name, f'"{name}"')
    for name in FLAT
)
"""The columns of a Parquet file, as SQL over ``latest``; times are UTC."""


def as_json(records: Records) -> Iterator[bytes]:
    """One array."""
    yield b"["
    for number, record in enumerate(records):
        yield (b",\n" if number else b"\n") + orjson.dumps(record)
    yield b"\n]\n"


def as_ocsf(records: Records) -> Iterator[bytes]:
    """One event a line."""
    for record in records:
        yield orjson.dumps(api_activity(record), option=orjson.OPT_APPEND_NEWLINE)


def as_csv(records: Records) -> Iterator[bytes]:
    """A head and one line a decision (RFC 4180)."""
    yield _line(["time" if name == "time_us" else name for name in FLAT])
    for record in records:
        row = dict(zip(DECISION_COLUMNS, decision_row(record), strict=True))
        time_us = row["time_us"]
        row["time_us"] = "" if time_us == NO_TIME else rfc3339(time_us * 1000)
        row["rules"] = " ".join(row["rules"].split(SEPARATOR)).strip()
        yield _line([row[name] for name in FLAT])


WRITERS: Final[dict[str, Callable[[Records], Iterator[bytes]]]] = {
    "json": as_json,
    "csv": as_csv,
    "ocsf": as_ocsf,
}


def _line(values: Iterable[Any]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([harmless(value) for value in values])
    return buffer.getvalue().encode("utf-8", "replace")


def harmless(value: Any) -> Any:
    """A client chooses some of the texts, and a spreadsheet would run what looks like a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
