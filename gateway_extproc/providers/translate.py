"""The door of this room: dialects by name, and the way from one to the other.

The same dialect on both sides: the client's document goes on with the fewest
edits, so that fields this gateway has never heard of survive.  Different dialects:
over the hub, and whatever cannot be said there is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gateway_extproc.core.chat import ChatRequest, ChatResponse, Document, LlmRequest
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
from gateway_extproc.providers.gemini import answer as gemini_answer
from gateway_extproc.providers.gemini import writer as gemini_writer
from gateway_extproc.providers.gemini.passing import GeminiToGemini
from gateway_extproc.providers.gemini.reader import GeminiReader
from gateway_extproc.providers.gemini.spelling import Canonical, canonical
from gateway_extproc.providers.interface import Clock, Passed
from gateway_extproc.providers.openai import answer as openai_answer
from gateway_extproc.providers.openai import usage as openai_usage
from gateway_extproc.providers.openai import writer as openai_writer
from gateway_extproc.providers.openai.reader import citing_reader, openai_reader
from gateway_extproc.providers.openai.responses import from_hub as responses_from_hub
from gateway_extproc.providers.openai.responses import to_hub as responses_to_hub
from gateway_extproc.providers.openai.responses import whole as responses_whole
from gateway_extproc.providers.openai.responses.encoder import EncodingWriter as ResponsesWriter
from gateway_extproc.providers.openai.responses.reader import responses_reader
from gateway_extproc.providers.own import OwnAnswers
from gateway_extproc.providers.pairs import ClientSide, OverHub, ProviderSide

OPENAI: Final = openai.OpenAI()
ANTHROPIC: Final = anthropic.Anthropic()

GEMINI: Final = gemini.Gemini()
VERTEX: Final = gemini.Vertex()
BEDROCK: Final = bedrock.Bedrock()
COHERE: Final = cohere.Cohere()

DIALECTS: Final[dict[str, Dialect]] = {
    dialect.name: dialect for dialect in (OPENAI, ANTHROPIC, GEMINI, VERTEX, BEDROCK, COHERE)
}

_ENDPOINT_OF: Final = {
    "openai": ("openai", "chat"),
    "responses": ("openai", "responses"),
    "anthropic": ("anthropic", "messages"),
    "gemini": ("gemini", "generate_content"),
    "cohere": ("cohere", "cohere_chat"),
    "bedrock": ("bedrock", "converse"),
}
"""Dialect and endpoint of each language that clients speak."""
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
    side, target = _CLIENTS.get((client, endpoint)), _PROVIDERS.get(provider)
    if side is None:
        raise ValueError(f"clients of {client!r} have no endpoint {endpoint!r}")
    if target is None:
        raise ValueError(f"no dialect {provider!r}")
    match side.name, provider:
        case "openai", "openai":
            return OpenAIToOpenAI(now)
        case "anthropic", "anthropic":
            return AnthropicToAnthropic()
        case "gemini", ("gemini" | "vertex"):
            return GeminiToGemini(VERTEX if provider == "vertex" else GEMINI)
        case "cohere", "cohere":
            return CohereToCohere()
        case "bedrock", "bedrock":
            return BedrockToBedrock()
        case _:
            return OverHub(side, target, now)


def _capped_gemini(document: Document, model: str, cap: int) -> Document:
    document = canonical(document)
    config = {**(document.get("generationConfig") or {}), "maxOutputTokens": cap}
    return Canonical({**document, "model": model, "generationConfig": config})


def _plain(write: Callable[[ChatResponse, int], Document]) -> Any:
    """For dialects whose answers repeat nothing of the request."""
    return lambda response, created, asked: write(response, created)


_CLIENTS: Final = {
    (_ENDPOINT_OF[side.name][0], _ENDPOINT_OF[side.name][1]): side
    for side in (
        ClientSide(
            OPENAI.name,
            OPENAI.to_chat,
            _plain(OPENAI.answer_from_chat),
            OPENAI.answer_texts,
            lambda request, created: openai_writer.EncodingWriter(
                request.model,
                wants_usage=request.wants_usage,
                created=created,
                several=request.completions > 1,
            ),
            openai_answer.echoes,
            lambda document, model, cap: {
                **document,
                "model": model,
                "max_tokens": cap,
                "max_completion_tokens": None,
            },
        ),
        ClientSide(
            ANTHROPIC.name,
            ANTHROPIC.to_chat,
            _plain(ANTHROPIC.answer_from_chat),
            ANTHROPIC.answer_texts,
            lambda request, created: anthropic_writer.EncodingWriter(
                request.model, thoughts=_thinks(request.document.get("thinking"))
            ),
            None,
            lambda document, model, cap: {**document, "model": model, "max_tokens": cap},
        ),
        ClientSide(
            "responses",
            responses_to_hub.to_chat,
            responses_whole.answer_from_chat,
            responses_whole.answer_texts,
            lambda request, created: ResponsesWriter(
                request, created, thoughts=_wants_summary(request.document.get("reasoning"))
            ),
            responses_whole.echoes,
            lambda document, model, cap: {**document, "model": model, "max_output_tokens": cap},
        ),
        ClientSide(
            GEMINI.name,
            GEMINI.to_chat,
            _plain(GEMINI.answer_from_chat),
            GEMINI.answer_texts,
            lambda request, created: gemini_writer.EncodingWriter(
                request.model,
                array=request.document.get("alt") != "sse",
                several=request.completions > 1,
                thoughts=_wants_thoughts(request.document),
            ),
            gemini_answer.echoes,
            _capped_gemini,
        ),
        ClientSide(
            BEDROCK.name,
            BEDROCK.to_chat,
            _plain(BEDROCK.answer_from_chat),
            BEDROCK.answer_texts,
            lambda request, created: bedrock_writer.EncodingWriter(
                thoughts=bedrock.wants_thoughts(request.document)
            ),
        ),
        ClientSide(
            COHERE.name,
            COHERE.to_chat,
            _plain(COHERE.answer_from_chat),
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


def _openai_path(base_path: str, model: str, stream: bool) -> str:
    return base_path.rstrip("/") + "/chat/completions"


def _thinks(thinking: Any) -> bool:
    return bool(thinking) and thinking.get("type") != "disabled"


def _wants_summary(reasoning: Any) -> bool:
    return bool(reasoning and (reasoning.get("summary") or reasoning.get("generate_summary")))


def _wants_thoughts(document: Document) -> bool:
    config = canonical(document).get("generationConfig") or {}
    return (config.get("thinkingConfig") or {}).get("includeThoughts") is True


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
        *(
            ProviderSide(name, _openai_request, OPENAI.answer_to_chat, _openai_path, openai_reader)
            for name in (OPENAI.name, "openai:chat")
        ),
        ProviderSide(
            "openai:responses",
            lambda chat, client: responses_from_hub.from_chat(chat),
            responses_whole.answer_to_chat,
            lambda base, model, stream: base.rstrip("/") + "/responses",
            responses_reader,
        ),
        ProviderSide(
            ANTHROPIC.name,
            lambda chat, client: ANTHROPIC.from_chat(chat),
            ANTHROPIC.answer_to_chat,
            lambda base, model, stream: base.rstrip("/") + "/messages",
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


class OpenAIToOpenAI(OwnAnswers):
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

    def release(self, document: Document, raw: bytes) -> Release:
        return Release(
            document=document,
            raw=raw,
            texts=OPENAI.answer_texts(document),
            echoes=openai_answer.echoes(document),
            usage=openai_usage.read_usage(document.get("usage")),
            model=_model(document),
            stop_reason=openai_answer.stop_reason(document),
        )

    def path(self, base_path: str, model: str = "", *, stream: bool = False) -> str:
        return _openai_path(base_path, model, stream)

    def reader(self) -> AnswerReader:
        return citing_reader()

    def writer(self, request: LlmRequest) -> AnswerWriter:
        return openai_writer.PassWriter(
            request.model, wants_usage=request.wants_usage, created=self._now()
        )


class AnthropicToAnthropic(OwnAnswers):
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

    def release(self, document: Document, raw: bytes) -> Release:
        return Release(
            document=document,
            raw=raw,
            texts=ANTHROPIC.answer_texts(document),
            usage=anthropic_usage.read_usage(document.get("usage")),
            model=_model(document),
            stop_reason=anthropic_answer.stop_reason(document),
        )

    def path(self, base_path: str, model: str = "", *, stream: bool = False) -> str:
        return base_path.rstrip("/") + "/messages"

    def reader(self) -> AnswerReader:
        return anthropic_reader()

    def writer(self, request: LlmRequest) -> AnswerWriter:
        return anthropic_writer.PassWriter(request.model)


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
