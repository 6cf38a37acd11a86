"""Sizes and windows: everything arrives whole, and a slow peer holds up only itself."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from gateway_extproc.wire.http2 import stream as http2_stream
from gateway_extproc.wire.options import MESSAGE_BYTES, PROCESS_SERVICE
from support import envoy, frames
from support.frames import DEFAULT_WINDOW, Code, Kind, Setting
from support.h2peer import H2Peer, h2_peer, raw_peer
from wire.conftest import FAST, Wired

LARGE = 20_000_000
RESOURCE_EXHAUSTED = "8"


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes in which a piece that was lost, doubled or moved shows."""
    words = (
        b"%08x" % ((number * 2_654_435_761 + seed) & 0xFFFFFFFF) for number in range(size // 8)
    )
    return b"".join(words) + b"." * (size % 8)


async def echo(peer: H2Peer, payload: bytes, timeout_s: float = 60.0) -> bytes:
    """A message to the server and back, on its own stream."""
    stream = peer.request()
    sending = asyncio.create_task(peer.send(stream, frames.message(payload), end=True))
    answer = await peer.finish(stream, timeout_s)
    await sending
    assert answer.status == "0"
    [message] = answer.messages
    return message


async def test_20_megabytes_pass_each_way_at_once(wired: Wired) -> None:
    """Both streams on one connection, through the default window of 65,535 bytes."""
    async with h2_peer(wired.address) as peer:
        payloads = [pattern(LARGE, seed) for seed in range(2)]
        assert await asyncio.gather(*(echo(peer, payload) for payload in payloads)) == payloads


@pytest.mark.parametrize("window", [1, 7, 1000])
async def test_a_window_of_a_few_bytes_only_slows_down(wired: Wired, window: int) -> None:
    async with h2_peer(wired.address, pairs={Setting.INITIAL_WINDOW_SIZE: window}) as peer:
        payload = pattern(window * 300)
        assert await echo(peer, payload) == payload


async def test_20_megabytes_pass_through_grpcio_with_small_windows(wired: Wired) -> None:
    options = [
        ("grpc.http2.lookahead_bytes", 16_384),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.max_frame_size", 16_384),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ]
    async with grpc.aio.insecure_channel(wired.address, options=options) as channel:
        payload = pattern(LARGE)
        call = channel.stream_stream(f"/{PROCESS_SERVICE}/Process")()
        await call.write(payload)
        assert await call.read() == payload
        call.cancel()


async def test_larger_frames_are_used_only_when_allowed(wired: Wired) -> None:
    """RFC 9113, 4.2; ``h2`` refuses a frame above what it announced."""
    payload = pattern(1_000_000)
    for size in (frames.FRAME_BYTES, 100_000):
        async with h2_peer(wired.address, pairs={Setting.MAX_FRAME_SIZE: size}) as peer:
            assert await echo(peer, payload) == payload


async def test_the_largest_message_passes_and_one_byte_more_does_not(wired: Wired) -> None:
    async with h2_peer(wired.address) as peer:
        stream = peer.request()
        await peer.send(stream, frames.message(b"collect"))
        await peer.send(stream, frames.message(bytes(MESSAGE_BYTES)), end=True)
        answer = await peer.finish(stream, 60)
        assert answer.messages == [b"%d" % MESSAGE_BYTES]
        stream = peer.request()
        # Refused at its prefix: a peer cannot make us hold what we will not take.
        await peer.send(stream, frames.message(b"", length=MESSAGE_BYTES + 1))
        await peer.send(stream, bytes(1000))
        answer = await peer.finish(stream)
        assert (answer.messages, answer.status) == ([], RESOURCE_EXHAUSTED)
        assert await echo(peer, b"the next") == b"the next"


async def test_the_length_of_a_message_reserves_no_memory(wired: Wired) -> None:
    """A prefix may promise 64 MB on a thousand streams and send none of it."""
    async with h2_peer(wired.address) as peer:
        streams = [peer.request() for _ in range(90)]
        for stream in streams:
            await peer.send(stream, frames.message(b"", length=MESSAGE_BYTES))
        assert await echo(peer, b"the next") == b"the next"


async def test_settings_in_mid_stream_change_every_window(wired: Wired) -> None:
    """RFC 9113, 6.9.2: windows may go below zero, and grow again."""
    async with h2_peer(wired.address, acknowledge=False) as peer:
        first, second = peer.request(), peer.request()
        for stream in (first, second):
            await peer.send(stream, frames.message(b"flood:1,30000"))
        await peer.until(
            lambda: all(len(peer.answers[s].payload) == 30_005 for s in (first, second))
        )
        # 35,530 are left of each stream's window; 5,525 of the connection's.
        peer.set(Setting.INITIAL_WINDOW_SIZE, 100)
        third = peer.request()
        await peer.send(third, frames.message(b"flood:1,3000"))
        await peer.until(lambda: len(peer.answers[third].payload) == 100)
        await asyncio.sleep(0.05)
        assert len(peer.answers[third].payload) == 100
        peer.set(Setting.INITIAL_WINDOW_SIZE, 5_000)
        answer = await peer.finish(third)
        assert answer.messages == [bytes(3000)]


async def test_a_stream_below_zero_waits_until_it_is_above(wired: Wired) -> None:
    async with h2_peer(wired.address, acknowledge=False) as peer:
        stream = peer.request()
        await peer.send(stream, frames.message(b"flood:2,40000"))
        answer = peer.answers[stream]
        await peer.until(lambda: len(answer.payload) == DEFAULT_WINDOW)
        peer.set(Setting.INITIAL_WINDOW_SIZE, 0)
        await asyncio.sleep(0.02)
        # The stream stands at -65,535; this brings it to -1,000, which is not enough.
        peer.h2.increment_flow_control_window(1 << 20)
        peer.h2.increment_flow_control_window(DEFAULT_WINDOW - 1_000, stream)
        peer.flush()
        await asyncio.sleep(0.05)
        assert len(answer.payload) == DEFAULT_WINDOW
        peer.h2.increment_flow_control_window(1_001, stream)
        peer.flush()
        await peer.until(lambda: len(answer.payload) == DEFAULT_WINDOW + 1)
        peer.set(Setting.INITIAL_WINDOW_SIZE, 100_000)
        assert (await peer.finish(stream)).messages == [bytes(40_000)] * 2


async def test_a_slow_reader_suspends_its_writer_and_nobody_else(wired: Wired) -> None:
    async with h2_peer(wired.address, acknowledge=False) as slow:
        stuck = [slow.request() for _ in range(5)]
        for stream in stuck:
            await slow.send(stream, frames.message(b"flood:1000,10000"))
        await slow.until(lambda: sum(len(slow.answers[s].payload) for s in stuck) == DEFAULT_WINDOW)
        async with h2_peer(wired.address) as quick:
            started = time.monotonic()
            for number in range(50):
                assert await echo(quick, b"%d" % number) == b"%d" % number
            assert time.monotonic() - started < 5
        # A writer runs ahead of its peer by a bounded number of messages.
        assert wired.puppet.running == len(stuck)
        assert wired.puppet.written < len(stuck) * 200
    await envoy.until(lambda: wired.puppet.running == 0)


async def test_a_peer_that_reads_nothing_from_its_socket_holds_up_nobody(wired: Wired) -> None:
    """Windows wide open, socket full: the other half of the same promise."""
    pairs: dict[int, int] = {Setting.INITIAL_WINDOW_SIZE: frames.WINDOW_MAX}
    async with h2_peer(wired.address, pairs=pairs) as slow:
        slow.h2.increment_flow_control_window(frames.WINDOW_MAX - DEFAULT_WINDOW)
        slow.flush()
        slow.pause()
        for _ in range(5):
            stream = slow.request()
            await slow.send(stream, frames.message(b"flood:1000,10000"))
        async with h2_peer(wired.address) as quick:
            for number in range(50):
                assert await echo(quick, b"%d" % number) == b"%d" % number
        await asyncio.sleep(0.2)
        assert wired.puppet.running == 5
        assert wired.puppet.written < 4_000
        slow.resume()
        for stream in list(slow.answers):
            assert len((await slow.finish(stream, 30)).payload) == 1000 * 10_005


async def test_a_small_stream_passes_beside_a_large_one(wired: Wired) -> None:
    async with h2_peer(wired.address) as peer:
        payload = pattern(LARGE)
        large = asyncio.create_task(echo(peer, payload))
        small = 0
        while not large.done():
            assert await echo(peer, b"small") == b"small"
            small += 1
        assert await large == payload
        assert small > 10


async def test_a_hundred_streams_at_once_keep_their_messages(wired: Wired) -> None:
    async with h2_peer(wired.address) as peer:
        payloads = [pattern(3_000, seed) for seed in range(100)]
        streams = [peer.request() for _ in payloads]
        for at in range(0, 3_000, 500):
            for stream, payload in zip(streams, payloads, strict=True):
                await peer.send(stream, frames.message(payload[at : at + 500]))
        for stream in reversed(streams):
            peer.end(stream)
        for stream, payload in zip(streams, payloads, strict=True):
            answer = await peer.finish(stream)
            assert answer.messages == [payload[at : at + 500] for at in range(0, 3_000, 500)]
            assert answer.status == "0"
    assert wired.puppet.ends == {"returned": 100}


async def test_the_window_is_given_back_as_data_arrives(wired: Wired) -> None:
    """A handler that reads late holds up its own stream, not the connection's others."""
    async with h2_peer(wired.address) as peer:
        late = peer.request()
        await peer.send(late, frames.message(b"wait"))
        assert await peer.message(late, 0) == b"waiting"
        sending = asyncio.create_task(peer.send(late, frames.message(bytes(10_000_000)), end=True))
        for number in range(20):
            payload = pattern(300_000, number)
            assert await echo(peer, payload) == payload
        wired.puppet.gate.set()
        answer = await peer.finish(late, 60)
        await sending
        assert [len(m) for m in answer.messages] == [len(b"waiting"), 10_000_000]


@FAST
async def test_a_message_that_is_taken_too_slowly_costs_its_stream(
    wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the peer takes a byte now and then: a handler is not held for ever."""
    monkeypatch.setattr(http2_stream, "STALL_S", 0.5)
    async with raw_peer(wired.address, (Setting.INITIAL_WINDOW_SIZE, 0)) as peer:
        await peer.send(frames.headers(1), frames.data(1, frames.message(b"flood:1,1000")))
        started = time.monotonic()
        while (got := await peer.next()) is not None and got.kind != Kind.RST_STREAM:
            if got.stream == 1:
                await asyncio.sleep(0.05)
                await peer.send(frames.window_update(1, 1))
        assert got is not None
        assert got.code == Code.CANCEL
        assert 0.4 < time.monotonic() - started < 3
        await peer.pings()
