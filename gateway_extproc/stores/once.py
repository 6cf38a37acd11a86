"""What may be done once only: by all workers of a host, or of all hosts that share a Redis."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Final

from redis.exceptions import RedisError

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.keyredis import RedisAddress
from gateway_extproc.stores.nonceredis import connect

LIFE_S: Final = 90 * 86_400
"""Longer than a provider keeps the results of a batch."""


class OnceFiles:
    """``core.ports.Once`` in a folder that survives restarts: an empty file for each name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def take(self, name: str) -> bool:
        """True for who comes first; raises ``StoreUnavailable``."""
        file = self._folder / _short(name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        except OSError as error:
            raise StoreUnavailable(str(error)) from None
        return True


class OnceRedis:
    """``core.ports.Once`` for all hosts; nothing is remembered beyond ``LIFE_S``."""

    def __init__(self, address: RedisAddress, prefix: str) -> None:
        self._redis = connect(address)
        self._prefix, self._timeout_s = prefix, address.timeout_s

    async def take(self, name: str) -> bool:
        """True for who comes first; raises ``StoreUnavailable``."""
        key = f"{self._prefix}:once:{_short(name)}"
        try:
            async with asyncio.timeout(self._timeout_s):
                return bool(await self._redis.set(key, b"", nx=True, ex=LIFE_S))
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(str(error)) from None

    async def disconnect(self) -> None:
        """Closes the connections; who ends its process need not."""
        await self._redis.aclose()


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
