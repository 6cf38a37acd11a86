"""The section ``cache``: which answers are kept, for whom, where and how long they may wait."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway_extproc.config.base import Id, Positive, Section

MAX_WAIT_S = 4.0
"""Below Envoy's patience for one answer of a worker, which is 5 s."""


class CacheShare(Section):
    """Tenants that may be given each other's answers."""

    id: Id
    """Names the share; answers of two shares never meet."""
    tenants: Annotated[tuple[Id, ...], Field(min_length=2)]
    """Who shares. A tenant is in one share at most."""


class SemanticCache(Section):
    """Answers to questions that say the same in other words; needs the extra ``semantic``.

    Only within one tenant, and only where nothing but the last user turn differs.
    """

    threshold: Annotated[float, Field(ge=0.5, le=1)] = 0.85
    """Least cosine of the two turns. What differs in numbers, names, negations or direction is
    never taken for the same, whatever its cosine."""
    max_chars: Annotated[int, Field(ge=16, le=2000)] = 400
    """Longer turns are not compared."""
    max_questions: Positive = 20_000
    """Questions that one worker remembers; the oldest goes first."""
    queue: Annotated[int, Field(ge=1, le=1024)] = 16
    """Turns that may wait for the model; with more waiting a request goes on without it."""
    wait_ms: Annotated[float, Field(ge=1, le=1000)] = 50.0
    """Longest wait for the model."""


class Cache(Section):
    """Answers that are given again. A model's ``cache_ttl_s`` says whether, and how long."""

    store: Literal["auto", "host", "redis"] = "auto"
    """``host``: one file for all workers of a host, in ``server.socket_dir``; ``redis``: for all
    hosts, where ``store`` or ``redis`` say; ``auto`` follows ``store.kind``."""
    max_bytes: Positive = 256 * 1024 * 1024
    """Bytes that a host keeps; what was not used for longest goes first. Redis has its own
    ``maxmemory``."""
    max_entries: Positive = 100_000
    """Answers that a host keeps."""
    entry_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    """Largest answer that is kept."""
    sampling: Literal["greedy", "unasked", "any"] = "unasked"
    """Which requests may be answered twice with the same words: ``greedy`` those that ask for
    temperature 0; ``unasked`` also those that say nothing of sampling; ``any`` all that want one
    answer."""
    data_classes: Annotated[tuple[Id, ...], Field(min_length=1)] = ("standard",)
    """Answers are kept only where all of a request's data classes are among these."""
    shared: tuple[CacheShare, ...] = ()
    """Tenants that share answers; without it no answer leaves its tenant."""
    wait_s: Annotated[float, Field(ge=0, le=MAX_WAIT_S)] = 2.0
    """How long a request waits for the answer to an identical one that is under way; 0 never."""
    semantic: SemanticCache | None = None
    """Answers to questions that mean the same; none by default."""
