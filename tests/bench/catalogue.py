"""Writes gateway_extproc/config/catalogue.json from a table of public prices.

``make catalogue DATA=prices.json VERSION=2026.11``: the same table and version give the same
bytes.  Which models stand there, and the tier of each in its vendor's own line-up, is said below;
everything else is read from the table, whose format is that of LiteLLM's price list (MIT).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

TARGET: Final = Path(__file__).parents[2] / "gateway_extproc" / "config" / "catalogue.json"

QUALITY: Final = {"flagship": 0.9, "strong": 0.75, "small": 0.55, "smallest": 0.35}
"""Quality by tier.  An order, not a measurement: where a vendor itself places a model."""

MODELS: Final[Mapping[str, Mapping[str, str]]] = {
    "openai": {
        "gpt-6.1-sol": "flagship", "gpt-6.1-terra": "strong", "gpt-6-luna": "small",
        "gpt-5.4": "flagship", "gpt-5.4-mini": "small", "gpt-5.4-nano": "smallest",
        "gpt-4.1": "strong", "gpt-4.1-mini": "small",
        "gpt-4o": "strong", "gpt-4o-mini": "small",
    },
    "anthropic": {
        "claude-opus-5-5": "flagship", "claude-opus-5": "flagship", "claude-opus-4-5": "flagship",
        "claude-sonnet-5-5": "strong", "claude-sonnet-5": "strong",
        "claude-haiku-5-5": "small", "claude-haiku-4-5": "small",
    },
    "gemini": {
        "gemini/gemini-4-argon": "flagship", "gemini/gemini-3.1-pro-preview": "flagship",
        "gemini/gemini-2.5-pro": "strong", "gemini/gemini-3.8-flash": "strong",
        "gemini/gemini-2.5-flash": "small", "gemini/gemini-3.1-flash-lite": "smallest",
        "gemini/gemini-2.5-flash-lite": "smallest",
    },
    "bedrock": {
        "anthropic.claude-opus-5-5": "flagship", "anthropic.claude-sonnet-5-5": "strong",
        "anthropic.claude-haiku-5-5": "small", "amazon.nova-premier-v1:0": "strong",
        "amazon.nova-pro-v1:0": "small", "amazon.nova-lite-v1:0": "smallest",
        "amazon.nova-micro-v1:0": "smallest", "meta.llama3-3-70b-instruct-v1:0": "small",
        "meta.llama4-maverick-17b-instruct-v1:0": "small",
    },
    "mistral": {
        "mistral/mistral-large-4": "flagship", "mistral/mistral-large-latest": "strong",
        "mistral/mistral-medium-latest": "strong", "mistral/mistral-small-latest": "small",
        "mistral/ministral-8b-latest": "smallest", "mistral/codestral-latest": "small",
    },
    "groq": {
        "groq/openai/gpt-oss-120b": "strong", "groq/openai/gpt-oss-20b": "small",
        "groq/qwen/qwen3.8-27b": "small",
    },
    "deepseek": {"deepseek-v4-pro": "flagship", "deepseek-v4-flash": "small"},
    "cohere": {
        "command-a-03-2025": "strong", "command-r-plus-08-2024": "strong",
        "command-r-08-2024": "small", "command-r7b-12-2024": "smallest",
    },
}  # fmt: skip
"""Models by vendor, as the table calls them, and the tier of each."""

CAPABILITIES: Final = (
    ("tools", "supports_function_calling"),
    ("vision", "supports_vision"),
    ("audio", "supports_audio_input"),
    ("json_schema", "supports_response_schema"),
    ("reasoning", "supports_reasoning"),
)
UNTOLD: Final = {"cohere": ("json_schema",)}
"""What models can do by their vendor's own reference, and the table does not say."""
RATES: Final = (
    ("prompt_nanos", "input_cost_per_token"),
    ("completion_nanos", "output_cost_per_token"),
    ("cached_nanos", "cache_read_input_token_cost"),
    ("cache_write_nanos", "cache_creation_input_token_cost"),
    ("audio_prompt_nanos", "input_cost_per_audio_token"),
    ("audio_completion_nanos", "output_cost_per_audio_token"),
    ("image_prompt_nanos", "input_cost_per_image_token"),
    ("image_completion_nanos", "output_cost_per_image_token"),
)
LONG_K: Final = (100, 128, 200, 272)
"""Thousands of tokens above which some vendor's prompts are long."""


def main() -> None:
    source, version = Path(sys.argv[1]), sys.argv[2]
    table = json.loads(source.read_text())
    models = [
        entry(vendor, name, tier, table[name])
        for vendor, tiers in MODELS.items()
        for name, tier in tiers.items()
    ]
    lines = ",\n".join(json.dumps(model) for model in models)
    TARGET.write_text(f'{{"version": {json.dumps(version)}, "models": [\n{lines}\n]}}\n')
    print(f"{TARGET.name}: {len(models)} models, version {version}")


def entry(vendor: str, name: str, tier: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A model's entry; whoever answers chats can stream."""
    return {
        "model": name.removeprefix(f"{vendor}/"),
        "vendor": vendor,
        "quality": QUALITY[tier],
        "context_tokens": row["max_input_tokens"],
        "max_output_tokens": row["max_output_tokens"],
        "capabilities": [
            *(ours for ours, theirs in CAPABILITIES if row.get(theirs)),
            *UNTOLD.get(vendor, ()),
            "streaming",
        ],
        "price": price(row),
    }


def price(row: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = rates(row, "")
    for thousand in LONG_K:
        if f"input_cost_per_token_above_{thousand}k_tokens" in row:
            long = rates(row, f"_above_{thousand}k_tokens")
            made["long"] = {"above_tokens": thousand * 1000, **long}
    if "input_cost_per_token_batches" in row:
        made["batch"] = rates(row, "_batches")
    return made


def rates(row: Mapping[str, Any], suffix: str) -> dict[str, int]:
    """Whole nano-dollars, rounded up; a write to the cache for nothing has no rate of its own."""
    return {
        ours: math.ceil(round(row[theirs + suffix] * 1e9, 3))
        for ours, theirs in RATES
        if row.get(theirs + suffix)
    }


if __name__ == "__main__":
    main()
