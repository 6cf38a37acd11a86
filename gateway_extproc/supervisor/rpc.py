"""The calls of the admin API over gRPC: the same gate, the same admin log, other envelopes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from gateway_extproc.core.access import AdminPermission
from gateway_extproc.core.errors import Refusal
from gateway_extproc.pb.gateway.v1 import admin_pb2
from gateway_extproc.supervisor.admin import AdminCall, Caller, Gate
from gateway_extproc.supervisor.calls import Call, StreamCall, failure_of
from gateway_extproc.wire.rpc import FailureCode, Metadata, RpcFailed, RpcServer, Streaming, Unary

SERVICE: Final = "gateway.v1.Admin"
SOCKET: Final = "admin.sock"

METHODS: Final[Mapping[str, Any]] = admin_pb2.DESCRIPTOR.services_by_name["Admin"].methods_by_name
"""Calls by name, with the types of what goes in and out."""

CODES: Final[Mapping[int, FailureCode]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def rpc_server(
    path: Path, gate: Gate, calls: Iterable[Call], streams: Iterable[StreamCall]
) -> RpcServer:
    """A server of those calls that the service has."""
    return RpcServer(
        path,
        SERVICE,
        {call.name: _unary(gate, call) for call in calls if call.name in METHODS},
        {call.name: _streaming(gate, call) for call in streams if call.name in METHODS},
    )


def _unary(gate: Gate, call: Call) -> Unary:
    async def handle(data: bytes, metadata: Metadata) -> bytes:
        asked = _asked(call.name, data, metadata)
        caller = await _admit(gate, asked, call.permission)
        status = 500
        try:
            document = await call.work(caller, _arguments(call.name, data))
            reply, status = _message(call.name, document), call.status
        except Exception as error:
            status, failed = _failed(error)
            raise failed from None
        finally:
            gate.record(asked, call.permission, caller, status)
        return reply

    return handle


def _streaming(gate: Gate, call: StreamCall) -> Streaming:
    async def handle(data: bytes, metadata: Metadata) -> AsyncIterator[bytes]:
        asked = _asked(call.name, data, metadata)
        caller = await _admit(gate, asked, call.permission)

        async def still() -> bool:
            return isinstance(await gate.admit(asked, call.permission), Caller)

        status = 500
        try:
            documents = call.open(caller, _arguments(call.name, data), still)
            status = 200
        except Exception as error:
            status, failed = _failed(error)
            raise failed from None
        finally:
            gate.record(asked, call.permission, caller, status)
        return _messages(call.name, documents)

    return handle


async def _messages(name: str, documents: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    try:
        async for document in documents:
            yield _message(name, document)
    except Exception as error:
        raise _failed(error)[1] from None


def _failed(error: Exception) -> tuple[int, RpcFailed]:
    status, code, message = failure_of(error)
    return status, RpcFailed(CODES.get(status, "INTERNAL"), f"{code}: {message}")


async def _admit(gate: Gate, asked: AdminCall, permission: AdminPermission) -> Caller:
    outcome = await gate.admit(asked, permission)
    if isinstance(outcome, Refusal):
        gate.record(asked, permission, outcome, outcome.status)
        code = CODES.get(outcome.status, "INTERNAL")
        raise RpcFailed(code, f"{outcome.reason}: {outcome.message}")
    return outcome


def _asked(name: str, data: bytes, metadata: Metadata) -> AdminCall:
    """The call as the gate judges it; a Unix socket's peer is on this host."""
    return AdminCall("POST", f"/{SERVICE}/{name}", metadata, "127.0.0.1", data)


def _arguments(name: str, data: bytes) -> dict[str, Any]:
    message = message_class(METHODS[name].input_type)()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise ValueError("not a message of this call") from None
    arguments = json_format.MessageToDict(message, preserving_proto_field_name=True)
    terms: dict[str, Any] = arguments.pop("terms", {})
    return {**arguments, **terms}


def _message(name: str, document: dict[str, Any]) -> bytes:
    # A record may have fields of a later version.
    message = json_format.ParseDict(
        document, message_class(METHODS[name].output_type)(), ignore_unknown_fields=True
    )
    encoded: bytes = message.SerializeToString()
    return encoded


def message_class(descriptor: Any) -> Any:
    """The class of a message."""
    return GetMessageClass(descriptor)
