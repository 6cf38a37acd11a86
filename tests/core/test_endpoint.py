"""Which path is which interface, and in which language its errors are."""

from __future__ import annotations

import pytest

from gateway_extproc.core.endpoint import (
    CHAT,
    COUNT_TOKENS,
    EMBEDDINGS,
    GENERATE,
    MESSAGES,
    MODELS,
    RERANK,
    STREAM_GENERATE,
    error_dialect,
    find_endpoint,
    with_path,
)


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions?api-version=1", CHAT),
        ("/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", CHAT),
        ("/openai/deployments/gpt%204/embeddings", EMBEDDINGS),
        ("/openai/v1/chat/completions", CHAT),
        ("/openai/models", MODELS),
        ("/openai/deployments//chat/completions", None),
        ("/openai/deployments/m/messages", None),
        ("/openai/", None),
        ("/v1/messages", MESSAGES),
        ("/v1/messages?beta=true", MESSAGES),
        ("/v1/models", MODELS),
        ("/v1beta/models/m:generateContent", GENERATE),
        ("/v1/models/m:streamGenerateContent?alt=sse", STREAM_GENERATE),
        ("/v1/models/m", None),
        ("/v1/messages/", None),
        ("/v1/messages/count_tokens", COUNT_TOKENS),
        ("/v2/rerank", RERANK),
        ("/v1/audio/speech", None),
        ("/V1/messages", None),
        ("", None),
        ("/", None),
        ("?/v1/messages", None),
    ],
)
def test_a_path_is_one_interface_or_none(path: str, endpoint: object) -> None:
    assert find_endpoint(path) is endpoint


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/v1/chat/completions", {"anthropic-version": "2023-06-01"}, "openai"),
        ("/v1/messages", {}, "anthropic"),
        ("/v1/models", {}, "openai"),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, "anthropic"),
        ("/nowhere", {"anthropic-version": "2023-06-01"}, "anthropic"),
        ("/nowhere", {}, "openai"),
        ("/nowhere", {"x-goog-api-key": "k"}, "gemini"),
        ("/v1beta/models/m:embedContent", {}, "gemini"),
        ("/v1/models/m:generateContent", {}, "gemini"),
    ],
)
def test_errors_come_in_the_clients_language(
    path: str, headers: dict[str, str], dialect: str
) -> None:
    assert error_dialect(path, headers) == dialect


def test_azures_path_names_the_model_whatever_the_document_says() -> None:
    path = "/openai/deployments/gpt%204/chat/completions?api-version=x"
    for document in ({}, {"model": "another"}):
        assert with_path(CHAT, path, document) == {"model": "gpt 4"}
    plain = {"model": "m"}
    assert with_path(CHAT, "/openai/v1/chat/completions", plain) is plain
