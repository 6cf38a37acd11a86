"""The yardstick answers every kind of message, or the comparison is void."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as messages
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as services
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.noop_server import SERVICE, start


@pytest.fixture
async def channel(tmp_path: Path) -> Any:
    server = await start(str(tmp_path / "noop.sock"))
    async with grpc.aio.insecure_channel(f"unix:{tmp_path / 'noop.sock'}") as channel:
        yield channel
    await server.stop(grace=None)


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


async def test_another_kind_fails_the_stream(channel: Any) -> None:
    stream = services.ExternalProcessorStub(channel).Process()
    await stream.write(messages.ProcessingRequest(request_trailers=messages.HttpTrailers()))
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.read()


async def test_the_service_is_healthy(channel: Any) -> None:
    check = health_pb2_grpc.HealthStub(channel).Check
    for service in ("", SERVICE):
        answer = await check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
