"""record: opens the exchange, closes it with its evidence.

Outermost, so that everything that happens to a request is inside of it: also a
refusal in the first stage and a client that leaves leave a record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway_extproc.core.endpoint import Endpoint, find_endpoint, is_own
from gateway_extproc.core.errors import EVIDENCE_UNAVAILABLE
from gateway_extproc.core.exchange import Exchange, TraceContext
from gateway_extproc.core.ports import Recorder
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import Amend, Respond, Verdict


def _nothing(method: str, path: str) -> Endpoint | None:
    return None


class Record(Stage):
    name = "record"

    def __init__(
        self,
        recorder: Recorder,
        revision: str,
        clock_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        new_id: Callable[[], str],
        trace_of: Callable[[dict[str, str]], TraceContext],
        find_passed: Callable[[str, str], Endpoint | None] = _nothing,
    ) -> None:
        self._recorder = recorder
        self._revision = revision
        self._clock_ns = clock_ns
        self._wall_ns = wall_ns
        self._new_id = new_id
        self._trace_of = trace_of
        self._find_passed = find_passed

    def _find_endpoint(self, method: str, path: str) -> Endpoint | None:
        """An own interface before any that is passed through."""
        if is_own(path):
            return find_endpoint(path, method)
        return self._find_passed(method, path)

    async def request_headers(self, exchange: Exchange) -> Verdict:
        self._recorder.opened()
        exchange.started_ns = self._clock_ns()
        exchange.started_wall_ns = self._wall_ns()
        exchange.revision = self._revision
        exchange.decision_id = self._new_id()
        exchange.request_id = exchange.headers.get("x-request-id") or exchange.decision_id
        exchange.endpoint = self._find_endpoint(exchange.method, exchange.path)
        exchange.trace = self._trace_of(exchange.headers)
        if not self._recorder.accepting:
            return Respond(EVIDENCE_UNAVAILABLE)
        return Amend(set_headers=(("traceparent", exchange.trace.traceparent),))

    async def response_headers(self, exchange: Exchange) -> Verdict:
        exchange.first_byte_ns = self._clock_ns()
        return Amend(set_headers=request_id_headers(exchange))

    async def close(self, exchange: Exchange) -> None:
        self._recorder.record(exchange, self._clock_ns())


_ID_HEADERS: Final = {"anthropic": ("request-id",), "bedrock": ("x-amzn-requestid",)}


def request_id_headers(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    """The request's id under the names that the SDKs read (OpenAI's, Anthropic's, AWS's)."""
    more = _ID_HEADERS.get(exchange.client_dialect, ())
    return tuple((name, exchange.request_id) for name in (*more, "x-request-id"))
