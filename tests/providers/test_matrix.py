from __future__ import annotations

from pathlib import Path

import pytest

from gateway_extproc.providers.matrix import (
    ANSWERS,
    CLIENTS,
    REQUESTS,
    answer_outcome,
    columns,
    page,
    request_outcome,
)
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.routing.filters import JSON_MODES

PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"
REQUESTS_BY_NAME = {feature.name: feature for feature in REQUESTS}


def test_the_page_is_not_stale() -> None:
    """Write it anew: python -m gateway_extproc.providers.matrix > docs/dialects.md"""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("client", list(CLIENTS))
def test_the_same_dialect_on_both_sides_loses_nothing(client: str) -> None:
    provider = CLIENTS[client][0]
    for feature in REQUESTS:
        # A tool that reaches what the gateway cannot govern is refused everywhere.
        assert request_outcome(feature, client, provider) in ("full", "–"), feature.name
    for feature in ANSWERS:
        assert answer_outcome(feature, client, provider) in ("full", "–"), feature.name


@pytest.mark.parametrize("client", list(CLIENTS))
def test_nothing_that_a_client_asks_for_is_lost_in_silence(client: str) -> None:
    for provider in columns(client):
        for feature in REQUESTS:
            outcome = request_outcome(feature, client, provider)
            assert outcome in ("full", "listed", "droppable", "refused", "–"), feature.name


@pytest.mark.parametrize("client", list(CLIENTS))
def test_text_tools_and_their_results_reach_everybody(client: str) -> None:
    for provider in columns(client):
        for name in ("text", "system prompt", "tools", "calls and results"):
            assert request_outcome(REQUESTS_BY_NAME[name], client, provider) == "full", name
        if "cohere" not in (client, provider):  # which takes none
            pdf = REQUESTS_BY_NAME["document (PDF)"]
            assert request_outcome(pdf, client, provider) == "full"
        for feature in ANSWERS[:4]:
            assert answer_outcome(feature, client, provider) == "full", feature.name


@pytest.mark.parametrize(
    ("client", "provider", "name", "outcome"),
    [
        ("openai", "gemini", "seed", "full"),
        ("openai", "anthropic", "seed", "droppable"),
        ("anthropic", "openai", "results that failed", "listed"),
        ("anthropic", "gemini", "end user's id", "listed"),
        ("openai", "gemini", "thinking: effort in words", "full"),
        ("openai", "bedrock", "JSON mode", "refused"),
        ("responses", "bedrock", "answer by JSON schema", "full"),
        ("responses", "openai:chat", "thinking: effort in words", "full"),
        ("gemini", "openai:responses", "sound", "refused"),
        ("gemini", "bedrock", "image by address", "refused"),
        ("gemini", "openai", "end user's id", "–"),
    ],
)
def test_outcomes_are_those_of_the_translation(
    client: str, provider: str, name: str, outcome: str
) -> None:
    assert request_outcome(REQUESTS_BY_NAME[name], client, provider) == outcome


@pytest.mark.parametrize("client", list(CLIENTS))
def test_routes_know_who_can_be_told_what_an_answer_looks_like(client: str) -> None:
    schema, any_shape = REQUESTS_BY_NAME["answer by JSON schema"], REQUESTS_BY_NAME["JSON mode"]
    dialect = CLIENTS[client][0]
    for provider in DIALECTS:
        assert request_outcome(schema, client, provider) == "full"
        if client in any_shape.asked:
            told = request_outcome(any_shape, client, provider) == "full"
            assert told is (provider in (dialect, *JSON_MODES)), provider
