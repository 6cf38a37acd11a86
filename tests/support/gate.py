"""The admin server's gate over the tests' configuration: a key for each role."""

from __future__ import annotations

from typing import Any

from gateway_extproc.config.compile import Snapshot, compile_config
from gateway_extproc.core.secret import Secret
from gateway_extproc.identity.apikeys import ApiKeys
from gateway_extproc.identity.directory import Directory
from gateway_extproc.stages.identify import Identify
from gateway_extproc.stores.memory import FixedKeys, FixedTenants
from gateway_extproc.supervisor.gate import IdentityGate
from support.config import PEPPER, api_key, key_entry, make_config

SHIPPED_ROLES = (
    "developer",
    "application",
    "platform-admin",
    "security-operator",
    "finops",
    "auditor",
)


def key_of(role: str) -> str:
    """The key of somebody who has this role and no other."""
    return api_key(role.replace("-", "") + "0" * 8)


def snapshot_of_roles(**sections: Any) -> Snapshot:
    """The tests' configuration with the shipped roles and a key of each."""
    keys = [key_entry(key_of(role), "acme", role, role) for role in SHIPPED_ROLES]
    return compile_config(make_config(**{"roles": [], "keys": keys, **sections}))


def make_identify(snapshot: Snapshot, now_s: float = 0.0) -> Identify:
    """An identify stage over fixed tables."""
    keys = ApiKeys(FixedKeys(snapshot.keys), Secret(PEPPER), lambda: now_s)
    return Identify([keys], Directory(snapshot.roles, FixedTenants(snapshot.tenants)))


def make_gate(
    records: list[dict[str, Any]] | None = None, snapshot: Snapshot | None = None
) -> IdentityGate:
    """A gate that writes its records into a list."""
    written = [] if records is None else records
    return IdentityGate(
        make_identify(snapshot or snapshot_of_roles()), lambda: 1_767_323_045.5, written.append
    )
