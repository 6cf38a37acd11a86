"""One step of the pipeline, both directions in one place."""

from __future__ import annotations

from typing import ClassVar

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.verdict import CONTINUE, Verdict


class Stage:
    """Base of all stages; a phase that a stage does not override costs nothing.

    A stage is shared by all requests: what belongs to one request lives in the
    ``Exchange``.  Stages return verdicts and never write to the network.
    """

    name: ClassVar[str] = ""

    async def request_headers(self, exchange: Exchange) -> Verdict:
        """The request's headers are known; its body is not yet."""
        return CONTINUE

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        """The whole request body; also called, empty, for a request without one."""
        return CONTINUE

    async def response_headers(self, exchange: Exchange) -> Verdict:
        """Status and headers of the answer; choose how its body shall come."""
        return CONTINUE

    async def response_body(self, exchange: Exchange, body: bytes, *, last: bool) -> Verdict:
        """The whole answer, or one piece of a stream; ``last`` marks its end."""
        return CONTINUE

    async def close(self, exchange: Exchange) -> None:
        """The stream is over, for whatever reason; settle and let go."""


def overrides(stage: Stage, method: str) -> bool:
    """True if the stage does anything in that phase."""
    return getattr(type(stage), method) is not getattr(Stage, method)
