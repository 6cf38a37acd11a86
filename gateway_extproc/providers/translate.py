"""The door of this room: dialects by name, and the way from one to the other.

The same dialect on both sides: the client's document goes on with the fewest
edits, so that fields this gateway has never heard of survive.  Different dialects:
over the hub, and whatever cannot be said there is refused by name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from gateway_extproc.core.chat import ChatRequest, ChatResponse, Document, LlmRequest, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.core.ports import AnswerReader, AnswerWriter, Dialect, Release, Translator
from gateway_extproc.providers import anthropic, bedrock, cohere, gemini, openai
from gateway_extproc.providers.anthropic import answer as anthropic_answer
from gateway_extproc.providers.anthropic import usage as anthropic_usage
from gateway_extproc.providers.anthropic import writer as anthropic_writer
from gateway_extproc.providers.anthropic.reader import anthropic_reader
from gateway_extproc.providers.bedrock import writer as bedrock_writer
from gateway_extproc.providers.bedrock.passing import BedrockToBedrock
from gateway_extproc.providers.bedrock.reader import BedrockReader
from gateway_extproc.providers.cohere import writer as cohere_writer
from gateway_extproc.providers.cohere.passing import CohereToCohere
from gateway_extproc.providers.cohere.plain import RERANK as COHERES_RERANK
from gateway_extproc.providers.cohere.reader import cohere_reader
from gateway_extproc.providers.gemini import writer as gemini_writer
from gateway_extproc.providers.gemini.passing import GeminiToGemini
from gateway_extproc.providers.gemini.reader import GeminiReader
from gateway_extproc.providers.interface import Clock, Passed
from gateway_extproc.providers.openai import answer as openai_answer
from gateway_extproc.providers.openai import usage as openai_usage
from gateway_extproc.providers.openai import writer as openai_writer
from gateway_extproc.providers.openai.reader import openai_reader
from gateway_extproc.providers.pairs import ClientSide, OverHub, ProviderSide
from gateway_extproc.providers.problems import Unreadable, unreadable

OPENAI: Final = openai.OpenAI()
ANTHROPIC: Final = anthropic.Anthropic()

GEMINI: Final = gemini.Gemini()
VERTEX: Final = gemini.Vertex()
BEDROCK: Final = bedrock.Bedrock()
COHERE: Final = cohere.Cohere()

DIALECTS: Final[dict[str, Dialect]] = {
    dialect.name: dialect for dialect in (OPENAI, ANTHROPIC, GEMINI, VERTEX, BEDROCK, COHERE)
}

_ENDPOINTS: Final = {
    "openai": "chat",
    "anthropic": "messages",
    "gemini": "generate_content",
    "bedrock": "converse",
    "cohere": "cohere_chat",
}
_PASSED: Final = {
    "openai": openai.INTERFACES,
    "anthropic": anthropic.INTERFACES,
    "cohere": cohere.INTERFACES,
}
_PASSED_TO: Final = {("openai", "cohere", "rerank"): COHERES_RERANK}
"""Interfaces that providers of another dialect serve in the same words."""

CAPS: Final = ("max_tokens", "max_completion_tokens")
MIN_THINKING: Final = 1024
"""Anthropic's smallest budget for thinking."""


def no_time() -> int:
    """The epoch itself: a caller that has no clock says so visibly."""
    return 0


def translator(client: str, provider: str, endpoint: str, now: Clock = no_time) -> Translator:
    """The way from a client's dialect to a provider's; raises ValueError for an unknown one."""
    passed = _PASSED_TO.get((client, provider, endpoint))
    if passed is None and client == provider:
        passed = _PASSED.get(client, {}).get(endpoint)
    if passed is not None:
        return Passed(passed, now)
    if _ENDPOINTS.get(client) != endpoint:
        raise ValueError(f"clients of {client!r} have no endpoint {endpoint!r}")
    match client, provider:
        case "openai", "openai":
            return OpenAIToOpenAI(now)
        case "openai", "anthropic":
            return OpenAIToAnthropic(now)
        case "anthropic", "openai":
            return AnthropicToOpenAI()
        case "anthropic", "anthropic":
            return AnthropicToAnthropic()
        case "gemini", ("gemini" | "vertex"):
            return GeminiToGemini(VERTEX if provider == "vertex" else GEMINI)
        case "cohere", "cohere":
            return CohereToCohere()
        case "bedrock", "bedrock":
            return BedrockToBedrock()
        case _, _ if provider in _PROVIDERS:
            return OverHub(_CLIENTS[client], _PROVIDERS[provider], now)
        case _:
            raise ValueError(f"no dialect {provider!r}")


