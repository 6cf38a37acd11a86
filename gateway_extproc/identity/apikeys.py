"""API keys: the first of the authenticators."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from gateway_extproc.core.apikey import key_hmac, parse_key
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Proven
from gateway_extproc.core.keys import KeyRecord
from gateway_extproc.core.ports import KeyTable
from gateway_extproc.core.secret import Secret
from gateway_extproc.identity.token import looks_like_token

KEY_HEADERS: Final = ("x-api-key", "api-key", "x-goog-api-key")
"""Where the SDKs of Anthropic, Azure OpenAI, Gemini put a key; OpenAI's use ``authorization``."""

_NO_KEY: Final = bytes(32)
_MAX_KEY_CHARS: Final = 256

INVALID: Final = refuse("invalid_api_key", "The API key is not valid.")
_EXPIRED: Final = refuse("expired_api_key", "The API key has expired.")
_REVOKED: Final = refuse("revoked_api_key", "The API key was revoked.")
_SUSPENDED: Final = refuse("suspended_api_key", "The API key is suspended.")
_NETWORK: Final = refuse(
    "network_not_allowed", "The API key must not be used from this network address."
)


@dataclass(slots=True)
class _Known:
    """A record, and what it proves: made once, so that both are recognised by identity."""

    record: KeyRecord
    proven: Proven


class ApiKeys:
    """``Authenticator`` for keys of the form ``gw_...``.

    Claims every bearer token that does not look like a JWT, and every value of the
    two headers that carry nothing but keys.
    """

    def __init__(self, keys: KeyTable, pepper: Secret, now_s: Callable[[], float]) -> None:
        self._keys = keys
        self._pepper = pepper.reveal().encode()
        self._now_s = now_s
        self._known: dict[str, _Known] = {}

    def authenticate(self, exchange: Exchange) -> Proven | Refusal | None:
        text = _find_key_text(exchange.headers)
        if text is None:
            return None
        record = self._find_record(text)
        if record is None:
            return INVALID
        return self.judge(record, exchange.source)

    def judge(self, record: KeyRecord, source: str) -> Proven | Refusal:
        """What a key proves that was sent from there; why not, if it may not be used now."""
        refusal = self._unusable(record, source)
        return self._proven(record) if refusal is None else refusal

    def _find_record(self, text: str) -> KeyRecord | None:
        """The record of a known key.  An unknown id costs the same time as a wrong secret."""
        key = parse_key(text) if len(text) <= _MAX_KEY_CHARS else None
        if key is None:
            return None
        record = self._keys.find(key.id)
        expected = _NO_KEY if record is None else record.hmac
        same = hmac.compare_digest(key_hmac(self._pepper, key.text), expected)
        return record if same else None

    def _unusable(self, record: KeyRecord, source: str) -> Refusal | None:
        """Why a key with the right secret is refused all the same."""
        now_s = self._now_s()
        if record.state == "revoked":
            return _REVOKED
        if now_s >= record.expires_at_s:
            return _EXPIRED
        if record.state == "suspended" and now_s < record.suspended_until_s:
            return _SUSPENDED
        if record.networks and not in_networks(source, record.networks):
            return _NETWORK
        return None

    def _proven(self, record: KeyRecord) -> Proven:
        known = self._known.get(record.id)
        if known is None or known.record is not record:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[record.id] = _Known(record, says(record))
        return known.proven


MAX_KNOWN: Final = 20_000
"""Keys whose proof is kept; all are dropped when there are more, and made again."""


def says(record: KeyRecord) -> Proven:
    """What a key proves of its bearer."""
    return Proven(
        tenant=record.tenant,
        user=record.user,
        application=record.application,
        roles=record.roles,
        method="api_key",
        credential_id=record.id,
        expires_at_s=record.expires_at_s,
        endpoints=record.endpoints,
        models=record.models,
        labels=record.labels,
    )


def _find_key_text(headers: dict[str, str]) -> str | None:
    for name in KEY_HEADERS:
        if headers.get(name):
            return headers[name].strip()
    value = headers.get("authorization", "")
    scheme, _, rest = value.partition(" ")
    text = rest.strip() if scheme.lower() == "bearer" else value.strip()
    if not text or " " in text or looks_like_token(text):
        return None
    return text


def in_networks(source: str, networks: tuple[str, ...]) -> bool:
    """Whether an address lies in one of the networks; an unknown address lies in none."""
    try:
        address = ip_address(source)
    except ValueError:
        return False
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(
        address in network
        for network in map(_network, networks)
        if network.version == address.version
    )


@lru_cache(maxsize=4096)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)
