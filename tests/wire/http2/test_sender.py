"""What leaves, in which order, and what happens while the peer reads nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway_extproc.wire.http2 import frames
from gateway_extproc.wire.http2.frames import HEAD, HEAD_BYTES, ErrorCode
from gateway_extproc.wire.http2.headers import RESPONSE, trailers
from gateway_extproc.wire.http2.limits import BACKLOG_BYTES, PIECE_BYTES, TURN_BYTES
from gateway_extproc.wire.http2.patience import Patience
from gateway_extproc.wire.http2.sender import Sender
from gateway_extproc.wire.http2.stream import Http2Stream
from gateway_extproc.wire.stream import Status


class Transport:
    """Takes everything, and remembers what came in one write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def frames(self) -> list[tuple[int, int, bytes]]:
        """(type, stream, payload) of all that was written."""
        data, found = b"".join(self.writes), []
        while data:
            high, low, kind, _, stream_id = HEAD.unpack_from(data)
            end = HEAD_BYTES + (high << 8 | low)
            found.append((kind, stream_id, data[HEAD_BYTES:end]))
            data = data[end:]
        return found

    def payload_of(self, stream_id: int) -> bytes:
        return b"".join(p for kind, s, p in self.frames() if (kind, s) == (frames.DATA, stream_id))


class Bench:
    def __init__(self) -> None:
        self.transport = Transport()
        self.given_up: list[str] = []
        transport: Any = self.transport
        self.sender = Sender(transport, Patience(lambda: 0.0), self.given_up.append)
        self.sender.window = self.sender.stream_window = 1 << 30

    def stream(self, stream_id: int) -> Http2Stream:
        streams: Any = None
        return Http2Stream(streams, stream_id, self.sender.stream_window)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def framed(message: bytes) -> bytes:
    return b"\x00" + len(message).to_bytes(4, "big") + message


async def turns(count: int = 1) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_frames_of_one_turn_leave_in_one_write(bench: Bench) -> None:
    for number in (1, 3, 5):
        assert bench.sender.message(bench.stream(number), b"answer")
    bench.sender.control(frames.frame(frames.PING, frames.ACK, 0, bytes(8)))
    bench.sender.end(bench.stream(1), trailers(Status.OK, ""))
    assert not bench.transport.writes
    await turns()
    [written] = bench.transport.writes
    assert [kind for kind, *_ in bench.transport.frames()] == [1, 0, 1, 0, 1, 0, 6, 1]
    assert written.count(RESPONSE) == 3


async def test_a_large_message_leaves_in_pieces_between_the_others(bench: Bench) -> None:
    large, small = bench.stream(1), bench.stream(3)
    message = bytes(range(256)) * 4096
    assert not bench.sender.message(large, message)
    await turns()
    assert len(bench.transport.payload_of(1)) == TURN_BYTES
    assert bench.sender.message(small, b"meanwhile")
    await turns(2 * len(message) // TURN_BYTES)
    assert large.unsent is None
    assert bench.transport.payload_of(1) == framed(message)
    assert bench.transport.payload_of(3) == framed(b"meanwhile")
    order = [stream_id for _, stream_id, _ in bench.transport.frames()]
    assert order.index(3) < len(order) - 1 - order[::-1].index(1)


async def test_two_large_messages_take_turns(bench: Bench) -> None:
    one, two = bench.stream(1), bench.stream(3)
    for stream in (one, two):
        assert not bench.sender.message(stream, bytes(TURN_BYTES))
    await turns()
    sizes = {n: len(bench.transport.payload_of(n)) for n in (1, 3)}
    assert sizes == {1: TURN_BYTES // 2, 3: TURN_BYTES // 2}


async def test_frames_are_as_large_as_the_peer_takes(bench: Bench) -> None:
    bench.sender.frame_bytes = PIECE_BYTES
    assert not bench.sender.message(bench.stream(1), bytes(3 * PIECE_BYTES))
    await turns()
    sizes = [len(payload) for kind, _, payload in bench.transport.frames() if kind == 0]
    assert sizes == [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 5]


async def test_windows_are_kept_to_the_byte(bench: Bench) -> None:
    stream = bench.stream(1)
    stream.window, bench.sender.window = 7, 100
    assert not bench.sender.message(stream, b"0123456789")
    await turns()
    assert bench.transport.payload_of(1) == framed(b"0123456789")[:7]
    assert stream.parked
    bench.sender.grow_stream(stream, 1)
    await turns()
    assert bench.transport.payload_of(1) == framed(b"0123456789")[:8]
    bench.sender.grow_stream(stream, 1000)
    await turns()
    assert bench.transport.payload_of(1) == framed(b"0123456789")
    assert bench.sender.window == 100 - 15


async def test_nothing_is_sent_on_an_empty_connection_window(bench: Bench) -> None:
    bench.sender.window = 0
    assert not bench.sender.message(bench.stream(1), b"later")
    await turns(3)
    assert bench.transport.payload_of(1) == b""
    bench.sender.grow(5 + 5)
    await turns()
    assert bench.transport.payload_of(1) == framed(b"later")


async def test_while_the_transport_is_full_messages_wait(bench: Bench) -> None:
    stream = bench.stream(1)
    bench.sender.pause()
    assert not bench.sender.message(stream, b"wait")
    await turns(3)
    assert bench.transport.payload_of(1) == b""
    bench.sender.resume()
    await turns()
    assert bench.transport.payload_of(1) == framed(b"wait")
    assert not bench.given_up


@pytest.mark.parametrize("what", ["acknowledgements", "statuses", "resets"])
async def test_what_nobody_reads_is_bounded(bench: Bench, what: str) -> None:
    bench.sender.pause()
    queued = 0
    while not bench.given_up:
        if what == "acknowledgements":
            bench.sender.control(frames.frame(frames.SETTINGS, frames.ACK, 0))
        elif what == "resets":
            bench.sender.reset(1, ErrorCode.CANCEL)
        else:
            bench.sender.end(bench.stream(1), trailers(Status.UNIMPLEMENTED, "unknown method"))
        queued += HEAD_BYTES
        assert queued <= BACKLOG_BYTES + 1000
    bench.sender.stop()


async def test_after_the_end_nothing_is_kept(bench: Bench) -> None:
    bench.sender.stop()
    bench.sender.control(b"late")
    await turns()
    assert not bench.transport.writes