_CLIENTS: Final = {
    side.name: side
    for side in (
        ClientSide(
            OPENAI.name,
            OPENAI.to_chat,
            OPENAI.answer_from_chat,
            OPENAI.answer_texts,
            lambda request, created: openai_writer.EncodingWriter(
                request.model, wants_usage=request.wants_usage, created=created
            ),
        ),
        ClientSide(
            ANTHROPIC.name,
            ANTHROPIC.to_chat,
            ANTHROPIC.answer_from_chat,
            ANTHROPIC.answer_texts,
            lambda request, created: anthropic_writer.EncodingWriter(
                request.model, thoughts=bool(request.document.get("thinking"))
            ),
        ),
        ClientSide(
            GEMINI.name,
            GEMINI.to_chat,
            GEMINI.answer_from_chat,
            GEMINI.answer_texts,
            lambda request, created: gemini_writer.EncodingWriter(
                request.model, array=request.document.get("alt") != "sse"
            ),
        ),
        ClientSide(
            BEDROCK.name,
            BEDROCK.to_chat,
            BEDROCK.answer_from_chat,
            BEDROCK.answer_texts,
            lambda request, created: bedrock_writer.EncodingWriter(
                thoughts=bedrock.wants_thoughts(request.document)
            ),
        ),
        ClientSide(
            COHERE.name,
            COHERE.to_chat,
            COHERE.answer_from_chat,
            COHERE.answer_texts,
            lambda request, created: cohere_writer.EncodingWriter(
                thoughts=(request.document.get("thinking") or {}).get("type") == "enabled"
            ),
        ),
    )
}


def _openai_request(chat: ChatRequest, client: str) -> dict[str, Any]:
    document = OPENAI.from_chat(chat)
    if chat.stream:  # the client gets usage, or the gateway needs it
        document["stream_options"] = {"include_usage": True}
    return document


def _gemini_side(dialect: gemini.Gemini) -> ProviderSide:
    return ProviderSide(
        dialect.name,
        dialect.from_chat,
        dialect.answer_to_chat,
        lambda base, model, stream: gemini.provider_path(base, model, stream=stream),
        GeminiReader,
    )


_PROVIDERS: Final = {
    side.name: side
    for side in (
        ProviderSide(
            OPENAI.name,
            _openai_request,
            OPENAI.answer_to_chat,
            lambda base, model, stream: _ToOpenAI().path(base),
            openai_reader,
        ),
        ProviderSide(
            ANTHROPIC.name,
            lambda chat, client: ANTHROPIC.from_chat(chat),
            ANTHROPIC.answer_to_chat,
            lambda base, model, stream: _ToAnthropic().path(base),
            anthropic_reader,
        ),
        _gemini_side(GEMINI),
        _gemini_side(VERTEX),
        ProviderSide(
            BEDROCK.name,
            BEDROCK.from_chat,
            BEDROCK.answer_to_chat,
            lambda base, model, stream: bedrock.provider_path(base, model, stream=stream),
            BedrockReader,
        ),
        ProviderSide(
            COHERE.name,
            COHERE.from_chat,
            COHERE.answer_to_chat,
            lambda base, model, stream: cohere.provider_path(base),
            cohere_reader,
        ),
    )
}


class _ToOpenAI:
    """What both ways to an OpenAI-compatible provider share."""

    def path(self, base_path: str, model: str = "", *, stream: bool = False) -> str:
        return base_path.rstrip("/") + "/chat/completions"

    def reader(self) -> AnswerReader:
        return openai_reader()


class _ToAnthropic:
    """What both ways to an Anthropic-compatible provider share."""

    def path(self, base_path: str, model: str = "", *, stream: bool = False) -> str:
        return base_path.rstrip("/") + "/messages"

    def reader(self) -> AnswerReader:
        return anthropic_reader()


class OpenAIToOpenAI(_ToOpenAI):
    """Passes the document on, with another model, a cap, and usage asked for."""

    def __init__(self, now: Clock = no_time) -> None:
        self._now = now

    def request(
        self, request: LlmRequest, model: str, max_tokens: int, *, force_usage: bool
    ) -> Document:
        document = dict(request.document)
        document["model"] = model
        cap = _capped(request, max_tokens)
        spelled = [key for key in CAPS if document.get(key) is not None]
        # The old spelling is the one that every OpenAI-compatible server knows.
        for key in spelled or CAPS[:1]:
            document[key] = cap
        if document.get("min_tokens") is not None:
            document["min_tokens"] = min(document["min_tokens"], cap)
        if force_usage and request.stream:
            options = document.get("stream_options") or {}
            document["stream_options"] = {**options, "include_usage": True}
        return document

    def answer(self, document: Document, raw: bytes, model: str = "") -> Release:
        try:
            texts = OPENAI.answer_texts(document)
        except Unreadable:
            return Release(refusal=unreadable())
        return Release(
            document=document,
            raw=raw,
            texts=texts,
            echoes=openai_answer.echoes(document),
            usage=openai_usage.read_usage(document.get("usage")),
            model=_model(document),
            stop_reason=openai_answer.stop_reason(document),
        )

    def writer(self, request: LlmRequest) -> AnswerWriter:
        return openai_writer.PassWriter(
            request.model, wants_usage=request.wants_usage, created=self._now()
        )


