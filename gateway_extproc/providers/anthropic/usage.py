"""Anthropic's usage object, both ways.

Anthropic counts cached prompt tokens beside ``input_tokens``, the gateway counts
them inside ``prompt_tokens`` as OpenAI does; so they are added here, and taken
off again on the way to an Anthropic client.
"""

from __future__ import annotations

from typing import Any

from gateway_extproc.core.usage import Usage


def read_usage(usage: Any) -> Usage | None:
    """The figures of a ``usage`` object; None where there is none to read."""
    if type(usage) is not dict or not ("input_tokens" in usage or "output_tokens" in usage):
        return None
    cached = _count(usage, "cache_read_input_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    return Usage(
        prompt_tokens=_count(usage, "input_tokens") + cached + written,
        completion_tokens=_count(usage, "output_tokens"),
        cached_tokens=cached,
        reasoning_tokens=_count(usage.get("output_tokens_details"), "thinking_tokens"),
        cache_write_tokens=written,
    )


def write_usage(usage: Usage | None) -> dict[str, Any]:
    """A ``usage`` object, which Anthropic's SDKs require; zeros where nothing is known."""
    known = usage or Usage()
    written: dict[str, Any] = {
        "input_tokens": known.prompt_tokens - known.cached_tokens - known.cache_write_tokens,
        "output_tokens": known.completion_tokens,
        "cache_creation_input_tokens": known.cache_write_tokens,
        "cache_read_input_tokens": known.cached_tokens,
    }
    if known.reasoning_tokens:
        written["output_tokens_details"] = {"thinking_tokens": known.reasoning_tokens}
    return written


def _count(container: Any, key: str) -> int:
    value = container.get(key) if type(container) is dict else None
    return value if type(value) is int and value > 0 else 0
