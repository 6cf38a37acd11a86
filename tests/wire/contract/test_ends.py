"""Streams that end early: whoever ends one, it is closed once, and its slot is free."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from gateway_extproc.wire.http2 import limits
from gateway_extproc.wire.options import PROCESS_SERVICE
from support import bodies, envoy, frames
from support.config import ANN
from support.frames import Code, Kind
from support.h2peer import h2_peer, raw_peer
from wire.conftest import FAST, Served, Wired

WHOLE = (
    envoy.request_headers(ANN),
    envoy.request_body(bodies.chat(stream=True)),
    envoy.response_headers(kind="text/event-stream"),
    envoy.response_body(bodies.completion_event("Hello"), end=False),
)


async def closed_once(served: Served, count: int = 1) -> None:
    """As many records as streams, and not one more a moment later."""
    await envoy.until(lambda: len(served.records) >= count)
    await envoy.until(lambda: served.bench.parts.load.in_flight == 0)
    await asyncio.sleep(0.02)
    assert len(served.records) == count
    assert len({exchange.decision_id for exchange in served.records}) == count


@pytest.mark.parametrize("count", range(len(WHOLE) + 1))
@pytest.mark.parametrize("answered", [True, False])
async def test_a_cancelled_stream_is_closed_once(
    served: Served, count: int, answered: bool
) -> None:
    """At each point: after the answer, or while it may be on its way."""
    stream = served.stream()
    for message in WHOLE[:count]:
        await stream.send(message)
        if answered:
            await stream.read()
    stream.cancel()
    if answered and count:
        await closed_once(served)
    await envoy.until(lambda: served.bench.parts.load.in_flight == 0)
    await still_serves(served)


async def still_serves(served: Served) -> None:
    before = len(served.records)
    stream = served.stream()
    assert (await stream.ask(WHOLE[0])).WhichOneof("response") == "request_headers"
    await stream.half_close()
    assert await stream.read() is None
    await envoy.until(lambda: len(served.records) > before)


@pytest.mark.parametrize("count", range(1, len(WHOLE) + 1))
async def test_a_reset_after_half_close_is_closed_once(served: Served, count: int) -> None:
    async with h2_peer(served.address) as peer:
        stream = peer.request()
        for message in WHOLE[:count]:
            await peer.send(stream, frames.message(message))
        peer.end(stream)
        peer.reset(stream)
        await envoy.until(lambda: served.bench.parts.load.in_flight == 0)
        # The messages may have been read before the reset came, or not.
        assert len(served.records) <= 1
        await still_serves(served)


@pytest.mark.parametrize("count", range(1, len(WHOLE) + 1))
async def test_a_peer_that_vanishes_is_closed_once(served: Served, count: int) -> None:
    async with h2_peer(served.address) as peer:
        streams = [peer.request() for _ in range(3)]
        for stream in streams:
            for number, message in enumerate(WHOLE[:count]):
                await peer.send(stream, frames.message(message))
                await peer.message(stream, number)
        assert served.bench.parts.load.in_flight == len(streams)
    await closed_once(served, len(streams))
    await still_serves(served)


@pytest.mark.parametrize("cut", [1, 5, 9, 40])
async def test_a_peer_that_vanishes_inside_a_message_is_closed_once(
    served: Served, cut: int
) -> None:
    async with h2_peer(served.address) as peer:
        stream = peer.request()
        await peer.send(stream, frames.message(WHOLE[0]))
        await peer.message(stream, 0)
        await peer.send(stream, frames.message(WHOLE[1])[:cut])
    await closed_once(served)


@FAST
async def test_a_stream_that_ends_inside_a_message_is_an_error(wired: Wired) -> None:
    """grpcio ends such a stream as if the cut message had never begun."""
    async with h2_peer(wired.address) as peer:
        for cut in (1, 4, 5, 9):
            stream = peer.request()
            await peer.send(stream, frames.message(b"hello")[:cut], end=True)
            answer = await peer.finish(stream)
            assert (answer.messages, answer.status) == ([], "13")


async def test_a_handler_that_leaves_first_ends_the_stream_well(wired: Wired) -> None:
    """Status 0 while the peer's half is open; the peer may go on as if it had not seen it."""
    async with h2_peer(wired.address) as peer:
        stream = peer.request()
        await peer.send(stream, frames.message(b"return:bye"))
        answer = await peer.finish(stream)
        assert (answer.messages, answer.status) == ([b"bye"], "0")
        await peer.until(lambda: answer.reset is not None or answer.ended)
        assert answer.reset in (None, Code.NO_ERROR)
        other = peer.request()
        await peer.send(other, frames.message(b"still here?"), end=True)
        assert (await peer.finish(other)).messages == [b"still here?"]


