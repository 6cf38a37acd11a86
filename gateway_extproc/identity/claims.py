"""From verified claims to names: whose tenant, user, application and roles.

An issuer speaks only for the tenants and roles that the configuration lists for it;
what a claim says beyond that is refused (a tenant) or passed over (a role).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway_extproc.config.proofs import Claim, Issuer, RolesClaim
from gateway_extproc.core.access import name_matcher
from gateway_extproc.core.errors import RequestError, refuse

MAX_NAME_CHARS = 128


class ClaimMapper:
    """Reads the names of one issuer's tokens."""

    def __init__(self, issuer: Issuer) -> None:
        claims = issuer.claims
        self._user = _reader("user", claims.user)
        self._application = _reader("application", claims.application)
        self._tenant = _reader("tenant", claims.tenant)
        self._roles = claims.roles
        self._may_speak_for = name_matcher(issuer.tenants)
        self._may_give = frozenset(issuer.roles)

    def names(self, claims: Mapping[str, Any]) -> tuple[str, str, str, tuple[str, ...]]:
        """Tenant, user, application and roles; raises ``RequestError``."""
        tenant = self._tenant(claims)
        if not self._may_speak_for(tenant):
            raise not_mapped("tenant")
        roles = self._found_roles(claims) or self._roles.default
        if not roles:
            raise not_mapped("roles")
        return tenant, self._user(claims), self._application(claims), roles

    def _found_roles(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        given = dict.fromkeys(_roles_in(self._roles, claims))
        return tuple(role for role in given if role in self._may_give)


def not_mapped(what: str) -> RequestError:
    """Somebody proved who they are, and nothing here says what that means."""
    message = "Your identity is proven, and not known here: ask for access."
    return RequestError(refuse("identity_not_mapped", message, rule=f"mapping.{what}"))


def is_name(value: str) -> bool:
    """Whether a text may stand as a name in records, limits and headers."""
    return 0 < len(value) <= MAX_NAME_CHARS and value.isprintable() and value == value.strip()


def _reader(what: str, claim: Claim) -> Callable[[Mapping[str, Any]], str]:
    # An application may also be told by a header (``identity.application_header``); whether
    # anything names it is for the stage to say.
    default = "" if what == "application" and claim.default is None else claim.default

    def read(claims: Mapping[str, Any]) -> str:
        found = _at(claims, claim.path)
        if found is None and default is not None:
            return default
        value = _mapped(_text(found), claim.prefix, claim.map)
        if value is None or not is_name(value):
            raise not_mapped(what)
        return value

    return read


def _roles_in(roles: RolesClaim, claims: Mapping[str, Any]) -> Iterator[str]:
    found = _at(claims, roles.path)
    # A scope is one text with spaces (RFC 8693, section 4.2), groups are a list.
    values = found.split(" ") if isinstance(found, str) else found
    for value in values if isinstance(values, list) else ():
        role = _mapped(_text(value), roles.prefix, roles.map)
        if role is not None:
            yield role


def _at(claims: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(claims, Mapping):
            return None
        claims = claims.get(name)
    return claims


def _text(value: Any) -> str | None:
    """Numbers serve as ids in some directories; a truth value or a list is no name."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _mapped(value: str | None, prefix: str, names: Mapping[str, str]) -> str | None:
    if value is None or not value.startswith(prefix):
        return None
    value = value[len(prefix) :]
    return names.get(value) if names else value
