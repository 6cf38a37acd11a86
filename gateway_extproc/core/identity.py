"""Who asks, who pays, and the proof that they may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who pays."""

    id: str
    data_class: str = "standard"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as proven by a credential.

    ``method`` is how it was proven (``api_key``); ``credential_id`` names the
    credential without revealing it.
    """

    tenant: Tenant
    user: str
    application: str
    roles: tuple[str, ...]
    method: str
    credential_id: str


@dataclass(frozen=True, slots=True)
class Proven:
    """What a verified credential says of its bearer: names only, not yet a ``Permit``.

    The identify stage looks tenant and roles up in its tables and makes the permit.
    ``expires_at_s`` is Unix seconds, infinity for a credential without end.
    ``body_sha256`` is what the credential signed of the body; identify compares it
    when the body arrives, None where the credential does not cover the body.
    """

    tenant: str
    user: str
    application: str
    roles: tuple[str, ...]
    method: str
    credential_id: str
    expires_at_s: float = float("inf")
    body_sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """Proof that a principal was authenticated; routing and credentials demand one.

    Only the identify stage makes one, and only after a credential was verified.
    ``may_use_model`` closes over the roles of the principal.
    """

    principal: Principal
    endpoints: frozenset[str]
    may_use_model: Callable[[str], bool] = field(repr=False)
