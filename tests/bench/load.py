"""A load client: N keep-alive connections, one request each in flight.

It sends the same bytes over and over and understands of the answer only its
status and its end, so that the client is not what is measured.  In tests call
``load(...)`` (or await ``run_load``); by hand: ``python -m bench.load URL``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import uvloop

from bench.framing import MalformedResponse, ResponseFraming

GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Report:
    """What came back.  ``errors`` are requests without a whole answer.

    ``requests`` counts whole answers of any status; latencies are theirs.
    """

    requests: int
    non_2xx: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float
    bytes_read: int

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


def build_request(
    method: str,
    path: str,
    host: str,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> bytes:
    """The bytes of one request; ``host`` and ``content-length`` are added."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of all values do not exceed; 0 for none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


class _Run:
    """What the connections share: the bounds and the counts."""

    def __init__(self, request: bytes, connections: int, count: int | None) -> None:
        self.request = request
        self.left = count
        self.stopping = False
        self.latencies_s = array("d")
        self.non_2xx = 0
        self.errors = 0
        self.bytes_read = 0
        self.active = connections
        self.transports: set[asyncio.Transport] = set()
        self.done = asyncio.get_running_loop().create_future()

    def may_send(self) -> bool:
        """Takes one request off the count; False when the load is over."""
        if self.stopping:
            return False
        if self.left is None:
            return True
        self.left -= 1
        return self.left >= 0

    def retire(self) -> None:
        """One connection has nothing more to do."""
        self.active -= 1
        if self.active == 0 and not self.done.done():
            self.done.set_result(None)


class _Client(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, sends again."""

    def __init__(self, run: _Run, reconnect: _Reconnect) -> None:
        self._run = run
        self._reconnect = reconnect
        self._framing = ResponseFraming()
        self._sent_at = 0.0
        self._waiting = False
        self._over = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not isinstance: uvloop's transports do not inherit asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._run.transports.add(self._transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        try:
            complete = self._framing.feed(data)
        except MalformedResponse:
            self._close()
            return
        if not complete:
            return
        closes = self._framing.closes
        self._count()
        if closes:
            self._close()
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._run.transports.discard(self._transport)
        if self._over:
            return
        if self._waiting and error is None and self._framing.end():
            self._count()
        if self._waiting:
            self._run.errors += 1
        self._over = True
        self._reconnect()

    def _send(self) -> None:
        assert self._transport is not None
        if not self._run.may_send():
            self._over = True
            self._transport.close()
            self._run.retire()
            return
        self._waiting = True
        self._sent_at = perf_counter()
        self._transport.write(self._run.request)

    def _count(self) -> None:
        run, framing = self._run, self._framing
        run.latencies_s.append(perf_counter() - self._sent_at)
        run.bytes_read += framing.size
        if not 200 <= framing.status < 300:
            run.non_2xx += 1
        self._waiting = False
        framing.reset()

    def _close(self) -> None:
        assert self._transport is not None
        self._transport.abort()


class _Reconnect:
    """Opens a connection of the run, and the next one when a server closes it."""

    def __init__(self, run: _Run, host: str, port: int) -> None:
        self._run = run
        self._host = host
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self) -> None:
        task = asyncio.get_running_loop().create_task(self._open())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        run = self._run
        if run.stopping or (run.left is not None and run.left <= 0):
            run.retire()
            return
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Client(run, self), self._host, self._port
            )
        except OSError:
            # A closed port stays closed: without this the run would spin.
            run.errors += 1
            run.retire()


async def run_load(
    host: str,
    port: int,
    request: bytes,
    *,
    connections: int = 16,
    count: int | None = None,
    seconds: float | None = None,
) -> Report:
    """Loads ``host:port`` until ``count`` requests or ``seconds``, whichever is first.

    Requests in flight at the end of ``seconds`` are waited for (at most
    ``GRACE_S``), then counted as errors.
    """
    if count is None and seconds is None:
        raise ValueError("give count, seconds or both")
    run = _Run(request, connections, count)
    reconnect = _Reconnect(run, host, port)
    began = perf_counter()
    for _ in range(connections):
        reconnect()
    try:
        await asyncio.wait_for(asyncio.shield(run.done), seconds)
    except TimeoutError:
        run.stopping = True
        try:
            await asyncio.wait_for(asyncio.shield(run.done), GRACE_S)
        except TimeoutError:
            run.errors += run.active
            for transport in tuple(run.transports):
                transport.abort()
    return _report(run, perf_counter() - began)


def load(
    host: str,
    port: int,
    request: bytes,
    *,
    connections: int = 16,
    count: int | None = None,
    seconds: float | None = None,
) -> Report:
    """``run_load`` in a uvloop of its own."""
    return uvloop.run(
        run_load(host, port, request, connections=connections, count=count, seconds=seconds)
    )


def _report(run: _Run, seconds: float) -> Report:
    return Report(
        requests=len(run.latencies_s),
        non_2xx=run.non_2xx,
        errors=run.errors,
        seconds=seconds,
        p50_ms=percentile(run.latencies_s, 0.50) * 1000,
        p99_ms=percentile(run.latencies_s, 0.99) * 1000,
        bytes_read=run.bytes_read,
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"expected 'name: value', got {text!r}")
    return name.strip(), value.strip()


def main(arguments: Sequence[str] | None = None) -> None:
    """Loads a URL and prints the report as JSON."""
    parser = argparse.ArgumentParser(prog="bench.load", description=__doc__)
    parser.add_argument("url", help="http://host:port/path")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--header", type=_header, action="append", default=[])
    parser.add_argument("--body-file", type=Path, help="POST this body")
    options = parser.parse_args(arguments)
    url = urlsplit(options.url)
    body = options.body_file.read_bytes() if options.body_file else b""
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    method = "POST" if options.body_file else "GET"
    seconds = 5.0 if options.count is None and options.seconds is None else options.seconds
    report = load(
        url.hostname or "127.0.0.1",
        url.port or 80,
        build_request(method, path, url.netloc, options.header, body),
        connections=options.connections,
        count=options.count,
        seconds=seconds,
    )
    print(json.dumps(asdict(report) | {"requests_per_s": report.requests_per_s}))


if __name__ == "__main__":
    main()
