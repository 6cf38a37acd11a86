from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from evidence import samples
from gateway_extproc.core.limits import Crossed, Ledger
from gateway_extproc.core.ports import Recorder
from gateway_extproc.core.usage import Usage
from gateway_extproc.evidence.metrics import KnownLabels, open_metrics, render
from gateway_extproc.evidence.recorder import EvidenceRecorder, open_evidence
from gateway_extproc.evidence.traces import NoTraces
from gateway_extproc.pb.gateway.v1 import decision_pb2


class Broken:
    def write(self, record: Any) -> None:
        raise RuntimeError("broken")

    accepted = kept = 0
    healthy = True

    async def durable(self, timeout_s: float) -> bool:
        return True

    def close(self, timeout_s: float = 5.0) -> bool:
        return True


class Kept(Broken):
    def __init__(self) -> None:
        self.records: list[Any] = []

    def write(self, record: Any) -> None:
        self.records.append(record)


def opened(directory: Path) -> EvidenceRecorder:
    return open_evidence(
        directory / "evidence", directory / "metrics", version="1", worker=0,
        prompt_key=b"k", known=KnownLabels(),
    )  # fmt: skip


def lines(path: Path) -> list[str]:
    """The records in a file, without the header before them."""
    header, *records = path.read_text().splitlines()
    assert json_format.Parse(header, decision_pb2.ChainLine()).header.segment == 1
    return records


def test_each_request_leaves_a_decision_and_what_it_cost(tmp_path: Path) -> None:
    recorder = opened(tmp_path)
    port: Recorder = recorder
    for exchange in (samples.full(), samples.refused_early()):
        port.record(exchange, samples.ENDED_NS)
    assert recorder.close()
    decisions = lines(tmp_path / "evidence" / "decisions-0.jsonl")
    costs = lines(tmp_path / "evidence" / "costs-0.jsonl")
    read = [json_format.Parse(line, decision_pb2.DecisionRecord()) for line in decisions]
    assert [one.decision_id for one in read] == ["d-1", "d-2"]
    cost, none = [json_format.Parse(line, decision_pb2.CostRecord()) for line in costs]
    assert (cost.decision_id, cost.cost_nanos) == ("d-1", 456_000)
    assert (none.decision_id, none.cost_nanos, none.outcome) == ("d-2", 0, decision_pb2.REFUSED)
    assert '"cost_nanos":0' in costs[1]


def test_no_output_holds_a_planted_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = opened(tmp_path)
    for exchange in (samples.full(), samples.refused_early()):
        recorder.record(exchange, samples.ENDED_NS)
    recorder.close()
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 6
    written = b"".join(files).decode("latin-1") + caplog.text
    assert [secret for secret in samples.PLANTED if secret in written] == []


def test_a_broken_sink_does_not_stop_the_others(tmp_path: Path) -> None:
    costs = Kept()
    recorder = EvidenceRecorder(
        Broken(), costs, Kept(), open_metrics(tmp_path, 0), NoTraces(),
        version="1", worker=0, prompt_key=b"k",
    )  # fmt: skip
    recorder.record(samples.full(), samples.ENDED_NS)
    recorder.close()
    assert [record["decision_id"] for record in costs.records] == ["d-1"]
    text = render(tmp_path).decode()
    assert 'gateway_stage_errors_total{stage="evidence.decisions"} 1.0' in text
    assert "gateway_requests_total{" in text


def test_a_prompt_key_is_demanded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="prompt_key"):
        EvidenceRecorder(
            Kept(), Kept(), Kept(), open_metrics(tmp_path, 0), NoTraces(),
            version="1", worker=0, prompt_key=b"",
        )  # fmt: skip


def test_what_a_dead_worker_left_is_charged_and_a_threshold_is_told(tmp_path: Path) -> None:
    recorder = opened(tmp_path)
    ledger: Ledger = recorder
    bill = recorder.bill(samples.full(), Usage(7, 8, source="estimated"), 99)
    ledger.charge(bill)
    ledger.charge({})
    ledger.crossed(Crossed("team", "acme", 80, 81, 100))
    ledger.settled("late")
    assert ledger.costs_accepted() == 1
    assert recorder.close()
    assert ledger.costs_kept() == 1
    folder = tmp_path / "evidence"
    (line,) = lines(folder / "costs-0.jsonl")
    cost = json_format.Parse(line, decision_pb2.CostRecord())
    assert (cost.decision_id, cost.cost_nanos, cost.usage.completion_tokens) == ("d-1", 99, 8)
    (line,) = lines(folder / "alerts-0.jsonl")
    alert = json_format.Parse(line, decision_pb2.AlertRecord())
    assert (alert.budget, alert.subject, alert.percent, alert.used) == ("team", "acme", 80, 81)
    text = render(tmp_path / "metrics").decode()
    assert 'gateway_budget_alerts_total{budget="team",percent="80"} 1.0' in text
    assert 'gateway_settlements_total{outcome="late"} 1.0' in text
