"""One real server of each kind on a Unix socket, and a channel to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import Load
from gateway_extproc.wire import options
from gateway_extproc.wire.server import Kind, Server, make_server
from support.envoy import ExtProcStream, open_channel
from support.parts import Bench, make_bench
from support.wires import Puppet


@dataclass
class Served:
    """The whole pipeline behind a server."""

    bench: Bench
    server: Server
    channel: Any
    address: str

    def stream(self) -> ExtProcStream:
        return ExtProcStream(self.channel)

    @property
    def records(self) -> list[Exchange]:
        return self.bench.recorder.exchanges


@dataclass
class Wired:
    """A server alone, with a handler that does what the test asks for."""

    server: Server
    puppet: Puppet
    load: Load
    address: str
    channel: Any


FAST = pytest.mark.parametrize("kind", ["fast"], indirect=True)
"""For what grpcio does in another way, or lets pass."""


@pytest.fixture(params=get_args(Kind))
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each test that uses it, directly or not, runs once for each server."""
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def short_lame_duck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "LAME_DUCK_S", 0.15)


@pytest.fixture
async def serve(kind: Kind, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Makes a server; keyword arguments replace sections of the configuration."""
    made: list[Served] = []

    async def start(adapt: Callable[[Bench], None] = lambda bench: None, **sections: Any) -> Served:
        bench = make_bench(tmp_path, **sections)
        adapt(bench)
        address = f"unix:{tmp_path}/worker.sock"
        server = make_server(kind, bench.processor(), bench.parts.load, address)
        await server.start()
        made.append(Served(bench, server, open_channel(address), address))
        return made[-1]

    yield start
    for served in made:
        await served.channel.close()
        await served.server.drain(0)
        served.bench.close()


@pytest.fixture
async def served(serve: Callable[..., Any]) -> Served:
    result: Served = await serve()
    return result


@pytest.fixture
async def wired(kind: Kind, tmp_path: Path) -> AsyncIterator[Wired]:
    """A server without the pipeline."""
    puppet, load = Puppet(), Load()
    address = f"unix:{tmp_path}/wire.sock"
    server = make_server(kind, puppet, load, address)
    await server.start()
    channel = open_channel(address)
    yield Wired(server, puppet, load, address, channel)
    await channel.close()
    await server.drain(0)
