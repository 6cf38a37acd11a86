"""``make wire-figures``: what the wire holds and how it shares, on both servers.

Memory of 10,000 streams that wait at once; small streams beside 20 MB in each direction on
the same connection; memory and descriptors of a server that has served everything for
minutes.  The server runs alone in its process, and what is measured is that process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final

import grpc

from bench.load import percentile
from gateway_extproc.wire.options import MESSAGE_BYTES
from gateway_extproc.wire.server import Kind
from support import frames
from support.wires import Child, child_server

KINDS: Final[tuple[Kind, ...]] = ("fast", "grpcio")
KB: Final = 1024
MB: Final = 1024 * KB

STREAMS: Final = 10_000
SMALL_STREAMS: Final = 200
LARGE: Final = bytes(20 * MB)
PAUSE_S: Final = 0.1
"""Between two messages of a small stream: together they keep the client below half a core."""


@contextlib.asynccontextmanager
async def channel(child: Child) -> AsyncIterator[Any]:
    size = [("grpc.max_send_message_length", MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MESSAGE_BYTES)]  # fmt: skip
    async with grpc.aio.insecure_channel(child.address, options=size) as opened:
        yield opened


def open_stream(opened: Any) -> Any:
    return opened.stream_stream(frames.PROCESS)()


# ------------------------------------------------------------------- 10,000 at once


async def memory_per_stream(child: Child, count: int = STREAMS) -> float:
    """Bytes of the server for each of ``count`` streams that wait; all of them then finish.

    Plain frames on a socket: a client that keeps as many streams needs more than the server.
    """
    reader, writer = await asyncio.open_unix_connection(child.address.removeprefix("unix:"))
    writer.write(frames.PREFACE + frames.settings() + frames.window_update(0, MB))
    streams = range(1, 2 * count + 1, 2)
    taken = _Taken(reader)
    await _send(writer, map(_request, streams[:1]))
    await taken.until(lambda: taken.messages == 1)
    before = child.rss_bytes
    await _send(writer, map(_request, streams[1:]))
    await taken.until(lambda: taken.messages == count)
    held = (child.rss_bytes - before) / (count - 1)
    await _send(writer, (frames.data(s, b"", end=True) for s in streams))
    await taken.until(lambda: taken.ended == count)
    writer.close()
    return held


def _request(stream: int) -> bytes:
    return frames.headers(stream) + frames.data(stream, frames.message(b"hi"))


async def _send(writer: asyncio.StreamWriter, pieces: Iterable[bytes]) -> None:
    for number, piece in enumerate(pieces):
        writer.write(piece)
        if number % 100 == 0:
            await writer.drain()
    await writer.drain()


class _Taken:
    """What came back on a connection of plain frames."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.messages = self.ended = 0
        self._reader = reader
        self._data = bytearray()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            data = await asyncio.wait_for(self._reader.read(1 << 18), 30)
            assert data, "the server ended the connection"
            self._data += data
            for frame in frames.parse(self._data):
                self.messages += frame.kind == frames.Kind.DATA
                self.ended += frame.ends_stream


# --------------------------------------------------------------- small beside large


async def small_p99_ms(opened: Any, seconds: float) -> float:
    """How long a small message takes there and back, on 200 streams that talk at leisure."""
    took: list[float] = []
    ends = time.monotonic() + seconds

    async def talk(number: int) -> None:
        stream = open_stream(opened)
        await asyncio.sleep(PAUSE_S * number / SMALL_STREAMS)
        while time.monotonic() < ends:
            started = time.perf_counter()
            await stream.write(bytes(KB))
            await stream.read()
            took.append(time.perf_counter() - started)
            await asyncio.sleep(PAUSE_S)
        await stream.done_writing()
        assert await stream.code() == grpc.StatusCode.OK

    await asyncio.gather(*map(talk, range(SMALL_STREAMS)))
    return percentile(took, 0.99) * 1000


