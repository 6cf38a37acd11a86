"""ext_proc over our own HTTP/2: the server that costs a fraction of grpc.aio."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from gateway_extproc.core.ports import Load
from gateway_extproc.wire import options
from gateway_extproc.wire.health import CHECK, WATCH, Health
from gateway_extproc.wire.http2.connection import Connection
from gateway_extproc.wire.http2.limits import PREFACE_S
from gateway_extproc.wire.stream import Handler
from gateway_extproc.wire.tls import ServerTls

CONNECTIONS: Final = 1024
"""Peers at a time; Envoy opens one connection a worker thread."""


class FastServer:
    """Serves one address (``unix:PATH`` or ``HOST:PORT``) until drained."""

    def __init__(
        self, handler: Handler, load: Load, address: str, tls: ServerTls | None = None
    ) -> None:
        self._load = load
        self._address = address
        self._tls = tls
        self._health = Health("", options.PROCESS_SERVICE)
        self._methods = {
            f"/{options.PROCESS_SERVICE}/{options.PROCESS_METHOD}": handler.serve,
            CHECK: self._health.check,
            WATCH: self._health.watch,
        }
        self._connections: set[Connection] = set()
        self._settling: set[asyncio.Task[None]] = set()
        """Handlers that a peer left behind."""
        self._leaving = False
        self._gone = asyncio.Event()
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        context = self._tls.context() if self._tls else None
        kind, _, path = self._address.partition(":")
        if kind == "unix":
            self._listener = await loop.create_unix_server(self._connect, path)
        else:
            host, _, port = self._address.rpartition(":")
            self._listener = await loop.create_server(
                self._connect,
                host.strip("[]"),
                int(port),
                ssl=context,
                ssl_handshake_timeout=PREFACE_S if context else None,
            )
        self._health.set(serving=True)

    async def drain(self, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._load.draining = True
        self._health.set(serving=False)
        ends_s = loop.time() + grace_s
        await asyncio.sleep(min(options.LAME_DUCK_S, grace_s))
        if self._listener is not None:
            self._listener.close()
        self._health.close()
        self._leaving = True
        for connection in tuple(self._connections):
            connection.leave()
        await self._all_gone(ends_s - loop.time())
        await self._cancel()

    async def _cancel(self) -> None:
        """Ends what the grace did not; its handlers still settle and record."""
        tasks = set(self._settling)
        for connection in tuple(self._connections):
            connection.leave_finally()
            tasks |= connection.streams.tasks
            connection.streams.cancel_all()
        if tasks:
            await asyncio.wait(tasks, timeout=options.CANCEL_S)
        for connection in tuple(self._connections):
            connection.close()
        await self._all_gone(options.CANCEL_S)

    async def _all_gone(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._connections:
                    self._gone.clear()
                    await self._gone.wait()

    def _connect(self) -> Connection:
        return Connection(self._methods, self)

    def joined(self, connection: Connection) -> bool:
        self._connections.add(connection)
        if self._leaving:
            # Accepted, or in its handshake, when the listener was closed.
            asyncio.get_running_loop().call_soon(connection.leave)
        return len(self._connections) <= CONNECTIONS

    def left(self, connection: Connection) -> None:
        self._connections.discard(connection)
        for task in connection.streams.tasks:
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
        self._gone.set()
