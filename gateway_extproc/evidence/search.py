"""Finds decision records in the files of this host."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import orjson

from gateway_extproc.evidence.reading import find_segments, read_record


def find_decision(folder: Path, decision_id: str) -> dict[str, Any] | None:
    """The record of a decision (or of a request's id), the newest first; None without one.

    Of a request that stands twice, opened first and complete later, the complete one.
    """
    wanted = orjson.dumps(decision_id)
    for segment in reversed(find_segments(folder, "decisions")):
        if segment.path.stat().st_size:
            with (
                segment.path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data,
            ):
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
        record = read_record(data[start:end]) or {}  # its end may not be written yet
        if decision_id in (record.get("decision_id"), record.get("request_id")):
            return record
        at = data.rfind(wanted, 0, start) if start else -1
    return None
