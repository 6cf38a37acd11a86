"""The ledger is what providers would bill, under a mixed load."""

from __future__ import annotations

from pathlib import Path

from bench.evidence_sums import ROUND, compare, mixed_load
from support.gateway import running_gateway


def test_every_request_has_its_records_and_the_sums_are_those_of_the_providers(
    tmp_path: Path,
) -> None:
    with running_gateway(tmp_path) as gateway:
        found = compare(gateway, mixed_load(gateway, ROUND))
    assert found.requests == found.decisions == found.costs == ROUND
    assert found.differing == ()
    assert found.tokens[0] == found.tokens[1] > 0
    assert found.nanos[0] == found.nanos[1] > 0
    assert found.compared > ROUND // 2
    assert found.failovers > 10
    assert found.left > 10
