"""Which Redis server holds a key: the only one, a master that Sentinels name, a Cluster's node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import hiredis
from redis.crc import key_slot

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.redislink import Link, ask_once

log = logging.getLogger(__name__)

MAP_PAUSE_S: Final = 0.1
"""Between two looks at a Cluster's map."""
REDIRECTS: Final = 3


class Topology(Protocol):
    """Calls the server of a key."""

    def send(self, key: str, command: tuple[Any, ...]) -> Awaitable[Any]:
        """Sends at once; awaited, it is the reply.

        Raises ``StoreUnavailable`` then; an error that is not about the server's fitness is
        returned.
        """

    async def open(self) -> None:
        """Tries once to be connected when it returns."""

    async def close(self) -> None: ...


class OneServer:
    """One server, at an address or where Sentinels say that the master is."""

    def __init__(
        self,
        address: RedisAddress,
        prefix: str,
        sentinels: Sequence[tuple[str, int]] = (),
        service: str = "",
    ) -> None:
        self._sentinels, self._service = tuple(sentinels), service
        self._timeout_s = address.timeout_s
        self._link = Link(address, prefix, self._master if sentinels else None)

    def send(self, key: str, command: tuple[Any, ...]) -> Awaitable[Any]:
        return self._link.send(hiredis.pack_command(command))

    async def open(self) -> None:
        await self._link.open()

    async def close(self) -> None:
        await self._link.close()

    async def _master(self) -> tuple[str, int]:
        """The first Sentinel that answers is believed; the server's first write checks it."""
        for host, port in self._sentinels:
            try:
                found = await ask_once(
                    host, port, self._timeout_s, "SENTINEL", "GET-MASTER-ADDR-BY-NAME",
                    self._service,
                )  # fmt: skip
            except StoreUnavailable as error:
                log.warning("%s", error)
                continue
            if found:
                return found[0].decode(), int(found[1])
        raise StoreUnavailable(f"no Sentinel knows the master of {self._service}")


class Cluster:
    """The masters of a Redis Cluster, each with a link of its own."""

    def __init__(self, address: RedisAddress, prefix: str) -> None:
        self._address, self._prefix = address, prefix
        self._slots: dict[int, tuple[str, int]] = {}
        self._links: dict[tuple[str, int], Link] = {}
        self._known_slots: dict[str, int] = {}
        self._mapper: asyncio.Task[None] | None = None
        self._seeds = [(address.host, address.port)]

    async def open(self) -> None:
        await self._map()
        await asyncio.gather(*(link.open() for link in self._links.values()))

    async def close(self) -> None:
        if self._mapper is not None:
            self._mapper.cancel()
            await asyncio.gather(self._mapper, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self._links.values()))

    async def send(self, key: str, command: tuple[Any, ...]) -> Any:
        packed = hiredis.pack_command(command)
        node = self._slots.get(self._slot(key))
        if node is None:
            self._look_again()
            raise StoreUnavailable("Redis Cluster: nobody serves this slot")
        asking = b""
        for _ in range(REDIRECTS):
            try:
                reply = await self._link(node).send(packed, asking)
            except StoreUnavailable:
                self._look_again()
                raise
            word, _, rest = str(reply).partition(" ") if _is_error(reply) else ("", "", "")
            if word not in ("MOVED", "ASK"):
                return reply
            host, _, port = rest.partition(" ")[2].rpartition(":")
            node = (host or node[0], int(port))
            asking = hiredis.pack_command(("ASKING",)) if word == "ASK" else b""
            if word == "MOVED":
                self._look_again()
        raise StoreUnavailable("Redis Cluster: sent in a circle")

    def _slot(self, key: str) -> int:
        slot = self._known_slots.get(key)
        if slot is None:
            if len(self._known_slots) > 10_000:
                self._known_slots.clear()
            slot = self._known_slots[key] = key_slot(key.encode())
        return slot

    def _link(self, node: tuple[str, int]) -> Link:
        link = self._links.get(node)
        if link is None:
            address = replace(self._address, host=node[0], port=node[1])
            # Any key would be another node's: a node shows its fitness with what it serves.
            link = self._links[node] = Link(address, "")
        return link

    def _look_again(self) -> None:
        if self._mapper is None or self._mapper.done():
            self._mapper = asyncio.create_task(self._map_again())

    async def _map_again(self) -> None:
        await self._map()
        await asyncio.sleep(MAP_PAUSE_S)

    async def _map(self) -> None:
        for host, port in (*{*self._slots.values()}, *self._seeds):
            try:
                rows = await ask_once(host, port, self._address.timeout_s, "CLUSTER", "SLOTS")
            except StoreUnavailable as error:
                log.warning("%s", error)
                continue
            slots = {
                slot: (row[2][0].decode() or host, int(row[2][1]))
                for row in rows
                for slot in range(row[0], row[1] + 1)
            }
            if slots:
                self._slots = slots
                for node in {*slots.values()}:
                    self._link(node)
                return


def _is_error(reply: Any) -> bool:
    return isinstance(reply, hiredis.ReplyError)
