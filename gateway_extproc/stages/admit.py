"""admit: refuses at once what this worker cannot or does not serve.

Before any other work: an overloaded gateway must not spend itself on refusals.
"""

from __future__ import annotations

from gateway_extproc.core.endpoint import ENDPOINTS
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import Load
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Respond, Verdict

RETRY_AFTER_S = 1.0

SERVED = ", ".join(f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS)


class Admit(Stage):
    name = "admit"

    def __init__(self, load: Load, max_in_flight: int, max_body_bytes: int) -> None:
        self._load = load
        self._max_in_flight = max_in_flight
        self._max_body_bytes = max_body_bytes

    async def request_headers(self, exchange: Exchange) -> Verdict:
        if self._load.in_flight >= self._max_in_flight:
            return Respond(
                refuse(
                    "overloaded",
                    "The gateway is overloaded; try again shortly.",
                    retry_after_s=RETRY_AFTER_S,
                )
            )
        self._load.in_flight += 1
        exchange.admitted = True
        endpoint = exchange.endpoint
        if endpoint is None:
            return Respond(refuse("unknown_endpoint", f"This path is not served; {SERVED} are."))
        if endpoint.method != exchange.method:
            message = f"This endpoint takes {endpoint.method}, not {exchange.method[:16]}."
            return Respond(refuse("method_not_allowed", message))
        length = exchange.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            message = f"The request's body is larger than {self._max_body_bytes} bytes."
            return Respond(refuse("body_too_large", message))
        return CONTINUE

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        # A chunked body names no length beforehand, and Envoy buffers up to the larger
        # of its listener's and its route's limit.
        if len(body) > self._max_body_bytes:
            message = f"The request's body is larger than {self._max_body_bytes} bytes."
            return Respond(refuse("body_too_large", message))
        return CONTINUE

    async def close(self, exchange: Exchange) -> None:
        if exchange.admitted:
            self._load.in_flight -= 1
