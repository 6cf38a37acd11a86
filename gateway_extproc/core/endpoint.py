"""The client interfaces that the gateway serves, by method and path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One interface: ``dialect`` is the language its clients speak, errors included.

    ``batch`` tells whether providers charge its requests by their price for batches.
    """

    name: str
    method: str
    path: str
    dialect: str
    has_body: bool = True
    batch: bool = False


CHAT: Final = Endpoint("chat", "POST", "/v1/chat/completions", "openai")
MESSAGES: Final = Endpoint("messages", "POST", "/v1/messages", "anthropic")
MODELS: Final = Endpoint("models", "GET", "/v1/models", "openai", has_body=False)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (CHAT, MESSAGES, MODELS)
BY_PATH: Final[dict[str, Endpoint]] = {endpoint.path: endpoint for endpoint in ENDPOINTS}


def find_endpoint(path: str) -> Endpoint | None:
    """The endpoint behind a request path (query string ignored), or None."""
    return BY_PATH.get(path.partition("?")[0])


def error_dialect(path: str, headers: Mapping[str, str]) -> str:
    """Which dialect an error must be written in, also for a path we do not serve."""
    endpoint = find_endpoint(path)
    if endpoint is not None and endpoint is not MODELS:
        return endpoint.dialect
    return "anthropic" if "anthropic-version" in headers else "openai"
