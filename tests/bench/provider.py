"""A provider that streams, fast enough not to be what is measured.

Every event leaves in a write of its own, at its own time: what comes closer together
than Envoy reads would reach the processor as one message.  All bytes are built before
the first request.  Run: ``python -m bench.provider PORT``; it prints ``ready`` and
serves until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
from collections.abc import Sequence
from itertools import count
from typing import Final, cast

import uvloop

from bench.workloads import HOST, stream_events

INTERVAL_MS: Final = 5
"""Between two events of one stream.  Streams start at another millisecond each, since no
two answers of a real provider tick together."""

HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)


def http_chunk(data: bytes) -> bytes:
    """One chunk of HTTP/1.1's chunked coding; empty data is the end of the body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def writes() -> list[bytes]:
    """What is written at each tick of a stream; the head goes ahead."""
    *events, last = [http_chunk(event) for event in stream_events()]
    return [*events, last + http_chunk(b"")]


class Provider(asyncio.Protocol):
    """One connection: reads a request whole, streams the answer, reads the next.

    Envoy does not pipeline, so one answer is under way at a time.
    """

    _numbers = count()

    def __init__(self, ticks: Sequence[bytes]) -> None:
        self._ticks = ticks
        self._buffer = b""
        self._next = 0
        self._began = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not isinstance: uvloop's transports do not inherit asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        size = request_size(self._buffer)
        if size is None or len(self._buffer) < size:
            return
        self._buffer = self._buffer[size:]
        assert self._transport is not None
        self._transport.write(HEAD)
        phase_ms = next(self._numbers) % INTERVAL_MS
        self._began = self._loop.time() + phase_ms / 1000
        self._next = 0
        self._wait()

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        # From the stream's beginning, so that a late tick does not delay all later ones.
        due = self._began + self._next * INTERVAL_MS / 1000
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        assert self._transport is not None
        self._transport.write(self._ticks[self._next])
        self._next += 1
        if self._next < len(self._ticks):
            self._wait()


def request_size(data: bytes) -> int | None:
    """Bytes of the request at the beginning of ``data``; None before its head is whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = _LENGTH.search(data, 0, end)
    return end + 4 + (int(length.group(1)) if length else 0)


async def serve(port: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    ticks = writes()
    server = await loop.create_server(lambda: Provider(ticks), HOST, port)
    print("ready", flush=True)
    await ended.wait()
    server.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.provider", description=__doc__)
    parser.add_argument("port", type=int)
    uvloop.run(serve(parser.parse_args(arguments).port))


if __name__ == "__main__":
    main()
