"""identify: who is this, proven by exactly one credential; makes the ``Permit``."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway_extproc.core.errors import Refusal, invalid, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Permit, Proven
from gateway_extproc.core.ports import Authenticator, NonceOutcome, NonceStore
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Respond, Verdict
from gateway_extproc.identity.abuse import NOTHING, AbuseWatch
from gateway_extproc.identity.directory import Directory

CREDENTIAL_HEADERS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
"""Where SDKs put a key or a token: OpenAI's, Anthropic's, Azure OpenAI's, Gemini's."""

UNIQUE_HEADERS: Final = frozenset({*CREDENTIAL_HEADERS, "signature", "signature-input"})
"""Headers of which a second one would leave open which of them counts."""

_MISSING: Final = refuse(
    "missing_api_key",
    "No API key was sent. Put it into the header 'Authorization: Bearer <key>' "
    "or 'x-api-key: <key>'.",
)
_INVALID: Final = refuse("invalid_api_key", "The API key is not valid.")
_BODY: Final = refuse(
    "body_digest_mismatch", "The request's body is not the one that its credential covers."
)
_REPLAYS: Final[dict[NonceOutcome, Refusal]] = {
    "seen": refuse("replayed_request", "This signed request was sent before; sign each one anew."),
    "unavailable": refuse(
        "replay_check_unavailable", "The gateway cannot tell now whether this request is a replay."
    ),
}

_APPLICATION: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_CLASS: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)

NO_WATCH: Final = AbuseWatch((), 1, lambda: 0.0, lambda key_id, seconds, reason: None)
"""Without rules there is nothing to count."""


class Identify(Stage):
    """``authenticators`` in the order in which they are asked; all are, always.

    ``peers`` know a caller by its connection.  Every request on a connection carries
    that proof, so it counts only where the request itself brings none.  Without
    ``nonces`` a request that may be sent only once is refused.
    """

    name = "identify"

    def __init__(
        self,
        authenticators: Sequence[Authenticator],
        directory: Directory,
        nonces: NonceStore | None = None,
        peers: Sequence[Authenticator] = (),
        *,
        abuse: AbuseWatch = NO_WATCH,
        application_header: str = "",
        class_header: str = "",
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._directory = directory
        self._nonces = nonces
        self._peers = tuple(peers)
        self._abuse = abuse
        self._application_header = application_header
        self._class_header = class_header

    async def request_headers(self, exchange: Exchange) -> Verdict:
        exchange.source = client_address(exchange)
        throttled = self._abuse.arrived(exchange.source)
        if throttled is not None:
            return Respond(throttled)
        proven = self._prove(exchange)
        if isinstance(proven, Refusal):
            if proven is not _MISSING:
                exchange.events += self._abuse.failed(exchange.source).events
            return Respond(proven)
        if proven.nonce is not None:
            # Only a verified signature comes here, so strangers cannot fill the store.
            nonces = self._nonces
            outcome = "unavailable" if nonces is None else await nonces.take(proven.nonce)
            if outcome != "fresh":
                return Respond(_REPLAYS[outcome])
        permit = self._directory.permit(self._with_application(exchange, proven))
        if isinstance(permit, Refusal):
            return Respond(permit)
        if self._class_header and self._class_header in exchange.headers:
            permit = _with_classes(exchange, permit, self._class_header)
        exchange.body_sha256 = proven.body_sha256
        exchange.permit = permit
        return self._watched(exchange, proven)

    def _watched(self, exchange: Exchange, proven: Proven) -> Verdict:
        """Counts a recognised caller; one that is throttled is refused, and recorded by name."""
        seen = self._abuse.used(proven, exchange.source)
        if seen is NOTHING:
            return CONTINUE
        exchange.events += seen.events
        return CONTINUE if seen.refusal is None else Respond(seen.refusal)

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        expected = exchange.body_sha256
        if expected is not None and not hmac.compare_digest(
            hashlib.sha256(body).digest(), expected
        ):
            return Respond(_BODY)
        return CONTINUE

    def _with_application(self, exchange: Exchange, proven: Proven) -> Proven:
        """A credential that names no application may be used by several, which say so."""
        header = self._application_header
        if proven.application or not header or header in exchange.repeated_headers:
            return proven
        name = exchange.headers.get(header, "")
        return replace(proven, application=name) if _APPLICATION.fullmatch(name) else proven

    def _prove(self, exchange: Exchange) -> Proven | Refusal:
        """What the request's only credential proves; several are refused, equal or not."""
        sent = _sent_credentials(exchange)
        if isinstance(sent, Refusal):
            return sent
        claims = _answers(self._authenticators, exchange)
        if not claims and not sent:
            claims = _answers(self._peers, exchange)
        if len(claims) > 1:
            return refuse("ambiguous_credential", "Several different credentials were sent.")
        if claims:
            return claims[0]
        return _INVALID if sent else _MISSING


def _with_classes(exchange: Exchange, permit: Permit, header: str) -> Permit:
    """The permit with the classes that the request adds; raises ``RequestError``.

    A union: whatever a request says, it never loses a class.
    """
    names = frozenset(name.strip() for name in exchange.headers[header].split(","))
    if header in exchange.repeated_headers or not all(map(_CLASS.fullmatch, names)):
        raise invalid(header, "names of data classes, separated by commas, in one header")
    return replace(permit, data_classes=permit.data_classes | names)


def _answers(authenticators: Sequence[Authenticator], exchange: Exchange) -> list[Proven | Refusal]:
    return [
        claim
        for authenticator in authenticators
        if (claim := authenticator.authenticate(exchange)) is not None
    ]


def _sent_credentials(exchange: Exchange) -> set[str] | Refusal:
    """The different values of the credential headers: none or one."""
    repeated, headers = exchange.repeated_headers, exchange.headers
    if repeated and not repeated.isdisjoint(UNIQUE_HEADERS):
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
