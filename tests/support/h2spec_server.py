"""The fast server as h2spec needs it: any request is served, with a header table.

h2spec cannot send gRPC's request headers, and its header encoder ignores the table size
that a server announces.  So this process, and only it, takes every request for a gRPC one
and announces the default table; everything else is the server as it is.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace

import uvloop

from gateway_extproc.core.ports import Load
from gateway_extproc.wire.fast_server import FastServer
from gateway_extproc.wire.http2 import headers, limits
from gateway_extproc.wire.stream import Stream
from support.frames import PROCESS


class Greeter:
    """Answers with a message at once, and reads what comes."""

    async def serve(self, stream: Stream) -> None:
        await stream.write(b"hello")
        while await stream.read() is not None:
            pass


def _widen() -> None:
    limits.HEADER_TABLE_BYTES = 4096  # type: ignore[misc]
    limits.CONCURRENT_STREAMS = 100  # type: ignore[misc]
    read = headers.HeaderReader.read

    def read_any(self: headers.HeaderReader, block: bytes) -> headers.Head:
        return replace(read(self, block), path=PROCESS, grpc=True)

    headers.HeaderReader.read = read_any  # type: ignore[method-assign]


async def _run(address: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = FastServer(Greeter(), Load(), address)
    await server.start()
    print("ready", flush=True)
    await stop.wait()
    await server.drain(0)


if __name__ == "__main__":
    _widen()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(sys.argv[1]))
