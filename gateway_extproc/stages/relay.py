"""relay: sends on what no model is asked for, to its one target; what nobody reads comes back as
it is."""

from __future__ import annotations

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Amend, Header, RoutePlan, Verdict


class Relay(Stage):
    """``timeout_s`` bounds the one attempt."""

    name = "relay"

    def __init__(self, timeout_s: float) -> None:
        self._timeout_ms = max(1, int(timeout_s * 1000))

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        relayed = exchange.relayed
        if relayed is None:
            return CONTINUE
        sent = body if relayed.body is None else relayed.body
        exchange.sent_path = relayed.target.base_path + relayed.path
        exchange.sent_body = sent
        headers: list[Header] = [
            (":path", exchange.sent_path),
            ("accept-encoding", "identity"),
            # Nothing is tried twice: nobody here knows what the first attempt has done.
            ("x-envoy-max-retries", "0"),
        ]
        if not exchange.websocket:  # whose attempt lasts as long as it does
            headers.append(("x-envoy-upstream-rq-per-try-timeout-ms", str(self._timeout_ms)))
        if relayed.body is not None:
            headers.append(("content-length", str(len(sent))))
            headers.append(("content-type", relayed.content_type))
        return Amend(
            set_headers=tuple(headers),
            body=relayed.body,
            plan=RoutePlan((relayed.target.cluster,)),
        )
