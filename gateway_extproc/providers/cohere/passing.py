"""Cohere's clients at Cohere's models: the document passes with the fewest edits."""

from __future__ import annotations

from gateway_extproc.core.chat import Document, LlmRequest
from gateway_extproc.core.ports import AnswerReader, AnswerWriter, Release
from gateway_extproc.providers.cohere import answer, frames
from gateway_extproc.providers.cohere.reader import cohere_reader
from gateway_extproc.providers.cohere.usage import read_usage
from gateway_extproc.providers.cohere.writer import PassWriter
from gateway_extproc.providers.own import OwnAnswers

CHAT_PATH = "/v2/chat"


class CohereToCohere(OwnAnswers):
    """One way (``core.ports.Translator``)."""

    def request(
        self, request: LlmRequest, model: str, max_tokens: int, *, force_usage: bool
    ) -> Document:
        document = dict(request.document)
        asked = request.max_tokens
        cap = max_tokens if asked is None else min(asked, max_tokens)
        document["model"], document["max_tokens"] = model, cap
        thinking = document.get("thinking") or {}
        if (thinking.get("token_budget") or 0) > cap:  # thoughts are part of the answer
            document["thinking"] = {**thinking, "token_budget": cap}
        return document

    def path(self, base_path: str, model: str = "", *, stream: bool = False) -> str:
        return base_path.rstrip("/") + CHAT_PATH

    def release(self, document: Document, raw: bytes) -> Release:
        return Release(
            document=document,
            raw=raw,
            texts=answer.answer_texts(document),
            echoes=answer.echoes(document),
            usage=read_usage(document.get("usage")),
            stop_reason=frames.stop_reason(document.get("finish_reason")),
        )

    def reader(self) -> AnswerReader:
        return cohere_reader(in_place=True)

    def writer(self, request: LlmRequest) -> AnswerWriter:
        return PassWriter()
