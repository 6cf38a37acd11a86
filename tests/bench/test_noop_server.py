"""The yardstick answers every kind of message on both wires, or the comparison is void."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import grpc
import pytest
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as messages
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as services
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.noop_server import start
from gateway_extproc.wire.server import Kind


@pytest.fixture(params=get_args(Kind))
async def channel(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    server = await start(str(tmp_path / "noop.sock"), request.param)
    async with grpc.aio.insecure_channel(f"unix:{tmp_path / 'noop.sock'}") as channel:
        yield channel
    await server.drain(0)


async def test_each_kind_is_answered_with_an_empty_response(channel: Any) -> None:
    stream = services.ExternalProcessorStub(channel).Process()
    for kind, message in {
        "request_headers": messages.HttpHeaders(),
        "request_body": messages.HttpBody(body=b"x"),
        "response_headers": messages.HttpHeaders(),
        "response_body": messages.HttpBody(),
    }.items():
        await stream.write(messages.ProcessingRequest(**{kind: message}))
        answer = await stream.read()
        assert answer.WhichOneof("response") == kind
        assert answer.ByteSize() == 2
    await stream.done_writing()
    assert await stream.code() == grpc.StatusCode.OK


async def test_an_event_stream_is_asked_for_chunk_by_chunk(channel: Any) -> None:
    stream = services.ExternalProcessorStub(channel).Process()
    headers = messages.HttpHeaders()
    headers.headers.headers.add(key="content-type", raw_value=b"text/event-stream")
    await stream.write(messages.ProcessingRequest(response_headers=headers))
    answer = await stream.read()
    assert answer.WhichOneof("response") == "response_headers"
    assert answer.mode_override.response_body_mode == ProcessingMode.STREAMED
    await stream.done_writing()
    assert await stream.code() == grpc.StatusCode.OK


async def test_another_kind_fails_the_stream(channel: Any) -> None:
    stream = services.ExternalProcessorStub(channel).Process()
    await stream.write(messages.ProcessingRequest(request_trailers=messages.HttpTrailers()))
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.read()


async def test_the_service_is_healthy(channel: Any) -> None:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
