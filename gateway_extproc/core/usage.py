"""Tokens that a request used, and who said so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from gateway_extproc.core.quick import quick

UsageSource = Literal["reported", "estimated"]

BYTES_PER_TOKEN = 4
"""English prose averages about four UTF-8 bytes a token in the common vocabularies."""


@quick
@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer.

    ``prompt_tokens`` includes ``cached_tokens`` (OpenAI's convention);
    so are ``cache_write_tokens``, those that the provider wrote to its prompt cache;
    ``completion_tokens`` includes ``reasoning_tokens``.  ``source`` tells whether
    the provider reported the figures or the gateway estimated them.
    ``seconds`` of sound and ``characters`` are what some models are charged by instead.
    Tokens of sounds and images are told apart where they have a price of their own; the counts
    for prompt and completion include them.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    source: UsageSource = "reported"
    cache_write_tokens: int = 0
    seconds: int = 0
    characters: int = 0
    audio_prompt_tokens: int = 0
    audio_completion_tokens: int = 0
    image_prompt_tokens: int = 0
    image_completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def media_tokens(self) -> int:
        """Tokens of sounds and images, of prompt and completion."""
        return (
            self.audio_prompt_tokens
            + self.audio_completion_tokens
            + self.image_prompt_tokens
            + self.image_completion_tokens
        )


NOTHING: Final = Usage()


def estimate_tokens(text_bytes: int) -> int:
    """Tokens in ``text_bytes`` bytes of UTF-8 text, rounded up; 0 for no text."""
    return -(-text_bytes // BYTES_PER_TOKEN)