class AnthropicToAnthropic(_ToAnthropic):
    """Passes the document on, with another model and a cap; usage always comes."""

    def request(
        self, request: LlmRequest, model: str, max_tokens: int, *, force_usage: bool
    ) -> Document:
        document = dict(request.document)
        document["model"] = model
        cap = document["max_tokens"] = _capped(request, max_tokens)
        thinking = document.get("thinking")
        if thinking and thinking.get("budget_tokens") is not None:
            document["thinking"] = {**thinking, "budget_tokens": _thinking(thinking, cap)}
        return document

    def answer(self, document: Document, raw: bytes, model: str = "") -> Release:
        try:
            texts = ANTHROPIC.answer_texts(document)
        except Unreadable:
            return Release(refusal=unreadable())
        return Release(
            document=document,
            raw=raw,
            texts=texts,
            usage=anthropic_usage.read_usage(document.get("usage")),
            model=_model(document),
            stop_reason=anthropic_answer.stop_reason(document),
        )

    def writer(self, request: LlmRequest) -> AnswerWriter:
        return anthropic_writer.PassWriter(request.model)


class OpenAIToAnthropic(_ToAnthropic):
    """OpenAI clients, answered by Anthropic's models, over the hub."""

    def __init__(self, now: Clock = no_time) -> None:
        self._now = now

    def request(
        self, request: LlmRequest, model: str, max_tokens: int, *, force_usage: bool
    ) -> Document:
        chat = OPENAI.to_chat(request.document, ANTHROPIC.name)
        return ANTHROPIC.from_chat(
            replace(chat, model=model, max_tokens=_capped(request, max_tokens))
        )

    def answer(self, document: Document, raw: bytes, model: str = "") -> Release:
        try:
            response = ANTHROPIC.answer_to_chat(document)
        except Unreadable:
            return Release(refusal=unreadable())
        written = OPENAI.answer_from_chat(response, self._now())
        return _written(response, written, OPENAI.answer_texts(written))

    def writer(self, request: LlmRequest) -> AnswerWriter:
        return openai_writer.EncodingWriter(
            request.model, wants_usage=request.wants_usage, created=self._now()
        )


class AnthropicToOpenAI(_ToOpenAI):
    """Anthropic clients, answered by OpenAI-compatible models, over the hub."""

    def request(
        self, request: LlmRequest, model: str, max_tokens: int, *, force_usage: bool
    ) -> Document:
        chat = ANTHROPIC.to_chat(request.document, OPENAI.name)
        cap = _capped(request, max_tokens)
        document: dict[str, Any] = OPENAI.from_chat(replace(chat, model=model, max_tokens=cap))
        if request.stream:  # Anthropic's clients always get usage, asked or not
            document["stream_options"] = {"include_usage": True}
        return document

    def answer(self, document: Document, raw: bytes, model: str = "") -> Release:
        try:
            response = OPENAI.answer_to_chat(document)
            written = ANTHROPIC.answer_from_chat(response, 0)
        except Unreadable:
            return Release(refusal=unreadable())
        return _written(response, written, ANTHROPIC.answer_texts(written))

    def writer(self, request: LlmRequest) -> AnswerWriter:
        return anthropic_writer.EncodingWriter(request.model)


def _written(response: ChatResponse, document: Document, texts: tuple[TextAt, ...]) -> Release:
    """An answer that came over the hub and was written anew for the client."""
    return Release(
        document=document,
        texts=texts,
        usage=response.usage,
        model=response.model,
        stop_reason=response.stop_reason,
    )


def _capped(request: LlmRequest, max_tokens: int) -> int:
    """What the client asked for, at most what the gateway allows."""
    return max_tokens if request.max_tokens is None else min(request.max_tokens, max_tokens)


def _thinking(thinking: Document, cap: int) -> int:
    """Anthropic's budget for thinking: below the cap, and of at least 1,024 tokens."""
    if cap <= MIN_THINKING:
        raise invalid("thinking.budget_tokens", f"no thinking: answers end at {cap} tokens")
    budget: int = thinking["budget_tokens"]
    return min(budget, cap - 1)


def _model(document: Document) -> str:
    model = document.get("model")
    return model if isinstance(model, str) else ""