@pytest.mark.parametrize("answers", [0, 1, 3])
async def test_a_handler_that_raises_tells_nothing_of_it(
    wired: Wired, answers: int, caplog: pytest.LogCaptureFixture
) -> None:
    call = wired.channel.stream_stream(f"/{PROCESS_SERVICE}/Process")()
    await call.write(b"raise:%d" % answers)
    for _ in range(answers):
        assert await call.read() == b"an answer"
    assert await call.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    assert "planted" not in await call.details()
    await envoy.until(lambda: wired.puppet.ends["raised"] == 1)
    assert "planted-4711" in caplog.text
    async with h2_peer(wired.address) as peer:
        stream = peer.request()
        await peer.send(stream, frames.message(b"still here?"), end=True)
        assert (await peer.finish(stream)).messages == [b"still here?"]


async def test_the_words_of_an_abort_arrive_as_they_are(wired: Wired) -> None:
    """grpc-message is percent-encoded on the way (gRPC over HTTP/2, Responses)."""
    text = "100 % of «späti», \r\nnewline, \x00 and a 🦓"
    call = wired.channel.stream_stream(f"/{PROCESS_SERVICE}/Process")()
    await call.write(b"abort:" + text.encode())
    assert await call.code() == grpc.StatusCode.INTERNAL
    assert await call.details() == text


async def test_a_peer_that_cancels_while_the_handler_waits_cancels_the_handler(
    wired: Wired,
) -> None:
    call = wired.channel.stream_stream(f"/{PROCESS_SERVICE}/Process")()
    await call.write(b"wait")
    assert await call.read() == b"waiting"
    call.cancel()
    await envoy.until(lambda: wired.puppet.running == 0)
    assert wired.puppet.ends == {"cancelled": 1}


@pytest.mark.parametrize("half_closed", [True, False])
async def test_a_cancel_while_the_writer_waits_for_a_window_ends_the_handler(
    wired: Wired, half_closed: bool
) -> None:
    async with h2_peer(wired.address, acknowledge=False) as peer:
        stream = peer.request()
        await peer.send(stream, frames.message(b"flood:100,20000"), end=half_closed)
        await peer.until(lambda: len(peer.answers[stream].payload) == frames.DEFAULT_WINDOW)
        peer.reset(stream)
        await envoy.until(lambda: wired.puppet.running == 0)
    assert wired.puppet.ends["returned"] == 0


async def test_a_vanished_peer_ends_every_handler(wired: Wired) -> None:
    async with raw_peer(wired.address) as peer:
        numbers = range(1, 101, 2)
        await peer.send(
            *(frames.headers(n) + frames.data(n, frames.message(b"wait")) for n in numbers)
        )
        await envoy.until(lambda: wired.puppet.running == len(numbers))
        peer.vanish()
        await envoy.until(lambda: wired.puppet.running == 0)
    assert wired.puppet.ends["cancelled"] == len(numbers)


async def test_a_peer_that_closes_its_half_of_the_connection_is_let_go(wired: Wired) -> None:
    async with raw_peer(wired.address) as peer:
        await peer.send(frames.headers(1), frames.data(1, frames.message(b"wait")))
        await envoy.until(lambda: wired.puppet.running == 1)
        peer.half_close()
        await peer.ended()
        await envoy.until(lambda: wired.puppet.running == 0)


@FAST
@pytest.mark.parametrize("count", [1100, 6000])
async def test_streams_that_ended_at_once_may_be_reset_at_once(wired: Wired, count: int) -> None:
    """Envoy answers the end of a stream that it had not ended with RST_STREAM, each one."""
    numbers = range(1, 2 * count, 2)
    async with raw_peer(wired.address) as peer:
        await peer.send(
            *(frames.headers(n) + frames.data(n, frames.message(b"return:bye")) for n in numbers)
        )
        for _ in numbers:
            await peer.of(Kind.RST_STREAM)
        await peer.send(*(frames.rst_stream(n, Code.CANCEL) for n in numbers))
        await peer.pings()


@FAST
async def test_a_second_reset_of_a_stream_that_ended_is_no_answer(wired: Wired) -> None:
    async with raw_peer(wired.address) as peer:
        await peer.send(frames.headers(1), frames.data(1, frames.message(b"return:bye")))
        await peer.of(Kind.RST_STREAM)
        await peer.send(frames.rst_stream(1) * 3 * limits.WORKLESS_BURST)
        assert await peer.ended() == Code.ENHANCE_YOUR_CALM
