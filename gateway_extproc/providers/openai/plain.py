"""Embeddings, moderations, images and rerank: one document each way, no stream, no cap.

The rules are those of OpenAI's API reference and, for rerank, of Cohere's ``POST /v2/rerank``,
whose shape vLLM and Jina serve, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest
from gateway_extproc.core.errors import invalid
from gateway_extproc.core.ports import Release
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers import checks
from gateway_extproc.providers.interface import Interface, answer_leaves, only_model, read_plain
from gateway_extproc.providers.openai.usage import count, read_counted, read_usage
from gateway_extproc.providers.problems import Unreadable
from gateway_extproc.providers.reading import text_of

MODERATION_MODEL: Final = "omni-moderation-latest"
"""What OpenAI takes where a request for moderation names no model."""
MOST_INPUTS: Final = 2048
"""Texts of one request for embeddings."""


def refuse_tokens(value: Any, param: str) -> None:
    """Texts that come as numbers of a vocabulary: no guard could read them."""
    listed = type(value) is list and value
    if listed and (type(value[0]) is int or (type(value[0]) is list)):
        raise invalid(param, "text: this gateway cannot inspect numbers of tokens")


def _input(document: Document) -> None:
    value = document.get("input")
    refuse_tokens(value, "input")
    if type(value) is str and value:
        return
    if type(value) is not list or not 1 <= len(value) <= MOST_INPUTS:
        raise invalid("input", f"a text, or an array of 1 to {MOST_INPUTS} texts")
    for index, item in enumerate(value):
        checks.name(item, f"input[{index}]")


def _one_of(*words: str) -> checks.Check:
    def checked(value: Any, param: str) -> None:
        if value not in words:
            raise invalid(param, " or ".join(f"'{word}'" for word in words))

    return checked


# ---------------------------------------------------------------------- embeddings

_EMBEDDING: Final[dict[str, checks.Check]] = {
    "dimensions": checks.integer(1),
    "encoding_format": _one_of("float", "base64"),
    "user": checks.string,
}


def _read_embeddings(document: Document) -> LlmRequest:
    _input(document)
    return read_plain("openai", "embeddings", document, _EMBEDDING, {})


def _embedded(document: Document, raw: bytes) -> Release:
    if type(document.get("data")) is not list:
        raise Unreadable
    return _release(document, raw, read_usage(document.get("usage")))


# --------------------------------------------------------------------- moderations


def _read_moderations(document: Document) -> LlmRequest:
    value = document.get("input")
    if not value or type(value) not in (str, list):
        raise invalid("input", "a text, an array of texts, or an array of parts")
    parts = value if type(value) is list else []
    for index, part in enumerate(parts):
        if type(part) not in (str, dict):
            raise invalid(f"input[{index}]", "a text or a part")
    images = sum(type(part) is dict and part.get("type") == "image_url" for part in parts)
    named = document if document.get("model") else {**document, "model": MODERATION_MODEL}
    return read_plain("openai", "moderations", named, {}, {}, media=images)


def _moderated(document: Document, raw: bytes) -> Release:
    if type(document.get("results")) is not list:
        raise Unreadable
    # OpenAI asks no money for it, and counts no tokens.
    return _release(document, raw, Usage())


# -------------------------------------------------------------------------- images

_IMAGE: Final[dict[str, checks.Check]] = {
    "background": checks.string,
    "moderation": checks.string,
    "n": checks.integer(1, 10),
    "output_compression": checks.integer(0, 100),
    "output_format": checks.string,
    "partial_images": checks.integer(0, 0),
    "quality": checks.string,
    "response_format": checks.string,
    "size": checks.string,
    "style": checks.string,
    "user": checks.string,
}


def _read_images(document: Document) -> LlmRequest:
    checks.name(document.get("prompt"), "prompt")
    return read_plain("openai", "images", document, _IMAGE, {})


def _drawn(document: Document, raw: bytes) -> Release:
    data = document.get("data")
    if type(data) is not list or not all(type(image) is dict for image in data):
        raise Unreadable
    texts = tuple(
        text
        for index, image in enumerate(data)
        for text in answer_leaves(image.get("revised_prompt"), ("data", index, "revised_prompt"))
    )
    return _release(document, raw, _drawing_usage(document.get("usage")), texts)


def _drawing_usage(usage: Any) -> Usage | None:
    """``input_tokens`` and ``output_tokens``, where the model counts in tokens.

    All of an output that is not told apart is image.
    """
    if type(usage) is not dict or "output_tokens" not in usage:
        return None
    counted = read_counted(usage)
    if "output_tokens_details" in usage:
        return counted
    return replace(counted, image_completion_tokens=counted.completion_tokens)


# -------------------------------------------------------------------------- rerank

_RERANK: Final[dict[str, checks.Check]] = {
    "max_chunks_per_doc": checks.integer(1),
    "max_tokens_per_doc": checks.integer(1),
    "priority": checks.integer(0),
    "rank_fields": checks.strings,
    "return_documents": checks.boolean,
    "top_n": checks.integer(1),
}


def _read_rerank(document: Document) -> LlmRequest:
    checks.name(document.get("query"), "query")
    documents = document.get("documents")
    if type(documents) is not list or not documents:
        raise invalid("documents", "a non-empty array of texts or objects")
    for index, item in enumerate(documents):
        if type(item) not in (str, dict):
            raise invalid(f"documents[{index}]", "a text or an object")
    # Documents come from elsewhere, as the results of tools do.
    return read_plain("openai", "rerank", document, _RERANK, {"documents": "tool"})


def _ranked(document: Document, raw: bytes) -> Release:
    results = document.get("results")
    if type(results) is not list or not all(type(result) is dict for result in results):
        raise Unreadable
    texts = tuple(
        text
        for index, result in enumerate(results)
        for text in answer_leaves(result.get("document"), ("results", index, "document"))
    )
    return _release(document, raw, _ranking_usage(document), texts)


def _ranking_usage(document: Document) -> Usage | None:
    """Tokens where they are told: ``usage`` of vLLM and Jina, ``meta.tokens`` of Cohere."""
    usage, meta = document.get("usage"), document.get("meta")
    if type(usage) is dict and "total_tokens" in usage:
        return Usage(count(usage, "total_tokens"))
    tokens = meta.get("tokens") if type(meta) is dict else None
    if type(tokens) is dict and "input_tokens" in tokens:
        return Usage(count(tokens, "input_tokens"), count(tokens, "output_tokens"))
    return None


def _release(
    document: Document, raw: bytes, usage: Usage | None, texts: tuple[Any, ...] = ()
) -> Release:
    return Release(
        document=document, raw=raw, texts=texts, usage=usage,
        model=text_of(document, "model"), stop_reason="stop",
    )  # fmt: skip


PLAIN: Final = (
    Interface("embeddings", "/embeddings", _read_embeddings, only_model, _embedded),
    Interface("moderations", "/moderations", _read_moderations, only_model, _moderated),
    Interface("images", "/images/generations", _read_images, only_model, _drawn),
    Interface("rerank", "/rerank", _read_rerank, only_model, _ranked),
)
