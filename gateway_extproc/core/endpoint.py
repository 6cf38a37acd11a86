"""The client interfaces that the gateway serves, by method and path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One interface: ``dialect`` is the language its clients speak, errors included.

    ``providers`` are the dialects that can say the same; None where every dialect can, because
    there is a translation.  ``aliases`` are further paths of the same interface.
    ``batch`` tells whether providers charge its requests by their price for batches.
    """

    name: str
    method: str
    path: str
    dialect: str
    has_body: bool = True
    providers: frozenset[str] | None = None
    aliases: tuple[str, ...] = ()
    batch: bool = False

    def served_by(self, dialect: str) -> bool:
        """Whether a provider of this dialect can answer it."""
        return self.providers is None or dialect in self.providers


_OPENAI: Final = frozenset({"openai"})

CHAT: Final = Endpoint("chat", "POST", "/v1/chat/completions", "openai")
MESSAGES: Final = Endpoint("messages", "POST", "/v1/messages", "anthropic")
RESPONSES: Final = Endpoint("responses", "POST", "/v1/responses", "openai", providers=_OPENAI)
COMPLETIONS: Final = Endpoint("completions", "POST", "/v1/completions", "openai", providers=_OPENAI)
EMBEDDINGS: Final = Endpoint("embeddings", "POST", "/v1/embeddings", "openai", providers=_OPENAI)
MODERATIONS: Final = Endpoint("moderations", "POST", "/v1/moderations", "openai", providers=_OPENAI)
IMAGES: Final = Endpoint("images", "POST", "/v1/images/generations", "openai", providers=_OPENAI)
RERANK: Final = Endpoint(
    "rerank", "POST", "/v1/rerank", "openai", providers=_OPENAI, aliases=("/v2/rerank",)
)
COUNT_TOKENS: Final = Endpoint(
    "count_tokens", "POST", "/v1/messages/count_tokens", "anthropic",
    providers=frozenset({"anthropic"}),
)  # fmt: skip
MODELS: Final = Endpoint("models", "GET", "/v1/models", "openai", has_body=False)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    CHAT, MESSAGES, RESPONSES, COMPLETIONS, EMBEDDINGS, MODERATIONS, IMAGES, RERANK, COUNT_TOKENS,
    MODELS,
)  # fmt: skip
BY_NAME: Final[dict[str, Endpoint]] = {endpoint.name: endpoint for endpoint in ENDPOINTS}
BY_PATH: Final[dict[str, Endpoint]] = {
    path: endpoint for endpoint in ENDPOINTS for path in (endpoint.path, *endpoint.aliases)
}


def find_endpoint(path: str) -> Endpoint | None:
    """The endpoint behind a request path (query string ignored), or None."""
    return BY_PATH.get(path.partition("?")[0])


def error_dialect(path: str, headers: Mapping[str, str]) -> str:
    """Which dialect an error must be written in, also for a path we do not serve."""
    endpoint = find_endpoint(path)
    if endpoint is not None and endpoint is not MODELS:
        return endpoint.dialect
    return "anthropic" if "anthropic-version" in headers else "openai"
