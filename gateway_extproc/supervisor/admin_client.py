"""The admin API as commands ask it: documents in, documents out, over gRPC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message

from gateway_extproc.core.secret import Secret
from gateway_extproc.supervisor.rpc import METHODS, SERVICE, message_class
from gateway_extproc.wire.rpcclient import RpcClient

Document = dict[str, Any]

TIMEOUT_S: Final = 60.0
"""A first question reads every log once."""


class AdminClient:
    """One caller at one gateway; raises ``wire.rpc.RpcFailed``."""

    def __init__(self, target: str, credential: Secret) -> None:
        metadata = (("authorization", f"Bearer {credential.reveal()}"),)
        self.target = target
        self._client = RpcClient(target, SERVICE, metadata)

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def call(self, name: str, arguments: Mapping[str, Any]) -> Document:
        """One answer."""
        return _document(name, self._client.call(name, _request(name, arguments), TIMEOUT_S))

    def stream(self, name: str, arguments: Mapping[str, Any]) -> Iterator[Document]:
        """Answers as they come; returns when the gateway has begun to listen for them."""
        answers = self._client.stream(name, _request(name, arguments))
        return (_document(name, answer) for answer in answers)


def _request(name: str, arguments: Mapping[str, Any]) -> bytes:
    message = json_format.ParseDict(dict(arguments), message_class(METHODS[name].input_type)())
    encoded: bytes = message.SerializeToString()
    return encoded


def _document(name: str, data: bytes) -> Document:
    message = message_class(METHODS[name].output_type)()
    message.ParseFromString(data)
    return document(message)


def document(message: Message, *, nested: bool = False) -> Document:
    """A message as the gateway's own files have it: numbers as numbers, enums by name.

    Fields that say nothing are left out; numbers only at the top, for in a row a 0 is said.
    """
    if message.DESCRIPTOR.full_name.startswith("google.protobuf."):
        found: Document = _whole_numbers(json_format.MessageToDict(message))
        return found
    return {
        field.name: _value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if _says(field, message, nested=nested)
    }


def _says(field: Any, message: Message, *, nested: bool) -> bool:
    value = getattr(message, field.name)
    if field.is_repeated:
        return len(value) > 0
    if field.has_presence:
        return bool(message.HasField(field.name))
    return bool(value) or (nested and not isinstance(value, str) and field.enum_type is None)


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        # A map has no order, and each process its own.
        return {key: _one(of, value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_one(field, one) for one in value]
    return _one(field, value)


def _one(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return f"{value.ToDatetime():%Y-%m-%dT%H:%M:%S.%f}Z"
        return document(value, nested=True)
    if field.enum_type is not None:
        names = field.enum_type.values_by_number
        return names[value].name if value in names else value
    return value


def _whole_numbers(value: Any) -> Any:
    """A ``Struct`` knows no integers; those that are whole were some."""
    if isinstance(value, dict):
        return {name: _whole_numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
