"""A no-op ext_proc server on either wire: the yardstick for the gateway's own cost.

It is what a careful Python team would write and no more: raw bytes in, parsed by
protobuf's C backend to learn the kind of the message, a response serialised once
at the start out.  Both wires run the same handler, in a process tuned like a worker's.
Run: ``python -m bench.noop_server /tmp/noop.sock --wire fast``; it prints ``ready`` and
serves until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from typing import Final, get_args

import uvloop
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as messages

from gateway_extproc.core.ports import Load
from gateway_extproc.supervisor.worker import tune_process
from gateway_extproc.wire.server import Kind, Server, make_server
from gateway_extproc.wire.stream import Stream

RESPONSES: Final[dict[str, bytes]] = {
    name: messages.ProcessingResponse(**{name: response()}).SerializeToString()
    for name, response in {
        "request_headers": messages.HeadersResponse,
        "request_body": messages.BodyResponse,
        "response_headers": messages.HeadersResponse,
        "response_body": messages.BodyResponse,
    }.items()
}

EVENT_STREAM: Final = b"text/event-stream"
STREAM_RESPONSE: Final[bytes] = messages.ProcessingResponse(
    response_headers=messages.HeadersResponse(),
    mode_override=ProcessingMode(
        response_header_mode=ProcessingMode.SEND, response_body_mode=ProcessingMode.STREAMED
    ),
).SerializeToString()
"""As the gateway does: the body of an event stream comes chunk by chunk."""


class NoOp:
    """Answers every message with "continue, unchanged"."""

    async def serve(self, stream: Stream) -> None:
        """One stream.

        A message of another kind raises KeyError, so the stream fails: silence would
        leave Envoy waiting for its timeout.
        """
        parse = messages.ProcessingRequest.FromString
        while (raw := await stream.read()) is not None:
            kind = parse(raw).WhichOneof("request")
            # Searching the raw bytes is cheaper than reading headers in Python, and only
            # the bench's own provider is behind this.
            if kind == "response_headers" and EVENT_STREAM in raw:
                await stream.write(STREAM_RESPONSE)
            else:
                await stream.write(RESPONSES[kind])


async def start(socket: str, wire: Kind) -> Server:
    """A started server on the Unix socket, its health SERVING."""
    server = make_server(wire, NoOp(), Load(), f"unix:{socket}")
    await server.start()
    return server


async def serve(socket: str, wire: Kind) -> None:
    """Serves until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = await start(socket, wire)
    print("ready", flush=True)
    await ended.wait()
    await server.drain(0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.noop_server", description=__doc__)
    parser.add_argument("socket", help="path of the Unix socket")
    parser.add_argument("--wire", choices=get_args(Kind), required=True)
    options = parser.parse_args(arguments)
    tune_process()
    uvloop.run(serve(options.socket, options.wire))


if __name__ == "__main__":
    main()
