"""Who a bearer token proves: verified here, or by Envoy where the configuration says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from gateway_extproc.config.proofs import Issuer
from gateway_extproc.core.errors import Refusal, RequestError, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Proven
from gateway_extproc.identity.claims import MAX_NAME_CHARS, ClaimMapper
from gateway_extproc.identity.remembered import Entry, Remembered
from gateway_extproc.identity.token import (
    MAX_CHARS,
    Terms,
    Token,
    check_claims,
    invalid,
    looks_like_token,
    read_token,
)
from gateway_extproc.identity.trust import Trust, Trusts

METHOD: Final = "jwt"
MAX_REMEMBERED: Final = 16_384
"""Verified tokens that one worker keeps; about 1 KB each."""


@dataclass(frozen=True, slots=True)
class _Source:
    """One issuer, made ready."""

    config: Issuer
    terms: Terms
    mapper: ClaimMapper

    @property
    def id(self) -> str:
        return self.config.id


class TokenAuthenticator:
    """Verifies ``Authorization: Bearer`` values that have the form of a JWT."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        trusts: Trusts,
        now_s: Callable[[], float],
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self._trusts = trusts
        self._now_s = now_s
        self._remembered = Remembered(max_remembered)
        self._by_name = {issuer.issuer: _source(issuer) for issuer in issuers}

    def authenticate(self, exchange: Exchange) -> Proven | Refusal | None:
        """Who the token proves; None where no bearer token of this form was sent."""
        text = find_bearer_token(exchange.headers)
        if text is None:
            return None
        try:
            if len(text) > MAX_CHARS:
                raise invalid("size")
            return self._prove(text, exchange.envoy_claims)
        except RequestError as error:
            return error.refusal

    def _prove(self, text: str, envoy_claims: Mapping[str, Any] | None) -> Proven:
        now_s = self._now_s()
        digest = sha256(text.encode("latin-1", "replace")).digest()
        entry = self._remembered.find(digest, now_s)
        if entry is not None and self._trusts.find(entry.issuer) is entry.trust:
            return entry.proven
        token = read_token(text)
        source = self._by_name.get(_issuer_of(token))
        if source is None:
            raise invalid("unknown_issuer")
        trust = self._trusts.find(source.id)
        if trust is None:
            message = "The keys of this token's issuer are not known yet; try again shortly."
            raise RequestError(refuse("signing_keys_unavailable", message, retry_after_s=1.0))
        if source.config.verified_by == "envoy":
            return _proven(source, trust, _vouched(source, envoy_claims), now_s)
        self._verify(source, trust, token)
        proven = _proven(source, trust, token.claims, now_s)
        self._remembered.keep(digest, Entry(proven, source.id, trust))
        return proven

    def _verify(self, source: _Source, trust: Trust, token: Token) -> None:
        if token.algorithm not in source.config.algorithms:
            raise invalid("algorithm")
        key = trust.keys.find(token.algorithm, token.kid)
        if key is None:
            self._trusts.want(source.id)
            raise invalid("unknown_key")
        if not key.verifies(token.signed, token.signature):
            raise invalid("signature")


def find_bearer_token(headers: Mapping[str, str]) -> str | None:
    """The JWT in ``Authorization`` (RFC 6750, section 2.1)."""
    value = headers.get("authorization", "")
    if value[:7].lower() != "bearer ":
        return None
    text = value[7:].strip(" ")
    return text if looks_like_token(text) else None


def _source(issuer: Issuer) -> _Source:
    terms = Terms(issuer.issuer, frozenset(issuer.audiences), issuer.leeway_s)
    return _Source(issuer, terms, ClaimMapper(issuer))


def _issuer_of(token: Token) -> str:
    """Whom the token says it is from; decides only whose keys must confirm it."""
    name = token.claims.get("iss")
    return name if isinstance(name, str) else ""


def _vouched(source: _Source, envoy_claims: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The claims that Envoy verified; without them it did not, whatever the token says."""
    claims = None if envoy_claims is None else envoy_claims.get(source.id)
    if not isinstance(claims, Mapping):
        raise invalid("not_verified_by_envoy")
    return claims


def _proven(source: _Source, trust: Trust, claims: Mapping[str, Any], now_s: float) -> Proven:
    until_s = check_claims(claims, source.terms, now_s)
    if trust.denies(claims):
        raise invalid("denied")
    tenant, user, application, roles = source.mapper.names(claims)
    return Proven(
        tenant=tenant,
        user=user,
        application=application,
        roles=roles,
        method=METHOD,
        credential_id=f"{source.id}:{_name_of(claims)}"[:MAX_NAME_CHARS],
        expires_at_s=until_s,
    )


def _name_of(claims: Mapping[str, Any]) -> str:
    """What names the token in records: its id, else its user."""
    name = claims.get("jti", claims.get("sub", ""))
    return name if isinstance(name, str) and name.isprintable() else ""
