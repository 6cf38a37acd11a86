"""The end of a server: nobody fails, nothing new begins, everything is recorded."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import grpc
import pytest

from gateway_extproc.wire import options
from gateway_extproc.wire.options import PROCESS_SERVICE
from support import frames
from support.frames import WINDOW_MAX, Kind, Setting
from support.h2peer import raw_peer
from wire.conftest import FAST, Wired

NOT_BEGUN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""grpcio's server cancels what it had not accepted yet when it stops."""


@dataclass
class Tally:
    ok: int = 0
    refused: int = 0
    failed: list[str] = field(default_factory=list)


async def client(wired: Wired, tally: Tally, until_s: float) -> None:
    """Streams one after the other, each of several messages, until the server is gone."""
    method = wired.channel.stream_stream(f"/{PROCESS_SERVICE}/Process")
    while time.monotonic() < until_s:
        call = method()
        begun = False
        try:
            for number in range(5):
                await call.write(b"%d" % number)
                answer = await call.read()
                assert answer == b"%d" % number, answer
                begun = True
                await asyncio.sleep(0.002)
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            tally.ok += 1
        except grpc.aio.AioRpcError as error:
            # What never began can be tried elsewhere; what began must not fail.
            if begun or error.code() not in NOT_BEGUN:
                tally.failed.append(str(error))
            else:
                tally.refused += 1
                await asyncio.sleep(0.05)


async def test_a_drain_under_load_fails_nobody(wired: Wired, short_lame_duck: None) -> None:
    tally = Tally()
    until_s = time.monotonic() + 1.5
    clients = [asyncio.create_task(client(wired, tally, until_s)) for _ in range(16)]
    await asyncio.sleep(0.5)
    before = tally.ok
    await wired.server.drain(5.0)
    await asyncio.gather(*clients)
    assert tally.failed == []
    assert before > 0, "there was no load"
    assert tally.refused > 0, "the server did not end"
    assert wired.puppet.running == 0


async def test_what_the_grace_does_not_end_is_cancelled_and_awaited(
    wired: Wired, short_lame_duck: None
) -> None:
    async with raw_peer(wired.address) as peer:
        streams = (1, 3, 5, 7, 9)
        for stream in streams:
            await peer.send(frames.headers(stream), frames.data(stream, frames.message(b"wait")))
            await peer.of(Kind.DATA, stream)
        started = time.monotonic()
        await wired.server.drain(0.4)
        assert 0.3 < time.monotonic() - started < 3
        assert wired.puppet.running == 0
        assert wired.puppet.ends == {"cancelled": 5}
        ends = [got async for got in peer if got.ends_stream or got.kind == Kind.RST_STREAM]
        assert {got.stream for got in ends} <= set(streams)
        assert not any(b"grpc-status\x010" in got.payload for got in ends)


async def test_a_drain_without_streams_is_quick(wired: Wired, short_lame_duck: None) -> None:
    method = wired.channel.stream_stream(f"/{PROCESS_SERVICE}/Process")
    call = method()
    await call.write(b"x")
    await call.done_writing()
    assert [await call.read(), await call.read()] == [b"x", grpc.aio.EOF]
    started = time.monotonic()
    await wired.server.drain(10.0)
    assert time.monotonic() - started < 3


@FAST
async def test_the_last_stream_is_named_after_the_peer_has_heard(
    wired: Wired, short_lame_duck: None
) -> None:
    """RFC 9113, section 6.8: first all streams are allowed, then the last one is named."""
    async with raw_peer(wired.address) as peer:
        await peer.send(frames.headers(1), frames.data(1, frames.message(b"wait")))
        await peer.of(Kind.DATA, 1)
        draining = asyncio.create_task(wired.server.drain(5.0))
        first = await peer.of(Kind.GOAWAY)
        assert (first.last_stream, first.code) == (WINDOW_MAX, 0)
        ping = await peer.of(Kind.PING)
        # A stream that crossed the first GOAWAY is served.
        await peer.send(frames.headers(3), frames.data(3, frames.message(b"late"), end=True))
        assert (await peer.answer(3)).messages == [b"late"]
        await peer.send(frames.ping(ping.payload, ack=True))
        second = await peer.of(Kind.GOAWAY)
        assert (second.last_stream, second.code) == (3, 0)
        # One that comes after the second is not looked at, and costs the others nothing.
        await peer.send(frames.headers(5), frames.data(5, frames.message(b"too late"), end=True))
        wired.puppet.gate.set()
        await peer.send(frames.data(1, b"", end=True))
        answer = await peer.answer(1)
        assert answer.status == "0"
        assert await peer.ended() is None
        await asyncio.wait_for(draining, 2)
    assert wired.puppet.ends == {"returned": 2}