async def beside_large(opened: Any, seconds: float) -> tuple[float, int]:
    """The same while 20 MB go each way, again and again; and how many times they did."""
    passed = 0

    async def carry() -> None:
        nonlocal passed
        stream = open_stream(opened)
        while True:
            # Echoed: while the answer still comes, the next one goes.
            await stream.write(LARGE)
            answer = await stream.read()
            assert len(answer) == len(LARGE)
            passed += 1

    carrying = [asyncio.create_task(carry()) for _ in range(2)]
    try:
        p99_ms = await small_p99_ms(opened, seconds)
    finally:
        for task in carrying:
            task.cancel()
        ends = await asyncio.gather(*carrying, return_exceptions=True)
    failed = [end for end in ends if not isinstance(end, asyncio.CancelledError)]
    assert not failed, failed
    return p99_ms, passed


async def sharing(child: Child, rounds: int, seconds: float) -> tuple[float, float, float]:
    """p99 alone, p99 beside large messages (medians), and the median of their ratios."""
    alone, beside = [], []
    async with channel(child) as opened:
        await small_p99_ms(opened, 0.5)
        for _ in range(rounds):
            alone.append(await small_p99_ms(opened, seconds))
            p99_ms, passed = await beside_large(opened, seconds)
            assert passed, "no large message passed"
            beside.append(p99_ms)
    ratios = [b / a for a, b in zip(alone, beside, strict=True)]
    return statistics.median(alone), statistics.median(beside), statistics.median(ratios)


# ----------------------------------------------------------------------------- soak


async def soak(child: Child, seconds: float) -> tuple[list[float], list[int]]:
    """Megabytes and descriptors of the server, ten times while it serves everything."""
    megabytes, descriptors = [], []
    ends = time.monotonic() + seconds
    deeds: tuple[Callable[[Any], Awaitable[None]], ...] = (_talk, _leave, _large, _unknown)
    async with channel(child) as opened:

        async def client(number: int) -> None:
            while time.monotonic() < ends:
                await deeds[number % len(deeds)](opened)

        clients = [asyncio.create_task(client(number)) for number in range(12)]
        for _ in range(10):
            await asyncio.sleep(seconds / 10)
            megabytes.append(child.rss_bytes / MB)
            descriptors.append(len(os.listdir(f"/proc/{child.pid}/fd")))
        await asyncio.gather(*clients)
    return megabytes, descriptors


async def _talk(opened: Any) -> None:
    stream = open_stream(opened)
    for _ in range(20):
        await stream.write(bytes(500))
        await stream.read()
    await stream.done_writing()
    assert await stream.code() == grpc.StatusCode.OK


async def _leave(opened: Any) -> None:
    stream = open_stream(opened)
    await stream.write(b"flood:100,3000")
    await stream.read()
    stream.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stream.code()


async def _large(opened: Any) -> None:
    stream = open_stream(opened)
    await stream.write(bytes(2 * MB))
    assert len(await stream.read()) == 2 * MB
    await stream.done_writing()
    await stream.code()
    await asyncio.sleep(0.05)


async def _unknown(opened: Any) -> None:
    call = opened.unary_unary("/no.such/Method")(b"")
    assert await call.code() == grpc.StatusCode.UNIMPLEMENTED
    await asyncio.sleep(0.01)


# --------------------------------------------------------------------------- report


async def report(rounds: int, seconds: float, soak_s: float) -> None:
    with tempfile.TemporaryDirectory(prefix="gwf-") as folder:
        with child_server("fast", f"unix:{folder}/memory.sock") as child:
            held = await memory_per_stream(child)
        _say(f"{STREAMS} streams at once, fast: {held / KB:.1f} KB each; all finished")
        for kind in KINDS:
            with child_server(kind, f"unix:{folder}/{kind}.sock") as child:
                alone, beside, ratio = await sharing(child, rounds, seconds)
            _say(
                f"{SMALL_STREAMS} small streams, {kind}: p99 {alone:.2f} ms alone, {beside:.2f} ms "
                f"beside 20 MB each way; ratio {ratio:.2f} over {rounds} rounds"
            )
        with child_server("fast", f"unix:{folder}/soak.sock") as child:
            megabytes, descriptors = await soak(child, soak_s)
        _say(f"soak of {soak_s:.0f} s, fast: MB {[round(m, 1) for m in megabytes]}")
        _say(f"descriptors {descriptors}")


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make wire-figures", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--soak-s", type=float, default=120.0)
    options = parser.parse_args()
    asyncio.run(report(options.rounds, options.seconds, options.soak_s))


if __name__ == "__main__":
    main()
