"""credential: the provider's secret in, the caller's out.

Innermost on the request's way, so that no other stage can see a provider's secret.
"""

from __future__ import annotations

import logging

from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import Amend, Respond, Verdict
from gateway_extproc.stages.attempt import HANDSHAKE, AttemptBuilder, foreign_headers

log = logging.getLogger(__name__)


class Credential(Stage):
    name = "credential"

    def __init__(self, attempts: AttemptBuilder) -> None:
        self._attempts = attempts

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        if exchange.permit is None:
            # A permit is the proof that somebody was authenticated: without one no secret
            # leaves, also where assertions are switched off.
            raise PermissionError("no permit")
        first = exchange.targets[0]
        position = exchange.watching.positions.get(first.cluster, 0) if exchange.watching else 0
        try:
            headers = self._attempts.credential_headers(
                first.provider,
                first.dialect,
                exchange.headers,
                position,
                method=exchange.method,
                host=first.host,
                region=first.region,
                path=exchange.sent_path,
                body=exchange.sent_body,
            )
        except LookupError:
            log.error("no credential for provider %s", first.provider)
            message = "The provider of this model is not available."
            return Respond(refuse("provider_unavailable", message))
        foreign = foreign_headers(exchange.headers, first.dialect)
        if exchange.websocket:
            foreign = tuple(name for name in foreign if name not in HANDSHAKE)
        return Amend(set_headers=headers, remove_headers=foreign)
