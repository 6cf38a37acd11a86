"""identify: who is this, proven by exactly one credential; makes the ``Permit``."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Proven
from gateway_extproc.core.ports import Authenticator
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Respond, Verdict
from gateway_extproc.identity.directory import Directory

CREDENTIAL_HEADERS: Final = ("authorization", "x-api-key", "api-key")
"""Where SDKs put a key or a token: OpenAI's, Anthropic's, Azure OpenAI's."""

_MISSING: Final = refuse(
    "missing_api_key",
    "No API key was sent. Put it into the header 'Authorization: Bearer <key>' "
    "or 'x-api-key: <key>'.",
)
_INVALID: Final = refuse("invalid_api_key", "The API key is not valid.")
_BODY: Final = refuse(
    "body_digest_mismatch", "The request's body is not the one that its credential covers."
)


class Identify(Stage):
    """``authenticators`` in the order in which they are asked; all are, always."""

    name = "identify"

    def __init__(self, authenticators: Sequence[Authenticator], directory: Directory) -> None:
        self._authenticators = tuple(authenticators)
        self._directory = directory

    async def request_headers(self, exchange: Exchange) -> Verdict:
        exchange.source = client_address(exchange)
        proven = self._prove(exchange)
        if isinstance(proven, Refusal):
            return Respond(proven)
        permit = self._directory.permit(proven)
        if isinstance(permit, Refusal):
            return Respond(permit)
        exchange.body_sha256 = proven.body_sha256
        exchange.permit = permit
        return CONTINUE

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        expected = exchange.body_sha256
        if expected is not None and not hmac.compare_digest(
            hashlib.sha256(body).digest(), expected
        ):
            return Respond(_BODY)
        return CONTINUE

    def _prove(self, exchange: Exchange) -> Proven | Refusal:
        """What the request's only credential proves; several are refused, equal or not."""
        sent = _sent_credentials(exchange)
        if isinstance(sent, Refusal):
            return sent
        claims = [
            claim
            for authenticator in self._authenticators
            if (claim := authenticator.authenticate(exchange)) is not None
        ]
        if len(claims) > 1:
            return refuse("ambiguous_credential", "Several different credentials were sent.")
        if claims:
            return claims[0]
        return _INVALID if sent else _MISSING


def _sent_credentials(exchange: Exchange) -> set[str] | Refusal:
    """The different values of the credential headers: none or one."""
    repeated, headers = exchange.repeated_headers, exchange.headers
    if repeated and not repeated.isdisjoint(CREDENTIAL_HEADERS):
        return refuse("ambiguous_credential", "A credential header was sent more than once.")
    found = {_bare(headers[name]) for name in CREDENTIAL_HEADERS if name in headers}
    if len(found) > 1:
        return refuse("ambiguous_credential", "Several different credentials were sent.")
    return found - {""}


def _bare(value: str) -> str:
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value.strip()


def client_address(exchange: Exchange) -> str:
    """The address that Envoy saw the client at; empty when it cannot be known.

    Envoy (``use_remote_address``) appends the peer's address to ``x-forwarded-for``, so
    the last one is Envoy's own word and those before it are the client's.
    """
    if "x-forwarded-for" in exchange.repeated_headers:
        return ""
    return exchange.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
