"""The admin server: what it answers, and a port that is taken."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from gateway_extproc.supervisor.admin import METRICS_TYPE, AdminServer
from gateway_extproc.supervisor.gate import IdentityGate
from support.gate import key_of, make_gate


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class World:
    port: int = field(default_factory=free_port)
    ready: bool = True
    threads: list[int] = field(default_factory=list)
    gate: IdentityGate = field(default_factory=make_gate)

    def metrics(self) -> bytes:
        self.threads.append(threading.get_ident())
        return b"up 1\n"

    def status(self) -> dict[str, Any]:
        return {"ready": self.ready}

    def server(self) -> AdminServer:
        return AdminServer(
            "127.0.0.1",
            self.port,
            ready=lambda: self.ready,
            status=self.status,
            metrics=self.metrics,
            gate=self.gate,
        )

    async def get(self, path: str, key: str | None = None) -> httpx.Response:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(trust_env=False, headers=headers) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}", timeout=3)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    server = made.server()
    await server.start()
    yield made
    await server.stop()


async def test_health_is_good_while_it_answers(world: World) -> None:
    world.ready = False
    answer = await world.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_readiness_follows_the_workers(world: World, *, ready: bool, status: int) -> None:
    world.ready = ready
    assert (await world.get("/readyz")).status_code == status


async def test_metrics_are_made_off_the_loop(world: World) -> None:
    answer = await world.get("/metrics")
    assert (answer.content, answer.headers["content-type"]) == (b"up 1\n", METRICS_TYPE)
    assert world.threads != [threading.get_ident()]


async def test_the_status_is_json_of_now_for_who_may_see_it(world: World) -> None:
    key = key_of("auditor")
    assert json.loads((await world.get("/status", key)).content) == {"ready": True}
    world.ready = False
    assert json.loads((await world.get("/status", key)).content) == {"ready": False}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_health_and_metrics_are_for_everyone(world: World, path: str) -> None:
    assert (await world.get(path)).status_code == 200


async def test_an_anonymous_caller_sees_no_status(world: World) -> None:
    answer = await world.get("/status")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")
    answer = await world.get("/status", key_of("developer"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_required")


@pytest.mark.parametrize("path", ["/", "/nothing", "/../etc/passwd"])
async def test_there_is_nothing_else(world: World, path: str) -> None:
    assert (await world.get(path)).status_code == 404


async def test_a_taken_port_is_an_error_and_leaves_nothing_behind(world: World) -> None:
    with pytest.raises(OSError, match="in use"):
        await world.server().start()
    assert (await world.get("/healthz")).status_code == 200


async def test_a_stopped_server_frees_its_port() -> None:
    world = World()
    for _ in range(2):
        server = world.server()
        await server.start()
        await asyncio.wait_for(server.stop(), 3)
    with pytest.raises(httpx.ConnectError):
        await world.get("/healthz")
