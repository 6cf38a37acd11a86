from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from evidence import samples
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange, LimitState
from gateway_extproc.core.verdict import TrailEntry, trail_step
from gateway_extproc.evidence import series
from gateway_extproc.evidence.metrics import (
    KnownLabels,
    Metrics,
    open_metrics,
    render,
    wipe,
    worker_died,
)

KNOWN = KnownLabels(
    tenants=frozenset({"acme"}),
    models=frozenset({"gpt-x", "gpt-x-1"}),
    providers=frozenset({"east", "west"}),
    routes=frozenset({"gpt-x"}),
)


def sample(directory: Path, name: str, **labels: str) -> float:
    """The sum of all samples with these labels."""
    found = [
        one.value
        for family in text_string_to_metric_families(render(directory).decode())
        for one in family.samples
        if one.name == name and labels.items() <= one.labels.items()
    ]
    assert found, name
    return sum(found)


def closed(metrics: Metrics, *exchanges: Exchange) -> None:
    for exchange in exchanges:
        metrics.record(exchange, samples.ENDED_NS)
    metrics.close()


def test_two_workers_are_added_up(tmp_path: Path) -> None:
    for worker in (0, 1):
        closed(open_metrics(tmp_path, worker, KNOWN), samples.full(), samples.refused_early())
    assert sample(
        tmp_path, "gateway_requests_total", endpoint="chat", tenant="acme", model="gpt-x",
        provider="east", outcome="allowed", status="200", reason="none",
    ) == 2  # fmt: skip
    assert sample(tmp_path, "gateway_requests_total", outcome="refused", status="401") == 2
    assert sample(tmp_path, "gateway_auth_failures_total", reason="invalid_api_key") == 2
    assert sample(tmp_path, "gateway_guard_findings_total", rule="cards", mode="enforce") == 2
    assert sample(tmp_path, "gateway_failovers_total", route="gpt-x") == 2
    assert sample(tmp_path, "gateway_attempts_total", provider="west", status_class="5xx") == 2
    assert sample(tmp_path, "gateway_tokens_total", direction="prompt", source="reported") == 240
    assert sample(tmp_path, "gateway_tokens_total", direction="completion", model="gpt-x-1") == 160
    assert sample(tmp_path, "gateway_cost_nanos_total", tenant="acme") == 912_000
    assert sample(tmp_path, "gateway_request_duration_seconds_count", provider="east") == 2
    assert sample(tmp_path, "gateway_request_duration_seconds_sum", provider="east") == (
        pytest.approx(2 * 1.23456789)
    )
    assert sample(tmp_path, "gateway_request_duration_seconds_bucket", le="1.0") == 0
    assert sample(tmp_path, "gateway_request_duration_seconds_bucket", le="2.5") == 4
    assert sample(tmp_path, "gateway_time_to_first_byte_seconds_bucket", le="0.25") == 2
    assert sample(tmp_path, "gateway_processing_seconds_count", endpoint="chat") == 4


def test_a_restarted_worker_keeps_counting_in_the_same_files(tmp_path: Path) -> None:
    for _ in range(3):
        metrics = open_metrics(tmp_path, 7, KNOWN)
        metrics.in_flight(5)
        closed(metrics, samples.full())
    assert sample(tmp_path, "gateway_requests_total") == 3
    assert sample(tmp_path, "gateway_request_duration_seconds_count") == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "counter_7.db", "gauge_livesum_7.db", "histogram_7.db",
    ]  # fmt: skip


def test_requests_in_flight_die_with_their_worker(tmp_path: Path) -> None:
    for worker in (0, 1):
        metrics = open_metrics(tmp_path, worker, KNOWN)
        metrics.in_flight(4)
        metrics.close()
    assert sample(tmp_path, "gateway_in_flight") == 8
    open_metrics(tmp_path, 0, KNOWN).close()
    assert sample(tmp_path, "gateway_in_flight") == 4
    worker_died(tmp_path, 1)
    worker_died(tmp_path, 1)
    assert sample(tmp_path, "gateway_in_flight") == 0


def test_a_strangers_words_never_become_labels(tmp_path: Path) -> None:
    exchange = samples.refused_early()
    exchange.asked = LlmRequest("openai", "chat", "any model", False, None, False, {}, ())
    exchange.refusal = refuse("model_not_found", "no")
    exchange.endpoint = None
    closed(open_metrics(tmp_path, 0, KNOWN), exchange)
    assert sample(
        tmp_path, "gateway_requests_total", model="other", tenant="none", endpoint="other"
    ) == 1  # fmt: skip
    assert b"any model" not in render(tmp_path)


def test_a_metric_has_a_bounded_number_of_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MAX_SERIES", 3)
    metrics = open_metrics(tmp_path, 0, KNOWN)
    for number in range(10):
        metrics.limit_hits.inc((f"l{number}", "enforce"))
    metrics.close()
    assert sample(tmp_path, "gateway_limit_hits_total") == 10
    assert sample(tmp_path, "gateway_limit_hits_total", limit="other", mode="other") == 7


def test_limits_that_said_no_and_stages_that_failed_are_counted(tmp_path: Path) -> None:
    exchange = samples.full()
    exchange.limits = (
        LimitState("a", 1, 0, 1.0, False, "shadow"),
        LimitState("b", 1, 1, 1.0, True, "enforce"),
    )
    exchange.refusal = refuse("gateway_error", "no")
    exchange.trail.append(
        TrailEntry(trail_step("parse", "request_body", "refuse", "gateway_error"), 1)
    )
    closed(open_metrics(tmp_path, 0, KNOWN), exchange)
    assert sample(tmp_path, "gateway_limit_hits_total") == 1
    assert sample(tmp_path, "gateway_limit_hits_total", limit="a", mode="shadow") == 1
    assert sample(tmp_path, "gateway_stage_errors_total", stage="parse") == 1


def test_the_library_and_the_environment_stay_as_they_were(tmp_path: Path) -> None:
    open_metrics(tmp_path, 0, KNOWN).close()
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
    assert values.ValueClass is values.MutexValue


def test_a_new_supervisor_starts_from_nothing(tmp_path: Path) -> None:
    closed(open_metrics(tmp_path, 0, KNOWN), samples.full())
    wipe(tmp_path)
    assert render(tmp_path) == b""
