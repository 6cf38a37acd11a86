"""The two servers behind one interface: ours on HTTP/2 itself, and grpc.aio."""

from __future__ import annotations

from typing import Literal, Protocol

from gateway_extproc.core.ports import Load
from gateway_extproc.wire.fast_server import FastServer
from gateway_extproc.wire.grpc_server import GrpcServer
from gateway_extproc.wire.stream import Handler
from gateway_extproc.wire.tls import ServerTls

Kind = Literal["fast", "grpcio"]


class Server(Protocol):
    """Serves one address until drained."""

    async def start(self) -> None:
        """Listens and reports SERVING; raises OSError for an address that cannot be had."""

    async def drain(self, grace_s: float) -> None:
        """Turns new streams away, lets running ones finish for ``grace_s`` seconds.

        NOT_SERVING first, so that Envoy's health check moves new streams to other workers
        while this one still accepts; then GOAWAY and the grace.  What is left is cancelled,
        and has been recorded when this returns.
        """


def make_server(
    kind: Kind, handler: Handler, load: Load, address: str, tls: ServerTls | None = None
) -> Server:
    """A server of either kind on ``unix:PATH`` or ``HOST:PORT``."""
    if kind == "fast":
        return FastServer(handler, load, address, tls)
    return GrpcServer(handler, load, address, tls)
