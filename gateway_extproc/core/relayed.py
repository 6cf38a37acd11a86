"""What goes to a provider while no model is asked: files, batches, paths that policy lets pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.route import Target


class BatchTokens(NamedTuple):
    """Tokens of all requests of a batch together: of prompts, and of answers at most."""

    prompt: int = 0
    answer: int = 0


class BatchLine(NamedTuple):
    """One request of a batch, as its file says it."""

    custom_id: str
    url: str
    request: LlmRequest


@dataclass(slots=True)
class Relayed:
    """One such request: who gets it, and where there.

    ``path`` stands below the provider's base path; ``body`` is None where the client's own goes on.
    ``as_it_comes`` tells that nobody reads the answer.  ``sealed`` is what the id of the request's
    path or document told, ``names`` are the ids of clients by those of the provider.
    """

    target: Target
    path: str
    as_it_comes: bool = False
    body: bytes | None = field(default=None, repr=False)
    content_type: str = ""
    tokens: BatchTokens | None = None
    lines: tuple[BatchLine, ...] = field(default=(), repr=False)
    form: Mapping[str, object] = field(default_factory=dict, repr=False)
    sealed: Mapping[str, object] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    until_s: float = 0.0
    """When an upload must have been looked at, on the clock of ``time.monotonic``."""
