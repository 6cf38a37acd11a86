"""The table leaves nothing out silently."""

from __future__ import annotations

import json

from bench.report import document, table
from bench.test_figures import ROUNDS
from bench.workloads import WORKLOADS

CHAT = next(workload for workload in WORKLOADS if not workload.chunks)
STREAM = next(workload for workload in WORKLOADS if workload.chunks)


def test_rows_and_ratios_that_are_missing_are_named() -> None:
    lines = table(CHAT, ROUNDS).splitlines()
    assert [line.split()[-2:] for line in lines if line.startswith("gateway, ")] == [
        ["not", "measured"]
    ] * 2
    assert sum(line.startswith("  CPU ") and "not measured" in line for line in lines) == 3


def test_a_ratio_is_printed_with_its_spread() -> None:
    assert "0.200  (0.200 to 0.300)" in table(CHAT, ROUNDS)


def test_added_times_carry_a_sign_and_plain_envoy_shows_its_own() -> None:
    cells = {line[:16].strip(): line.split() for line in table(CHAT, ROUNDS).splitlines()}
    assert "1.00" in cells["plain Envoy"]
    assert "+5.00" in cells["no-op, grpc.aio"]


def test_chunks_that_arrived_joined_would_show() -> None:
    # Four messages are three before the body and one chunk.
    assert "no-op, fast wire 1.0" in table(STREAM, ROUNDS)


def test_the_document_is_json_with_every_spread() -> None:
    found = json.loads(json.dumps(document({CHAT: ROUNDS})))["workloads"][CHAT.id]
    assert found["rounds"] == 3
    assert found["cpu_ratios"]["noop-fast/noop-grpcio"] == {"median": 0.2, "low": 0.2, "high": 0.3}
    assert found["cpu_ratios"]["gateway-fast/noop-fast"] is None
    assert set(found["rows"]) == {"plain", "noop-grpcio", "noop-fast"}
