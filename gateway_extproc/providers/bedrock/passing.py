"""Bedrock's clients at Bedrock's models: the document passes with the fewest edits."""

from __future__ import annotations

from gateway_extproc.core.chat import Document, LlmRequest
from gateway_extproc.core.ports import AnswerReader, AnswerWriter, Release
from gateway_extproc.providers.bedrock import answer, provider_path
from gateway_extproc.providers.bedrock.reader import BedrockReader
from gateway_extproc.providers.bedrock.request import INFERENCE, MORE, PATH_FIELDS, THINKING
from gateway_extproc.providers.bedrock.usage import read_usage
from gateway_extproc.providers.bedrock.writer import PassWriter
from gateway_extproc.providers.own import OwnAnswers


class BedrockToBedrock(OwnAnswers):
    """One way (``core.ports.Translator``)."""

    def request(
        self, request: LlmRequest, model: str, max_tokens: int, *, force_usage: bool
    ) -> Document:
        document = {k: v for k, v in request.document.items() if k not in PATH_FIELDS}
        asked = request.max_tokens
        cap = max_tokens if asked is None else min(asked, max_tokens)
        document[INFERENCE] = {**(document.get(INFERENCE) or {}), "maxTokens": cap}
        more = document.get(MORE) or {}
        for key in THINKING:
            thinking = more.get(key)
            if thinking and (thinking.get("budget_tokens") or 0) >= cap:
                # Thoughts are part of the answer, and there must be room for more than them.
                more = {**more, key: {**thinking, "budget_tokens": max(1, cap - 1)}}
                document[MORE] = more
        return document

    def path(self, base_path: str, model: str = "", *, stream: bool = False) -> str:
        return provider_path(base_path, model, stream=stream)

    def release(self, document: Document, raw: bytes) -> Release:
        return Release(
            document=document,
            raw=raw,
            texts=answer.answer_texts(document),
            echoes=answer.echoes(document),
            usage=read_usage(document.get("usage")),
            stop_reason=answer.stop_reason(document.get("stopReason")),
        )

    def reader(self) -> AnswerReader:
        return BedrockReader(in_place=True)

    def writer(self, request: LlmRequest) -> AnswerWriter:
        return PassWriter()
