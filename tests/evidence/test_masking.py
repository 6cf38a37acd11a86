"""What records, spans and metrics do not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from evidence import samples
from gateway_extproc.config.evidencing import Evidence
from gateway_extproc.core.exchange import Event, Exchange
from gateway_extproc.core.limits import Crossed
from gateway_extproc.core.usage import Usage
from gateway_extproc.evidence.log import encode
from gateway_extproc.evidence.metrics import KnownLabels, open_metrics, render
from gateway_extproc.evidence.policy import RecordPolicy, masked_log_fields
from gateway_extproc.evidence.recorder import EvidenceRecorder
from gateway_extproc.evidence.traces import NoTraces, span_attributes, span_name
from gateway_extproc.pb.gateway.v1 import decision_pb2
from gateway_extproc.wire.session import log_fields

KEY = b"prompt key"


class Kept:
    accepted = kept = 0
    healthy = True

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def write(self, record: dict[str, Any]) -> None:
        self.records.append(record)

    async def durable(self, timeout_s: float) -> bool:
        return True

    def close(self, timeout_s: float = 5.0) -> bool:
        return True


class World:
    """A recorder under a policy, and what it wrote."""

    def __init__(self, folder: Path, *rules: dict[str, Any]) -> None:
        evidence = Evidence.model_validate({"mask": rules}, strict=False)
        self.policy = RecordPolicy.of(evidence, KEY)
        self.decisions, self.costs, self.alerts = Kept(), Kept(), Kept()
        known = KnownLabels(tenants=frozenset({"acme"}), models=frozenset({"gpt-x"}))
        self.folder = folder
        self.recorder = EvidenceRecorder(
            self.decisions, self.costs, self.alerts, open_metrics(folder, 0, known), NoTraces(),
            version="1", worker=0, prompt_key=KEY, policy=self.policy,
        )  # fmt: skip

    def decide(self, exchange: Exchange) -> dict[str, Any]:
        self.recorder.record(exchange, samples.ENDED_NS)
        record = self.decisions.records[-1]
        json_format.Parse(encode(record), decision_pb2.DecisionRecord())
        return record


def test_what_is_removed_is_gone_and_named(tmp_path: Path) -> None:
    fields = ["user", "labels.team", "/path", "credential_id", "findings.path", "prompt"]
    world = World(tmp_path, {"fields": fields})
    record = world.decide(samples.full())
    assert record["masked"] == [
        "user", "labels.team", "path", "credential_id", "events.subject", "findings.path",
        "prompt",
    ]  # fmt: skip
    for name in ("user", "path", "credential_id", "prompt"):
        assert name not in record
    assert record["labels"] == {}
    assert "path" not in record["findings"][0]
    for text in ("'ann'", "search", "k1a2b3c4", "/v1/chat"):
        assert text not in str(record)


def test_equal_values_have_equal_hashes_under_the_installations_key(tmp_path: Path) -> None:
    world = World(tmp_path, {"fields": ["user", "roles", "labels"], "action": "hash"})
    first, second = world.decide(samples.full()), world.decide(samples.full())
    assert first["user"] == second["user"]
    assert first["user"].startswith("hmac:")
    assert len(first["user"]) == len("hmac:") + 32
    assert first["roles"][0].startswith("hmac:")
    assert first["labels"]["team"].startswith("hmac:")
    rules = Evidence.model_validate(
        {"mask": [{"fields": ["user"], "action": "hash"}]}, strict=False
    )
    other = {"user": "ann"}
    RecordPolicy.of(rules, b"another key").decisions.of("acme", "gpt-x").apply(other)
    assert other["user"] != first["user"]


def test_a_prompts_fingerprint_tells_nothing_of_a_hash(tmp_path: Path) -> None:
    """Who may send prompts could else try out names and compare with what findings show."""
    from gateway_extproc.evidence.records import text_fingerprint

    world = World(tmp_path, {"fields": ["user"], "action": "hash"})
    shown = world.decide(samples.full())["user"].removeprefix("hmac:")
    assert not text_fingerprint("ann", KEY).startswith(shown)


def test_of_two_rules_for_one_field_the_one_that_shows_less_wins(tmp_path: Path) -> None:
    rules = ({"fields": ["user"]}, {"fields": ["user"], "action": "hash"})
    assert "user" not in World(tmp_path / "a", *rules).decide(samples.full())
    assert "user" not in World(tmp_path / "b", *rules[::-1]).decide(samples.full())


@pytest.mark.parametrize(
    ("scope", "masked"),
    [
        ({"tenants": ["acme"]}, True),
        ({"tenants": ["beta"]}, False),
        ({"routes": ["gpt-x"]}, True),
        ({"routes": ["gpt-y"]}, False),
        ({"tenants": ["acme"], "routes": ["gpt-y"]}, False),
    ],
)
def test_a_rule_is_for_its_tenants_and_routes(
    tmp_path: Path, scope: dict[str, Any], *, masked: bool
) -> None:
    record = World(tmp_path, {"fields": ["user"], **scope}).decide(samples.full())
    assert ("user" not in record) is masked


def test_a_rule_for_a_route_holds_until_the_route_is_known(tmp_path: Path) -> None:
    exchange = samples.full()
    exchange.asked, exchange.route_id = None, ""
    record = World(tmp_path, {"fields": ["user"], "routes": ["gpt-y"]}).decide(exchange)
    assert record["masked"] == ["user"]


def test_the_ledger_keeps_what_only_decisions_hide(tmp_path: Path) -> None:
    world = World(tmp_path, {"fields": ["user"]})
    world.decide(samples.full())
    assert world.costs.records[0]["user"] == "ann"
    assert "masked" not in world.costs.records[0]


def test_the_ledger_hides_what_is_masked_there_also_for_a_dead_worker(tmp_path: Path) -> None:
    rule = {"fields": ["user", "labels.team"], "action": "hash", "records": ["costs"]}
    world = World(tmp_path, rule)
    assert world.decide(samples.full())["user"] == "ann"
    for cost in (world.costs.records[0], world.recorder.bill(samples.full(), Usage(1, 2), 3)):
        assert cost["user"].startswith("hmac:")
        assert cost["masked"] == ["user", "labels.team"]
        json_format.Parse(encode(cost), decision_pb2.CostRecord())


def test_an_alert_hides_its_subject_where_that_is_masked(tmp_path: Path) -> None:
    world = World(tmp_path, {"fields": ["subject"], "records": ["alerts"]})
    world.recorder.crossed(Crossed("team", "acme/ann", 80, 81, 100))
    (alert,) = world.alerts.records
    assert "subject" not in alert
    json_format.Parse(encode(alert), decision_pb2.AlertRecord())


def test_events_do_not_name_whom_the_record_hides(tmp_path: Path) -> None:
    exchange = samples.full()
    exchange.events = [
        Event("spend", "token_rise", "alert", "acme/portal"),
        Event("abuse", "failures", "alert", "192.0.2.7"),
    ]
    world = World(tmp_path, {"fields": ["application"]})
    record = world.decide(exchange)
    assert "subject" not in record["events"][0]
    assert record["events"][1]["subject"] == "192.0.2.7"


def test_spans_hide_what_the_record_hides(tmp_path: Path) -> None:
    fields = ["tenant", "requested_model", "route", "usage.prompt_tokens", "refusal"]
    masks = World(tmp_path, {"fields": fields}).policy.decisions.of("acme", "gpt-x")
    exchange = samples.full()
    attributes = span_attributes(exchange, masks)
    left_out = set(span_attributes(exchange)) - set(attributes)
    assert left_out == {
        "gateway.tenant", "gen_ai.request.model", "gateway.route", "gen_ai.usage.input_tokens",
    }  # fmt: skip
    assert span_name(exchange, masks) == "chat"
    hashed = World(
        tmp_path / "hashed", {"fields": ["tenant", "requested_model"], "action": "hash"}
    ).policy.decisions.of("acme", "gpt-x")
    assert str(span_attributes(exchange, hashed)["gateway.tenant"]).startswith("hmac:")
    assert "gpt-x" not in span_name(exchange, hashed)


def test_metrics_hide_what_the_record_hides(tmp_path: Path) -> None:
    fields = ["tenant", "requested_model", "target_model", "route", "limits.id"]
    world = World(tmp_path, {"fields": fields, "action": "hash"})
    exchange = samples.full()
    exchange.limits = (exchange.limits[0]._replace(allowed=False),)
    world.decide(exchange)
    text = render(tmp_path).decode()
    assert 'tenant="masked"' in text
    for label in ('"acme"', '"gpt-x"', '"team"', "hmac:"):
        assert label not in text


def test_envoys_access_log_hides_what_the_record_hides(tmp_path: Path) -> None:
    world = World(tmp_path, {"fields": ["tenant"]})
    exchange = samples.full()
    assert log_fields(exchange)["tenant"] == "acme"
    told = masked_log_fields(world.policy.decisions, log_fields)
    assert told(exchange) == {"decision_id": "d-1"}
