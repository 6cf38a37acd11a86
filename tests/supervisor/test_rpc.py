"""The admin API over gRPC on its socket: the same calls, gate and log as over HTTP."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2, timestamp_pb2

from gateway_extproc.evidence import feed
from gateway_extproc.pb.gateway.v1 import decision_pb2
from gateway_extproc.supervisor import records_api
from gateway_extproc.supervisor.admin import AdminCall, Caller
from gateway_extproc.supervisor.rpc import METHODS
from support.adminapi import (
    BETA_AUDITOR,
    decision,
    fill,
    two_tenant_gate,
    write,
)
from support.adminworld import AdminWorld
from support.gate import key_of

Code = grpc.StatusCode


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AdminWorld]:
    fill(tmp_path)
    made = AdminWorld(tmp_path)
    await made.server.start()
    yield made
    made.records.close()
    await made.server.stop()
    made.store.close()


def test_every_method_of_the_service_is_served(tmp_path: Path) -> None:
    world = AdminWorld(tmp_path)
    served = {call.name for call in world.calls}
    served |= {call.name for call in world.records.streams()}
    assert served == set(METHODS)
    world.store.close()


async def test_the_socket_is_its_owners_alone_and_goes_with_the_server(world: AdminWorld) -> None:
    assert stat.S_IMODE(world.socket.stat().st_mode) == 0o600
    await world.server.stop()
    assert not world.socket.exists()
    await world.server.start()  # for the fixture


async def test_decisions_and_costs_are_messages(world: AdminWorld) -> None:
    async with world.client() as client:
        reply = await client.call("QueryDecisions", limit=2)
        assert [one.decision_id for one in reply.decisions] == ["d3", "d2"]
        assert reply.decisions[0].outcome == decision_pb2.REFUSED
        rest = await client.call("QueryDecisions", before=reply.next)
        assert [one.decision_id for one in rest.decisions] == ["d1"]
        since = timestamp_pb2.Timestamp()
        since.FromJsonString("2026-05-06T12:00:03Z")
        late = await client.call("QueryDecisions", since=since, status=400)
        assert [one.decision_id for one in late.decisions] == ["d3"]
        assert (await client.call("GetDecision", id="r2")).tenant == "beta"
        costs = await client.call("SumCosts", by=["tenant"])
        assert [(row.by["tenant"], row.cost_nanos) for row in costs.sums] == [
            ("acme", 400),
            ("beta", 200),
        ]
        assert (await client.call("GetStatus"))["ready"] is True


async def test_targets_are_listed_and_taken_out(world: AdminWorld) -> None:
    async with world.client() as client:
        listed = await client.call("ListTargets")
        assert {one.circuit for one in listed.targets} == {"closed"}
        first = listed.targets[0]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.call("DrainTarget", name=first.provider)
        assert refused.value.code() is Code.PERMISSION_DENIED
    async with world.client(key_of("platform-admin")) as client:
        drained = (await client.call("DrainTarget", name=first.target, for_s=60.0)).targets
        assert [(one.target, one.why, one.share) for one in drained] == [
            (first.target, "drained", 0.0)
        ]
        assert 0 < drained[0].drained_s <= 60
        for name, for_s in (("", 1.0), (first.target, 0.0), (first.target, -1.0)):
            with pytest.raises(grpc.aio.AioRpcError) as wrong:
                await client.call("DrainTarget", name=name, for_s=for_s)
            assert wrong.value.code() is Code.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await client.call("DrainTarget", name="nobody")
        assert unknown.value.code() is Code.NOT_FOUND
        ended = (await client.call("UndrainTarget", name=first.target)).targets
        assert not ended[0].drained


async def test_fields_of_a_later_version_do_not_break_a_reply(world: AdminWorld) -> None:
    write(world.folder / "decisions-0.jsonl", decision(8, of_tomorrow={"a": [1]}))
    async with world.client() as client:
        assert (await client.call("GetDecision", id="d8")).status == 200


@pytest.mark.parametrize(
    ("key", "name", "fields", "code", "says"),
    [
        (None, "QueryDecisions", {}, Code.UNAUTHENTICATED, "missing_api_key"),
        ("gw_test_0_x", "QueryDecisions", {}, Code.UNAUTHENTICATED, "invalid_api_key"),
        (key_of("finops"), "QueryDecisions", {}, Code.PERMISSION_DENIED, "view_decisions"),
        (key_of("auditor"), "GetDecision", {"id": "d9"}, Code.NOT_FOUND, "d9"),
        (key_of("auditor"), "QueryDecisions", {"limit": 999}, Code.INVALID_ARGUMENT, "limit"),
        (key_of("auditor"), "SumCosts", {"by": ["prompt"]}, Code.INVALID_ARGUMENT, "prompt"),
        (key_of("auditor"), "GetKey", {"id": "none"}, Code.NOT_FOUND, "key_unknown"),
        (key_of("platform-admin"), "Reload", {}, Code.INVALID_ARGUMENT, "models: got nothing"),
        (BETA_AUDITOR, "SumCosts", {"tenant": "acme"}, Code.PERMISSION_DENIED, "every_tenant"),
        (BETA_AUDITOR, "GetDecision", {"id": "d1"}, Code.NOT_FOUND, "d1"),
    ],
)  # fmt: skip
async def test_what_fails_has_a_status_a_reason_and_a_line_of_the_log(
    world: AdminWorld,
    key: str | None,
    name: str,
    fields: dict[str, Any],
    code: grpc.StatusCode,
    says: str,
) -> None:
    async with world.client(key) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.call(name, **fields)
    assert caught.value.code() == code
    assert says in (caught.value.details() or "")
    (line,) = world.log
    assert line["path"] == f"/gateway.v1.Admin/{name}"
    assert line["status"] >= 400


async def test_a_key_lives_its_life(world: AdminWorld) -> None:
    async with world.client(key_of("platform-admin")) as client:
        terms = struct_pb2.Struct()
        terms.update({"tenant": "acme", "user": "new", "roles": ["developer"], "ttl_s": 600})
        issued = await client.call("IssueKey", terms=terms)
        assert issued.key.split("_")[2] == issued.id
        assert issued.record.expires_at != "never"
        rotated = await client.call("RotateKey", id=issued.id, overlap_s=0)
        assert rotated.record.replaces == issued.id
        assert (await client.call("SuspendKey", id=rotated.id)).state == "suspended"
        assert (await client.call("ResumeKey", id=rotated.id)).state == "active"
        revoked = await client.call("RevokeKey", id=rotated.id, reason="leaked")
        assert (revoked.state, revoked.reason) == ("revoked", "leaked")
        listed = await client.call("ListKeys", state="revoked")
        assert [key.id for key in listed.keys] == [rotated.id]
        assert (await client.call("GetKey", id=issued.id)).tenant == "acme"
    assert [line["status"] for line in world.log] == [201, 201, 200, 200, 200, 200, 200]
    assert issued.key not in str(world.log)


async def test_keys_of_other_tenants_are_not_there_for_who_is_scoped(world: AdminWorld) -> None:
    terms = struct_pb2.Struct()
    terms.update({"tenant": "acme", "user": "new", "roles": ["developer"]})
    async with world.client(key_of("platform-admin")) as client:
        issued = await client.call("IssueKey", terms=terms)
    async with world.client(BETA_AUDITOR) as client:
        for name in ("GetKey", "RotateKey", "RevokeKey", "SuspendKey", "ResumeKey"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.call(name, id=issued.id)
            assert caught.value.code() == Code.NOT_FOUND
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.call("IssueKey", terms=terms)
        assert caught.value.code() == Code.PERMISSION_DENIED
        assert not (await client.call("ListKeys")).keys
        terms.update({"tenant": "beta"})
        own = await client.call("IssueKey", terms=terms)
        assert [key.id for key in (await client.call("ListKeys")).keys] == [own.id]


async def test_a_tail_tells_what_comes_of_the_callers_tenant(world: AdminWorld) -> None:
    async with world.client(BETA_AUDITOR) as client:
        tail = client.stream("TailDecisions")
        await _until_logged(world)
        write(world.folder / "decisions-0.jsonl", decision(4), decision(5, tenant="beta"))
        record = await asyncio.wait_for(tail.read(), 5)
        assert record.decision_id == "d5"
        tail.cancel()
    assert world.log[0]["status"] == 200


async def test_a_tail_does_not_tell_what_was_only_opened(world: AdminWorld) -> None:
    """Strict durability writes such a line first; a caller would take it for the decision."""
    async with world.client() as client:
        tail = client.stream("TailDecisions")
        await tail.initial_metadata()
        opened = decision(6, outcome="OPENED", status=0)
        write(world.folder / "decisions-0.jsonl", opened, decision(6), decision(7))
        told = [await asyncio.wait_for(tail.read(), 5) for _ in range(2)]
        tail.cancel()
    assert [(one.decision_id, one.outcome) for one in told] == [
        ("d6", decision_pb2.ALLOWED),
        ("d7", decision_pb2.ALLOWED),
    ]


async def test_an_export_is_all_that_the_caller_may_see_oldest_first(world: AdminWorld) -> None:
    async with world.client() as client:
        assert [one.decision_id async for one in client.stream("ExportDecisions")] == [
            "d1", "d2", "d3",
        ]  # fmt: skip
        found = [one.decision_id async for one in client.stream("ExportDecisions", limit=2)]
        assert found == ["d1", "d2"]
        count = await client.call("CountDecisions", outcome="refused")
        assert (count.records, dict(count.outcomes)) == (1, {"REFUSED": 1})
    async with world.client(BETA_AUDITOR) as client:
        found = [one.decision_id async for one in client.stream("ExportDecisions")]
        assert found == ["d2"]
        assert (await client.call("CountDecisions")).records == 1
    assert [line["status"] for line in world.log] == [200] * 5


async def test_an_export_that_is_cut_short_does_not_end_as_if_it_were_whole(
    world: AdminWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BATCH", 1)
    world.records.close()
    async with world.client() as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [one async for one in client.stream("ExportDecisions")]
    assert caught.value.code() == Code.UNAVAILABLE


async def test_only_so_many_exports_are_written(
    world: AdminWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_api, "EXPORTS_MAX", 0)
    async with world.client() as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.stream("ExportDecisions").read()
    assert caught.value.code() == Code.RESOURCE_EXHAUSTED


async def test_only_so_many_tails_are_open(
    world: AdminWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_api, "TAILS_MAX", 1)
    async with world.client() as client:
        first = client.stream("TailDecisions")
        await _until_logged(world)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.stream("TailDecisions").read()
        assert caught.value.code() == Code.RESOURCE_EXHAUSTED
        first.cancel()


async def test_a_tail_ends_with_the_permission_it_was_opened_with(
    world: AdminWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_api, "RECHECK_S", 0.0)
    asked = 0

    async def once() -> bool:
        nonlocal asked
        asked += 1
        return asked < 2

    asking = AdminCall("GET", "/", (("x-api-key", key_of("auditor")),), "127.0.0.1", b"")
    caller = await two_tenant_gate([]).admit(asking, "view_decisions")
    assert isinstance(caller, Caller)
    tail = next(one for one in world.records.streams() if one.name == "TailDecisions")
    documents = [one async for one in tail.open(caller, {}, once)]
    assert (documents, asked) == ([], 2)


async def test_bytes_that_are_no_message_are_refused(world: AdminWorld) -> None:
    async with grpc.aio.insecure_channel(f"unix:{world.socket}") as channel:
        stub = channel.unary_unary("/gateway.v1.Admin/GetDecision")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(
                b"\xff\xff\xff", metadata=(("authorization", f"Bearer {key_of('auditor')}"),)
            )
    assert caught.value.code() == Code.INVALID_ARGUMENT


async def _until_logged(world: AdminWorld) -> None:
    for _ in range(200):
        if world.log:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the call did not arrive")
