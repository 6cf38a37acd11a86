"""One real gRPC server on a Unix socket, and a channel to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.wire.server import Kind, Server, make_server
from support.envoy import ExtProcStream, open_channel
from support.parts import Bench, make_bench


@dataclass
class Served:
    bench: Bench
    server: Server
    channel: Any

    def stream(self) -> ExtProcStream:
        return ExtProcStream(self.channel)

    @property
    def records(self) -> list[Exchange]:
        return self.bench.recorder.exchanges


@pytest.fixture(params=["fast", "grpcio"])
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
async def serve(tmp_path: Path, kind: Kind) -> AsyncIterator[Callable[..., Any]]:
    """Makes a server; keyword arguments replace sections of the configuration."""
    made: list[Served] = []

    async def start(adapt: Callable[[Bench], None] = lambda bench: None, **sections: Any) -> Served:
        bench = make_bench(tmp_path, **sections)
        adapt(bench)
        address = f"unix:{tmp_path}/worker.sock"
        server = make_server(kind, bench.processor(), bench.parts.load, address)
        await server.start()
        made.append(Served(bench, server, open_channel(address)))
        return made[-1]

    yield start
    for served in made:
        await served.channel.close()
        await served.server.drain(0)
        served.bench.parts.limits.close()


@pytest.fixture
async def served(serve: Callable[..., Any]) -> Served:
    result: Served = await serve()
    return result
