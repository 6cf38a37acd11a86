"""One ext_proc stream: which message may come when, and what answers it.

The rule of this module: every way out is an answer, an ImmediateResponse or an
abort.  Envoy takes a clean end of the stream as "go on without the processor",
even with ``failure_mode_allow: false``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from envoy.service.ext_proc.v3 import external_processor_pb2 as pb

from gateway_extproc.core.endpoint import SWITCHED, error_dialect, without_key
from gateway_extproc.core.errors import DEADLINE, EVIDENCE_UNAVAILABLE, Refusal, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.phase import MAY_FOLLOW, Phase
from gateway_extproc.core.pipeline import GATEWAY_ERROR, Pipeline
from gateway_extproc.core.ports import Keeper
from gateway_extproc.core.verdict import Answer, Decision
from gateway_extproc.wire import codec
from gateway_extproc.wire.stream import Stream, StreamAborted

log = logging.getLogger(__name__)

ENVOY_REFUSALS: dict[int, Refusal] = {
    400: refuse("invalid_request", "The HTTP request is malformed."),
    408: refuse("request_timeout", "The request's body did not arrive in time."),
    413: refuse("body_too_large", "The request's body is larger than this gateway accepts."),
}
"""Answers that Envoy itself gave before the request was decided, by status."""


Fallback = Callable[[str, str, dict[str, str]], Decision]
"""Prepares a later attempt from the cluster's name, the note that the router-level stream
left, and the headers as the failed attempt left them."""


Shed = Callable[[Mapping[str, str]], Answer | None]
"""The answer to a request that is turned away before anything else, by its headers."""


Told = Callable[[Exchange], dict[str, str]]
"""What Envoy's access log may show of a decision."""


def shed_nothing(headers: Mapping[str, str]) -> Answer | None:
    """A worker that takes everything."""
    return None


