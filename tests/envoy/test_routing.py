"""Route rules through the real Envoy: a canary, a rule on a label, the cheapest of two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from support.gateway import RunningGateway, running_gateway

OPENAI = {"provider": "openai", "model": "gpt-4o-mini"}
ANTHROPIC = {"provider": "anthropic", "model": "claude-haiku-4-5"}
SENT = 60


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One worker, so that its draws are one sequence."""

    def change(document: dict[str, Any]) -> None:
        labelled = next(key for key in document["keys"] if key["user"] == "visitor")
        labelled["labels"] = {"team": "search"}
        labelled["roles"] = ["developer"]
        document["models"] += [
            {
                "model": "canary",
                "strategy": "weighted",
                "targets": [{**OPENAI, "weight": 3}, {**ANTHROPIC, "weight": 1}],
            },
            {"model": "cheap", "strategy": "cost_optimized", "targets": [ANTHROPIC, OPENAI]},
            {"model": "gpt-alias", "alias_of": "canary"},
        ]
        document["prices"] = {
            "version": "test-prices",
            "models": [
                {"model": OPENAI["model"], "prompt_nanos": 5, "completion_nanos": 9},
                {"model": ANTHROPIC["model"], "prompt_nanos": 50, "completion_nanos": 90},
            ],
        }
        document["routing"] = {
            "rules": [
                {
                    "id": "search-team",
                    "models": ["canary"],
                    "when": 'labels["team"] == "search"',
                    "targets": [ANTHROPIC],
                }
            ]
        }

    with running_gateway(tmp_path_factory.mktemp("routing"), change, workers=1) as running:
        yield running


def record_after(gateway: RunningGateway, **fields: Any) -> dict[str, Any]:
    answer = gateway.chat("Who answers?", **fields)
    assert answer.status_code == 200, answer.text
    return gateway.record_of(answer.headers["x-request-id"])


def test_a_canary_gets_its_part_of_the_requests(gateway: RunningGateway) -> None:
    before = len(gateway.openai.requests), len(gateway.anthropic.requests)
    answers = [gateway.chat("Who answers?", model="canary") for _ in range(SENT)]
    assert Counter(answer.status_code for answer in answers) == {200: SENT}
    stable = len(gateway.openai.requests) - before[0]
    canary = len(gateway.anthropic.requests) - before[1]
    assert stable + canary == SENT
    assert abs(canary - SENT / 4) <= 3


def test_a_rule_on_a_label_sends_a_team_elsewhere(gateway: RunningGateway) -> None:
    for model in ("canary", "gpt-alias"):
        for _ in range(4):
            record = record_after(gateway, model=model, key="visitor")
            assert record["requested_model"] == model
            assert record["routing"]["rule"] == "search-team"
            assert record["provider"] == "anthropic"


def test_the_cheapest_answers_and_the_next_one_where_it_fails(gateway: RunningGateway) -> None:
    record = record_after(gateway, model="cheap")
    assert record["routing"]["strategy"] == "cost_optimized"
    assert record["routing"]["targets"] == ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"]
    assert (record["provider"], record["price_version"]) == ("openai", "test-prices")
    gateway.openai.faults.set(status=503)
    try:
        record = record_after(gateway, model="cheap")
    finally:
        gateway.openai.faults.clear()
    assert [attempt["cluster"] for attempt in record["attempts"]] == [
        "openai",
        "anthropic:fallback",
    ]
    assert record["provider"] == "anthropic"


def test_a_provider_that_only_a_rule_names_can_be_fallen_back_to(gateway: RunningGateway) -> None:
    record = record_after(gateway, model="canary", key="visitor")
    assert [attempt["target"] for attempt in record["attempts"]] == ["anthropic/claude-haiku-4-5"]
