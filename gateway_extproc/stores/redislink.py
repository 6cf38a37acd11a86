"""One Redis server over one connection, for calls that must not wait.

Calls of one turn of the event loop leave in one write; replies come in the order of the calls, so
a caller that gave up keeps its place in the queue.  The link is its own circuit breaker: a
connection that misses a deadline is replaced, and a new one counts only when it has answered
a write.  Until then every call fails at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import hiredis

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.keyredis import RedisAddress

log = logging.getLogger(__name__)

SWEEP_S: Final = 0.0025
"""How often deadlines are looked at; a call fails at most two looks after its own."""
BACKLOG: Final = 4096
"""Calls that may wait for replies; more fail at once."""
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
STEADY_S: Final = 1.0
"""A connection that lived so long was no flicker: the pause begins anew."""

Resolve = Callable[[], Awaitable[tuple[str, int]]]
"""Where the server is now; Sentinels may say so."""

LOST: Final = ("READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS", "CLUSTERDOWN", "MISCONF")
"""Errors of a server that is not, or not now, the right one."""
FULL: Final = ("OOM", "BUSY")
"""Errors of the right one that cannot do it now."""


_HUNG_UP: Final = "closed"


class _Connection(asyncio.Protocol):
    """One TCP connection: a queue of calls and the replies to them."""

    def __init__(self, timeout_s: float, lost: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s, self._lost = timeout_s, lost
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._suspect: asyncio.Future[Any] | None = None
        self.over = ""

    def call(self, packed: bytes, before: bytes = b"") -> asyncio.Future[Any]:
        """Sends a packed command with the others of this turn.

        ``before`` is a command that belongs to it and whose reply nobody wants.
        """
        if before and not self.over:
            self.call(before)
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.over or len(self._waiting) >= BACKLOG:
            future.set_exception(StoreUnavailable(f"Redis: {self.over or 'too many calls wait'}"))
            return future
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed)
        self._waiting.append((self._loop.time() + self._timeout_s, future))
        if self._sweep is None:
            self._sweep = self._loop.call_later(SWEEP_S, self._look)
        return future

    def end(self, why: str) -> None:
        """Everything that waits fails; what still comes is not read."""
        if self.over:
            return
        self.over = why
        if self._sweep is not None:
            self._sweep.cancel()
        if self._transport is not None:
            self._transport.abort()
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(StoreUnavailable(f"Redis: {why}"))
                future.exception()  # a caller that left does not ask for it
        self._waiting.clear()
        self._lost(why)

    # ------------------------------------------------------- as asyncio's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                if not self._waiting:
                    self.end("a reply that nobody asked for")
                    return
                _, future = self._waiting.popleft()
                if isinstance(reply, hiredis.ReplyError) and _is_unfit(reply):
                    self._refuse(future, str(reply))
                elif not future.done():
                    future.set_result(reply)
        except hiredis.ProtocolError as error:
            self.end(f"not Redis's protocol ({error})")

    def _refuse(self, future: asyncio.Future[Any], message: str) -> None:
        if not future.done():
            future.set_exception(StoreUnavailable(f"Redis: {message}"))
            future.exception()
        if message.startswith(LOST):
            self.end(message)

    def connection_lost(self, error: Exception | None) -> None:
        self.end(str(error) if error else "the connection was closed")

    def _flush(self) -> None:
        if self._transport is not None and not self.over:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _look(self) -> None:
        """A reply that is late for two looks is missed: this loop itself may have been late."""
        self._sweep = None
        if not self._waiting:
            return
        deadline, future = self._waiting[0]
        if self._loop.time() >= deadline:
            if future is self._suspect:
                self.end("no reply in time")
                return
            self._suspect = future
        self._sweep = self._loop.call_later(SWEEP_S, self._look)


class Link:
    """A server that is called; finds and greets it again whenever it is lost."""

    def __init__(self, address: RedisAddress, prefix: str, resolve: Resolve | None = None) -> None:
        self._address, self._resolve = address, resolve
        self._probe = f"{{{prefix}}}:probe" if prefix else ""
        self._timeout_s = max(0.002, address.timeout_s - 2 * SWEEP_S)
        self._connection: _Connection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._why = "not connected yet"

    def send(self, packed: bytes, before: bytes = b"") -> asyncio.Future[Any]:
        """Sends at once; the reply, or ``StoreUnavailable`` also for a server that is not fit.

        Other errors of the server are replies.
        """
        if self._connection is None:
            self._keep()
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            future.set_exception(StoreUnavailable(f"Redis: {self._why}"))
            return future
        return self._connection.call(packed, before)

    @property
    def up(self) -> bool:
        """Whether the server answered a write and has not missed a deadline since."""
        return self._connection is not None

    async def open(self) -> None:
        """Tries once to be connected when it returns; a server that is away is no error."""
        self._keep()
        for _ in range(100):
            if self.up:
                return
            await asyncio.sleep(self._address.timeout_s / 10)

    async def close(self) -> None:
        """Hangs up."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        if self._connection is not None:
            self._connection.end(_HUNG_UP)

    def _keep(self) -> None:
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._stay_connected())

    async def _stay_connected(self) -> None:
        pause_s = FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            self._lost.clear()
            began_s = loop.time()
            try:
                self._connection = await self._greet()
            except (StoreUnavailable, OSError, TimeoutError) as error:
                self._why = str(error) or type(error).__name__
            else:
                log.info("Redis at %s answers", self._address.host)
                await self._lost.wait()
            if loop.time() - began_s > STEADY_S:
                pause_s = FIRST_PAUSE_S
            # Jitter, or all workers of all hosts would come back at the same moment.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _greet(self) -> _Connection:
        """A connection whose server took a write in time."""
        loop = asyncio.get_running_loop()
        address = self._address
        host, port = address.host, address.port
        # Connecting may take longer than a call: nobody waits for it.
        async with asyncio.timeout(max(0.25, address.timeout_s)):
            if self._resolve is not None:
                host, port = await self._resolve()
            _, connection = await loop.create_connection(
                lambda: _Connection(self._timeout_s, self._drop), host, port, ssl=_tls(address)
            )
        try:
            for command in self._greeting():
                reply = await connection.call(hiredis.pack_command(command))
                if isinstance(reply, hiredis.ReplyError):
                    raise StoreUnavailable(f"Redis: {reply}")
        except StoreUnavailable:
            connection.end("it did not greet")
            raise
        return connection

    def _greeting(self) -> list[tuple[Any, ...]]:
        commands: list[tuple[Any, ...]] = []
        password = self._address.password.reveal()
        if password:
            user = (self._address.username,) if self._address.username else ()
            commands.append(("AUTH", *user, password))
        if self._probe:
            commands.append(("SET", self._probe, b"", "PX", 1000))
        return commands

    def _drop(self, why: str) -> None:
        if self._connection is not None and why != _HUNG_UP:
            log.warning("Redis at %s: %s", self._address.host, why)
        self._why = why
        self._connection = None
        self._lost.set()


def _is_unfit(error: hiredis.ReplyError) -> bool:
    return str(error).startswith((*LOST, *FULL))


def _tls(address: RedisAddress) -> ssl.SSLContext | None:
    return None if address.ca_file is None else ssl.create_default_context(cafile=address.ca_file)


async def ask_once(host: str, port: int, timeout_s: float, *command: Any) -> Any:
    """One command to a server that is not kept; raises ``StoreUnavailable``."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(max(0.25, timeout_s)):
            _, connection = await loop.create_connection(
                lambda: _Connection(max(0.1, timeout_s), lambda why: None), host, port
            )
    except (OSError, TimeoutError) as error:
        raise StoreUnavailable(f"Redis at {host}:{port}: {error}") from None
    try:
        reply = await connection.call(hiredis.pack_command(command))
    finally:
        with contextlib.suppress(StoreUnavailable):
            connection.end("asked")
    if isinstance(reply, hiredis.ReplyError):
        raise StoreUnavailable(f"Redis at {host}:{port}: {reply}")
    return reply
