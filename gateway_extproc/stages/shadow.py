"""shadow: hands over what a copy for each shadow target needs; nobody waits for it.

Innermost but one of the request's way: what a cache, a guard or a limit ended is never copied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.route import Target
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Verdict
from gateway_extproc.limits.rules import Who
from gateway_extproc.stages.limit import who_asks


@dataclass(frozen=True, slots=True)
class Copy:
    """One request for one shadow target; ``request`` is what guards let pass.

    ``who`` pays for it; ``data_classes`` are those of the request, ``size_bytes`` that of its body.
    """

    decision_id: str
    number: int
    request: LlmRequest
    target: Target
    who: Who
    data_classes: frozenset[str]
    cap_tokens: int
    expected_tokens: tuple[int, int]
    traceparent: str
    size_bytes: int


class Shadow(Stage):
    name = "shadow"

    def __init__(self, offer: Callable[[Copy], None]) -> None:
        self._offer = offer

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        for number, target in enumerate(exchange.shadow_targets):
            self._offer(_copy(exchange, target, number, len(body)))
        return CONTINUE


def _copy(exchange: Exchange, target: Target, number: int, size_bytes: int) -> Copy:
    assert exchange.approved is not None
    assert exchange.permit is not None
    return Copy(
        decision_id=exchange.decision_id,
        number=number,
        request=exchange.approved,
        target=target,
        who=who_asks(exchange, exchange.route_id, target.provider),
        data_classes=exchange.permit.data_classes,
        cap_tokens=exchange.cap_tokens,
        expected_tokens=(exchange.expected_prompt_tokens, exchange.expected_completion_tokens),
        traceparent=exchange.trace.traceparent if exchange.trace is not None else "",
        size_bytes=size_bytes,
    )
