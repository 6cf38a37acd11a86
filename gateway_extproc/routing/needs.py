"""What a request needs of a model, read off its document.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest

_AUDIO: Final = frozenset({"input_audio", "audio"})
_LOOKED_AT: Final = frozenset({"image", "document", "video", "audio"})
_NOT_SEEN: Final = frozenset({"text", "refusal", "tool_use", "tool_result", "thinking", None})
_SCHEMAS: Final = frozenset({"json_schema", "json_object"})
_PLAIN: Final = frozenset({"model", "messages", "max_tokens", "stream", "temperature", "system"})
"""Fields that ask for nothing in particular."""
# The common ones, made once.
NOTHING: Final[frozenset[str]] = frozenset()
_GOOGLE: Final = frozenset({"gemini", "vertex"})
_TOLD_SCHEMAS: Final[dict[str, frozenset[str]]] = {
    "openai": _GOOGLE | {"cohere"},
    "anthropic": _GOOGLE | {"cohere"},
    "gemini": _GOOGLE | {"cohere", "openai", "anthropic"},
    "cohere": _GOOGLE | {"openai", "anthropic"},
    "bedrock": _GOOGLE | {"cohere", "openai", "anthropic"},
}
"""Whose providers clients of a dialect can tell what an answer shall look like, beside their own.
``tests/providers/test_matrix.py`` holds it equal to what the translations do."""
_TOOLS, _STREAM = frozenset({"tools"}), frozenset({"streaming"})
_BOTH: Final = _TOOLS | _STREAM


def needs_of(request: LlmRequest) -> frozenset[str]:
    """Names of ``CAPABILITIES``; nothing that the request could do without."""
    common = _common(request)
    document = request.document
    if not request.media and document.keys() <= _PLAIN:
        return common
    special = frozenset(_special(request, document))
    return common | special if special else common


def _common(request: LlmRequest) -> frozenset[str]:
    if request.has_tools:
        return _BOTH if request.stream else _TOOLS
    return _STREAM if request.stream else NOTHING


def _special(request: LlmRequest, document: Document) -> Iterator[str]:
    if request.media:
        yield from _media(document)
    if wants_structure(document):
        yield "json_schema"
    if document.get("reasoning_effort") not in (None, "none", "minimal") or _thinks(document):
        yield "reasoning"
    if "audio" in document:
        yield "audio"


def wants_structure(document: Document) -> bool:
    """Whether the answer has to follow a schema, or to be JSON at least."""
    asked = document.get("response_format") or document.get("output_format")
    if type(asked) is dict:
        return asked.get("type") in _SCHEMAS
    for key, inside in (("output_config", "format"), ("outputConfig", "textFormat")):
        config = document.get(key)
        if type(config) is dict and type(config.get(inside)) is dict:
            return True
    return False


def can_be_told_schemas(client: str, provider: str) -> bool:
    """Whether a client can tell a provider the schema of its answer."""
    return client == provider or provider in _TOLD_SCHEMAS.get(client, NOTHING)


def _thinks(document: Document) -> bool:
    thinking = document.get("thinking")
    return type(thinking) is dict and thinking.get("type") in ("enabled", "adaptive")


def _media(document: Document) -> Iterator[str]:
    """Sounds need ears; images, pages and files are all looked at."""
    # What Bedrock's blocks are say their keys.
    kinds = {part.get("type") or _only(part) for part in _parts(document)}
    if kinds & _AUDIO:
        yield "audio"
    if kinds - _AUDIO - _NOT_SEEN:
        yield "vision"


def _only(part: dict[str, Any]) -> str | None:
    """The key of a block that has one; None for an object that says of itself nothing."""
    key = next(iter(part), None) if len(part) == 1 else None
    return key if key in _LOOKED_AT else None


def _parts(document: Document) -> Iterator[dict[str, Any]]:
    """All parts of all messages, those inside of tool results, too."""
    waiting = [m.get("content") for m in document.get("messages", ()) if type(m) is dict]
    while waiting:
        content = waiting.pop()
        if type(content) is list:
            for part in content:
                if type(part) is dict:
                    yield part
                    result = part.get("toolResult")
                    inside = part if result is None else result
                    waiting.append(inside.get("content") if type(inside) is dict else None)
