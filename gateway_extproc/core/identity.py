"""Who asks, who pays, and the proof that they may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway_extproc.core.access import Grant, Matcher, match_all


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who pays.

    ``applications`` holds the further data class of applications that have one.
    """

    id: str
    data_class: str = "standard"
    applications: Mapping[str, str] = field(default_factory=dict, hash=False)
    suspended: bool = False

    def classes_of(self, application: str) -> frozenset[str]:
        """The data classes that a request of this application carries at least."""
        further = self.applications.get(application)
        return frozenset({self.data_class} if further is None else {self.data_class, further})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as proven by a credential.

    ``method`` is how it was proven (``api_key``); ``credential_id`` names the
    credential without revealing it.  ``labels`` go into records, for costs.
    """

    tenant: Tenant
    user: str
    application: str
    roles: tuple[str, ...]
    method: str
    credential_id: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Nonce:
    """What a credential may be used with only once, until it is too old to be used at all.

    ``key`` holds who signed and the number that was signed; ``until_s`` is Unix seconds.
    """

    key: bytes
    until_s: float


@dataclass(frozen=True, slots=True)
class Proven:
    """What a verified credential says of its bearer: names only, not yet a ``Permit``.

    The identify stage looks tenant and roles up in its tables and makes the permit.
    ``expires_at_s`` is Unix seconds, infinity for a credential without end.
    ``body_sha256`` is what the credential signed of the body; identify compares it
    when the body arrives, None where the credential does not cover the body.
    ``endpoints`` and ``models`` narrow what the roles allow; empty narrows nothing.
    ``nonce`` must be new to the nonce store, or the request is a replay.  Both belong to
    one request; what two credentials prove is the same without them.
    """

    tenant: str
    user: str
    application: str
    roles: tuple[str, ...]
    method: str
    credential_id: str
    expires_at_s: float = float("inf")
    body_sha256: bytes | None = field(default=None, compare=False)
    endpoints: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    nonce: Nonce | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Permit:
    """Proof that a principal was authenticated; routing and credentials demand one.

    Only the identify stage makes one, and only after a credential was verified.
    ``grants`` are those of the principal's roles; ``endpoints`` (empty: all) and
    ``may_use_model`` are what the credential itself narrows them to.  A target must
    be approved for every one of ``data_classes``: a further class only ever takes
    targets away.
    """

    principal: Principal
    grants: tuple[Grant, ...]
    data_classes: frozenset[str]
    endpoints: frozenset[str] = frozenset()
    may_use_model: Matcher = field(default=match_all, repr=False)
