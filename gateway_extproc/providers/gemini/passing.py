"""Gemini's clients at Gemini's models: the document passes with the fewest edits."""

from __future__ import annotations

from typing import Any

from gateway_extproc.core.chat import Document, LlmRequest
from gateway_extproc.core.ports import AnswerReader, AnswerWriter, Release
from gateway_extproc.providers.gemini import Gemini, answer, provider_path
from gateway_extproc.providers.gemini.reader import GeminiReader
from gateway_extproc.providers.gemini.request import CONFIG, PATH_FIELDS
from gateway_extproc.providers.gemini.spelling import canonical
from gateway_extproc.providers.gemini.usage import read_usage
from gateway_extproc.providers.gemini.writer import PassWriter
from gateway_extproc.providers.own import OwnAnswers
from gateway_extproc.providers.reading import text_of


class GeminiToGemini(OwnAnswers):
    """One way (``core.ports.Translator``) to the Gemini API or to Vertex AI."""

    def __init__(self, provider: Gemini) -> None:
        self._provider = provider

    def request(
        self, request: LlmRequest, model: str, max_tokens: int, *, force_usage: bool
    ) -> Document:
        document = dict(canonical(request.document))
        for key in PATH_FIELDS:
            document.pop(key, None)
        asked = request.max_tokens
        cap = max_tokens if asked is None else min(asked, max_tokens)
        config = dict(document.get(CONFIG) or {})
        config["maxOutputTokens"] = cap
        thinking = config.get("thinkingConfig") or {}
        if (thinking.get("thinkingBudget") or 0) > cap:  # thoughts are part of the answer
            config["thinkingConfig"] = {**thinking, "thinkingBudget": cap}
        document[CONFIG] = config
        if not self._provider.with_ids:
            document["contents"] = [_without_ids(content) for content in document["contents"]]
        return document

    def path(self, base_path: str, model: str = "", *, stream: bool = False) -> str:
        return provider_path(base_path, model, stream=stream)

    def release(self, document: Document, raw: bytes) -> Release:
        return Release(
            document=document,
            raw=raw,
            texts=self._provider.answer_texts(document),
            echoes=answer.echoes(document),
            usage=read_usage(document.get("usageMetadata")),
            model=text_of(document, "modelVersion"),
            stop_reason=answer.stop_reason(document),
        )

    def reader(self) -> AnswerReader:
        return GeminiReader()

    def writer(self, request: LlmRequest) -> AnswerWriter:
        return PassWriter(request.model, array=request.document.get("alt") != "sse")


def _without_ids(content: Document) -> Document:
    """Vertex AI refuses ids of calls, which clients of the Gemini API send."""
    kinds = ("functionCall", "functionResponse")
    if not any(kind in part for part in content["parts"] for kind in kinds):
        return content
    return {**content, "parts": [_part_without_id(part, kinds) for part in content["parts"]]}


def _part_without_id(part: Document, kinds: tuple[str, ...]) -> Document:
    for kind in kinds:
        called: Any = part.get(kind)
        if called is not None and "id" in called:
            return {**part, kind: {key: value for key, value in called.items() if key != "id"}}
    return part
