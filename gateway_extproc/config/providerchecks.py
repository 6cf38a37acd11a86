"""What a provider's section must say because of the dialect it names."""

from __future__ import annotations

from collections.abc import Iterator

from gateway_extproc.config.mistakes import Mistake
from gateway_extproc.config.model import Config
from gateway_extproc.core.endpoint import CHAT_APIS


def provider_mistakes(config: Config) -> Iterator[Mistake]:
    """Bedrock's signatures name the region; only OpenAI's dialect has two interfaces for chat."""
    for i, provider in enumerate(config.providers):
        if provider.dialect == "bedrock" and not provider.region:
            expected = "the AWS region, for the signatures of a provider of the dialect bedrock"
            yield Mistake(f"providers[{i}].region", "nothing", expected)
        if provider.dialect != "openai" and set(provider.apis) != set(CHAT_APIS):
            expected = "nothing: only providers of the dialect openai have these interfaces"
            yield Mistake(f"providers[{i}].apis", ", ".join(provider.apis), expected)
