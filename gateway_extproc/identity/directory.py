"""From what a credential proves to a ``Permit``: tenants and roles looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway_extproc.core.access import Grant, match_all, name_matcher
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.identity import Permit, Principal, Proven
from gateway_extproc.core.ports import TenantTable

MAX_PERMITS: Final = 20_000
"""Resolved credentials that are kept; all are dropped when there are more, and made again."""

_UNKNOWN: Final = refuse("unknown_tenant", "The credential's tenant is not known here.")
_SUSPENDED: Final = refuse("tenant_suspended", "The credential's tenant is suspended.")


class Directory:
    """Makes permits, and remembers them until a table changes."""

    def __init__(self, roles: Mapping[str, tuple[Grant, ...]], tenants: TenantTable) -> None:
        self._roles = roles
        self._tenants = tenants
        self._permits: dict[Proven, Permit | Refusal] = {}
        self._version = tenants.version

    def permit(self, proven: Proven) -> Permit | Refusal:
        """What the bearer may do; a refusal for one without tenant, user or application."""
        if self._version != self._tenants.version:
            self._version = self._tenants.version
            self._permits.clear()
        made = self._permits.get(proven)
        if made is None:
            if len(self._permits) >= MAX_PERMITS:
                self._permits.clear()
            made = self._permits[proven] = self._make(proven)
        return made

    def _make(self, proven: Proven) -> Permit | Refusal:
        missing = [name for name in _CONTEXT if not getattr(proven, name)]
        if missing:
            message = f"The credential does not name its {' and '.join(missing)}."
            return refuse("incomplete_identity", message)
        tenant = self._tenants.find(proven.tenant)
        if tenant is None:
            return _UNKNOWN
        if tenant.suspended:
            return _SUSPENDED
        return Permit(
            principal=Principal(
                tenant=tenant,
                user=proven.user,
                application=proven.application,
                roles=proven.roles,
                method=proven.method,
                credential_id=proven.credential_id,
                labels=proven.labels,
            ),
            # A role that nobody defined allows nothing.
            grants=tuple(grant for role in proven.roles for grant in self._roles.get(role, ())),
            data_classes=tenant.classes_of(proven.application),
            endpoints=frozenset(proven.endpoints),
            may_use_model=name_matcher(proven.models) if proven.models else match_all,
        )


_CONTEXT: Final = ("tenant", "user", "application")
