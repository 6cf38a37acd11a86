"""Which path is which interface, and in which language its errors are."""

from __future__ import annotations

import pytest

from gateway_extproc.core.endpoint import (
    CHAT,
    COHERE_CHAT,
    COUNT_TOKENS,
    GENERATE,
    MESSAGES,
    MODELS,
    RERANK,
    STREAM_GENERATE,
    error_dialect,
    find_endpoint,
)


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions?api-version=1", CHAT),
        ("/v1/messages", MESSAGES),
        ("/v1/messages?beta=true", MESSAGES),
        ("/v1/models", MODELS),
        ("/v1beta/models/m:generateContent", GENERATE),
        ("/v1/models/m:streamGenerateContent?alt=sse", STREAM_GENERATE),
        ("/v1/models/m", None),
        ("/v1/messages/", None),
        ("/v1/messages/count_tokens", COUNT_TOKENS),
        ("/v2/rerank", RERANK),
        ("/v2/chat", COHERE_CHAT),
        ("/v2/chat/", None),
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
        ("/v2/chat", {}, "cohere"),
        ("/v2/rerank", {}, "cohere"),
        ("/v1/rerank", {}, "openai"),
        ("/v2/nowhere", {"anthropic-version": "2023-06-01"}, "cohere"),
        ("/model/m/converse", {}, "bedrock"),
        ("/model/m/invoke", {}, "bedrock"),
    ],
)
def test_errors_come_in_the_clients_language(
    path: str, headers: dict[str, str], dialect: str
) -> None:
    assert error_dialect(path, headers) == dialect
