"""Which path is which interface, and in which language its errors are."""

from __future__ import annotations

import pytest

from gateway_extproc.core.endpoint import (
    BATCH_CANCEL,
    CHAT,
    COHERE_CHAT,
    COUNT_TOKENS,
    EMBEDDINGS,
    FILE_CONTENT,
    FILE_DELETE,
    FILE_UPLOAD,
    FILES,
    GENERATE,
    MESSAGES,
    MODELS,
    RERANK,
    SPEECH,
    STREAM_GENERATE,
    TRANSCRIPTIONS,
    error_dialect,
    find_endpoint,
    is_own,
    resource_id,
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
        ("/v1/audio/speech", SPEECH),
        ("/v1/audio/transcriptions", TRANSCRIPTIONS),
        ("/v1/audio/", None),
        ("/v1/files", FILE_UPLOAD),
        ("/v1/files/", None),
        ("/v1/files/f/content?x=1", FILE_CONTENT),
        ("/v1/files/f/more", None),
        ("/v1/batches/b/cancel", BATCH_CANCEL),
        ("/v1/batches/b/c/cancel", None),
        ("/v1/filesystem", None),
        ("/v2/chat", COHERE_CHAT),
        ("/v2/chat/", None),
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


def test_a_path_of_files_has_several_methods() -> None:
    assert find_endpoint("/v1/files", "GET") is FILES
    assert find_endpoint("/v1/files", "POST") is FILE_UPLOAD
    assert find_endpoint("/v1/files/f", "DELETE") is FILE_DELETE
    wrong = find_endpoint("/v1/files/f", "PUT")
    assert wrong is not None
    assert wrong.method != "PUT"
    assert resource_id("/v1/files/file-abc/content?x=/y") == "file-abc"


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/v1/chat/completions", True),
        ("/v1/files/f/more", True),
        ("/v1/batches/", True),
        ("/v1/realtime/sessions", True),
        ("/v1beta/models/m:generateContent", True),
        ("/v1/fine_tuning/jobs", False),
        ("/v1/chat/completions/c", False),
    ],
)
def test_what_is_the_gateways_own_is_never_passed_through(path: str, own: bool) -> None:
    assert is_own(path) is own


def test_azures_path_names_the_model_whatever_the_document_says() -> None:
    path = "/openai/deployments/gpt%204/chat/completions?api-version=x"
    for document in ({}, {"model": "another"}):
        assert with_path(CHAT, path, document) == {"model": "gpt 4"}
    plain = {"model": "m"}
    assert with_path(CHAT, "/openai/v1/chat/completions", plain) is plain
