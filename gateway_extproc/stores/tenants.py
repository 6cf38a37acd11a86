"""Tenants as data: a file that the supervisor checks and its workers follow.

The supervisor alone reads what people write.  What is good it copies into the state
folder; workers read only the copy, so a bad file changes nothing, also for a worker that
starts while it is there.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from gateway_extproc.core.identity import Tenant
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.following import Stamp, stamp_of

log = logging.getLogger(__name__)

COPY_NAME: Final = "tenants.json"


@dataclass(frozen=True, slots=True)
class TenantsStatus:
    """What became of the file: how many tenants are in use, and why not newer ones."""

    tenants: int
    mistake: str = ""


class TenantPublisher:
    """Copies a good tenants file into the state folder; for one thread of the supervisor.

    ``read`` raises ValueError with all mistakes of a bad file.
    """

    def __init__(
        self, source: Path, folder: Path, read: Callable[[bytes], Sequence[Tenant]]
    ) -> None:
        self._source, self._copy, self._read = source, folder / COPY_NAME, read
        self._stamp: Stamp | None = None
        self.status = TenantsStatus(0)

    def publish(self) -> None:
        """Looks at the file, and copies it when it changed and is good."""
        stamp = _stamp(self._source)
        if stamp == self._stamp and not (stamp is None and not self.status.mistake):
            return
        self._stamp = stamp
        try:
            tenants = self._read(self._source.read_bytes())
        except (OSError, ValueError) as error:
            mistake = error.strerror or "unreadable" if isinstance(error, OSError) else str(error)
            self.status = TenantsStatus(self.status.tenants, f"{self._source}: {mistake}")
            log.error("tenants refused, the last good ones stay: %s", self.status.mistake)
            return
        _write(self._copy, orjson.dumps([_document(tenant) for tenant in tenants]))
        self.status = TenantsStatus(len(tenants))
        log.info("%d tenants of %s are in use", len(tenants), self._source)

    @property
    def has_copy(self) -> bool:
        """Whether there was ever a good file."""
        return self._copy.exists()


class FollowedTenants:
    """``TenantTable`` of one worker: the configuration's tenants and those of the copy."""

    def __init__(self, folder: Path, fixed: Mapping[str, Tenant]) -> None:
        self._copy = folder / COPY_NAME
        self._fixed = fixed
        self._tenants = dict(fixed)
        self._stamp: Stamp | None = None
        self.version = 0

    def find(self, tenant: str) -> Tenant | None:
        return self._tenants.get(tenant)

    def names(self) -> frozenset[str]:
        """All tenants that are known now."""
        return frozenset(self._tenants)

    def refresh(self) -> bool:
        """Reads a changed copy; raises ``StoreUnavailable`` and keeps what it has."""
        stamp = _stamp(self._copy)
        if stamp == self._stamp or stamp is None:
            return False
        try:
            tenants = [_tenant(item) for item in orjson.loads(self._copy.read_bytes())]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreUnavailable(f"{self._copy}: {type(error).__name__}") from None
        self._tenants = {**{tenant.id: tenant for tenant in tenants}, **self._fixed}
        self._stamp = stamp
        self.version += 1
        return False

    def close(self) -> None:
        """Nothing is held open."""


def _stamp(path: Path) -> Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return stamp_of(status)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all; a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def _document(tenant: Tenant) -> list[object]:
    return [tenant.id, tenant.data_class, dict(tenant.applications), tenant.suspended]


def _tenant(item: Sequence[object]) -> Tenant:
    id_, data_class, applications, suspended = item
    if not isinstance(applications, dict) or not isinstance(suspended, bool):
        raise TypeError("not a tenant")
    return Tenant(str(id_), str(data_class), applications, suspended)
