"""Decision records that are not kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evidence import samples
from evidence.test_masking import Kept
from gateway_extproc.config.evidencing import Evidence
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Event, Exchange
from gateway_extproc.evidence.dropping import find_drop
from gateway_extproc.evidence.metrics import open_metrics, render
from gateway_extproc.evidence.policy import RecordPolicy
from gateway_extproc.evidence.recorder import EvidenceRecorder
from gateway_extproc.evidence.traces import NoTraces


def policy(**rule: Any) -> RecordPolicy:
    evidence = Evidence.model_validate({"drop": [{"id": "quiet", **rule}]}, strict=False)
    return RecordPolicy.of(evidence, b"k")


def uneventful() -> Exchange:
    exchange = samples.full()
    exchange.findings, exchange.events = [], []
    exchange.degraded, exchange.failed_open = (), False
    return exchange


def refused(exchange: Exchange) -> None:
    exchange.outcome, exchange.refusal = "refused", refuse("prompt_blocked", "no")


def limited(exchange: Exchange) -> None:
    exchange.limits = (exchange.limits[0]._replace(allowed=False, mode="shadow"),)


EVENTS: list[Callable[[Exchange], object]] = [
    refused,
    limited,
    lambda e: setattr(e, "outcome", "failed"),
    lambda e: setattr(e, "outcome", "aborted"),
    lambda e: setattr(e, "failed_open", True),
    lambda e: setattr(e, "degraded", ("redis",)),
    lambda e: e.findings.extend(samples.full().findings),
    lambda e: e.events.append(Event("abuse", "volume", "alert", "k")),
]


@pytest.mark.parametrize("happens", EVENTS)
def test_what_somebody_could_ask_about_is_always_kept(
    happens: Callable[[Exchange], object],
) -> None:
    exchange = uneventful()
    assert find_drop(policy().drop, exchange) is not None
    happens(exchange)
    assert find_drop(policy().drop, exchange) is None


@pytest.mark.parametrize(
    ("rule", "drops"),
    [
        ({"tenants": ["acme"], "routes": ["gpt-x"]}, True),
        ({"tenants": ["beta"]}, False),
        ({"routes": ["gpt-y"]}, False),
        ({"endpoints": ["chat"]}, True),
        ({"endpoints": ["models"]}, False),
        ({"statuses": [200, 204]}, True),
        ({"statuses": [204]}, False),
        ({"keep": 1.0}, False),
    ],
)
def test_conditions_narrow_a_rule(rule: dict[str, Any], *, drops: bool) -> None:
    assert (find_drop(policy(**rule).drop, uneventful()) is not None) is drops


def test_a_share_is_kept_and_the_same_one_each_time() -> None:
    rules = policy(keep=0.25).drop
    exchanges = [uneventful() for _ in range(2000)]
    for number, exchange in enumerate(exchanges):
        exchange.decision_id = f"decision-{number}"
    kept = [e.decision_id for e in exchanges if find_drop(rules, e) is None]
    assert 420 < len(kept) < 580
    assert kept == [e.decision_id for e in exchanges if find_drop(rules, e) is None]


def test_a_dropped_record_is_counted_and_its_cost_is_kept(tmp_path: Path) -> None:
    decisions, costs = Kept(), Kept()
    recorder = EvidenceRecorder(
        decisions, costs, Kept(), open_metrics(tmp_path, 0), NoTraces(),
        version="1", worker=0, prompt_key=b"k", policy=policy(),
    )  # fmt: skip
    recorder.record(uneventful(), samples.ENDED_NS)
    recorder.record(samples.full(), samples.ENDED_NS)
    assert len(decisions.records) == 1
    assert len(costs.records) == 2
    text = render(tmp_path).decode()
    assert 'gateway_decisions_left_out_total{rule="quiet"} 1.0' in text


def test_a_second_rule_does_not_drop_what_the_first_one_draws_to_keep() -> None:
    first = policy(keep=1.0).drop[0]
    second = first.model_copy(update={"id": "all", "keep": 0.0})
    assert find_drop((first, second), uneventful()) is None
