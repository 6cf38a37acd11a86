"""keep: gathers what a provider says where policy may want to keep it for reviewers.

Only in the pipeline where ``evidence.texts`` has rules.  Inside of guard, so that it also hears
what guard then blocks; what is kept is redacted later, off the loop.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.heard import Heard
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Verdict


class Keep(Stage):
    name = "keep"

    def __init__(self, wanted: Callable[[Exchange], bool]) -> None:
        self._wanted = wanted

    async def response_headers(self, exchange: Exchange) -> Verdict:
        if self._wanted(exchange):
            exchange.heard = Heard()
        return CONTINUE

    async def response_body(self, exchange: Exchange, body: bytes, *, last: bool) -> Verdict:
        heard, arrived = exchange.heard, exchange.arrived
        if heard is None or arrived is None:
            return CONTINUE
        heard.add(arrived.chunks)
        heard.document_texts += arrived.texts
        return CONTINUE
