"""ext_proc over grpc.aio: the reference server, one Unix socket a worker.

Handlers see raw bytes, so that messages are parsed once, by the codec.  The gRPC
health service on the same socket is what Envoy asks before it sends a stream.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from gateway_extproc.core.ports import Load
from gateway_extproc.wire.options import PROCESS_SERVICE, SERVER_OPTIONS
from gateway_extproc.wire.session import Processor, StreamAborted

log = logging.getLogger(__name__)

LAME_DUCK_S = 1.2
"""Time between NOT_SERVING and the stop of accepting: longer than Envoy's health interval."""


class GrpcStream:
    """``Stream`` over a grpc.aio servicer context."""

    __slots__ = ("_context",)

    def __init__(self, context: Any) -> None:
        self._context = context

    async def read(self) -> bytes | None:
        message = await self._context.read()
        return None if message is grpc.aio.EOF else message

    async def write(self, message: bytes) -> None:
        await self._context.write(message)

    async def abort(self, details: str) -> NoReturn:
        try:
            await self._context.abort(grpc.StatusCode.INTERNAL, details)
        except grpc.aio.AbortError as error:
            raise StreamAborted(details) from error
        raise AssertionError("abort returned")


class GrpcServer:
    """Serves one address (``unix:PATH`` or ``HOST:PORT``) until drained."""

    def __init__(self, processor: Processor, load: Load, address: str) -> None:
        self._processor = processor
        self._load = load
        self._address = address
        self._health = HealthServicer()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listens, and tells Envoy's health checks that it serves."""
        # Made here, because a grpc.aio server belongs to the loop that runs now.
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(self._process)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(PROCESS_SERVICE, {"Process": handler}),)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if not self._server.add_insecure_port(self._address):
            raise OSError(f"cannot listen on {self._address}")
        await self._server.start()
        await self._set_serving(serving=True)

    async def drain(self, grace_s: float) -> None:
        """Turns new streams away, lets running ones finish for ``grace_s`` seconds.

        NOT_SERVING first, so that Envoy's health check moves new streams to
        other workers while this one still accepts; then GOAWAY and the grace.
        """
        self._load.draining = True
        await self._set_serving(serving=False)
        await asyncio.sleep(min(LAME_DUCK_S, grace_s))
        if self._server is not None:
            await self._server.stop(grace_s)

    async def _set_serving(self, *, serving: bool) -> None:
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if serving
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        await self._health.set("", status)

    async def _process(self, _: Any, context: Any) -> None:
        try:
            await self._processor.serve(GrpcStream(context))
        except StreamAborted as aborted:
            # grpc.aio wants to see its own exception at the end of an aborted handler.
            raise aborted.__cause__ or aborted from None
