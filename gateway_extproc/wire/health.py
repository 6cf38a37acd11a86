"""The gRPC health service (grpc.health.v1) of the fast server.

Envoy asks it before it sends a stream, and moves streams away when it says no.
"""

from __future__ import annotations

import asyncio

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2 as pb

from gateway_extproc.wire.stream import Status, StreamAborted
from gateway_extproc.wire.stream import Stream as MessageStream

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"


class Health:
    """One status for all ``services``."""

    def __init__(self, *services: str) -> None:
        self._services = frozenset(services)
        self._serving = False
        self._closed = False
        self._changed = asyncio.Event()

    def set(self, *, serving: bool) -> None:
        """Changes the status and tells who watches."""
        self._serving = serving
        self._tell()

    def close(self) -> None:
        """Ends all watches: a server that stops need not wait for them."""
        self._closed = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def check(self, stream: MessageStream) -> None:
        """One question, one answer."""
        if await self._asked(stream) not in self._services:
            raise StreamAborted("unknown service", Status.NOT_FOUND)
        await stream.write(self._answer())

    async def watch(self, stream: MessageStream) -> None:
        """The status now, and again whenever it changes, until the peer leaves."""
        known = await self._asked(stream) in self._services
        while not self._closed:
            changed = self._changed
            await stream.write(self._answer() if known else _UNKNOWN)
            await changed.wait()

    async def _asked(self, stream: MessageStream) -> str:
        message = await stream.read()
        if message is None:
            raise StreamAborted("no health check request came")
        try:
            return str(pb.HealthCheckRequest.FromString(message).service)
        except DecodeError:
            raise StreamAborted("not a health check request") from None

    def _answer(self) -> bytes:
        status = pb.HealthCheckResponse
        return _encode(status.SERVING if self._serving else status.NOT_SERVING)


def _encode(status: pb.HealthCheckResponse.ServingStatus.ValueType) -> bytes:
    return bytes(pb.HealthCheckResponse(status=status).SerializeToString())


_UNKNOWN = _encode(pb.HealthCheckResponse.SERVICE_UNKNOWN)
