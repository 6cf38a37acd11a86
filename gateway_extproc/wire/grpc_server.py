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
from gateway_extproc.wire import options
from gateway_extproc.wire.stream import Handler, StreamAborted
from gateway_extproc.wire.tls import ServerTls

log = logging.getLogger(__name__)


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

    def __init__(
        self, handler: Handler, load: Load, address: str, tls: ServerTls | None = None
    ) -> None:
        self._handler = handler
        self._load = load
        self._address = address
        self._tls = tls
        self._health = HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        # Made here, because a grpc.aio server belongs to the loop that runs now.
        self._server = grpc.aio.server(options=options.SERVER_OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(self._process)
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    options.PROCESS_SERVICE, {options.PROCESS_METHOD: handler}
                ),
            )
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        try:
            self._listen(self._server)
        except RuntimeError as error:
            # What grpcio raises for an address that is taken or cannot be.
            raise OSError(str(error)) from None
        await self._server.start()
        await self._set_serving(serving=True)

    def _listen(self, server: grpc.aio.Server) -> None:
        if self._tls is None:
            server.add_insecure_port(self._address)
            return
        ca_file = self._tls.client_ca_file
        credentials = grpc.ssl_server_credentials(
            [(self._tls.key_file.read_bytes(), self._tls.cert_file.read_bytes())],
            root_certificates=ca_file.read_bytes() if ca_file else None,
            require_client_auth=ca_file is not None,
        )
        server.add_secure_port(self._address, credentials)

    async def drain(self, grace_s: float) -> None:
        self._load.draining = True
        await self._set_serving(serving=False)
        await asyncio.sleep(min(options.LAME_DUCK_S, grace_s))
        if self._server is not None:
            await self._server.stop(grace_s)
        if self._running:
            # Cancelled by the stop; they still settle and record.
            await asyncio.wait(self._running, timeout=options.CANCEL_S)

    async def _set_serving(self, *, serving: bool) -> None:
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if serving
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for service in ("", options.PROCESS_SERVICE):
            await self._health.set(service, status)

    async def _process(self, _: Any, context: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._handler.serve(GrpcStream(context))
        except StreamAborted as aborted:
            # grpc.aio wants to see its own exception at the end of an aborted handler.
            raise aborted.__cause__ or aborted from None
        except Exception:
            # grpc.aio would tell the peer what the exception says.
            log.exception("the handler of a stream failed")
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")
        finally:
            self._running.discard(task)
