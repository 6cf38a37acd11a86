"""How many tokens a prompt has, before a provider counts them.

Exact where the optional extra ``tokenizers`` is installed and the model's vocabulary is public
(OpenAI's), for prompts of up to ``EXACT_BYTES``.  Else a linear model over counts of characters by
class, which C-level string methods give; ``weights`` holds its coefficients for each family and
``make bench-tokens`` its error.  ``at_most`` is a bound: byte-level vocabularies never make
more tokens than bytes.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from typing import Any, Final, NamedTuple

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.limits.weights import ASCII, CLASSES, WEIGHTS, Class

FAMILIES: Final = (
    (re.compile(r"gpt-(4o|4\.1|4\.5|5|oss)|chatgpt|o[1-9](-|$)|codex"), "o200k"),
    (re.compile(r"gpt-(3\.5|4)|text-embedding|davinci|babbage"), "cl100k"),
    (re.compile(r"claude"), "claude"),
)
"""Which vocabulary a model's name tells of; the first match wins, no match is ``default``."""

EXACT_BYTES: Final = 8192
"""Counting exactly takes some 80 us for a KB; above, the estimate's relative error is small."""

MESSAGE_TOKENS: Final = 4
"""Role and separators of a message (OpenAI's cookbook: 3, and 1 for a name)."""
REPLY_TOKENS: Final = 3
TOOLS_TOKENS: Final = 350
"""What providers add themselves where there are tools (Anthropic's list: 159 to 804)."""
MOST_TOOLS_TOKENS: Final = 1000
MEDIA_TOKENS: Final = 1100
"""An image of a megapixel (Anthropic: pixels / 750; OpenAI: 85 + 170 for each tile of 512)."""
MOST_MEDIA_TOKENS: Final = 50_000
"""An image in full detail at the dearest model of OpenAI's (2,833 + 8 tiles of 5,667)."""


class Tokens(NamedTuple):
    """Tokens of a prompt: probably, and certainly not more.

    What a provider adds by itself while it answers (pages that it searches) is in neither.
    """

    expected: int
    at_most: int


def estimate(request: LlmRequest, model: str) -> Tokens:
    """Tokens of a request's prompt at this model, all roles and tools included."""
    text = "".join([at.text for at in request.texts])
    data = text.encode("utf-8", "surrogatepass")
    overhead = MESSAGE_TOKENS * len(request.texts) + REPLY_TOKENS
    extra = TOOLS_TOKENS if request.has_tools else 0
    most_extra = MOST_TOOLS_TOKENS if request.has_tools else 0
    return Tokens(
        count_tokens(data, text, family_of(model))
        + overhead + extra + MEDIA_TOKENS * request.media + request.unread_tokens,
        len(data) + 2 * overhead + most_extra + MOST_MEDIA_TOKENS * request.media
        + request.unread_tokens,
    )  # fmt: skip


@functools.lru_cache(maxsize=1024)
def family_of(model: str) -> str:
    """The vocabulary behind a model's name."""
    for pattern, family in FAMILIES:
        if pattern.search(model):
            return family
    return "default"


def count_tokens(data: bytes, text: str, family: str) -> int:
    """Tokens of a text, exactly where that is possible and not too long."""
    if len(data) <= EXACT_BYTES:
        encoding = exact_encoding(family)
        if encoding is not None:
            return len(encoding.encode_ordinary(text))
    return calibrated(data, family)


def calibrated(data: bytes, family: str) -> int:
    """The linear model's estimate for a text in UTF-8; at least 1 for any text."""
    size = len(data)
    total = 0.0
    for weight, members in _WEIGHED[family, data.isascii()]:
        # What is left after a class was deleted: one pass in C.
        total += weight * (size - len(data.translate(None, members)))
    return max(round(total), 1 if size else 0)


_WEIGHED: Final = {
    (family, is_ascii): [
        (weights[name], members)
        for name, members in list(CLASSES.items())[: ASCII if is_ascii else None]
    ]
    for family, weights in WEIGHTS.items()
    for is_ascii in (True, False)
}


def features(data: bytes) -> dict[Class, int]:
    """Counts of the classes, as ``calibrated`` weighs them."""
    return {
        name: len(data) - len(data.translate(None, members)) for name, members in CLASSES.items()
    }


@functools.lru_cache(maxsize=8)
def exact_encoding(family: str) -> Any:
    """The vocabulary itself, if a package on this machine carries it; else None."""
    names = {"o200k": "o200k_base", "cl100k": "cl100k_base"}
    if family not in names or importlib.util.find_spec("bpe_openai") is None:
        return None
    import bpe_openai

    return bpe_openai.get_encoding(names[family])
