"""Client certificates: SPIFFE ids, and whom they stand for.

The id comes from the connection that Envoy verified.  Where the configuration takes it
from ``x-forwarded-client-cert``, the Envoy configuration that belongs to it overwrites
that header (SANITIZE_SET), so that no client can send one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway_extproc.config.proofs import PeerCertificates, Workload
from gateway_extproc.core.access import name_matcher
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Proven
from gateway_extproc.identity.claims import MAX_NAME_CHARS, is_name, not_mapped

METHOD: Final = "mtls"
XFCC: Final = "x-forwarded-client-cert"
MAX_ID_CHARS: Final = 2048
"""SPIFFE-ID, section 2.3."""

# SPIFFE-ID, sections 2.1 and 2.2: no user, port, query, fragment or escape, no empty part.
_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)+)")
_XFCC: Final = re.compile(r'(?:(?:Hash=[0-9a-f]{64}|By=[^;,="\s]*);)*URI=([^;,="\s]+)')


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """A well-formed id: its trust domain and the parts of its path."""

    trust_domain: str
    parts: tuple[str, ...]


def read_spiffe_id(text: str) -> SpiffeId | None:
    """The id in a certificate's URI; None for anything else."""
    match = _ID.fullmatch(text) if len(text) <= MAX_ID_CHARS else None
    if match is None:
        return None
    parts = tuple(match[2][1:].split("/"))
    if any(part in (".", "..") for part in parts):
        return None
    return SpiffeId(match[1], parts)


def read_forwarded(value: str) -> str:
    """The URI in an ``x-forwarded-client-cert`` that Envoy set for one certificate; or empty.

    Several elements, several URIs or quoted parts are not what SANITIZE_SET with
    ``uri`` alone makes.
    """
    match = _XFCC.fullmatch(value)
    return "" if match is None else match[1]


class CertificateAuthenticator:
    """Knows callers by the certificate of their connection."""

    def __init__(self, config: PeerCertificates) -> None:
        self._from_header = config.source == "header"
        self._rules = tuple(_Rule(workload) for workload in config.workloads)

    def authenticate(self, exchange: Exchange) -> Proven | Refusal | None:
        """Whom the certificate stands for; None where the connection has none."""
        uri = self._uri(exchange)
        if not uri:
            return None
        spiffe_id = read_spiffe_id(uri)
        if spiffe_id is None:
            return not_mapped("certificate").refusal
        for rule in self._rules:
            found = rule.match(spiffe_id)
            if found is not None:
                return found
        return not_mapped("certificate").refusal

    def _uri(self, exchange: Exchange) -> str:
        if not self._from_header:
            return exchange.peer_uri
        if XFCC in exchange.repeated_headers:
            return ""
        return read_forwarded(exchange.headers.get(XFCC, ""))


class _Rule:
    """One workload rule, split once."""

    def __init__(self, workload: Workload) -> None:
        domain, *parts = workload.spiffe_id.removeprefix("spiffe://").split("/")
        self._workload = workload
        self._pattern = SpiffeId(domain, tuple(parts))
        self._may_speak_for = name_matcher(workload.tenants)

    def match(self, spiffe_id: SpiffeId) -> Proven | None:
        """Whom the id stands for by this rule; None where the rule is about others."""
        found = _fit(self._pattern, spiffe_id)
        if found is None:
            return None
        rule = self._workload
        tenant = rule.tenant or found.get("tenant", "")
        if rule.tenant is None and not self._may_speak_for(tenant):
            return None
        user = rule.user or found.get("user") or "/".join(spiffe_id.parts)
        application = found.get("application", rule.application)
        if not (is_name(user) and is_name(application)):
            return None
        return Proven(
            tenant=tenant,
            user=user,
            application=application,
            roles=rule.roles,
            method=METHOD,
            credential_id=f"{rule.id}:{'/'.join(spiffe_id.parts)}"[:MAX_NAME_CHARS],
        )


def _fit(pattern: SpiffeId, spiffe_id: SpiffeId) -> dict[str, str] | None:
    """What the names in the pattern stand for; None where the id does not fit."""
    if pattern.trust_domain != spiffe_id.trust_domain:
        return None
    if len(pattern.parts) != len(spiffe_id.parts):
        return None
    found: dict[str, str] = {}
    for expected, part in zip(pattern.parts, spiffe_id.parts, strict=True):
        if expected.startswith("{"):
            found[expected[1:-1]] = part
        elif expected not in ("*", part):
            return None
    return found
