"""The section ``shadow``: how copies of requests are sent to shadow targets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway_extproc.config.base import Positive, Section


class Shadow(Section):
    """Copies for shadow targets: sent off the way of the answer, through Envoy, only recorded."""

    parallel: Annotated[int, Field(ge=1, le=256)] = 4
    """Copies that one worker sends at a time."""
    waiting: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Copies that may wait for that; further ones are dropped and counted."""
    body_bytes: Positive = 1024 * 1024
    """Largest request that is copied."""
    timeout_s: Annotated[float, Field(ge=0.1, le=3600)] = 120.0
    """How long a copy's answer may take, to its end."""
