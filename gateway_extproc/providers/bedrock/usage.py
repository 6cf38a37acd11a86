"""Bedrock's usage object, both ways.

As at Anthropic, what was read from the cache and what was written to it stand beside
``inputTokens``; the gateway counts them inside ``prompt_tokens``.
"""

from __future__ import annotations

from typing import Any

from gateway_extproc.core.usage import Usage


def read_usage(usage: Any) -> Usage | None:
    """The figures of a ``usage`` object; None where there is none to read."""
    if type(usage) is not dict or "inputTokens" not in usage:
        return None
    cached = _count(usage, "cacheReadInputTokens")
    written = _count(usage, "cacheWriteInputTokens")
    return Usage(
        prompt_tokens=_count(usage, "inputTokens") + cached + written,
        completion_tokens=_count(usage, "outputTokens"),
        cached_tokens=cached,
        cache_write_tokens=written,
    )


def write_usage(usage: Usage | None) -> dict[str, int]:
    """A ``usage`` object, which AWS's SDKs require; zeros where nothing is known."""
    known = usage or Usage()
    return {
        "inputTokens": known.prompt_tokens - known.cached_tokens - known.cache_write_tokens,
        "outputTokens": known.completion_tokens,
        "totalTokens": known.total_tokens,
        "cacheReadInputTokens": known.cached_tokens,
        "cacheWriteInputTokens": known.cache_write_tokens,
    }


def _count(usage: dict[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if type(value) is int and value > 0 else 0
