"""What a request needs of a model, read off its document.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest

_AUDIO: Final = frozenset({"input_audio", "audio"})
_LOOKED_AT: Final = frozenset({"image", "document", "video", "audio"})
_TEXTS: Final = frozenset(
    {
        *("text", "refusal", "tool_use", "tool_result", "thinking", None),
        *("input_text", "output_text", "summary_text", "reasoning_text"),  # of responses
    }
)
_SCHEMAS: Final = frozenset({"json_schema", "json_object"})
_PLAIN: Final = frozenset(
    {
        *("model", "messages", "max_tokens", "stream", "temperature", "system"),
        *("input", "instructions", "max_output_tokens"),
    }
)
"""Fields that ask for nothing in particular."""
# The common ones, made once.
NOTHING: Final[frozenset[str]] = frozenset()
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
    if _effort(document) not in (None, "none", "minimal") or _thinks(document):
        yield "reasoning"
    if "audio" in document:
        yield "audio"


def wants_structure(document: Document) -> bool:
    """Whether the answer has to follow a schema, or to be JSON at least."""
    asked = _format(document)
    return asked is not None and asked.get("type") in _SCHEMAS


def wants_json(document: Document) -> bool:
    """Whether the answer has to be JSON, of whatever shape."""
    asked = _format(document)
    return asked is not None and asked.get("type") == "json_object" and "json_schema" not in asked


def _format(document: Document) -> Document | None:
    for asked in (
        document.get("response_format"),
        document.get("output_format"),
        _inner(document, "output_config", "format"),
        _inner(document, "outputConfig", "textFormat"),
        _inner(document, "text", "format"),
    ):
        if type(asked) is dict:
            return asked
    return None


def _inner(document: Document, outer: str, key: str) -> Any:
    value = document.get(outer)
    return value.get(key) if type(value) is dict else None


def _effort(document: Document) -> Any:
    return document.get("reasoning_effort") or _inner(document, "reasoning", "effort")


def _thinks(document: Document) -> bool:
    thinking = document.get("thinking")
    return type(thinking) is dict and thinking.get("type") in ("enabled", "adaptive")


def _media(document: Document) -> Iterator[str]:
    """Sounds need ears; images, pages and files are all looked at."""
    # What Bedrock's blocks are say their keys.
    kinds = {part.get("type") or _only(part) for part in _parts(document)}
    if kinds & _AUDIO:
        yield "audio"
    if kinds - _AUDIO - _TEXTS:
        yield "vision"


def _only(part: dict[str, Any]) -> str | None:
    """The key of a block that has one; None for an object that says of itself nothing."""
    key = next(iter(part), None) if len(part) == 1 else None
    return key if key in _LOOKED_AT else None


def _parts(document: Document) -> Iterator[dict[str, Any]]:
    """All parts of all messages, those inside of tool results, too."""
    asked = document.get("messages") or document.get("input")
    turns = [m for m in asked if type(m) is dict] if type(asked) is list else []
    waiting = [turn.get(key) for turn in turns for key in ("content", "output")]
    while waiting:
        content = waiting.pop()
        if type(content) is list:
            for part in content:
                if type(part) is dict:
                    yield part
                    result = part.get("toolResult")
                    inside = part if result is None else result
                    waiting.append(inside.get("content") if type(inside) is dict else None)
