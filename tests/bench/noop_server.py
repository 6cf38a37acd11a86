"""A no-op ext_proc server on grpc.aio: the yardstick for the gateway's own cost.

It is what a careful Python team would write and no more: raw bytes in, parsed by
protobuf's C backend to learn the kind of the message, a response serialised once
at the start out.  Run: ``python -m bench.noop_server /tmp/noop.sock``; it prints
``ready`` and serves until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from typing import Any, Final

import grpc
import uvloop
from envoy.service.ext_proc.v3 import external_processor_pb2 as messages
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gateway_extproc.wire.options import PROCESS_SERVICE, SERVER_OPTIONS

SERVICE: Final = PROCESS_SERVICE
RESPONSES: Final[dict[str, bytes]] = {
    name: messages.ProcessingResponse(**{name: response()}).SerializeToString()
    for name, response in {
        "request_headers": messages.HeadersResponse,
        "request_body": messages.BodyResponse,
        "response_headers": messages.HeadersResponse,
        "response_body": messages.BodyResponse,
    }.items()
}


async def process(_: Any, context: Any) -> None:
    """One stream: every message is answered with "continue, unchanged".

    A message of another kind raises KeyError, so the stream fails: silence would
    leave Envoy waiting for its timeout.
    """
    parse = messages.ProcessingRequest.FromString
    while (raw := await context.read()) is not grpc.aio.EOF:
        await context.write(RESPONSES[parse(raw).WhichOneof("request")])


async def start(socket: str, options: Sequence[tuple[str, int]] = SERVER_OPTIONS) -> Any:
    """A started grpc.aio server on the Unix socket, its health SERVING."""
    server = grpc.aio.server(options=list(options))
    handler = grpc.stream_stream_rpc_method_handler(process)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Process": handler}),)
    )
    servicer = health.aio.HealthServicer()
    for service in ("", SERVICE):
        await servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    return server


async def serve(socket: str, options: Sequence[tuple[str, int]] = SERVER_OPTIONS) -> None:
    """Serves until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = await start(socket, options)
    print("ready", flush=True)
    await ended.wait()
    await server.stop(grace=None)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.noop_server", description=__doc__)
    parser.add_argument("socket", help="path of the Unix socket")
    uvloop.run(serve(parser.parse_args(arguments).socket))


if __name__ == "__main__":
    main()
