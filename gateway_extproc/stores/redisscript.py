"""Lua scripts of this package, run where a key lives."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Sequence
from importlib import resources
from typing import Any

import hiredis

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.redistopology import Topology

log = logging.getLogger(__name__)


class Script:
    """A script by its hash; told once to a server that does not know it.

    ``parts`` are files of ``stores/lua``, without their ending, joined in this order.
    """

    def __init__(self, topology: Topology, *parts: str) -> None:
        folder = resources.files(__package__).joinpath("lua")
        self._text = "\n".join(folder.joinpath(f"{part}.lua").read_text() for part in parts)
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()
        self._topology = topology

    async def __call__(self, base: str, arguments: Sequence[Any]) -> Any:
        return await self.finish(base, arguments, self.send(base, arguments))

    def send(self, base: str, arguments: Sequence[Any]) -> Awaitable[Any]:
        """Sends a call; what comes of it ``finish`` tells."""
        return self._topology.send(base, ("EVALSHA", self._sha, 1, base, *arguments))

    async def finish(self, base: str, arguments: Sequence[Any], sent: Awaitable[Any]) -> Any:
        """The reply to a call that was sent with these arguments."""
        reply = await sent
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            # It did not run; EVAL runs it and teaches it.
            reply = await self._topology.send(base, ("EVAL", self._text, 1, base, *arguments))
        if isinstance(reply, hiredis.ReplyError):
            log.error("Redis refuses a script: %s", reply)
            raise StoreUnavailable(f"Redis: {reply}")
        return reply