class Processor:
    """Serves ext_proc streams with one pipeline; shared by all streams of a worker."""

    def __init__(
        self,
        pipeline: Pipeline,
        fallback: Fallback,
        shed: Shed = shed_nothing,
        keeper: Keeper | None = None,
        told: Told | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.fallback = fallback
        self.shed = shed
        self.keeper = keeper
        """Only where what decided must be durable before it leaves."""
        self.told = told or log_fields

    async def serve(self, stream: Stream) -> None:
        """Runs one stream to its end; returns only after its last answer was written."""
        first = await stream.read()
        if first is None:
            await stream.abort("stream ended before its first message")
        message = codec.decode_or_none(first)
        if message is None:
            await stream.abort("not an ext_proc message")
        cluster = codec.fallback_cluster_of(message)
        if cluster is None:
            await _Conversation(self, stream).run(message)
        else:
            await self._serve_fallback(stream, message, cluster)

    async def _serve_fallback(
        self, stream: Stream, message: pb.ProcessingRequest, cluster: str
    ) -> None:
        """An upstream-level stream: headers, then the body made anew for this cluster."""
        if message.WhichOneof("request") != "request_headers":
            await stream.abort("fallback stream did not begin with request headers")
        values, _ = codec.read_headers(message.request_headers)
        prepared = self.fallback(cluster, codec.fallback_note_of(message), values)
        if prepared.answer is not None:
            await stream.write(codec.encode_answer(prepared.answer, {}))
            return
        if message.request_headers.end_of_stream:
            # A provider's credential never goes on with a body that was not made here.
            await stream.abort("fallback stream without a request body")
        headers, body = _split(prepared)
        await stream.write(codec.encode_request_headers(headers))
        data = await stream.read()
        second = None if data is None else codec.decode_or_none(data)
        if second is None or second.WhichOneof("request") != "request_body":
            await stream.abort("fallback stream went on without the request body")
        await stream.write(codec.encode_request_body(body, {}))


def _split(decision: Decision) -> tuple[Decision, Decision]:
    """Headers leave with the headers' answer, the body with the body's."""
    return (
        Decision(set_headers=decision.set_headers, remove_headers=decision.remove_headers),
        Decision(body=decision.body),
    )


class _Conversation:
    """A router-level stream and its exchange."""

    def __init__(self, processor: Processor, stream: Stream) -> None:
        self.pipeline = processor.pipeline
        self.stream = stream
        self.shed = processor.shed
        self.keeper = processor.keeper
        self.told = processor.told
        self.exchange: Exchange | None = None
        self.phase: Phase | None = None
        self.decided = False
        self.over = False
        self.closed = False
        self.timer: asyncio.TimerHandle | None = None
        self.ending: asyncio.Task[None] | None = None

    async def run(self, message: pb.ProcessingRequest) -> None:
        try:
            while True:
                await self._answer(message)
                if self.over:
                    return
                data = await self.stream.read()
                if data is None:
                    # Envoy left: nothing waits for an answer any more.
                    return
                following = codec.decode_or_none(data)
                if following is None:
                    await self.stream.abort("not an ext_proc message")
                message = following
        finally:
            self._stop_timer()
            if self.ending is not None:
                await self.ending
            await self._close()

    async def _close(self) -> None:
        """Closes the exchange, once; for strict durability before its answer leaves."""
        if self.exchange is not None and not self.closed:
            self.closed = True
            await self.pipeline.close(self.exchange)

    async def _answer(self, message: pb.ProcessingRequest) -> None:
        kind = message.WhichOneof("request")
        if kind in ("request_trailers", "response_trailers"):
            await self.stream.write(codec.encode_trailers(kind))
            return
        phase = _PHASES.get(kind)
        if phase is None or phase not in MAY_FOLLOW[self.phase]:
            await self.stream.abort(f"{kind} may not follow {self.phase}")
        self.phase = phase
        try:
            await _STEPS[phase](self, message)
        except StreamAborted:
            raise
        except Exception:
            # A fault of this module or of a library: refuse, and keep the worker alive.
            log.exception("ext_proc %s failed", kind)
            self.over = True
            if self.exchange is None or self.exchange.streaming:
                await self.stream.abort("gateway_error")
            await self._end(self.pipeline.refuse(self.exchange, GATEWAY_ERROR))

    async def _request_headers(self, message: pb.ProcessingRequest) -> None:
        values, repeated = codec.read_headers(message.request_headers)
        shed = self.shed(values)
        if shed is not None:
            self.over = True
            await self.stream.write(codec.encode_answer(shed, {}))
            return
        exchange = self.exchange = _open(message.request_headers, values, repeated)
        exchange.peer_uri = codec.read_peer_uri(message)
        exchange.envoy_claims = codec.read_envoy_claims(message)
        decision = await self.pipeline.request_headers(exchange)
        if decision.answer is None and (exchange.headers_end_stream or exchange.websocket):
            decision = await self._bodyless(exchange, decision)
        if decision.answer is not None:
            await self._end(decision)
            return
        if decision.plan is None:
            await self.stream.write(codec.encode_request_headers(decision))
            return
        self.decided = True
        await self.stream.write(codec.encode_request_headers(decision, self.told(exchange)))

    async def _bodyless(self, exchange: Exchange, at_headers: Decision) -> Decision:
        """What becomes of a request that ends with its headers: all of it is decided there."""
        decision = await self.pipeline.request_body(exchange, b"")
        if decision.answer is not None:
            return decision
        if decision.plan is None or decision.body is not None:
            # Only what has no body of its own goes to a provider without one.
            return self.pipeline.refuse(exchange, GATEWAY_ERROR)
        if self.keeper is not None and not await self.keeper.keep_opening(exchange):
            return self.pipeline.refuse(exchange, EVIDENCE_UNAVAILABLE)
        headers = {**dict(at_headers.set_headers), **dict(decision.set_headers)}
        return replace(decision, set_headers=tuple(headers.items()))

    async def _request_body(self, message: pb.ProcessingRequest) -> None:
        exchange = self._get_exchange()
        body = message.request_body
        exchange.request_body_bytes = len(body.body)
        if not body.end_of_stream:
            # BUFFERED always sends the whole body; anything else is a partial one,
            # of which Envoy would pass the rest unprocessed.
            await self._end(self.pipeline.refuse(exchange, ENVOY_REFUSALS[413]))
            return
        decision = await self.pipeline.request_body(exchange, body.body)
        if decision.answer is None and decision.plan is None:
            decision = self.pipeline.refuse(exchange, GATEWAY_ERROR)
        if (
            self.keeper is not None
            and decision.answer is None
            and not await self.keeper.keep_opening(exchange)
        ):
            decision = self.pipeline.refuse(exchange, EVIDENCE_UNAVAILABLE)
        if decision.answer is not None:
            await self._end(decision)
            return
        self.decided = True
        await self.stream.write(codec.encode_request_body(decision, self.told(exchange)))
        if exchange.deadline_ns:
            left_s = (exchange.deadline_ns - time.monotonic_ns()) / 1e9
            loop = asyncio.get_running_loop()
            self.timer = loop.call_later(max(0.0, left_s), self._begin_ending)

    def _begin_ending(self) -> None:
        self.ending = asyncio.create_task(self._end_late())

    async def _end_late(self) -> None:
        """Nobody answered before the request's deadline: Envoy takes an answer at any time.

        Attempts under way are given up by that.  Envoy has no deadline of this kind: its own would
        also cut streams that answer well, but long.
        """
        if self.phase is Phase.REQUEST_BODY and not self.over:
            await self._end(self.pipeline.refuse(self._get_exchange(), DEADLINE))

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()

    async def _response_headers(self, message: pb.ProcessingRequest) -> None:
        self._stop_timer()
        headers = message.response_headers
        if self.exchange is None:
            # An earlier filter or the HTTP codec answered; there is nothing of ours in it.
            self.over = True
            await self.stream.write(codec.encode_response_headers(Decision(body_mode="none")))
            return
        exchange = self.exchange
        values, _ = codec.read_headers(headers)
        exchange.response_headers = values
        exchange.response_status = int(values.get(":status", "0") or 0)
        exchange.response_headers_only = headers.end_of_stream
        if not self.decided:
            status = exchange.response_status
            refusal = ENVOY_REFUSALS.get(status, GATEWAY_ERROR)
            await self._end(self.pipeline.refuse(exchange, refusal))
            return
        upstream = codec.read_upstream(message)
        exchange.response_cluster = upstream.cluster
        exchange.attempt_count = upstream.attempt_count
        exchange.response_details = upstream.details
        exchange.attempt_notes = upstream.attempt_notes
        decision = await self.pipeline.response_headers(exchange)
        if decision.answer is not None:
            await self._end(decision)
            return
        await self.stream.write(codec.encode_response_headers(decision))
        switched = exchange.websocket and exchange.response_status == SWITCHED
        if headers.end_of_stream or switched:
            exchange.response_ended = True
            self.over = True

    async def _response_body(self, message: pb.ProcessingRequest) -> None:
        exchange = self._get_exchange()
        body = message.response_body
        exchange.response_body_bytes += len(body.body)
        decision = await self.pipeline.response_body(exchange, body.body, last=body.end_of_stream)
        if decision.abort is not None:
            self.over = True
            await self.stream.abort(decision.abort)
        if decision.answer is not None:
            await self._end(decision)
            return
        exchange.delivered_bytes += len(body.body if decision.body is None else decision.body)
        if self.keeper is not None and body.end_of_stream and not exchange.streaming:
            exchange.response_ended = True
            if not await self._keep_ending(self.keeper):
                await self._refuse_unkept(self.keeper)
                return
        await self.stream.write(codec.encode_response_body(decision))
        if body.end_of_stream:
            exchange.response_ended = True
            self.over = True

    async def _end(self, decision: Decision) -> None:
        """Writes the gateway's own answer; nothing of this stream follows it."""
        exchange = self._get_exchange()
        answer = decision.answer
        assert answer is not None
        self.over = True
        _note(exchange, answer)
        if (
            self.keeper is not None
            and exchange.refusal is not EVIDENCE_UNAVAILABLE
            and not await self._keep_ending(self.keeper)
        ):
            await self._refuse_unkept(self.keeper)
            return
        await self.stream.write(codec.encode_answer(answer, self.told(exchange)))

    async def _keep_ending(self, keeper: Keeper) -> bool:
        """Ends the exchange before its answer leaves; whether its whole record is durable."""
        await self._close()
        return await keeper.keep_ending()

    async def _refuse_unkept(self, keeper: Keeper) -> None:
        """Another answer than the one that was recorded; the last record counts."""
        exchange = self._get_exchange()
        self.over = True
        answer = self.pipeline.refuse(exchange, EVIDENCE_UNAVAILABLE).answer
        assert answer is not None
        _note(exchange, answer)
        keeper.amend(exchange)
        await self.stream.write(codec.encode_answer(answer, self.told(exchange)))

    def _get_exchange(self) -> Exchange:
        if self.exchange is None:
            raise codec.WireError("no request headers came")
        return self.exchange


_PHASES = {
    "request_headers": Phase.REQUEST_HEADERS,
    "request_body": Phase.REQUEST_BODY,
    "response_headers": Phase.RESPONSE_HEADERS,
    "response_body": Phase.RESPONSE_BODY,
}

_STEPS = {
    Phase.REQUEST_HEADERS: _Conversation._request_headers,
    Phase.REQUEST_BODY: _Conversation._request_body,
    Phase.RESPONSE_HEADERS: _Conversation._response_headers,
    Phase.RESPONSE_BODY: _Conversation._response_body,
}


def _note(exchange: Exchange, answer: Answer) -> None:
    exchange.delivered_bytes = len(answer.body)
    exchange.answer_status = answer.status


def _open(headers: pb.HttpHeaders, values: dict[str, str], repeated: frozenset[str]) -> Exchange:
    path, key = without_key(values.get(":path", ""))
    if key is not None:
        values[":path"] = path
        if "x-goog-api-key" in values:  # two credentials: which one counts is left open
            repeated |= {"x-goog-api-key"}
        values["x-goog-api-key"] = key
    return Exchange(
        method=values.get(":method", ""),
        path=path,
        headers=values,
        repeated_headers=repeated,
        headers_end_stream=headers.end_of_stream,
        # Whatever else stands there: Envoy's route for websockets sends no body to look at.
        websocket="websocket" in values.get("upgrade", "").lower(),
        client_dialect=error_dialect(path, values),
    )


def log_fields(exchange: Exchange) -> dict[str, str]:
    """What Envoy's access log may show of a decision."""
    fields = {"decision_id": exchange.decision_id}
    if exchange.permit is not None:
        fields["tenant"] = exchange.permit.principal.tenant.id
    if exchange.refusal is not None:
        fields["reason"] = exchange.refusal.reason
    return fields
