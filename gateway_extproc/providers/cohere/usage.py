"""Cohere's ``usage`` object, both ways.

It tells tokens twice: ``billed_units`` are what is paid for, ``tokens`` counts the words of its
template, too.  The gateway counts what is paid for, wherever that is told.
"""

from __future__ import annotations

from typing import Any

from gateway_extproc.core.usage import Usage


def read_usage(usage: Any) -> Usage | None:
    """The figures of a ``usage`` (or a ``meta``) object; None where there is none to read."""
    if type(usage) is not dict:
        return None
    for key in ("billed_units", "tokens"):
        counted = usage.get(key)
        if type(counted) is dict and ("input_tokens" in counted or "output_tokens" in counted):
            prompt = _count(counted, "input_tokens")
            return Usage(
                prompt_tokens=prompt,
                completion_tokens=_count(counted, "output_tokens"),
                cached_tokens=min(prompt, _count(usage, "cached_tokens")),
            )
    return None


def write_usage(usage: Usage) -> dict[str, Any]:
    """A ``usage`` object; another provider's tokens are the same in both of its places."""
    counted = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    written: dict[str, Any] = {"billed_units": counted, "tokens": dict(counted)}
    if usage.cached_tokens:
        written["cached_tokens"] = usage.cached_tokens
    return written


def _count(container: dict[str, Any], key: str) -> int:
    """Cohere's schema calls its counts numbers, so they may come as ``12.0``."""
    value: Any = container.get(key)
    return int(value) if type(value) in (int, float) and 0 < value < 1e15 else 0
