"""Each flood of HTTP/2 is refused within the bound that docs/wire.md states.

The server runs in a process of its own, so that its memory can be seen.  A bystander on
another connection asks all the time; a server that is busy with a flood would be late.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest

from gateway_extproc.wire.http2 import limits
from support import frames
from support.frames import (
    DEFAULT_WINDOW,
    WINDOW_MAX,
    Code,
    Kind,
    Setting,
    continuation,
    data,
    frame,
    headers,
    message,
    rst_stream,
    window_update,
)
from support.h2peer import H2Peer, RawPeer, h2_peer, raw_peer
from support.wires import Child, child_server

MEGABYTE = 1 << 20
CALM = Code.ENHANCE_YOUR_CALM
CHUNK = 25
LATE_S = 1.0
ROOM_BYTES = 24 * MEGABYTE
"""What a flood may add to the server's memory: buffers of one connection, and noise."""

PREFACE_S = 1.0
STALL_S = 2.0


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One server for all floods: it must outlive each of them."""
    address = f"unix:{tmp_path_factory.mktemp('floods')}/wire.sock"
    with child_server("fast", address, PREFACE_S=PREFACE_S, STALL_S=STALL_S) as child:
        yield child


class Bystander:
    """Another connection; keeps how long its slowest answer took."""

    def __init__(self, peer: H2Peer) -> None:
        self._peer = peer
        self.slowest_s = 0.0
        self.asked = 0

    async def ask(self) -> None:
        started = time.monotonic()
        stream = self._peer.request()
        payload = b"bystander %d" % self.asked
        await self._peer.send(stream, message(payload), end=True)
        answer = await self._peer.finish(stream)
        assert (answer.messages, answer.status) == ([payload], "0")
        del self._peer.answers[stream]
        self.slowest_s = max(self.slowest_s, time.monotonic() - started)
        self.asked += 1


@contextlib.asynccontextmanager
async def watched(child: Child, room_bytes: int = ROOM_BYTES) -> AsyncIterator[Bystander]:
    """A bystander; afterwards nothing was late, and memory has not grown."""
    async with h2_peer(child.address) as peer:
        bystander = Bystander(peer)
        for _ in range(20):
            await bystander.ask()
        before = child.rss_bytes
        yield bystander
        await bystander.ask()
        grown = child.rss_bytes - before
        print(
            f"{bystander.asked} answers beside it, slowest {bystander.slowest_s * 1000:.0f} ms; "
            f"{grown / MEGABYTE:+.1f} MB"
        )
        assert bystander.slowest_s < LATE_S
        assert grown < room_bytes


@dataclass
class Refused:
    """How a flood ended."""

    sent: int
    code: int | None
    elapsed_s: float


async def flood(
    peer: RawPeer, bystander: Bystander, unit: Callable[[int], bytes], most: int, chunk: int = CHUNK
) -> Refused:
    """Sends units until the server ends the connection; counts those that it took.

    Two answers to the bystander after each chunk: the server has then read the chunk.
    """
    started = time.monotonic()
    sent = 0
    while sent < most:
        await peer.send(*(unit(sent + number) for number in range(chunk)))
        sent += chunk
        await bystander.ask()
        await bystander.ask()
        ended, code = await peer.look()
        if ended:
            return Refused(sent, code, time.monotonic() - started)
    raise AssertionError(f"not refused after {sent}")


# --------------------------------------------------------- frames that carry no work

IDLE = message(b"wait")


def _stream(number: int) -> int:
    return 2 * number + 1


WORKLESS: dict[str, tuple[bytes, Callable[[int], bytes], int]] = {
    "ping": (b"", lambda n: frames.ping(struct.pack(">Q", n)), 1),
    "ping acknowledgements": (b"", lambda n: frames.ping(ack=True), 1),
    "settings": (b"", lambda n: frames.settings((Setting.HEADER_TABLE_SIZE, n)), 1),
    "initial windows": (
        b"", lambda n: frames.settings((Setting.INITIAL_WINDOW_SIZE, 65_535 + n % 2)), 2,
    ),
    "a message dribbled by the window": (
        frames.settings((Setting.INITIAL_WINDOW_SIZE, 0))
        + headers(1) + data(1, message(b"flood:1,100000")),
        lambda n: window_update(1, 1),
        1,
    ),
    "empty settings": (b"", lambda n: frames.settings(), 1),
    "settings acknowledgements": (b"", lambda n: frames.settings_ack(), 1),
    "priority": (b"", lambda n: frames.priority(_stream(n), 0), 1),
    "unknown frames": (b"", lambda n: frame(0xF0, n % 256, n, b"12345678"), 1),
    "large unknown frames": (b"", lambda n: frame(0xF0, 0, 0, bytes(16_384)), 1),
    "goaway": (b"", lambda n: frames.goaway(), 1),
    "window updates of 1": (b"", lambda n: window_update(0, 1), 1),
    "window updates of a stream": (headers(1), lambda n: window_update(1, 1), 1),
    "window updates of a stream that is over": (
        headers(1, end=True), lambda n: window_update(1, 1), 1,
    ),
    "empty data": (headers(1), lambda n: data(1, b""), 1),
    "padding alone": (headers(1), lambda n: data(1, b"", padding=0), 1),
    "data of streams that are over": (headers(1, end=True), lambda n: data(1, b"late"), 1),
    "resets of streams that are over": (headers(1, end=True), lambda n: rst_stream(1), 1),
    "rapid reset": (b"", lambda n: headers(_stream(n)) + rst_stream(_stream(n)), 1),
    "rapid reset of unfinished messages": (
        b"",
        lambda n: headers(_stream(n)) + data(_stream(n), b"\x00\x00") + rst_stream(_stream(n)),
        1,
    ),
    "made you reset, window updates of 0": (
        b"", lambda n: headers(_stream(n)) + window_update(_stream(n), 0), 2,
    ),
    "made you reset, window overflow": (
        b"", lambda n: headers(_stream(n)) + window_update(_stream(n), WINDOW_MAX), 2,
    ),
    "made you reset, data after the end": (
        b"",
        lambda n: headers(_stream(n), end=True) + data(_stream(n), b"x"),
        1,
    ),
    "made you reset, malformed headers": (
        b"", lambda n: headers(_stream(n), frames.request(("X", "y"))), 1,
    ),
    "made you reset, malformed headers of many fields": (
        b"",
        lambda n: headers(_stream(n), frames.block() + b"\x10\x01a\x00" * 313 + b"\x10\x01X\x00"),
        17,
    ),
    "headers of many fields": (
        b"", lambda n: headers(_stream(n), frames.block() + b"\x10\x01a\x00" * 314), 16,
    ),
    "made you reset, headers inside a body": (
        b"", lambda n: headers(_stream(n)) + headers(_stream(n), (("x", "y"),)), 1,
    ),
}  # fmt: skip
"""Name: what is sent first, one unit of the flood, and how much of the budget a unit costs."""


@pytest.mark.parametrize("name", WORKLESS)
async def test_frames_without_work_end_the_connection(child: Child, name: str) -> None:
    """A burst is borne, then so many a second; then GOAWAY with ENHANCE_YOUR_CALM."""
    opening, unit, cost = WORKLESS[name]
    async with watched(child) as bystander, raw_peer(child.address) as peer:
        await peer.send(opening)
        burst = limits.WORKLESS_BURST // cost
        refused = await flood(peer, bystander, unit, most=4 * burst)
        more = limits.WORKLESS_PER_S * refused.elapsed_s / cost
        print(f"{name}: {refused}")
        assert refused.code == CALM
        assert burst - CHUNK <= refused.sent <= burst + more + 2 * CHUNK


async def test_work_pays_for_what_it_needs(child: Child) -> None:
    """A busy peer may ping, reset and open windows as often as it sends messages."""
    async with watched(child) as bystander, raw_peer(child.address) as peer:
        await peer.send(window_update(0, 1 << 30))
        for number in range(3 * limits.WORKLESS_BURST):
            stream = _stream(number)
            await peer.send(
                headers(stream), data(stream, message(b"x" * 600)), window_update(stream, 1000)
            )
            if not number % 100:
                await bystander.ask()
                await peer.of(Kind.DATA, stream)
            await peer.send(rst_stream(stream))
        await peer.pings()


# ------------------------------------------------------------- other bounds, other errors


@pytest.mark.parametrize(
    ("name", "first", "unit", "most", "code"),
    [
        ("empty continuations", headers(1, b"", flags=0), continuation(1, b"", end=False),
         limits.CONTINUATIONS + 1, CALM),
        ("small continuations", headers(1, b"", flags=0), continuation(1, b"\x00", end=False),
         limits.CONTINUATIONS + 1, CALM),
        ("large continuations", headers(1, b"", flags=0),
         continuation(1, bytes(16_384), end=False), 2, CALM),
        ("window update of 0", b"", window_update(0, 0), 1, Code.PROTOCOL_ERROR),
        ("window overflow", b"", window_update(0, WINDOW_MAX), 1, Code.FLOW_CONTROL_ERROR),
        ("window of all streams", headers(1) + window_update(1, WINDOW_MAX - DEFAULT_WINDOW),
         frames.settings((Setting.INITIAL_WINDOW_SIZE, DEFAULT_WINDOW + 1)), 1,
         Code.FLOW_CONTROL_ERROR),
    ],
)  # fmt: skip
async def test_a_bound_of_its_own_ends_the_connection(
    child: Child, name: str, first: bytes, unit: bytes, most: int, code: Code
) -> None:
    async with watched(child) as bystander, raw_peer(child.address) as peer:
        await peer.send(first)
        await bystander.ask()
        refused = await flood(peer, bystander, lambda n: unit, most=most + 1, chunk=1)
        assert (refused.sent, refused.code) == (most, code), name


async def test_a_header_bomb_is_refused(child: Child) -> None:
    """One large field in the table that is named again and again, before our SETTINGS count."""
    bomb = b"\x40\x01x" + b"\x7f\x81\x1e" + b"y" * 4000 + b"\xbe" * 8000
    async with watched(child) as bystander, raw_peer(child.address) as peer:
        await peer.send(headers(1, bomb))
        await bystander.ask()
        assert await peer.ended() == CALM


async def test_header_blocks_of_many_fields_are_refused(child: Child) -> None:
    """Each field counts 32 bytes more than it has (RFC 9113, section 10.5.1)."""
    block = frames.block() + b"\x10\x01a\x00" * 2000
    async with watched(child) as bystander, raw_peer(child.address) as peer:
        await peer.send(headers(1, block))
        await bystander.ask()
        assert await peer.ended() == CALM


async def test_streams_that_are_reset_after_their_message_hold_nothing(child: Child) -> None:
    """Such resets are paid for; what is bounded is what they leave behind."""
    async with watched(child) as bystander, raw_peer(child.address) as peer:
        for at in range(0, 20_000, 50):
            await peer.send(
                *(
                    headers(_stream(n)) + data(_stream(n), IDLE) + rst_stream(_stream(n))
                    for n in range(at, at + 50)
                )
            )
            await bystander.ask()
            await peer.look()
        await peer.pings()


# ----------------------------------------------------------------- peers that do not read


async def test_a_peer_that_opens_streams_and_never_reads_is_cut(child: Child) -> None:
    """Windows wide open, socket full: each handler holds one message, then the peer is cut."""
    streams, size = 500, 20_000
    most = streams * (size + 8_192) + ROOM_BYTES
    async with watched(child, most) as bystander:
        writer = await _deaf(child)
        asks = data(1, message(b"flood:100000,%d" % size))
        writer.write(
            frames.PREFACE
            + frames.settings((Setting.INITIAL_WINDOW_SIZE, WINDOW_MAX))
            + window_update(0, WINDOW_MAX - DEFAULT_WINDOW)
            + b"".join(
                headers(_stream(n)) + asks[:5] + struct.pack(">I", _stream(n)) + asks[9:]
                for n in range(streams)
            )
        )
        started = time.monotonic()
        while not await _closed(writer):
            await bystander.ask()
            await asyncio.sleep(0.01)
            assert time.monotonic() - started < 5 * STALL_S, "it was not cut"
        assert time.monotonic() - started > STALL_S / 2


async def test_a_peer_that_opens_no_window_loses_its_streams(child: Child) -> None:
    async with watched(child) as bystander:
        pairs = (Setting.INITIAL_WINDOW_SIZE, 0)
        async with raw_peer(child.address, pairs) as peer:
            for number in range(200):
                await peer.send(headers(_stream(number)), data(_stream(number), message(b"x")))
            resets: set[int] = set()
            started = time.monotonic()
            while len(resets) < 200:
                await bystander.ask()
                got = await peer.of(Kind.RST_STREAM)
                resets.add(got.stream)
            assert time.monotonic() - started > STALL_S / 2


async def test_answers_that_nobody_reads_are_bounded(child: Child) -> None:
    """Pings that work pays for, but whose answers pile up."""
    async with watched(child) as bystander:
        writer = await _deaf(child)
        writer.write(frames.PREFACE + frames.settings() + headers(1))
        unit = data(1, message(bytes(1100))) + frames.ping() + frames.ping()
        started = time.monotonic()
        sent = 0
        while not await _closed(writer):
            if writer.transport.get_write_buffer_size() < 1 << 16:
                writer.write(unit * 100)
                sent += 100
            await bystander.ask()
            assert time.monotonic() - started < 5 * STALL_S, f"not cut after {sent}"
        print(f"cut after {sent}")


UNKNOWN = tuple((n, "/no.such/Method" if n == ":path" else v) for n, v in frames.REQUEST)


async def test_statuses_that_nobody_reads_are_bounded(child: Child) -> None:
    """Requests that need no handler: each is answered at once, and no window bounds that."""
    async with watched(child) as bystander:
        writer = await _deaf(child)
        writer.write(frames.PREFACE + frames.settings())
        started = time.monotonic()
        number = 0
        while not await _closed(writer):
            if writer.transport.get_write_buffer_size() < 1 << 16:
                requests = [
                    headers(_stream(number + more), UNKNOWN, end=True) for more in range(100)
                ]
                writer.write(b"".join(requests))
                number += 100
            await bystander.ask()
            assert time.monotonic() - started < 5 * STALL_S, f"not cut after {number}"
        print(f"cut after {number}")


async def _deaf(child: Child) -> asyncio.StreamWriter:
    """A connection from which nothing is read."""
    path = child.address.removeprefix("unix:")
    _, writer = await asyncio.open_unix_connection(path)
    transport = writer.transport
    assert isinstance(transport, asyncio.ReadTransport)
    transport.pause_reading()
    return writer


async def _closed(writer: asyncio.StreamWriter) -> bool:
    """Whether the other side is gone; an empty ping finds out."""
    if writer.transport.is_closing():
        return True
    writer.write(frame(0xFA, 0, 0, b"x"))
    await asyncio.sleep(0.005)
    return writer.transport.is_closing()


# ---------------------------------------------------------------- peers that do not speak


async def test_connections_that_never_speak_are_cut(child: Child) -> None:
    """As many as are taken at a time, and more; a new peer is served after they are gone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    path = child.address.removeprefix("unix:")
    halves = [b"", frames.PREFACE[:10], frames.PREFACE, frames.PREFACE + b"\x00\x00\x00\x04"]
    async with watched(child, 80 * MEGABYTE) as bystander:
        held = []
        for number in range(800):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(halves[number % len(halves)])
            held.append((reader, writer))
            if not number % 50:
                await bystander.ask()
        started = time.monotonic()
        for reader, writer in held:
            # Not connected any more, for one that was cut before it wrote its half.
            with contextlib.suppress(OSError):
                await asyncio.wait_for(reader.read(), 5 * PREFACE_S)
            writer.close()
        assert time.monotonic() - started < 3 * PREFACE_S
        async with raw_peer(child.address) as peer:
            await peer.pings()


async def test_a_frame_that_never_ends_is_no_harm(child: Child) -> None:
    async with watched(child) as bystander:
        held = []
        for _ in range(100):
            peer = await RawPeer.open(child.address)
            await peer.send(headers(1), frame(Kind.DATA, 0, 1, bytes(100), length=16_000))
            held.append(peer)
            await bystander.ask()
        for peer in held:
            await peer.close()


# ------------------------------------------------------------------ messages nobody reads


async def test_unread_small_messages_are_bounded(child: Child) -> None:
    """Handlers that do not read, a peer that fills every stream's window with small messages."""
    small = message(bytes(11)) * 1024
    most = limits.HELD_BYTES + 64 * MEGABYTE
    async with watched(child, most) as bystander, raw_peer(child.address) as peer:
        for number in range(1000):
            stream = _stream(number)
            await peer.send(headers(stream), data(stream, IDLE))
            for _ in range(60):
                await peer.send(data(stream, small[:16_384]))
            if not number % 20:
                await bystander.ask()
                ended, _ = await peer.look()
                if ended:
                    break
        print(f"{number + 1} streams, at most {child.peak_bytes / MEGABYTE:.0f} MB")
        assert child.peak_bytes < most
