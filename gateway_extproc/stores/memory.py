"""The embedded store: limits shared by all workers of one host, without a server.

Limits live in a file that every worker maps into its memory: a table of
(hash of the limit's key, theoretical arrival time).  A POSIX lock on the file makes a
request's limits one atomic step across processes, and the kernel drops the lock of
a process that dies.  So N workers enforce one limit, not N.

The rule is GCRA (ITU-T I.371): a key's arrival time TAT moves forward by one interval
a request, and a request is refused when TAT would run further ahead of the clock than
the burst allows.  A key whose TAT lies in the past is as good as unknown, so slots free themselves.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import mmap
import os
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gateway_extproc.core.identity import Tenant
from gateway_extproc.core.keys import KeyRecord
from gateway_extproc.core.ports import LimitAsk, LimitReply, StoreUnavailable

SLOTS = 1 << 17
PROBES = 32
"""Slots looked at for one key before the stalest of them is taken over."""

LOCK_WAIT_S = 0.25
"""Longer than any holder is kept off its core; only a stopped process holds on so long."""
LOCK_PAUSE_S = 0.001
SECOND_NS = 1_000_000_000

_SLOT = struct.Struct("<16sq")
_NOBODY = bytes(16)


class SharedLimits:
    """``LimitStore`` over a table in a file; open it once in each worker."""

    def __init__(self, path: Path, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = SLOTS * _SLOT.size
        if os.fstat(self._fd).st_size < size:
            os.ftruncate(self._fd, size)
        self._table = mmap.mmap(self._fd, size)

    async def take(self, asks: Sequence[LimitAsk]) -> Sequence[LimitReply]:
        """One unit of each limit, all or nothing; raises ``StoreUnavailable``."""
        names = [hashlib.blake2b(ask.key, digest_size=16).digest() for ask in asks]
        await self._lock()
        try:
            return self._take(asks, names, self._clock_ns())
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Unmaps the table; its content stays in the file."""
        self._table.close()
        os.close(self._fd)

    async def _lock(self) -> None:
        waited_s = 0.0
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Held for microseconds, unless its holder was put off its core: never wait
                # inside a system call, the loop has other requests.
                if waited_s >= LOCK_WAIT_S:
                    raise StoreUnavailable("the limit table stayed locked") from None
                await asyncio.sleep(LOCK_PAUSE_S)
                waited_s += LOCK_PAUSE_S
            else:
                return

    def _take(
        self, asks: Sequence[LimitAsk], names: Sequence[bytes], now_ns: int
    ) -> list[LimitReply]:
        slots: dict[bytes, int] = {}
        writes: list[tuple[int, bytes, int]] = []
        replies: list[LimitReply] = []
        admitted = True
        for ask, name in zip(asks, names, strict=True):
            if name not in slots:
                slots[name] = self._slot_of(name, now_ns, set(slots.values()))
            at = slots[name]
            stored = self._tat(at, name)
            allowed, tat, reply = gcra(ask, stored, now_ns)
            replies.append(reply)
            if allowed:
                writes.append((at, name, tat))
                continue
            if tat < stored:
                # Bounded, or a time from another boot would refuse for weeks.
                _SLOT.pack_into(self._table, at, name, tat)
            if not ask.shadow:
                admitted = False
        if admitted:
            for at, name, tat in writes:
                _SLOT.pack_into(self._table, at, name, tat)
        return replies

    def _tat(self, at: int, name: bytes) -> int:
        stored, tat = _SLOT.unpack_from(self._table, at)
        return int(tat) if stored == name else 0

    def _slot_of(self, name: bytes, now_ns: int, taken: set[int]) -> int:
        """The key's own slot, else a free one, else the one that will be free first."""
        start = int.from_bytes(name[:4], "little")
        best, best_tat = -1, 0
        for probe in range(PROBES):
            at = ((start + probe) % SLOTS) * _SLOT.size
            stored, tat = _SLOT.unpack_from(self._table, at)
            if stored == name:
                return at
            if at not in taken:
                age = 0 if stored == _NOBODY or tat <= now_ns else tat
                if best < 0 or age < best_tat:
                    best, best_tat = at, age
        return best


def gcra(ask: LimitAsk, tat_ns: int, now_ns: int) -> tuple[bool, int, LimitReply]:
    """Whether one more unit fits, the arrival time if it is taken, and what to tell.

    A stored time further ahead than the burst ever lets it be comes from
    another boot's clock or from an older, wider limit; it counts as the bound.
    """
    interval = max(1, int(ask.window_s * SECOND_NS) // ask.limit)
    tolerance = interval * ask.burst
    ahead = min(max(tat_ns - now_ns, 0), tolerance)
    after = ahead + interval
    if after > tolerance:
        wait = (after - tolerance) / SECOND_NS
        return False, now_ns + ahead, LimitReply(False, 0, ahead / SECOND_NS, wait)
    remaining = (tolerance - after) // interval
    return True, now_ns + after, LimitReply(True, remaining, after / SECOND_NS, 0.0)


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
    """``AnswerCache`` of one worker: bounded in bytes, least recently used leaves first."""

    def __init__(self, max_bytes: int, clock_ns: Callable[[], int]) -> None:
        self._max_bytes = max_bytes
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

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        if len(value) > self._max_bytes // 8:
            return
        self._drop(key)
        self._entries[key] = (value, self._clock_ns() + int(ttl_s * SECOND_NS))
        self._bytes += len(value)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry[0])
