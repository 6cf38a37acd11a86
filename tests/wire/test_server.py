"""The gRPC server: health, drain, large messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway_extproc.wire import options
from gateway_extproc.wire.server import Kind, make_server
from support import bodies, envoy
from support.config import ANN
from support.parts import make_bench
from wire.conftest import Served

STREAM = (
    envoy.request_headers(ANN),
    envoy.request_body(bodies.chat(stream=True)),
    envoy.response_headers(kind="text/event-stream"),
)


async def health(channel: Any) -> str:
    stub = health_pb2_grpc.HealthStub(channel)
    reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
    return name


@pytest.fixture(autouse=True)
def short_lame_duck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "LAME_DUCK_S", 0.15)


async def opened(served: Served) -> envoy.ExtProcStream:
    stream = served.stream()
    for message in STREAM:
        assert await stream.ask(message) is not None
    return stream


async def test_health_serves_until_the_drain(served: Served) -> None:
    assert await health(served.channel) == "SERVING"
    draining = asyncio.create_task(served.server.drain(1.0))
    await asyncio.sleep(0.05)
    assert await health(served.channel) == "NOT_SERVING"
    assert served.bench.parts.load.draining
    await draining


async def test_while_health_says_no_streams_are_still_served(served: Served) -> None:
    draining = asyncio.create_task(served.server.drain(1.0))
    await asyncio.sleep(0.05)
    reply = await served.stream().ask(envoy.request_headers(ANN))
    assert reply.WhichOneof("response") == "request_headers"
    await draining


async def test_a_drain_lets_a_running_stream_finish(served: Served) -> None:
    stream = await opened(served)
    draining = asyncio.create_task(served.server.drain(5.0))
    await asyncio.sleep(0.3)
    assert not draining.done()
    await stream.ask(envoy.response_body(bodies.completion_event("Hi"), end=False))
    await stream.ask(envoy.response_body(bodies.STREAM_END))
    assert await stream.read() is None
    await asyncio.wait_for(draining, 2)
    assert [e.outcome for e in served.records] == ["allowed"]


async def test_a_drained_server_takes_nothing_new(served: Served) -> None:
    await opened(served)
    draining = asyncio.create_task(served.server.drain(1.0))
    await asyncio.sleep(0.3)
    late = served.stream()
    with pytest.raises(grpc.aio.AioRpcError):
        await late.ask(envoy.request_headers(ANN))
    assert (await late.status())[0] == "UNAVAILABLE"
    await draining


async def test_what_is_left_after_the_grace_is_recorded_before_the_drain_ends(
    served: Served,
) -> None:
    await opened(served)
    await served.server.drain(0.2)
    assert [e.outcome for e in served.records] == ["aborted"]
    assert served.bench.parts.load.in_flight == 0


async def test_a_message_of_20_megabytes_passes(serve: Callable[..., Any]) -> None:
    served = await serve(caps={"body_bytes": 32 << 20}, guards=[])
    stream = served.stream()
    await stream.ask(envoy.request_headers(ANN))
    text = "x" * (20 << 20)
    reply = await stream.ask(envoy.request_body(bodies.chat(text, model="pub-one")))
    assert len(reply.request_body.response.body_mutation.body) > len(text)


async def test_many_streams_are_served_at_once(served: Served) -> None:
    streams = [await opened(served) for _ in range(20)]
    assert served.bench.parts.load.in_flight == 20
    for stream in streams:
        stream.cancel()
    await envoy.until(lambda: len(served.records) == 20)
    assert served.bench.parts.load.in_flight == 0


async def test_an_overloaded_worker_refuses_and_recovers(serve: Callable[..., Any]) -> None:
    served = await serve(server={"max_in_flight": 1})
    stream = await opened(served)
    reply = await served.stream().ask(envoy.request_headers(ANN))
    assert reply.immediate_response.status.code == 503
    stream.cancel()
    await envoy.until(lambda: served.bench.parts.load.in_flight == 0)
    reply = await served.stream().ask(envoy.request_headers(ANN))
    assert reply.WhichOneof("response") == "request_headers"


async def test_an_address_that_cannot_be_taken_is_an_error(tmp_path: Path, kind: Kind) -> None:
    bench = make_bench(tmp_path)
    address = f"unix:{tmp_path}/no/such/folder/worker.sock"
    with pytest.raises(OSError):
        await make_server(kind, bench.processor(), bench.parts.load, address).start()
