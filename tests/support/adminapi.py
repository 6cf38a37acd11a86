"""The admin API over the tests' configuration: records in a folder, callers of two tenants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway_extproc.pb.gateway.v1 import admin_pb2
from gateway_extproc.supervisor.gate import IdentityGate
from support.config import api_key, key_entry
from support.gate import SHIPPED_ROLES, key_of, make_gate, snapshot_of_roles

BETA_AUDITOR = api_key("betaaudit0000")
"""Sees decisions, costs and keys, of the tenant beta only."""

TENANT_AUDITOR = {
    "id": "tenant-auditor",
    "endpoints": [],
    "admin": [
        "view_decisions",
        "view_costs",
        "explain",
        "view_keys",
        "manage_keys",
        "revoke_keys",
    ],
}

METHODS = admin_pb2.DESCRIPTOR.services_by_name["Admin"].methods_by_name


def two_tenant_gate(written: list[dict[str, Any]]) -> IdentityGate:
    """The shipped roles in acme, an auditor of its own in beta."""
    keys = [key_entry(key_of(role), "acme", role, role) for role in SHIPPED_ROLES]
    keys.append(key_entry(BETA_AUDITOR, "beta", "bea", "tenant-auditor"))
    return make_gate(written, snapshot_of_roles(roles=[TENANT_AUDITOR], keys=keys))


def decision(number: int, **fields: Any) -> dict[str, Any]:
    """A decision record of tenant acme."""
    return {
        "decision_id": f"d{number}", "request_id": f"r{number}", "tenant": "acme",
        "time": f"2026-05-06T12:00:{number:02d}.000000Z", "duration_ms": 1.0,
        "outcome": "ALLOWED", "status": 200, "user": "ann", **fields,
    }  # fmt: skip


def cost(number: int, **fields: Any) -> dict[str, Any]:
    """A cost record of tenant acme."""
    return {
        "decision_id": f"d{number}", "time": f"2026-05-06T12:00:{number:02d}.000000Z",
        "tenant": "acme", "cost_nanos": 100 * number, "outcome": "ALLOWED",
        "usage": {"prompt_tokens": 5, "completion_tokens": 1}, **fields,
    }  # fmt: skip


def write(path: Path, *records: dict[str, Any]) -> None:
    """Appends records as lines."""
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def fill(folder: Path) -> None:
    """Two records of acme, one of beta, and what they cost."""
    refused = {"outcome": "REFUSED", "status": 400, "refusal": {"reason": "prompt_blocked"}}
    write(folder / "decisions-0.jsonl", decision(1), decision(2, tenant="beta", user="bo"))
    write(folder / "decisions-1.jsonl", decision(3, **refused))
    write(folder / "costs-0.jsonl", cost(1), cost(2, tenant="beta"), cost(3))


def serialized(message: Message) -> bytes:
    """A message as bytes."""
    return message.SerializeToString()


class RpcClient:
    """Calls of the admin service over a Unix socket, as any gRPC client makes them."""

    def __init__(self, socket: Path, key: str | None) -> None:
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}")
        self._metadata = () if key is None else (("authorization", f"Bearer {key}"),)

    async def __aenter__(self) -> RpcClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def call(self, name: str, /, timeout_s: float = 10, **fields: Any) -> Any:
        """One unary call; raises grpc.aio.AioRpcError."""
        method = METHODS[name]
        stub = self._channel.unary_unary(
            f"/gateway.v1.Admin/{name}",
            request_serializer=serialized,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        request = GetMessageClass(method.input_type)(**fields)
        return await stub(request, metadata=self._metadata, timeout=timeout_s)

    def stream(self, name: str, **fields: Any) -> Any:
        """A call that answers again and again; iterate over it, cancel it."""
        method = METHODS[name]
        stub = self._channel.unary_stream(
            f"/gateway.v1.Admin/{name}",
            request_serializer=serialized,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        request = GetMessageClass(method.input_type)(**fields)
        return stub(request, metadata=self._metadata, timeout=30)
