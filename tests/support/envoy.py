"""Plays Envoy: sends ext_proc messages over gRPC and reads what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb

from gateway_extproc.core.names import (
    ATTEMPTS_NAMESPACE,
    CLAIMS_NAMESPACE,
    CLUSTER_NAMESPACE,
    FALLBACK_NAMESPACE,
)
from gateway_extproc.wire.codec import ATTRIBUTES
from gateway_extproc.wire.options import MESSAGE_BYTES, PROCESS_SERVICE

TIMEOUT_S = 5.0


def _fill(target: Any, headers: dict[str, str] | list[tuple[str, str]]) -> None:
    pairs = headers.items() if isinstance(headers, dict) else headers
    for name, value in pairs:
        target.headers.headers.add(key=name, raw_value=value.encode())


def request_headers(
    key: str = "",
    *,
    path: str = "/v1/chat/completions",
    method: str = "POST",
    end: bool = False,
    more: list[tuple[str, str]] | None = None,
) -> bytes:
    message = pb.ProcessingRequest()
    headers = [(":method", method), (":path", path), ("content-type", "application/json")]
    headers += [("authorization", f"Bearer {key}")] if key else []
    _fill(message.request_headers, headers + (more or []))
    message.request_headers.end_of_stream = end
    return bytes(message.SerializeToString())


def vouched_headers(
    attributes: Mapping[str, object], claims: Mapping[str, object] | None = None
) -> Any:
    """Request headers with what Envoy knows of the client beside them."""
    message = pb.ProcessingRequest()
    _fill(message.request_headers, {":method": "POST", ":path": "/v1/chat/completions"})
    if attributes:
        message.attributes[ATTRIBUTES].update(attributes)
    if claims is not None:
        message.metadata_context.filter_metadata[CLAIMS_NAMESPACE].update(claims)
    return message


def request_body(body: bytes, *, end: bool = True) -> bytes:
    message = pb.ProcessingRequest()
    message.request_body.body = body
    message.request_body.end_of_stream = end
    return bytes(message.SerializeToString())


def response_headers(
    status: int = 200,
    kind: str = "application/json",
    *,
    cluster: str = "east",
    count: int = 1,
    notes: dict[str, str] | None = None,
    end: bool = False,
) -> bytes:
    message = pb.ProcessingRequest()
    _fill(message.response_headers, {":status": str(status), "content-type": kind})
    message.response_headers.end_of_stream = end
    fields = message.attributes[ATTRIBUTES].fields
    fields["xds.cluster_name"].string_value = cluster
    fields["upstream.request_attempt_count"].number_value = count
    fields["response.code_details"].string_value = "via_upstream" if cluster else "local"
    noted = message.metadata_context.filter_metadata[ATTEMPTS_NAMESPACE].fields
    for name, value in (notes or {}).items():
        noted[name].string_value = value
    return bytes(message.SerializeToString())


def response_body(body: bytes, *, end: bool = True) -> bytes:
    message = pb.ProcessingRequest()
    message.response_body.body = body
    message.response_body.end_of_stream = end
    return bytes(message.SerializeToString())


def response_trailers() -> bytes:
    message = pb.ProcessingRequest()
    message.response_trailers.SetInParent()
    return bytes(message.SerializeToString())


def fallback_headers(
    cluster: str, note: str, headers: dict[str, str], *, end_of_stream: bool = False
) -> bytes:
    """The first message of an upstream-level stream."""
    message = pb.ProcessingRequest()
    _fill(message.request_headers, headers)
    message.request_headers.end_of_stream = end_of_stream
    metadata = message.metadata_context.filter_metadata
    metadata[CLUSTER_NAMESPACE].fields["name"].string_value = cluster
    if note:
        metadata[FALLBACK_NAMESPACE].fields["original"].string_value = note
    return bytes(message.SerializeToString())


def open_channel(address: str) -> Any:
    size = [("grpc.max_send_message_length", MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MESSAGE_BYTES)]  # fmt: skip
    return grpc.aio.insecure_channel(address, options=size)


class ExtProcStream:
    """One ext_proc stream, seen from Envoy."""

    def __init__(self, channel: Any) -> None:
        self._call = channel.stream_stream(f"/{PROCESS_SERVICE}/Process")()

    async def send(self, message: bytes) -> None:
        await asyncio.wait_for(self._call.write(message), TIMEOUT_S)

    async def read(self) -> Any:
        """The next answer; None when the processor ended the stream."""
        data = await asyncio.wait_for(self._call.read(), TIMEOUT_S)
        return None if data is grpc.aio.EOF else pb.ProcessingResponse.FromString(data)

    async def ask(self, message: bytes) -> Any:
        await self.send(message)
        return await self.read()

    async def half_close(self) -> None:
        await self._call.done_writing()

    def cancel(self) -> None:
        self._call.cancel()

    async def status(self) -> tuple[str, str]:
        """How the stream ended: the code's name and the details."""
        code = await asyncio.wait_for(self._call.code(), TIMEOUT_S)
        return code.name, await self._call.details()

    async def fails(self, *messages: bytes) -> str:
        """Sends messages of which one must break the stream; the status' details."""
        try:
            for message in messages:
                await self.send(message)
            while await self.read() is not None:
                pass
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass
        code, details = await self.status()
        assert code == "INTERNAL", (code, details)
        return details


def headers_of(mutation: Any) -> dict[str, str]:
    return {o.header.key: o.header.raw_value.decode() for o in mutation.set_headers}


async def until(condition: Callable[[], bool]) -> None:
    """Waits until something is true that another task makes true."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not become true in time")
