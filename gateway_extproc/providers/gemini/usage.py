"""Gemini's ``usageMetadata``, both ways.

Gemini counts thoughts beside ``candidatesTokenCount``, the gateway counts them inside
``completion_tokens`` as OpenAI does.  Cached tokens are inside of ``promptTokenCount`` there, too;
what its own tools put into the prompt stands beside it.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.usage import Usage

_COMMON: Final = frozenset(
    {
        *("promptTokenCount", "candidatesTokenCount", "totalTokenCount"),
        *("promptTokensDetails", "candidatesTokensDetails", "trafficType"),
    }
)
"""Fields beside which nothing else is counted."""


def read_usage(usage: Any) -> Usage | None:
    """The figures of a ``usageMetadata`` object; None where there is none to read."""
    if type(usage) is not dict or "promptTokenCount" not in usage:
        return None
    prompt, said = _count(usage, "promptTokenCount"), _count(usage, "candidatesTokenCount")
    if usage.keys() <= _COMMON:
        return Usage(prompt, said)  # every event of a stream tells it
    thoughts = _count(usage, "thoughtsTokenCount")
    return Usage(
        prompt_tokens=prompt + _count(usage, "toolUsePromptTokenCount"),
        completion_tokens=said + thoughts,
        cached_tokens=_count(usage, "cachedContentTokenCount"),
        reasoning_tokens=thoughts,
    )


def write_usage(usage: Usage) -> dict[str, int]:
    """A ``usageMetadata`` object; counts of nothing are left out, as Gemini leaves them out."""
    written = {
        "promptTokenCount": usage.prompt_tokens,
        "candidatesTokenCount": usage.completion_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.total_tokens,
    }
    if usage.cached_tokens:
        written["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        written["thoughtsTokenCount"] = usage.reasoning_tokens
    return written


def _count(usage: dict[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if type(value) is int and value > 0 else 0
