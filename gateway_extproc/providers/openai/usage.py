"""OpenAI's usage object, both ways."""

from __future__ import annotations

from typing import Any

from gateway_extproc.core.usage import Usage


def read_usage(usage: Any) -> Usage | None:
    """The figures of a ``usage`` object; None where there is none to read."""
    if type(usage) is not dict or not ("prompt_tokens" in usage or "completion_tokens" in usage):
        return None
    heard, said = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        count(usage, "prompt_tokens"),
        count(usage, "completion_tokens"),
        count(heard, "cached_tokens") or count(usage, "prompt_cache_hit_tokens"),  # DeepSeek
        count(said, "reasoning_tokens"),
        audio_prompt_tokens=count(heard, "audio_tokens"),
        audio_completion_tokens=count(said, "audio_tokens"),
        image_prompt_tokens=count(heard, "image_tokens"),
        image_completion_tokens=count(said, "image_tokens"),
    )


def read_counted(usage: Any) -> Usage:
    """The figures of ``input_tokens`` and ``output_tokens``, as OpenAI's newer interfaces count.

    What they count together is told apart in objects of two spellings.
    """
    heard = usage.get("input_tokens_details") or usage.get("input_token_details")
    said = usage.get("output_tokens_details") or usage.get("output_token_details")
    return Usage(
        count(usage, "input_tokens"),
        count(usage, "output_tokens"),
        count(heard, "cached_tokens"),
        count(said, "reasoning_tokens"),
        cache_write_tokens=count(heard, "cache_write_tokens"),
        audio_prompt_tokens=count(heard, "audio_tokens"),
        audio_completion_tokens=count(said, "audio_tokens"),
        image_prompt_tokens=count(heard, "image_tokens"),
        image_completion_tokens=count(said, "image_tokens"),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """A ``usage`` object as OpenAI's chat answers carry it."""
    heard = {"cached_tokens": usage.cached_tokens}
    said = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.media_tokens:
        heard |= _told(audio=usage.audio_prompt_tokens, image=usage.image_prompt_tokens)
        said |= _told(audio=usage.audio_completion_tokens, image=usage.image_completion_tokens)
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": heard,
        "completion_tokens_details": said,
    }


def _told(**counts: int) -> dict[str, int]:
    return {f"{kind}_tokens": tokens for kind, tokens in counts.items() if tokens}


def count(container: Any, key: str) -> int:
    """A token count, 0 where it is absent, null or nonsense."""
    value = container.get(key) if type(container) is dict else None
    return value if type(value) is int and value > 0 else 0
