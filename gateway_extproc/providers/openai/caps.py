"""The cap of a completion's tokens, in every spelling that an OpenAI-compatible server reads.

A server that reads a spelling which the gateway does not know would let a client lift its cap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway_extproc.core.chat import Document
from gateway_extproc.core.errors import invalid

CAPS: Final = (
    "max_completion_tokens",
    "max_tokens",
    "max_output_tokens",  # OpenAI's responses, Vertex
    "max_new_tokens",  # Hugging Face TGI
    "max_tokens_to_sample",  # Anthropic's old completions
    "num_predict",  # Ollama, llama.cpp
    "n_predict",
)
"""Top-level spellings: they have to agree, and each of them is capped."""

NESTED: Final = (
    ("options", ("num_predict",)),
    ("generationConfig", ("maxOutputTokens",)),
    ("generation_config", ("max_output_tokens", "maxOutputTokens")),
    ("parameters", ("max_new_tokens", "max_tokens")),
    ("extra_body", CAPS),
)
"""Spellings inside other objects: refused, for the cap has a place of its own."""

MULTIPLIERS: Final = ("use_beam_search", "min_tokens", "ignore_eos")
"""What makes vLLM work on beyond what was asked for."""


def read_cap(document: Document) -> int | None:
    """What the client asks for at most; raises ``RequestError`` where it contradicts itself."""
    given = {name: document[name] for name in CAPS if document.get(name) is not None}
    if len(set(given.values())) > 1:
        first, second, *_ = given
        raise invalid(second, f"the same value as '{first}'")
    for outer, names in NESTED:
        inside = document.get(outer)
        if isinstance(inside, Mapping):
            for name in names:
                if inside.get(name) is not None:
                    raise invalid(f"{outer}.{name}", "no cap here; 'max_tokens' is the place")
    for name in MULTIPLIERS:
        if document.get(name):
            raise invalid(name, "none: it would lift the cap of a completion")
    return next(iter(given.values()), None)


def write_cap(document: dict[str, Any], cap: int) -> None:
    """Sets the cap in the client's own spellings, or in the one that every server knows."""
    spelled = [name for name in CAPS if document.get(name) is not None]
    for name in spelled or ("max_tokens",):
        document[name] = cap
