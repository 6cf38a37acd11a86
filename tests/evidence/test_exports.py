"""What leaves the log in other shapes: OCSF, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from evidence import samples, traffic
from gateway_extproc.evidence.exports import FLAT, as_csv, as_json
from gateway_extproc.evidence.log import encode
from gateway_extproc.evidence.ocsf import api_activity
from gateway_extproc.evidence.records import decision_record

REQUIRED = {
    "": ("activity_id", "actor", "api", "category_uid", "class_uid", "metadata", "severity_id",
         "src_endpoint", "time", "type_uid"),
    "api": ("operation",),
    "metadata": ("product", "version"),
    "ai_model": ("model_name", "ai_provider"),
}  # fmt: skip
"""Of OCSF's class API Activity and of the objects in it, by the schema's own words 'required'."""
ONE_OF = {
    "actor": ("user", "app_name", "process", "session"),
    "actor.user": ("name", "uid", "account"),
    "metadata.product": ("name", "uid"),
    "src_endpoint": ("ip", "uid", "name", "hostname", "svc_name", "instance_uid"),
    "message_context": ("application", "service"),
}
"""Objects of which the schema wants at least one of these."""


def read(record: dict[str, Any]) -> dict[str, Any]:
    """As it stands in the log."""
    found: dict[str, Any] = json.loads(encode(record))
    return found


def records() -> list[dict[str, Any]]:
    exchanges = [samples.full(), samples.refused_early(), *traffic.mixed(60)]
    made = [
        read(decision_record(e, samples.ENDED_NS, version="9", worker=0, prompt_key=b"k"))
        for e in exchanges
    ]
    return [*made, {"decision_id": "only", "outcome": "INTERRUPTED"}]


def at(event: dict[str, Any], path: str) -> Any:
    for name in filter(None, path.split(".")):
        event = event.get(name, {})
    return event


@pytest.mark.parametrize("record", records(), ids=lambda r: str(r["decision_id"]))
def test_every_decision_is_an_event_of_the_class(record: dict[str, Any]) -> None:
    event = api_activity(record)
    for path, names in REQUIRED.items():
        if path and path not in event:
            assert path == "ai_model"
            assert not record.get("requested_model")
            continue
        missing = [name for name in names if at(event, path).get(name) in (None, "")]
        assert missing == [], path
    for path, names in ONE_OF.items():
        if path == "message_context" and path not in event:
            continue
        assert any(at(event, path).get(name) for name in names), path
    assert event["class_uid"] == 6003
    assert event["category_uid"] == 6
    assert event["type_uid"] == 600300 + event["activity_id"]
    assert isinstance(event["time"], int)
    assert set(event["metadata"]["profiles"]) >= {"ai_operation"}


def test_the_profile_of_models_tells_model_and_tokens() -> None:
    record = read(
        decision_record(samples.full(), samples.ENDED_NS, version="9", worker=0, prompt_key=b"k")
    )
    event = api_activity(record)
    assert event["time"] == samples.STARTED_WALL_NS // 1_000_000
    assert event["ai_model"] == {
        "name": "gpt-x-1", "model_name": "gpt-x-1", "ai_provider": "east",
        "version": "gpt-x-1-0101",
    }  # fmt: skip
    context = event["message_context"]
    tokens = [context[f"{name}_tokens"] for name in ("prompt", "completion", "total")]
    assert tokens == [120, 80, 200]


def test_a_blocked_prompt_is_a_denied_call() -> None:
    one = traffic.exchange(1, refusal=traffic.blocked("no-zebras"), outcome="refused")
    event = api_activity(read(decision_record(one, 2, version="9", worker=0, prompt_key=b"k")))
    assert (event["status"], event["action"], event["severity_id"]) == ("Failure", "Denied", 3)
    assert event["policy"] == {"name": "no-zebras"}
    assert event["status_detail"] == "prompt_blocked"


def test_csv_is_read_back_by_the_csv_module() -> None:
    made = records()
    rows = list(csv.DictReader(io.StringIO(b"".join(as_csv(made)).decode())))
    assert len(rows) == len(made)
    assert list(rows[0]) == ["time" if name == "time_us" else name for name in FLAT]
    assert rows[0]["time"] == made[0]["time"]
    assert rows[0]["rules"] == "chatter/base cards sudden-volume"
    assert [int(row["cost_nanos"]) for row in rows] == [r.get("cost_nanos", 0) for r in made]


def test_a_spreadsheet_runs_nothing_that_a_client_wrote(tmp_path: Path) -> None:
    one = traffic.exchange(1, user='=HYPERLINK("x")', model="@sum")
    record = read(decision_record(one, 2, version="9", worker=0, prompt_key=b"k"))
    [row] = csv.DictReader(io.StringIO(b"".join(as_csv([record])).decode()))
    assert (row["user"], row["requested_model"]) == ('\'=HYPERLINK("x")', "'@sum")


def test_json_is_one_array() -> None:
    made = [json.loads(json.dumps(record)) for record in records()]
    assert json.loads(b"".join(as_json(made))) == made
    assert json.loads(b"".join(as_json([]))) == []