@FAST
async def test_a_peer_that_does_not_answer_the_drain_holds_it_up_no_longer_than_the_grace(
    wired: Wired, short_lame_duck: None
) -> None:
    async with raw_peer(wired.address) as peer:
        await peer.of(Kind.SETTINGS)
        started = time.monotonic()
        await wired.server.drain(1.0)
        assert time.monotonic() - started < 5
        while (got := await peer.next()) is not None:
            assert got.kind != Kind.RST_STREAM


@FAST
async def test_a_connection_that_never_spoke_is_no_obstacle(
    wired: Wired, short_lame_duck: None
) -> None:
    async with raw_peer(wired.address, greet=False) as peer:
        await peer.of(Kind.SETTINGS)
        started = time.monotonic()
        await wired.server.drain(30.0)
        assert time.monotonic() - started < 5
        await peer.ended()


@FAST
async def test_a_cancelled_handler_waits_for_no_peer_that_has_gone(
    wired: Wired, short_lame_duck: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was cancelled once, and what it then says fits in no window."""
    monkeypatch.setattr(options, "CANCEL_S", 0.2)
    waiting = frames.message(b"waiting")
    async with raw_peer(wired.address, (Setting.INITIAL_WINDOW_SIZE, len(waiting))) as peer:
        await peer.send(frames.headers(1), frames.data(1, frames.message(b"farewell")))
        await peer.of(Kind.DATA, 1)
        await wired.server.drain(0.1)
        await peer.ended()
    await asyncio.sleep(0.1)
    assert wired.puppet.running == 0


SETTLE = frames.message(b"settle:0.3")
"""A handler that needs a while to settle and record after it was cancelled."""


@FAST
async def test_what_is_opened_while_the_rest_is_cancelled_is_refused(
    wired: Wired, short_lame_duck: None
) -> None:
    """Also by a peer that does not answer our PING."""
    async with raw_peer(wired.address) as peer:
        await peer.send(frames.headers(1), frames.data(1, SETTLE))
        await peer.of(Kind.DATA, 1)
        draining = asyncio.create_task(wired.server.drain(0.2))
        await peer.of(Kind.GOAWAY)
        assert (await peer.of(Kind.GOAWAY)).last_stream == 1
        await peer.send(frames.headers(3), frames.data(3, SETTLE))
        await draining
    assert wired.puppet.running == 0
    assert (wired.puppet.ends, wired.puppet.settled) == ({"cancelled": 1}, 1)


async def test_handlers_of_a_peer_that_vanished_have_settled_when_the_drain_returns(
    wired: Wired, short_lame_duck: None
) -> None:
    async with raw_peer(wired.address) as peer:
        await peer.send(frames.headers(1), frames.data(1, SETTLE))
        await peer.of(Kind.DATA, 1)
        draining = asyncio.create_task(wired.server.drain(2.0))
        await asyncio.sleep(0.05)
        peer.vanish()
        await draining
    assert (wired.puppet.running, wired.puppet.settled) == (0, 1)


@FAST
@pytest.mark.parametrize("leaves", ["reset", "vanish"])
async def test_a_handler_that_settles_is_cancelled_no_second_time(
    wired: Wired, short_lame_duck: None, leaves: str
) -> None:
    async with raw_peer(wired.address) as peer:
        await peer.send(frames.headers(1), frames.data(1, SETTLE))
        await peer.of(Kind.DATA, 1)
        draining = asyncio.create_task(wired.server.drain(0))
        await asyncio.sleep(0.1)
        if leaves == "reset":
            await peer.send(frames.rst_stream(1))
        else:
            peer.vanish()
        await draining
    assert (wired.puppet.running, wired.puppet.settled) == (0, 1)


async def test_a_second_drain_is_no_harm(wired: Wired, short_lame_duck: None) -> None:
    await asyncio.gather(wired.server.drain(0.3), wired.server.drain(0.3))
    assert wired.load.draining


async def test_after_the_end_nobody_listens(wired: Wired, short_lame_duck: None) -> None:
    await wired.server.drain(0.2)
    with pytest.raises((ConnectionError, FileNotFoundError)):
        async with raw_peer(wired.address) as peer:
            await peer.pings()
