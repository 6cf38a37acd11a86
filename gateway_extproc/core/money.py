"""Money as integer nano-dollars, and what a token costs.

Names that end in ``_nanos`` hold nano-dollars: one thousand-millionth of a US dollar.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway_extproc.core.usage import Usage

NANOS_PER_DOLLAR = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """What one token costs, in nano-dollars.

    ``cached_nanos`` applies to prompt tokens that the provider read from its prompt cache,
    ``cache_write_nanos`` to those that it wrote there; without one they cost as much as any
    other prompt token.  Tokens of sounds and images have rates of their own at some models.
    """

    prompt_nanos: int
    completion_nanos: int
    cached_nanos: int | None = None
    cache_write_nanos: int | None = None
    audio_prompt_nanos: int | None = None
    audio_completion_nanos: int | None = None
    image_prompt_nanos: int | None = None
    image_completion_nanos: int | None = None

    def of(self, usage: Usage) -> int:
        """What so many tokens cost; exact, integer."""
        prompt = usage.prompt_tokens
        cached = min(usage.cached_tokens, prompt)
        written = min(usage.cache_write_tokens, prompt - cached)
        plain = self.prompt_nanos
        media = self._beyond(usage, prompt - cached - written) if usage.media_tokens else 0
        return media + (
            (prompt - cached - written) * plain
            + cached * (plain if self.cached_nanos is None else self.cached_nanos)
            + written * (plain if self.cache_write_nanos is None else self.cache_write_nanos)
            + usage.completion_tokens * self.completion_nanos
        )

    def _beyond(self, usage: Usage, fresh: int) -> int:
        """What sounds and images cost more than the same number of other tokens; of a prompt those
        that no cache had."""
        heard = min(usage.audio_prompt_tokens, fresh)
        seen = min(usage.image_prompt_tokens, fresh - heard)
        spoken = min(usage.audio_completion_tokens, usage.completion_tokens)
        drawn = min(usage.image_completion_tokens, usage.completion_tokens - spoken)
        return sum(
            tokens * (rate - plain)
            for tokens, rate, plain in (
                (heard, self.audio_prompt_nanos, self.prompt_nanos),
                (seen, self.image_prompt_nanos, self.prompt_nanos),
                (spoken, self.audio_completion_nanos, self.completion_nanos),
                (drawn, self.image_completion_nanos, self.completion_nanos),
            )
            if rate is not None
        )

    def dearest(self) -> Rates:
        """Rates at which every token costs what the dearest of its kind does."""
        prompt = (self.prompt_nanos, self.audio_prompt_nanos or 0, self.image_prompt_nanos or 0)
        said = (
            self.completion_nanos,
            self.audio_completion_nanos or 0,
            self.image_completion_nanos or 0,
        )
        return Rates(max(prompt), max(said))


@dataclass(frozen=True, slots=True)
class Price:
    """What one token of a model costs, in nano-dollars; the first fields are those of ``Rates``.

    A prompt of more than ``long_above_tokens`` tokens is charged as a whole by ``long``, its
    answer included: that is how OpenAI, Anthropic and Google count.  ``batch`` holds for
    endpoints that answer in batches, whatever the length; ``version`` names the table.
    ``second_nanos`` and ``character_nanos`` are for models that are charged by seconds of sound or
    by characters: they hold instead of tokens wherever those are counted.
    """

    prompt_nanos: int
    completion_nanos: int
    cached_nanos: int | None = None
    version: str = ""
    cache_write_nanos: int | None = None
    long_above_tokens: int | None = None
    long: Rates | None = None
    batch: Rates | None = None
    second_nanos: int | None = None
    character_nanos: int | None = None
    audio_prompt_nanos: int | None = None
    audio_completion_nanos: int | None = None
    image_prompt_nanos: int | None = None
    image_completion_nanos: int | None = None

    def rates(self, prompt_tokens: int, *, batch: bool = False) -> Rates:
        """The rates that hold for a prompt of so many tokens."""
        if batch and self.batch is not None:
            return self.batch
        above = self.long_above_tokens
        if above is not None and prompt_tokens > above and self.long is not None:
            return self.long
        return Rates(
            self.prompt_nanos, self.completion_nanos, self.cached_nanos, self.cache_write_nanos,
            self.audio_prompt_nanos, self.audio_completion_nanos,
            self.image_prompt_nanos, self.image_completion_nanos,
        )  # fmt: skip


def as_batch(price: Price) -> Price:
    """The price with its rates for batches in place of all others."""
    rates = price.rates(0, batch=True)
    return replace(
        price, prompt_nanos=rates.prompt_nanos, completion_nanos=rates.completion_nanos,
        cached_nanos=rates.cached_nanos, long=None, long_above_tokens=None,
        audio_prompt_nanos=rates.audio_prompt_nanos,
        audio_completion_nanos=rates.audio_completion_nanos,
        image_prompt_nanos=rates.image_prompt_nanos,
        image_completion_nanos=rates.image_completion_nanos,
    )  # fmt: skip


def cost(usage: Usage, price: Price, *, batch: bool = False) -> int:
    """What ``usage`` costs at ``price``; exact, integer."""
    if usage.seconds and price.second_nanos is not None:
        return usage.seconds * price.second_nanos
    if usage.characters and price.character_nanos is not None:
        return usage.characters * price.character_nanos
    return price.rates(usage.prompt_tokens, batch=batch).of(usage)


def most(usage: Usage, price: Price) -> int:
    """What ``usage`` costs at most, if any of its tokens may be of a sound or an image."""
    rates = price.rates(usage.prompt_tokens)
    return max(cost(usage, price), rates.dearest().of(usage))


def is_charged(usage: Usage, price: Price) -> bool:
    """Whether ``price`` says what ``usage`` costs: seconds need a price a second, and so on.

    Of sounds that were made or heard nobody knows the tokens unless the provider reports them.
    """
    if (usage.seconds and price.second_nanos is None) or (
        usage.characters and price.character_nanos is None
    ):
        return usage.source == "reported" and usage.total_tokens > 0
    return True
