"""``explain`` at the admin API: real explanations in a process of their own, for who may ask."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway_extproc.core.identity import Permit
from gateway_extproc.supervisor import explain_api
from gateway_extproc.supervisor.admin import AdminCall, Caller
from gateway_extproc.supervisor.aside import TookTooLong, WorkFailed, run_aside
from gateway_extproc.supervisor.calls import failure_of
from gateway_extproc.supervisor.explain_api import read
from support import bodies
from support.adminapi import BETA_AUDITOR, two_tenant_gate
from support.adminworld import AdminWorld
from support.config import ANN
from support.gate import key_of

Code = grpc.StatusCode
ANNS_KEY = ANN.split("_")[2]
"""By its id, as the configuration names it; of tenant acme."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AdminWorld]:
    made = AdminWorld(tmp_path)
    await made.server.start()
    yield made
    made.records.close()
    await made.server.stop()
    made.store.close()


async def explained(world: AdminWorld, caller: str, **fields: Any) -> Any:
    async with world.client(caller) as client:
        return await client.call("Explain", timeout_s=60, **fields)


async def refused(world: AdminWorld, caller: str, **fields: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await explained(world, caller, **fields)
    return caught.value.code(), caught.value.details() or ""


async def test_a_decision_is_explained_without_being_made(world: AdminWorld) -> None:
    body = bodies.chat("a forbidden zebra").decode()
    told = await explained(world, key_of("auditor"), body=body, key=ANNS_KEY)
    assert told["would"] == "be refused"
    assert told["refusal"]["reason"] == "prompt_blocked"
    assert told["findings"][0]["rule"] == told["refusal"]["rule"]
    told = await explained(
        world, key_of("auditor"), body=bodies.chat().decode(), tenant="acme", user="ann"
    )
    assert (told["would"], told["tenant"]) == ("be sent", "acme")
    assert [line["path"] for line in world.log] == ["/gateway.v1.Admin/Explain"] * 2
    assert "zebra" not in str(world.log)


async def test_who_is_scoped_only_asks_as_somebody_of_his_own_tenant(world: AdminWorld) -> None:
    body = bodies.chat().decode()
    code, said = await refused(world, BETA_AUDITOR, body=body, tenant="acme", user="ann")
    assert (code, "every_tenant" in said) == (Code.PERMISSION_DENIED, True)
    # Another tenant's key is as little there as one that nobody has.
    messages = []
    for key in (ANNS_KEY, "000000000000"):
        told = await explained(world, BETA_AUDITOR, body=body, key=key)
        assert "tenant" not in told.fields
        messages.append(told["refusal"]["message"].replace(key, "ID"))
    assert len(set(messages)) == 1
    own = await explained(world, BETA_AUDITOR, body=body, user="bo")
    assert own["tenant"] == "beta"


@pytest.mark.parametrize(
    ("role", "fields", "code", "says"),
    [
        ("finops", {"tenant": "acme", "user": "ann"}, Code.PERMISSION_DENIED, "explain"),
        ("developer", {"tenant": "acme", "user": "ann"}, Code.PERMISSION_DENIED, "explain"),
        ("auditor", {}, Code.INVALID_ARGUMENT, "who asks"),
        ("auditor", {"tenant": "acme"}, Code.INVALID_ARGUMENT, "who asks"),
        ("auditor", {"key": ANN}, Code.INVALID_ARGUMENT, "not the key"),
        ("auditor", {"key": ANNS_KEY, "user": "x"}, Code.INVALID_ARGUMENT, "leave out"),
        ("auditor", {"key": ANNS_KEY, "endpoint": "nowhere"}, Code.INVALID_ARGUMENT, "endpoint"),
        ("auditor", {"key": ANNS_KEY, "source": "x" * 300}, Code.INVALID_ARGUMENT, "source"),
        ("auditor", {"key": ANNS_KEY, "body": "x" * 70_000}, Code.RESOURCE_EXHAUSTED, ""),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_says_why(
    world: AdminWorld, role: str, fields: dict[str, Any], code: Any, says: str
) -> None:
    found, said = await refused(world, key_of(role), **fields)
    assert (found, says in said) == (code, True)


async def test_only_so_many_are_made_at_a_time(
    world: AdminWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_api, "AT_ONCE", 1)
    body = bodies.chat().decode()
    asked = [
        asyncio.create_task(explained(world, key_of("auditor"), body=body, key=ANNS_KEY))
        for _ in range(3)
    ]
    done = await asyncio.gather(*asked, return_exceptions=True)
    codes = [one.code() for one in done if isinstance(one, grpc.aio.AioRpcError)]
    assert codes == [Code.RESOURCE_EXHAUSTED] * 2
    assert (await explained(world, key_of("auditor"), body=body, key=ANNS_KEY))["would"]


async def test_a_body_may_be_a_document_over_http(world: AdminWorld) -> None:
    caller = await _caller(key_of("auditor"))
    asked = read(caller, {"key": "k", "body": {"model": "m"}, "headers": {"X-A": "b"}})
    assert (asked.body, asked.headers, asked.endpoint) == (b'{"model":"m"}', {"x-a": "b"}, "chat")
    wrongs: tuple[dict[str, Any], ...] = (
        {"headers": []},
        {"headers": {"a": 1}},
        {"roles": "x"},
        {"prompt": "x"},
    )
    for wrong in wrongs:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            read(caller, {"key": "k", **wrong})


async def _caller(key: str) -> Caller:
    asking = AdminCall("POST", "/", (("x-api-key", key),), "127.0.0.1", b"")
    caller = await two_tenant_gate([]).admit(asking, "explain")
    assert isinstance(caller, Caller)
    assert isinstance(caller.permit, Permit)
    return caller


# ------------------------------------------------------------------------ work aside


def sleep_long() -> dict[str, Any]:
    time.sleep(600)
    return {}


def burn() -> dict[str, Any]:
    while True:
        pass


def take_memory() -> dict[str, Any]:
    return {"size": len(bytearray(1 << 30))}


def die() -> dict[str, Any]:
    os.abort()


def pid() -> dict[str, Any]:
    return {"pid": os.getpid()}


def refuse() -> dict[str, Any]:
    raise ValueError("not so")


async def aside(work: Any, timeout_s: float = 30.0) -> dict[str, Any]:
    return await run_aside(work, (), timeout_s=timeout_s, max_bytes=64 << 20)


async def test_work_runs_in_another_process() -> None:
    assert (await aside(pid))["pid"] != os.getpid()


async def test_work_that_takes_too_long_is_ended_and_the_loop_goes_on_meanwhile() -> None:
    for work in (sleep_long, burn):
        ticks = 0
        task = asyncio.create_task(aside(work, timeout_s=1.0))
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        with pytest.raises(TookTooLong):
            task.result()
        assert ticks > 20
    assert failure_of(TookTooLong("x"))[:2] == (504, "took_too_long")


@pytest.mark.parametrize(("work", "says"), [(take_memory, "MemoryError"), (die, "died")])
async def test_work_that_fails_takes_nobody_with_it(work: Any, says: str) -> None:
    with pytest.raises(WorkFailed, match=says):
        await aside(work)


async def test_what_cannot_be_meant_is_said_as_the_work_says_it() -> None:
    with pytest.raises(ValueError, match="not so"):
        await aside(refuse)
