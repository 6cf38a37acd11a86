"""Finds decision records in the files of this host."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import orjson


def find_decision(folder: Path, decision_id: str) -> dict[str, Any] | None:
    """The record of a decision (or of a request's id), the newest first; None without one."""
    wanted = orjson.dumps(decision_id)
    # In reverse a worker's file of now comes first, then its earlier ones from the last on.
    for path in sorted(folder.glob("decisions-*.jsonl"), reverse=True):
        if path.stat().st_size:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
                record = _find(data, wanted, decision_id)
                if record is not None:
                    return record
    return None


def _find(data: mmap.mmap, wanted: bytes, decision_id: str) -> dict[str, Any] | None:
    at = data.rfind(wanted)
    while at >= 0:
        start = data.rfind(b"\n", 0, at) + 1
        end = data.find(b"\n", at)
        if end < 0:
            end = len(data)
        try:
            record = orjson.loads(data[start:end])
        except orjson.JSONDecodeError:
            record = {}  # its end is not written yet
        if decision_id in (record.get("decision_id"), record.get("request_id")):
            found: dict[str, Any] = record
            return found
        at = data.rfind(wanted, 0, start) if start else -1
    return None
