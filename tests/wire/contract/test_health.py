"""The gRPC health service on the socket of the streams."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support import envoy, frames
from support.frames import request
from support.h2peer import raw_peer
from wire.conftest import FAST, Wired

Status = health_pb2.HealthCheckResponse.ServingStatus


def stub(wired: Wired) -> Any:
    return health_pb2_grpc.HealthStub(wired.channel)


def ask(service: str = "") -> Any:
    return health_pb2.HealthCheckRequest(service=service)


async def test_a_check_says_serving(wired: Wired) -> None:
    reply = await stub(wired).Check(ask(), timeout=2)
    assert reply.status == Status.SERVING


async def test_a_check_of_an_unknown_service_is_not_found(wired: Wired) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub(wired).Check(ask("no.such.Service"), timeout=2)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_watch_tells_every_change(wired: Wired) -> None:
    watch = stub(wired).Watch(ask(), timeout=10)
    assert (await watch.read()).status == Status.SERVING
    draining = asyncio.create_task(wired.server.drain(1.0))
    assert (await asyncio.wait_for(watch.read(), 1)).status == Status.NOT_SERVING
    watch.cancel()
    await draining


async def test_a_watch_of_an_unknown_service_waits_for_it(wired: Wired) -> None:
    """health.proto: SERVICE_UNKNOWN, and the call stays open."""
    watch = stub(wired).Watch(ask("no.such.Service"), timeout=10)
    assert (await watch.read()).status == Status.SERVICE_UNKNOWN
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(watch.read(), 0.1)
    watch.cancel()


async def test_many_watches_are_no_load(wired: Wired) -> None:
    watches = [stub(wired).Watch(ask(), timeout=10) for _ in range(20)]
    for watch in watches:
        assert (await watch.read()).status == Status.SERVING
    assert (await stub(wired).Check(ask(), timeout=2)).status == Status.SERVING
    assert wired.load.in_flight == 0
    for watch in watches:
        watch.cancel()


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x0a\x05ab"])
async def test_a_broken_question_is_an_error_of_its_stream(wired: Wired, body: bytes) -> None:
    path = "/grpc.health.v1.Health/Check"
    async with raw_peer(wired.address) as peer:
        await peer.send(
            frames.headers(1, request(path=path)), frames.data(1, frames.message(body), end=True)
        )
        answer = await peer.answer(1)
        assert answer.messages == []
        assert answer.status not in (None, "0")
    await envoy.until(lambda: wired.puppet.running == 0)
    assert (await stub(wired).Check(ask(), timeout=2)).status == Status.SERVING


@FAST
async def test_a_check_without_a_question_is_an_error(wired: Wired) -> None:
    """grpcio says nothing at all."""
    path = "/grpc.health.v1.Health/Check"
    async with raw_peer(wired.address) as peer:
        await peer.send(frames.headers(1, request(path=path), end=True))
        answer = await peer.answer(1)
        assert answer.messages == []
        assert answer.status not in (None, "0")
