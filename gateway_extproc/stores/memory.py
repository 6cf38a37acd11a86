"""Tables of one worker: what the configuration fixes, and the cache of answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gateway_extproc.core.identity import Tenant
from gateway_extproc.core.keys import KeyRecord

SECOND_NS = 1_000_000_000


class CacheBounds(NamedTuple):
    """How much is kept: bytes and answers in all, bytes of one."""

    max_bytes: int
    max_entries: int
    entry_bytes: int


class FixedKeys:
    """``KeyTable`` of keys that never change: those of the configuration."""

    def __init__(self, keys: Mapping[str, KeyRecord]) -> None:
        self._keys = keys

    def find(self, key_id: str) -> KeyRecord | None:
        return self._keys.get(key_id)


class FixedTenants:
    """``TenantTable`` of tenants that never change: those of the configuration."""

    def __init__(self, tenants: Mapping[str, Tenant]) -> None:
        self._tenants = tenants
        self.version = 0

    def find(self, tenant: str) -> Tenant | None:
        return self._tenants.get(tenant)


class MemoryCache:
    """``AnswerCache`` of one process, bounded; what was not used for longest leaves first."""

    def __init__(self, bounds: CacheBounds, clock_ns: Callable[[], int]) -> None:
        self._bounds = bounds
        self._clock_ns = clock_ns
        self._bytes = 0
        self._entries: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()

    async def get(self, key: bytes) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, expires_ns = entry
        if self._clock_ns() >= expires_ns:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return value

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        if len(value) > self._bounds.entry_bytes:
            return False
        self._drop(key)
        self._entries[key] = (value, self._clock_ns() + int(ttl_s * SECOND_NS))
        self._bytes += len(value)
        while self._bytes > self._bounds.max_bytes or len(self._entries) > self._bounds.max_entries:
            self._drop(next(iter(self._entries)))
        return True

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry[0])
