"""Answers in the client's own dialect: their bytes leave, guards are told their texts."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gateway_extproc.core.chat import Document, LlmRequest
from gateway_extproc.core.ports import Release
from gateway_extproc.providers.problems import Unreadable, unreadable


class OwnAnswers(ABC):
    """The part of a ``core.ports.Translator`` that all ways without a translation share."""

    @abstractmethod
    def release(self, document: Document, raw: bytes) -> Release:
        """The answer with its texts and its usage; raises ``Unreadable``."""

    def answer(
        self, document: Document, raw: bytes, model: str = "", asked: LlmRequest | None = None
    ) -> Release:
        try:
            return self.release(document, raw)
        except Unreadable:
            return Release(refusal=unreadable())
