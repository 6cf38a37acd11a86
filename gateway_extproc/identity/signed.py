"""Signed requests: HMAC-SHA256 over method, path, time, nonce and the body's digest.

    Authorization: GW1-HMAC-SHA256 key=batch, time=1789000000, nonce=..., body=..., signature=...

``body`` is the SHA-256 of the body in hex, ``signature`` the HMAC in hex over the six lines
that ``text_to_sign`` makes.  The digest stands in the header, so that a forged signature
is refused before the body is asked for; the body is compared when it comes.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from gateway_extproc.config.proofs import Signer
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Nonce, Proven
from gateway_extproc.core.ports import Credentials

SCHEME: Final = "GW1-HMAC-SHA256"
METHOD: Final = "hmac"
MIN_SECRET_CHARS: Final = 32
_NO_SECRET: Final = "x" * MIN_SECRET_CHARS

_FORM: Final = re.compile(
    rf"{SCHEME} key=([a-z0-9][a-z0-9._-]{{2,62}}), time=([0-9]{{1,12}}), "
    r"nonce=([A-Za-z0-9_-]{16,64}), body=([0-9a-f]{64}), signature=([0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class SignedParts:
    """What the header says beside the signature itself."""

    key: str
    time_s: int
    nonce: str
    body_sha256: bytes


def text_to_sign(method: str, path: str, parts: SignedParts) -> bytes:
    """The six lines; ``path`` is what stands in the request line, query included."""
    lines = (
        SCHEME,
        parts.key,
        f"{method} {path}",
        str(parts.time_s),
        parts.nonce,
        parts.body_sha256.hex(),
    )
    return "\n".join(lines).encode("latin-1", "replace")


def signature(secret: str, method: str, path: str, parts: SignedParts) -> str:
    """The HMAC in hex."""
    return hmac.digest(secret.encode(), text_to_sign(method, path, parts), sha256).hex()


def authorization(secret: str, method: str, path: str, parts: SignedParts) -> str:
    """The value of ``Authorization`` for a request; for clients."""
    return (
        f"{SCHEME} key={parts.key}, time={parts.time_s}, nonce={parts.nonce}, "
        f"body={parts.body_sha256.hex()}, signature={signature(secret, method, path, parts)}"
    )


class HmacAuthenticator:
    """Verifies requests that carry a signature in ``Authorization``."""

    def __init__(
        self,
        signers: Sequence[Signer],
        secrets: Credentials,
        window_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self._signers = {s.id: s for s in signers if s.secret_file is not None}
        self._secrets = secrets
        self._window_s = window_s
        self._now_s = now_s

    def authenticate(self, exchange: Exchange) -> Proven | Refusal | None:
        """Who signed; None where ``Authorization`` has another scheme."""
        value = exchange.headers.get("authorization", "")
        if not value.startswith(SCHEME):
            return None
        read = read_authorization(value)
        if read is None:
            return bad_signature("form")
        parts, given = read
        signer = self._signers.get(parts.key)
        # An unknown key id costs what a wrong signature costs, and is told the same.
        secret = self._secret_of(signer)
        expected = signature(secret or _NO_SECRET, exchange.method, exchange.path, parts)
        if not hmac.compare_digest(expected, given) or signer is None or secret is None:
            return bad_signature("signature")
        if abs(self._now_s() - parts.time_s) > self._window_s:
            return too_old()
        return signed_by(
            signer, METHOD, parts.time_s + self._window_s, parts.nonce, parts.body_sha256
        )

    def _secret_of(self, signer: Signer | None) -> str | None:
        if signer is None:
            return None
        try:
            secret = self._secrets.get(signer.id).reveal()
        except LookupError:
            return None
        return secret if len(secret) >= MIN_SECRET_CHARS else None


def read_authorization(value: str) -> tuple[SignedParts, str] | None:
    """The header's parts and its signature in hex; None for any other form."""
    match = _FORM.fullmatch(value)
    if match is None:
        return None
    key, time_s, nonce, body, given = match.groups()
    return SignedParts(key, int(time_s), nonce, bytes.fromhex(body)), given


def signed_by(
    signer: Signer, method: str, until_s: float, nonce: str, body_sha256: bytes
) -> Proven:
    """Who a verified signature proves; its nonce counts until its time is too old."""
    return Proven(
        tenant=signer.tenant,
        user=signer.user,
        application=signer.application,
        roles=signer.roles,
        method=method,
        credential_id=signer.id,
        body_sha256=body_sha256,
        # A second more: where the last instants of both meet, nothing may fall between.
        nonce=Nonce(f"{signer.id}\n{nonce}".encode(), until_s + 1.0),
    )


def bad_signature(rule: str) -> Refusal:
    """The client learns that the signature is bad; the record says by which rule."""
    return refuse(
        "invalid_signature", "The request's signature is not valid.", rule=f"signed.{rule}"
    )


def too_old() -> Refusal:
    """The signature is good, and its time is not ours; so the client may know."""
    message = "The signature's time is too far from the gateway's: check the clock, sign anew."
    return refuse("expired_signature", message, rule="signed.time")
