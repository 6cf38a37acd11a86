"""Any client's dialect with any provider's, over the hub.

What a dialect needs for that is told by one value for each of its two sides.  ``translate.py``
keeps the ways that need no hub, and those of which more is known than the hub can say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gateway_extproc.core.chat import ChatRequest, ChatResponse, Document, LlmRequest, Path, TextAt
from gateway_extproc.core.ports import AnswerReader, AnswerWriter, Release
from gateway_extproc.providers.problems import Unreadable, unreadable
from gateway_extproc.providers.wording import refuse_untold


@dataclass(frozen=True, slots=True)
class ClientSide:
    """How clients of one dialect are understood and answered.

    ``to_chat`` takes the provider's dialect as well, ``write_answer`` and ``writer`` the time,
    ``write_answer`` also the request, for dialects that repeat a part of it.
    """

    name: str
    to_chat: Callable[[Document, str], ChatRequest]
    write_answer: Callable[[ChatResponse, int, LlmRequest | None], Document]
    answer_texts: Callable[[Document], tuple[TextAt, ...]]
    writer: Callable[[LlmRequest, int], AnswerWriter]
    echoes: Callable[[Document], tuple[Path, ...]] | None = None
    capped: Callable[[Document, str, int], Document] | None = None
    """The document with another model and cap, where that is cheaper than to change the hub's."""


@dataclass(frozen=True, slots=True)
class ProviderSide:
    """How providers of one dialect are asked and understood; ``from_chat`` takes the client's
    dialect as well, so that it can name what it refuses in the client's words."""

    name: str
    from_chat: Callable[[ChatRequest, str], dict[str, Any]]
    read_answer: Callable[[Document], ChatResponse]
    path: Callable[[str, str, bool], str]
    reader: Callable[[], AnswerReader]


class OverHub:
    """One way (``core.ports.Translator``)."""

    def __init__(self, client: ClientSide, provider: ProviderSide, now: Callable[[], int]) -> None:
        self._client, self._provider, self._now = client, provider, now

    def request(
        self, request: LlmRequest, model: str, max_tokens: int, *, force_usage: bool
    ) -> Document:
        client, provider = self._client, self._provider
        asked = request.max_tokens
        cap = max_tokens if asked is None else min(asked, max_tokens)
        if client.capped is not None:
            document = client.capped(request.document, model, cap)
            chat = client.to_chat(document, provider.name)
        else:
            chat = client.to_chat(request.document, provider.name)
            chat = replace(chat, model=model, max_tokens=cap, stream=request.stream)
        refuse_untold(chat, client.name, provider.name)
        return provider.from_chat(chat, client.name)

    def path(self, base_path: str, model: str = "", *, stream: bool = False) -> str:
        return self._provider.path(base_path, model, stream)

    def answer(
        self, document: Document, raw: bytes, model: str = "", asked: LlmRequest | None = None
    ) -> Release:
        try:
            response = self._provider.read_answer(document)
            named = replace(response, model=response.model or model)
            written = self._client.write_answer(named, self._now(), asked)
        except Unreadable:
            return Release(refusal=unreadable())
        return Release(
            document=written,
            texts=self._client.answer_texts(written),
            echoes=() if self._client.echoes is None else self._client.echoes(written),
            usage=response.usage,
            model=response.model,
            stop_reason=response.stop_reason,
        )

    def reader(self) -> AnswerReader:
        return self._provider.reader()

    def writer(self, request: LlmRequest) -> AnswerWriter:
        return self._client.writer(request, self._now())
