from __future__ import annotations

from pathlib import Path

import pytest

from gateway_extproc.providers.matrix import (
    ANSWERS,
    CLIENTS,
    PROVIDERS,
    REQUESTS,
    answer_outcome,
    page,
    request_outcome,
)
from gateway_extproc.routing.needs import can_be_told_schemas

PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"
REQUESTS_BY_NAME = {feature.name: feature for feature in REQUESTS}


def test_the_page_is_not_stale() -> None:
    """Write it anew: python -m gateway_extproc.providers.matrix > docs/dialects.md"""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("client", list(CLIENTS))
def test_the_same_dialect_on_both_sides_loses_nothing(client: str) -> None:
    for feature in REQUESTS:
        assert request_outcome(feature, client, client) in ("full", "–"), feature.name
    for feature in ANSWERS:
        assert answer_outcome(feature, client, client) in ("full", "–"), feature.name


@pytest.mark.parametrize("client", list(CLIENTS))
@pytest.mark.parametrize("provider", PROVIDERS)
def test_text_tools_and_their_results_reach_everybody(client: str, provider: str) -> None:
    for name in ("text", "system prompt", "tools", "calls and results", "stop sequences"):
        assert request_outcome(REQUESTS_BY_NAME[name], client, provider) == "full", name
    for feature in ANSWERS[:4]:
        assert answer_outcome(feature, client, provider) == "full", feature.name


@pytest.mark.parametrize(
    ("client", "provider", "name", "outcome"),
    [
        ("openai", "gemini", "seed", "full"),
        ("openai", "anthropic", "seed", "refused"),
        ("anthropic", "openai", "results that failed", "lossy"),
        ("gemini", "bedrock", "image by address", "refused"),
        ("gemini", "openai", "end user's id", "–"),
    ],
)
def test_outcomes_are_those_of_the_translation(
    client: str, provider: str, name: str, outcome: str
) -> None:
    assert request_outcome(REQUESTS_BY_NAME[name], client, provider) == outcome


@pytest.mark.parametrize("client", list(CLIENTS))
@pytest.mark.parametrize("provider", PROVIDERS)
def test_routes_know_who_can_be_told_what_an_answer_looks_like(client: str, provider: str) -> None:
    feature = REQUESTS_BY_NAME["answer by JSON schema"]
    told = request_outcome(feature, client, provider) == "full"
    assert can_be_told_schemas(client, provider) is told
