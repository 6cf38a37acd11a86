"""admit: refuses at once what this worker does not serve, or what may wait while it is busy.

What an overloaded worker turns away by its headers alone never gets here (``stages/shed.py``).
"""

from __future__ import annotations

from collections.abc import Callable

from gateway_extproc.core.endpoint import ENDPOINTS, NO_UPGRADES, REALTIME, RESOURCES
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.shedding import Shedding
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Respond, Verdict

SERVED = ", ".join(f"{endpoint.method} {endpoint.path}" for endpoint in (*ENDPOINTS, *RESOURCES))


class Admit(Stage):
    name = "admit"

    def __init__(
        self, shedding: Shedding, max_body_bytes: int, may_wait: Callable[[Exchange], bool],
        *, max_upload_bytes: int = 0,
    ) -> None:  # fmt: skip
        self._shedding = shedding
        self._load = shedding.load
        self._max_body_bytes, self._max_upload_bytes = max_body_bytes, max_upload_bytes
        self._may_wait = may_wait

    async def request_headers(self, exchange: Exchange) -> Verdict:
        self._load.in_flight += 1
        exchange.admitted = True
        endpoint = exchange.endpoint
        may_switch = endpoint is not None and endpoint.websockets and exchange.method == "GET"
        if exchange.websocket and not may_switch:
            return Respond(refuse("endpoint_not_served", NO_UPGRADES))
        if endpoint is None and exchange.path.partition("?")[0] == REALTIME:
            return Respond(refuse("endpoint_not_served", NO_UPGRADES))
        if endpoint is None:
            return Respond(refuse("unknown_endpoint", f"This path is not served; {SERVED} are."))
        if endpoint.method != exchange.method:
            message = f"This endpoint takes {endpoint.method}, not {exchange.method[:16]}."
            return Respond(refuse("method_not_allowed", message))
        length = exchange.headers.get("content-length", "")
        return self._judge_size(exchange, int(length) if length.isdecimal() else 0)

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        if self._may_wait(exchange) and self._shedding.turns_away("batch"):
            message = "The gateway is busy with others; requests that may wait have to."
            wait_s = self._shedding.retry_after_s()
            return Respond(refuse("overloaded", message, retry_after_s=wait_s))
        # A chunked body names no length beforehand, and Envoy buffers up to the larger
        # of its listener's and its route's limit.
        return self._judge_size(exchange, len(body))

    def _judge_size(self, exchange: Exchange, size: int) -> Verdict:
        takes_files = exchange.endpoint is not None and exchange.endpoint.form
        most = self._max_upload_bytes if takes_files else self._max_body_bytes
        if size <= most:
            return CONTINUE
        message = f"The request's body is larger than {most} bytes."
        return Respond(refuse("body_too_large", message))

    async def close(self, exchange: Exchange) -> None:
        if exchange.admitted:
            self._load.in_flight -= 1
