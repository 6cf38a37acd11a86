"""Nonces of signed requests, remembered by all hosts that share a Redis.

The host's own table is asked first: it knows most replays without the network.  Where
Redis does not answer within its deadline the request is refused; that it was not seen
elsewhere is then not known.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway_extproc.core.identity import Nonce
from gateway_extproc.core.ports import NonceOutcome
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.nonces import SharedNonces

CONNECTIONS: Final = 32
CLOCKS_S: Final = 60.0
"""How far the clocks of two hosts may differ before a nonce is forgotten too early."""


class RedisNonces:
    """``NonceStore`` over a host's table and a Redis behind it."""

    def __init__(
        self, local: SharedNonces, address: RedisAddress, prefix: str, now_s: Callable[[], float]
    ) -> None:
        self._local = local
        self._prefix = prefix
        self._timeout_s = address.timeout_s
        self._now_s = now_s
        self._redis = connect(address)

    async def take(self, nonce: Nonce) -> NonceOutcome:
        """Whether the nonce is new here and elsewhere; from then on it is not."""
        outcome = await self._local.take(nonce)
        if outcome != "fresh":
            return outcome
        name = f"{self._prefix}:nonce:{hashlib.blake2b(nonce.key, digest_size=16).hexdigest()}"
        life_ms = int((nonce.until_s - self._now_s() + CLOCKS_S) * 1000)
        try:
            async with asyncio.timeout(self._timeout_s):
                made = await self._redis.set(name, b"", nx=True, px=max(life_ms, 1))
        except (RedisError, OSError, TimeoutError):
            return "unavailable"
        return "fresh" if made else "seen"

    async def disconnect(self) -> None:
        """Closes the connections; who ends its process need not."""
        await self._redis.aclose()

    def close(self) -> None:
        """Lets go of the host's table."""
        self._local.close()


def connect(address: RedisAddress) -> redis.asyncio.Redis:
    """A Redis that is asked once, within a deadline."""
    tls: dict[str, Any] = {} if address.ca_file is None else {
        "connection_class": redis.asyncio.SSLConnection, "ssl_ca_certs": address.ca_file,
        "ssl_check_hostname": True,
    }  # fmt: skip
    pool = redis.asyncio.BlockingConnectionPool(
        max_connections=CONNECTIONS,
        timeout=address.timeout_s,
        host=address.host,
        port=address.port,
        username=address.username or None,
        password=address.password.reveal() or None,
        socket_timeout=address.timeout_s,
        socket_connect_timeout=address.timeout_s,
        # A SET that was tried twice would find its own first try, and call it a replay.
        retry=Retry(NoBackoff(), 0),
        **tls,
    )
    return redis.asyncio.Redis(connection_pool=pool)
