"""identify: who is this, proven by an API key; makes the ``Permit``."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from gateway_extproc.config.compile import KeyEntry
from gateway_extproc.core.apikey import key_hmac, parse_key
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Permit
from gateway_extproc.core.secret import Secret
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Respond, Verdict

CREDENTIAL_HEADERS = ("authorization", "x-api-key", "api-key")
"""Where SDKs put the key: OpenAI's, Anthropic's, Azure OpenAI's."""

_NO_KEY = bytes(32)


class Identify(Stage):
    name = "identify"

    def __init__(
        self, keys: Mapping[str, KeyEntry], pepper: Secret, now_s: Callable[[], float]
    ) -> None:
        self._keys = keys
        self._pepper = pepper.reveal().encode()
        self._now_s = now_s

    async def request_headers(self, exchange: Exchange) -> Verdict:
        credential = _find_credential(exchange)
        if isinstance(credential, Refusal):
            return Respond(credential)
        entry = self._find_key(credential)
        if entry is None:
            return Respond(refuse("invalid_api_key", "The API key is not valid."))
        if self._now_s() >= entry.expires_at:
            return Respond(refuse("expired_api_key", "The API key has expired."))
        exchange.permit = Permit(entry.principal, entry.endpoints, entry.may_use_model)
        return CONTINUE

    def _find_key(self, text: str) -> KeyEntry | None:
        """The entry of a known key.  An unknown id costs the same time as a wrong secret."""
        key = parse_key(text)
        if key is None:
            return None
        entry = self._keys.get(key.id)
        expected = _NO_KEY if entry is None else entry.hmac
        same = hmac.compare_digest(key_hmac(self._pepper, key.text), expected)
        return entry if same else None


def _find_credential(exchange: Exchange) -> str | Refusal:
    if any(name in exchange.repeated_headers for name in CREDENTIAL_HEADERS):
        return refuse("ambiguous_credential", "A credential header was sent more than once.")
    found = {
        _bare(exchange.headers[name]) for name in CREDENTIAL_HEADERS if name in exchange.headers
    }
    if len(found) > 1:
        return refuse("ambiguous_credential", "Several different credentials were sent.")
    if not found or "" in found:
        return refuse(
            "missing_api_key",
            "No API key was sent. Put it into the header 'Authorization: Bearer <key>' "
            "or 'x-api-key: <key>'.",
        )
    return found.pop()


def _bare(value: str) -> str:
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value.strip()
