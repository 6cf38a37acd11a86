"""Checkpoints reach a real collector, hold up nobody, and verify from what it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evidence.logs import Key
from evidence.traffic import exchange
from gateway_extproc.cli.main import main
from gateway_extproc.evidence import metrics
from gateway_extproc.evidence.chain import Checkpoint, find_checkpoint
from gateway_extproc.evidence.otlplogs import CheckpointExporter, endpoint_of
from gateway_extproc.evidence.policy import WHOLE
from gateway_extproc.evidence.recorder import EvidenceRecorder
from gateway_extproc.recording import open_recorder
from support.collector import Collector
from support.config import make_config

LINE = Checkpoint(
    "decisions", 3, "b" * 32, 1, 7, b"\x01" * 32, "2026-05-06T12:00:00.000005Z"
).encoded()


@pytest.fixture
def collector() -> Any:
    made = Collector()
    yield made
    made.close()


class Place:
    """A folder in which a worker records, and the key that signs for it."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder, self.endpoint = folder, endpoint
        key = Key()
        (folder / "key.pem").write_bytes(key.pem)
        public = key.private.public_key()
        (folder / "public.pem").write_bytes(
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )

    def recorder(self, **checkpoints: Any) -> EvidenceRecorder:
        evidence = {
            "dir": str(self.folder / "evidence"),
            "checkpoints": {
                "key_file": str(self.folder / "key.pem"), "to": ["otlp"], "every_records": 1,
                "otlp_endpoint": self.endpoint, **checkpoints,
            },
        }  # fmt: skip
        config = make_config(evidence=evidence)
        return open_recorder(config, "r", self.folder / "metrics", 0, b"k", WHOLE)

    def verify(self, checkpoints: Path) -> int:
        return main([
            "decisions", "verify", "--evidence", str(self.folder / "evidence"),
            "--checkpoints", str(checkpoints), "--public-key", str(self.folder / "public.pem"),
        ])  # fmt: skip

    def dropped(self) -> float:
        name = b'gateway_records_dropped_total{log="checkpoints"}'
        page = metrics.render(self.folder / "metrics")
        return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))


def test_a_checkpoint_is_a_log_record_whose_body_is_its_line(collector: Collector) -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=audit"}
    send = CheckpointExporter(
        collector.endpoint, version="7", worker=3, environ=environ, wall_ns=lambda: 99
    )
    send(LINE + b"\n")
    ((resource, record),) = collector.log_records
    assert record.body.string_value.encode() == LINE
    assert find_checkpoint(record.body.string_value.encode()) is not None
    assert record.time_unix_nano == 1_778_068_800_000_005_000
    assert record.severity_text == "INFO"
    told = {one.key: one.value for one in record.attributes}
    assert told["gateway.log"].string_value == "decisions"
    assert told["gateway.log.seq"].int_value == 7
    who = {one.key: one.value for one in resource.attributes}
    assert who["service.name"].string_value == "gateway-extproc"
    assert who["gateway.worker"].int_value == 3
    assert collector.metadata["x-team"] == "audit"


def test_what_a_collector_wrote_verifies_a_log_and_tells_that_its_end_is_gone(
    tmp_path: Path, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path, collector.endpoint)
    for _ in range(2):  # a worker, and its successor
        recorder = place.recorder()
        for number in range(3):
            recorder.record(exchange(number), 2)
        assert recorder.close()
    written = tmp_path / "collected.json"
    written.write_text(collector.log_file())
    assert place.verify(written) == 0
    assert "good: " in capsys.readouterr().out

    # As other collectors write: one document with all of it, or a time before each line.
    whole = tmp_path / "whole.json"
    whole.write_text(
        json.dumps([json.loads(one) for one in written.read_text().splitlines()], indent=1)
    )
    lines = tmp_path / "lines.log"
    bodies = [record.body.string_value for _, record in collector.log_records]
    lines.write_text("".join(f"2026-05-06T12:00:00Z stdout F {body}\n" for body in bodies))
    for file in (whole, lines):
        assert place.verify(file) == 0
    capsys.readouterr()

    log = tmp_path / "evidence" / "decisions-0.jsonl"
    log.write_bytes(log.read_bytes()[:-1].rpartition(b"\n")[0][:-1].rpartition(b"\n")[0] + b"\n")
    for file in (written, whole, lines):
        assert place.verify(file) == 1
        assert "are missing: a checkpoint of" in capsys.readouterr().out


def test_a_collector_that_is_away_holds_up_neither_the_log_nor_another_receiver(
    tmp_path: Path, collector: Collector
) -> None:
    collector.close()
    place = Place(tmp_path, collector.endpoint)
    recorder = place.recorder(to=["otlp", "file"], file=str(tmp_path / "there"))
    for number in range(3):
        recorder.record(exchange(number), 2)
    assert recorder.close()
    assert place.verify(tmp_path / "there") == 0


def test_what_a_collector_refuses_is_counted(tmp_path: Path, collector: Collector) -> None:
    collector.refuses_logs = True
    place = Place(tmp_path, collector.endpoint)
    recorder = place.recorder()
    recorder.record(exchange(1), 2)
    assert recorder.close()
    assert place.dropped() >= 1
    assert collector.log_requests == []


def test_what_fails_is_an_error_with_its_cause(collector: Collector) -> None:
    send = CheckpointExporter(collector.endpoint, version="7", worker=3, environ={}, timeout_s=0.5)
    collector.refuses_logs = True
    with pytest.raises(OSError, match="refused: x"):
        send(LINE)
    collector.close()
    with pytest.raises(OSError, match=r"DEADLINE_EXCEEDED|UNAVAILABLE"):
        send(LINE)


def test_a_worker_that_shall_send_them_and_knows_no_collector_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", raising=False)
    with pytest.raises(OSError, match="names a collector"):
        Place(tmp_path, "").recorder()


def test_the_environment_may_name_the_collector() -> None:
    assert endpoint_of({}) == ""
    assert endpoint_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "a"}) == "a"
    both = {"OTEL_EXPORTER_OTLP_ENDPOINT": "a", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "b"}
    assert endpoint_of(both) == "b"
