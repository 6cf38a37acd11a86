"""Money as integer nano-dollars, and what a token costs.

Names that end in ``_nanos`` hold nano-dollars: one thousand-millionth of a US dollar.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway_extproc.core.usage import Usage

NANOS_PER_DOLLAR = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """What one token of a model costs, in nano-dollars.

    ``cached_nanos`` applies to prompt tokens that the provider read from its
    prompt cache; without one they cost as much as any other prompt token.
    """

    prompt_nanos: int
    completion_nanos: int
    cached_nanos: int | None = None
    version: str = ""


def cost(usage: Usage, price: Price) -> int:
    """What ``usage`` costs at ``price``; exact, integer."""
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    cached_nanos = price.prompt_nanos if price.cached_nanos is None else price.cached_nanos
    return (
        (usage.prompt_tokens - cached) * price.prompt_nanos
        + cached * cached_nanos
        + usage.completion_tokens * price.completion_nanos
    )
