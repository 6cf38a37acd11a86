"""Gemini's ``usageMetadata``, both ways.

Gemini counts thoughts beside ``candidatesTokenCount``, the gateway counts them inside
``completion_tokens`` as OpenAI does.  Cached tokens are inside of ``promptTokenCount`` there, too;
what its own tools put into the prompt stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway_extproc.core.usage import Usage

_COMMON: Final = frozenset(
    {
        *("promptTokenCount", "candidatesTokenCount", "totalTokenCount"),
        *("promptTokensDetails", "candidatesTokensDetails", "trafficType"),
    }
)
"""Fields beside which nothing else is counted."""
_DETAILS: Final = {
    "promptTokensDetails": {"AUDIO": "audio_prompt_tokens", "IMAGE": "image_prompt_tokens"},
    "candidatesTokensDetails": {
        "AUDIO": "audio_completion_tokens", "IMAGE": "image_completion_tokens",
    },
}  # fmt: skip


def read_usage(usage: Any) -> Usage | None:
    """The figures of a ``usageMetadata`` object; None where there is none to read."""
    if type(usage) is not dict or "promptTokenCount" not in usage:
        return None
    prompt, said = _count(usage, "promptTokenCount"), _count(usage, "candidatesTokenCount")
    told = usage.keys() & _DETAILS.keys()
    media: dict[str, Any] = dict(_media(usage)) if told else {}
    if usage.keys() <= _COMMON:  # every event of a stream tells it
        return Usage(prompt, said, **media) if media else Usage(prompt, said)
    thoughts = _count(usage, "thoughtsTokenCount")
    return Usage(
        prompt_tokens=prompt + _count(usage, "toolUsePromptTokenCount"),
        completion_tokens=said + thoughts,
        cached_tokens=_count(usage, "cachedContentTokenCount"),
        reasoning_tokens=thoughts,
        **media,
    )


def _media(usage: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Tokens that are not of texts, of those that are told by kind."""
    for key, names in _DETAILS.items():
        details = usage.get(key)
        for part in details if type(details) is list else ():
            kind = part.get("modality") if type(part) is dict else None
            if type(kind) is str and kind in names:
                yield names[kind], _count(part, "tokenCount")


def write_usage(usage: Usage) -> dict[str, Any]:
    """A ``usageMetadata`` object; counts of nothing are left out, as Gemini leaves them out."""
    written: dict[str, Any] = {
        "promptTokenCount": usage.prompt_tokens,
        "candidatesTokenCount": usage.completion_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.total_tokens,
    }
    if usage.cached_tokens:
        written["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        written["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.media_tokens:
        for key, names in _DETAILS.items():
            told = [
                {"modality": kind, "tokenCount": getattr(usage, name)}
                for kind, name in names.items()
                if getattr(usage, name)
            ]
            if told:
                written[key] = told
    return written


def _count(usage: dict[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if type(value) is int and value > 0 else 0
