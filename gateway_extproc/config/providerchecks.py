"""What a provider's section must say because of the dialect it names."""

from __future__ import annotations

from collections.abc import Iterator

from gateway_extproc.config.mistakes import Mistake
from gateway_extproc.config.model import Config


def provider_mistakes(config: Config) -> Iterator[Mistake]:
    """Bedrock's signatures name the region, so it must be told; families are OpenAI's."""
    for i, provider in enumerate(config.providers):
        if provider.dialect == "bedrock" and not provider.region:
            expected = "the AWS region, for the signatures of a provider of the dialect bedrock"
            yield Mistake(f"providers[{i}].region", "nothing", expected)
        for name in ("family", "differences"):
            if provider.dialect != "openai" and getattr(provider, name) is not None:
                expected = "nothing: only servers of the dialect openai have families"
                yield Mistake(f"providers[{i}].{name}", "a value", expected)
