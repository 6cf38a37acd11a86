"""What the supervisor does about identities: keeps the host's tables, judges admin calls."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from gateway_extproc.config.compile import compile_config, key_record
from gateway_extproc.config.keyterms import read_terms
from gateway_extproc.config.model import Config
from gateway_extproc.core.access import AdminPermission
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.keys import KeyRecord
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.identities import (
    file_tenants,
    identify_stage,
    key_set_fetcher,
    open_identities,
    open_key_store,
    open_keyring,
    tenant_publisher,
)
from gateway_extproc.stores.following import follow
from gateway_extproc.stores.keyredis import ReplicatedKeys
from gateway_extproc.supervisor.admin import AdminCall, Caller
from gateway_extproc.supervisor.gate import IdentityGate
from gateway_extproc.supervisor.keys_api import KeysApi
from gateway_extproc.supervisor.poller import Poller

TENANTS_PAUSE_S = 0.5
SYNC_WAIT_S = 0.5
"""Longest wait for a push; then Redis is asked all the same."""
SYNC_PAUSE_S = 0.05
"""Keeps a storm of pushes, or of errors, from filling a core."""


class Control:
    """The tables and the gate of one configuration; made anew when it is reloaded.

    ``write`` takes the records of the admin log.  Raises ``SecretUnavailable`` and
    ``StoreUnavailable``, and ValueError for tenants of which no good file was ever seen.
    """

    def __init__(self, config: Config, write: Callable[[dict[str, Any]], None]) -> None:
        self._config = config
        snapshot = compile_config(config)
        self._publisher = tenant_publisher(config)
        self._pollers = []
        if self._publisher is not None:
            self._publisher.publish()
            if not self._publisher.has_copy:
                raise ValueError(self._publisher.status.mistake)
            self._pollers.append(Poller("tenants", self._publisher.publish, TENANTS_PAUSE_S))
        self._sync = open_key_store(config)
        if isinstance(self._sync, ReplicatedKeys):
            with contextlib.suppress(StoreUnavailable):
                self._sync.sync()
            self._pollers.append(Poller("keys", self._wait_and_sync, SYNC_PAUSE_S))
        self._identities = open_identities(config, snapshot)
        self.gate = IdentityGate(identify_stage(config, self._identities, 1), time.time, write)
        self._store = open_key_store(config)
        self.keyring = open_keyring(config, self._store)
        self.roles = snapshot.roles
        self._key_sets = key_set_fetcher(config)
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to keep the tables."""
        for poller in self._pollers:
            poller.start()
        self._key_sets.start()
        self._following = asyncio.create_task(follow(self._identities.followed))

    async def stop(self) -> None:
        """Returns when nothing of it runs any more."""
        if self._following is not None:
            self._following.cancel()
            await self._key_sets.stop()
        for poller in self._pollers:
            await asyncio.to_thread(poller.stop)
        self._identities.close()
        self._sync.close()
        self._store.close()

    def read_terms(self, entry: dict[str, Any]) -> KeyRecord:
        """The terms of a key; raises ``ConfigError``."""
        return key_record(read_terms(entry, self._config, file_tenants(self._config)))

    def status(self) -> dict[str, Any]:
        """What is wrong with the tables; empty texts when nothing is."""
        tenants = None if self._publisher is None else self._publisher.status
        return {
            "tenants": {
                "from_file": 0 if tenants is None else tenants.tenants,
                "mistake": "" if tenants is None else tenants.mistake,
            },
            "issuers": self._key_sets.status(),
            "troubles": {poller.name: poller.trouble for poller in self._pollers},
        }

    def _wait_and_sync(self) -> None:
        assert isinstance(self._sync, ReplicatedKeys)
        try:
            self._sync.wait(SYNC_WAIT_S)
        except StoreUnavailable:
            time.sleep(SYNC_WAIT_S)
        self._sync.sync()


class CurrentControl:
    """``Gate`` and keys API over whichever control is current; the routes are made once."""

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write
        self._control: Control | None = None
        self.keys = KeysApi(time.time)

    def open(self, config: Config) -> Control:
        """A control for a configuration; not yet the current one."""
        return Control(config, self._write)

    async def use(self, control: Control) -> None:
        """Makes it the current one, and ends the one before."""
        before, self._control = self._control, control
        self.keys.use(control.keyring, control.read_terms, control.roles)
        control.start()
        if before is not None:
            await before.stop()

    async def stop(self) -> None:
        if self._control is not None:
            await self._control.stop()

    def status(self) -> dict[str, Any]:
        return {} if self._control is None else self._control.status()

    async def admit(self, call: AdminCall, permission: AdminPermission) -> Caller | Refusal:
        assert self._control is not None
        return await self._control.gate.admit(call, permission)

    def record(
        self,
        call: AdminCall,
        permission: AdminPermission,
        outcome: Caller | Refusal,
        status: int,
    ) -> None:
        assert self._control is not None
        self._control.gate.record(call, permission, outcome, status)
