"""Fields that say how to pay or whom to blame, not what to answer, and where they are not told.

A translation passes without them; whoever asked reads their names in ``x-gateway-dropped`` and in
the decision record.  Nothing here changes what a model is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway_extproc.core.chat import Document
from gateway_extproc.providers.gemini.spelling import canonical
from gateway_extproc.providers.wording import TOLD

CACHE: Final = "cache_control"
_GOOGLE: Final = ("gemini", "vertex")
_NAMES_USERS: Final = frozenset({"openai", "openai:chat", "openai:responses", "anthropic"})
"""Dialects in which a request may name its end user."""

_MARKLESS: Final = ("openai", "cohere")
"""Dialects without a mark for results of tools that failed: their text says it."""

_OPENAI: Final = frozenset(
    {"metadata", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"}
)


def unsaid(client: str, provider: str, document: Document) -> tuple[str, ...]:
    """Names of such fields of a client's document that a provider of another dialect is not told.

    Each stands once, wherever and however often the document holds it.
    """
    find = _BY_CLIENT.get(client)
    if find is None or _same(client, provider):
        return ()
    found = list(find(document, provider))
    return tuple(dict.fromkeys(found)) if found else ()


def _same(client: str, provider: str) -> bool:
    return client == provider or (client == "gemini" and provider in _GOOGLE)


def _openai(document: Document, provider: str) -> Iterator[str]:
    if not _OPENAI.isdisjoint(document):
        yield from (name for name in document if name in _OPENAI and document[name])
    user, safety = document.get("user"), document.get("safety_identifier")
    if provider in _NAMES_USERS:
        if user and safety:
            yield "safety_identifier"
    else:
        yield from (
            name for name, value in (("user", user), ("safety_identifier", safety)) if value
        )
    messages = document.get("messages")
    if messages is None:
        messages = document.get("input")
        if type(messages) is list and any(map(_is_reasoning, messages)):
            yield "reasoning"
    if _holds(messages, CACHE) or _holds(document.get("tools"), CACHE):
        yield CACHE
    wanted = document.get("response_format")
    described = wanted.get("json_schema") if type(wanted) is dict else None
    if type(described) is dict and described.get("description"):
        yield "response_format.json_schema.description"


def _anthropic(document: Document, provider: str) -> Iterator[str]:
    if provider not in _NAMES_USERS and (document.get("metadata") or {}).get("user_id"):
        yield "metadata.user_id"
    if (document.get("thinking") or {}).get("type") == "disabled" and provider not in _GOOGLE:
        yield "thinking"
    for held in (document.get("system"), document.get("tools")):
        if document.get(CACHE) or _holds(held, CACHE):
            yield CACHE
    for block in _blocks(document.get("messages")):
        if block.get(CACHE):
            yield CACHE
        kind = block.get("type")
        if kind in ("thinking", "redacted_thinking"):
            yield "thinking"
        elif kind == "tool_result":
            if block.get("is_error") and provider.startswith(_MARKLESS):
                yield "is_error"
            if _holds(block.get("content"), CACHE, deep=False):
                yield CACHE


def _gemini(document: Document, provider: str) -> Iterator[str]:
    document = canonical(document)
    if document.get("labels"):
        yield "labels"
    for content in document.get("contents") or ():
        for part in content.get("parts") or ():
            if part.get("thought") is True:
                yield "thought"
            if part.get("thoughtSignature"):
                yield "thoughtSignature"
            result = part.get("functionResponse")
            response = result.get("response") if type(result) is dict else None
            failed = type(response) is dict and list(response) == ["error"]
            if failed and provider.startswith(_MARKLESS):
                yield "functionResponse.response.error"


def _cohere(document: Document, provider: str) -> Iterator[str]:
    disabled = (document.get("thinking") or {}).get("type") == "disabled"
    if disabled and "no_thinking" not in TOLD.get(provider, ()):
        yield "thinking"
    for message in document["messages"]:
        if message.get("citations"):
            yield "citations"
    for block in _blocks(document["messages"]):
        if block["type"] == "thinking":
            yield "thinking"
        elif block["type"] == "document" and block["document"].get("id"):
            yield "document.id"


def _bedrock(document: Document, provider: str) -> Iterator[str]:
    if document.get("requestMetadata"):
        yield "requestMetadata"
    more = document.get("additionalModelRequestFields")
    thinking = more.get("thinking") if type(more) is dict else None
    disabled = type(thinking) is dict and thinking.get("type") == "disabled"
    if disabled and "no_thinking" not in TOLD.get(provider, ()):
        yield "additionalModelRequestFields.thinking"
    tools = (document.get("toolConfig") or {}).get("tools")
    for held in (document.get("system"), document["messages"], tools):
        if _holds(held, "cachePoint"):
            yield "cachePoint"
    for block in _blocks(document["messages"]):
        if block.get("reasoningContent"):
            yield "reasoningContent"
        result = block.get("toolResult")
        if result and result.get("status") == "error" and provider.startswith(_MARKLESS):
            yield "toolResult.status"


_BY_CLIENT: Final[dict[str, Callable[[Document, str], Iterator[str]]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "cohere": _cohere,
    "bedrock": _bedrock,
}


def _is_reasoning(item: Any) -> bool:
    return type(item) is dict and item.get("type") == "reasoning"


def _holds(items: Any, key: str, *, deep: bool = True) -> bool:
    """Whether one of these objects, or of the parts in their ``content``, has the field."""
    if type(items) is not list:
        return False
    for item in items:
        if type(item) is dict:
            if item.get(key):
                return True
            content = item.get("content") if deep else None
            if type(content) is list and _holds(content, key, deep=False):
                return True
    return False


def _blocks(messages: Any) -> Iterator[Document]:
    for message in messages or ():
        content = message.get("content")
        if type(content) is list:
            yield from content
