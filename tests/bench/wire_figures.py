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
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

import grpc
import uvloop

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
LARGE: Final = frames.message(bytes(20 * MB))
SMALL: Final = frames.message(bytes(KB))
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


class Mux(asyncio.Protocol):
    """One connection with many streams, in so little Python that it is not what is measured.

    grpcio as the client would do, but it copies 20 MB at a time while nothing else runs.
    """

    def __init__(self) -> None:
        self.connected = asyncio.get_running_loop().create_future()
        self._data = b""
        self._window = frames.DEFAULT_WINDOW
        self._initial = frames.DEFAULT_WINDOW
        self._windows: dict[int, int] = {}
        self._expected: dict[int, int] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._unsent: dict[int, memoryview] = {}
        self._last = -1
        self._owed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        wide = frames.settings((frames.Setting.INITIAL_WINDOW_SIZE, frames.WINDOW_MAX))
        more = frames.window_update(0, frames.WINDOW_MAX - frames.DEFAULT_WINDOW)
        self._transport.write(frames.PREFACE + wide + more)

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        at = 0
        while len(data) - at >= 9:
            end = at + 9 + int.from_bytes(data[at : at + 3], "big")
            if end > len(data):
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            self._take(data[at + 3], data[at + 4], stream, data[at + 9 : end])
            at = end
        self._data = data[at:]
        self._send()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == frames.Kind.DATA:
            self._expected[stream] -= len(payload)
            self._owed += len(payload)
            if self._owed > 64 * MB:
                self._transport.write(frames.window_update(0, self._owed))
                self._owed = 0
            if self._expected[stream] == 0:
                self._waiting.pop(stream).set_result(None)
        elif kind == frames.Kind.WINDOW_UPDATE and stream:
            self._windows[stream] += int.from_bytes(payload, "big")
        elif kind == frames.Kind.WINDOW_UPDATE:
            self._window += int.from_bytes(payload, "big")
        elif kind == frames.Kind.SETTINGS and not flags & frames.ACK:
            values = dict(struct.iter_unpack(">HI", payload))
            self._initial = values.get(frames.Setting.INITIAL_WINDOW_SIZE, self._initial)
            self._transport.write(frames.settings_ack())
            if not self.connected.done():
                self.connected.set_result(None)
        elif kind == frames.Kind.PING and not flags & frames.ACK:
            self._transport.write(frames.ping(payload, ack=True))
        elif kind in (frames.Kind.RST_STREAM, frames.Kind.GOAWAY):
            raise AssertionError(f"the server ended stream {stream}")

    def open(self) -> int:
        self._last += 2
        self._windows[self._last] = self._initial
        self._transport.write(frames.headers(self._last))
        return self._last

    async def echo(self, stream: int, message: bytes) -> None:
        """Sends a message, prefix included, between the others, and waits for its echo."""
        self._expected[stream] = len(message)
        done = self._waiting[stream] = asyncio.get_running_loop().create_future()
        self._unsent[stream] = memoryview(message)
        self._send()
        await done

    def _send(self) -> None:
        for stream, unsent in tuple(self._unsent.items()):
            for _ in range(4):
                size = min(len(unsent), frames.FRAME_BYTES, self._window, self._windows[stream])
                if size <= 0 or self._transport.get_write_buffer_size() > MB // 4:
                    break
                head = frames.frame(frames.Kind.DATA, 0, stream, length=size)
                self._transport.write(b"".join((head, unsent[:size])))
                self._window -= size
                self._windows[stream] -= size
                unsent = unsent[size:]
            self._unsent[stream] = unsent
            if not unsent:
                del self._unsent[stream]
        if self._unsent:
            asyncio.get_running_loop().call_later(0.0005, self._send)

    def close(self) -> None:
        self._transport.close()


async def small_p99_ms(mux: Mux, streams: list[int], seconds: float) -> float:
    """How long a small message takes there and back, on 200 streams that talk at leisure."""
    took: list[float] = []
    ends = time.monotonic() + seconds

    async def talk(number: int, stream: int) -> None:
        await asyncio.sleep(PAUSE_S * number / len(streams))
        while time.monotonic() < ends:
            started = time.perf_counter()
            await mux.echo(stream, SMALL)
            took.append(time.perf_counter() - started)
            await asyncio.sleep(PAUSE_S)

    await asyncio.gather(*(talk(number, stream) for number, stream in enumerate(streams)))
    return percentile(took, 0.99) * 1000


@dataclass(frozen=True, slots=True)
class Sharing:
    """Medians over the rounds, in milliseconds; ``passed`` counts the large messages.

    ``client_late`` is how late the client's own loop was beside them (p99): what it adds
    to ``beside`` is not the server's.
    """

    alone: float
    beside: float
    ratio: float
    passed: int
    client_late: float


async def sharing(child: Child, rounds: int, seconds: float) -> Sharing:
    """Small messages alone, and beside as many large ones as both sides can carry."""
    alone, beside, late = [], [], list[float]()
    passed = 0
    loop = asyncio.get_running_loop()
    path = child.address.removeprefix("unix:")
    _, mux = await loop.create_unix_connection(Mux, path)
    await mux.connected
    streams = [mux.open() for _ in range(SMALL_STREAMS)]
    await small_p99_ms(mux, streams, 0.5)

    async def carry() -> None:
        nonlocal passed
        stream = mux.open()
        # The server's handler looks at a stream's first message.
        await mux.echo(stream, SMALL)
        while not stopping:
            # The echo of a message begins when all of it came: with two of them, one is
            # always on its way there and one on its way back.
            await mux.echo(stream, LARGE)
            passed += 1

    async def watch() -> None:
        while True:
            due = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - due)

    for _ in range(rounds):
        alone.append(await small_p99_ms(mux, streams, seconds))
        stopping = False
        carrying = [asyncio.create_task(carry()) for _ in range(2)]
        watching = asyncio.create_task(watch())
        beside.append(await small_p99_ms(mux, streams, seconds))
        stopping = True
        watching.cancel()
        await asyncio.gather(*carrying)
    mux.close()
    assert passed >= rounds, "no large message passed"
    ratios = [b / a for a, b in zip(alone, beside, strict=True)]
    return Sharing(
        statistics.median(alone),
        statistics.median(beside),
        statistics.median(ratios),
        passed,
        percentile(late, 0.99) * 1000,
    )


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
                shared = await sharing(child, rounds, seconds)
            _say(
                f"{SMALL_STREAMS} small streams, {kind}: p99 {shared.alone:.2f} ms alone, "
                f"{shared.beside:.2f} ms beside 20 MB each way ({shared.passed} of them); ratio "
                f"{shared.ratio:.2f} over {rounds} rounds; the client itself was "
                f"{shared.client_late:.2f} ms late"
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
    uvloop.run(report(options.rounds, options.seconds, options.soak_s))


if __name__ == "__main__":
    main()
