"""OpenAI's usage object, both ways."""

from __future__ import annotations

from typing import Any

from gateway_extproc.core.usage import Usage


def read_usage(usage: Any) -> Usage | None:
    """The figures of a ``usage`` object; None where there is none to read."""
    if type(usage) is not dict or not ("prompt_tokens" in usage or "completion_tokens" in usage):
        return None
    return Usage(
        count(usage, "prompt_tokens"),
        count(usage, "completion_tokens"),
        count(usage.get("prompt_tokens_details"), "cached_tokens")
        or count(usage, "prompt_cache_hit_tokens"),  # DeepSeek
        count(usage.get("completion_tokens_details"), "reasoning_tokens"),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """A ``usage`` object as OpenAI's chat answers carry it."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def count(container: Any, key: str) -> int:
    """A token count, 0 where it is absent, null or nonsense."""
    value = container.get(key) if type(container) is dict else None
    return value if type(value) is int and value > 0 else 0
