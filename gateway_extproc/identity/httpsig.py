"""HTTP Message Signatures (RFC 9421) with Ed25519, and Content-Digest (RFC 9530).

One signature a request, over at least the method, the target and the body's digest, with
``created``, ``nonce`` and ``keyid``.  What the RFC allows beyond that (several signatures,
component parameters, other algorithms) is refused: a signature means one thing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from gateway_extproc.config.proofs import Signer
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Proven
from gateway_extproc.identity.encoding import from_base64
from gateway_extproc.identity.signed import bad_signature, signed_by, too_old

METHOD: Final = "http_signature"
MAX_CHARS: Final = 4096
MAX_COMPONENTS: Final = 32
EMPTY_SHA256: Final = sha256(b"").digest()

# Canonical form only (RFC 8941, section 4.1): so the text that came is the text that was signed.
_COMPONENT = r'"(@?[a-z0-9][a-z0-9-]*)"'
_INPUT: Final = re.compile(
    r"([a-z*][a-z0-9_.*-]{0,63})=("
    rf"\({_COMPONENT.replace('(', '(?:')}(?: {_COMPONENT.replace('(', '(?:')})*\)"
    r'(?:;(?:created|expires)=[0-9]{1,12}|;(?:nonce|keyid|alg|tag)="[!#-\[\]-~]{1,128}")*)'
)
_COMPONENTS: Final = re.compile(_COMPONENT)
_PARAMETERS: Final = re.compile(r';([a-z]+)=(?:"([^"]*)"|([0-9]+))')
_SIGNATURE: Final = re.compile(r"([a-z*][a-z0-9_.*-]{0,63})=:([A-Za-z0-9+/]{86}==):")
_DIGESTS: Final = re.compile(r"([a-z0-9-]+)=:([A-Za-z0-9+/]+={0,2}):(?:, ?|$)")
_NONCE: Final = re.compile(r"[A-Za-z0-9_+/=.-]{16,128}")


@dataclass(frozen=True, slots=True)
class SignatureInput:
    """A ``Signature-Input`` of one signature; ``text`` is its value as it was signed."""

    label: str
    components: tuple[str, ...]
    parameters: Mapping[str, str]
    text: str


class MessageSignatureAuthenticator:
    """Verifies requests that carry ``Signature-Input`` and ``Signature``."""

    def __init__(
        self, signers: Sequence[Signer], window_s: float, now_s: Callable[[], float]
    ) -> None:
        self._signers = {
            s.id: (s, Ed25519PublicKey.from_public_bytes(from_base64(s.public_key)))
            for s in signers
            if s.public_key is not None
        }
        self._window_s = window_s
        self._now_s = now_s

    def authenticate(self, exchange: Exchange) -> Proven | Refusal | None:
        """Who signed; None where the request carries no signature of this kind."""
        headers = exchange.headers
        if "signature-input" not in headers and "signature" not in headers:
            return None
        read = read_input(headers.get("signature-input", ""))
        given = read_signature(headers.get("signature", ""))
        if read is None or given is None or given[0] != read.label:
            return bad_signature("form")
        digest = _covered_digest(exchange, read)
        if digest is None:
            return bad_signature("components")
        base = signature_base(exchange, read)
        if base is None:
            return bad_signature("components")
        known = self._signers.get(read.parameters["keyid"])
        if known is None or not _verifies(known[1], given[1], base):
            return bad_signature("signature")
        return self._in_time(known[0], read, digest)

    def _in_time(self, signer: Signer, read: SignatureInput, digest: bytes) -> Proven | Refusal:
        now_s, created_s = self._now_s(), int(read.parameters["created"])
        expires_s = int(read.parameters.get("expires", created_s + 10**6))
        if abs(now_s - created_s) > self._window_s or now_s >= expires_s:
            return too_old()
        until_s = created_s + self._window_s
        return signed_by(signer, METHOD, until_s, read.parameters["nonce"], digest)


def signature_headers(
    key: Ed25519PrivateKey,
    keyid: str,
    method: str,
    path: str,
    body: bytes,
    created_s: int,
    nonce: str,
) -> dict[str, str]:
    """The headers that sign a request; for clients."""
    digest = base64.b64encode(sha256(body).digest()).decode()
    headers = {"content-digest": f"sha-256=:{digest}:"}
    text = (
        '("@method" "@request-target" "content-digest")'
        f';created={created_s};nonce="{nonce}";keyid="{keyid}";alg="ed25519"'
    )
    read = read_input(f"sig={text}")
    base = None if read is None else signature_base(Exchange(method, path, headers), read)
    if base is None:
        raise ValueError("a key id or a nonce that no signature may carry")
    signature = base64.b64encode(key.sign(base)).decode()
    return {**headers, "signature-input": f"sig={text}", "signature": f"sig=:{signature}:"}


def read_input(value: str) -> SignatureInput | None:
    """The one signature's input; None where a part is missing, doubled or of another form."""
    match = _INPUT.fullmatch(value) if len(value) <= MAX_CHARS else None
    if match is None:
        return None
    label, text = match.groups()
    inside, _, tail = text.partition(")")
    components = tuple(_COMPONENTS.findall(inside))
    pairs = _PARAMETERS.findall(tail)
    parameters = {name: quoted or number for name, quoted, number in pairs}
    if len(components) > MAX_COMPONENTS or len(set(components)) != len(components):
        return None
    if len(parameters) != len(pairs) or not {"created", "nonce", "keyid"} <= parameters.keys():
        return None
    if parameters.get("alg", "ed25519") != "ed25519":
        return None
    if _NONCE.fullmatch(parameters["nonce"]) is None:
        return None
    return SignatureInput(label, components, parameters, text)


def read_signature(value: str) -> tuple[str, bytes] | None:
    """Label and bytes of the one Ed25519 signature."""
    match = _SIGNATURE.fullmatch(value)
    if match is None:
        return None
    try:
        return match[1], from_base64(match[2])
    except ValueError:
        return None


def read_content_digest(value: str) -> bytes | None:
    """The ``sha-256`` of a Content-Digest; None where it is missing or of another form."""
    found: dict[str, str] = {}
    at = 0
    while at < len(value) <= MAX_CHARS:
        match = _DIGESTS.match(value, at)
        if match is None or match[1] in found:
            return None
        found[match[1]] = match[2]
        at = match.end()
    try:
        digest = from_base64(found.get("sha-256", ""))
    except ValueError:
        return None
    return digest if len(digest) == 32 else None


def signature_base(exchange: Exchange, read: SignatureInput) -> bytes | None:
    """What was signed (RFC 9421, section 2.5); None where a component is not there."""
    lines = []
    for name in read.components:
        value = _component(exchange, name)
        if value is None:
            return None
        lines.append(f'"{name}": {value}')
    lines.append(f'"@signature-params": {read.text}')
    return "\n".join(lines).encode("latin-1", "replace")


def _component(exchange: Exchange, name: str) -> str | None:
    if name.startswith("@"):
        return _derived(exchange, name)
    if name in exchange.repeated_headers:
        return None
    value = exchange.headers.get(name)
    return None if value is None else value.strip(" \t")


def _derived(exchange: Exchange, name: str) -> str | None:
    """Derived components (RFC 9421, section 2.2) that mean the same here and at the client."""
    path, _, query = exchange.path.partition("?")
    if name == "@method":
        return exchange.method
    if name == "@path":
        return path
    if name == "@query":
        return f"?{query}"
    if name == "@request-target":
        return exchange.path
    if name == "@authority":
        return exchange.headers.get(":authority", "").lower() or None
    return None


def _covered_digest(exchange: Exchange, read: SignatureInput) -> bytes | None:
    """The body's digest, where the signature covers method, target and body; else None."""
    covered = set(read.components)
    whole = {"@request-target"} <= covered or {"@path", "@query"} <= covered
    if not whole and ("@path" not in covered or "?" in exchange.path):
        return None
    if "@method" not in covered:
        return None
    if "content-digest" in covered:
        return read_content_digest(exchange.headers.get("content-digest", ""))
    return EMPTY_SHA256 if exchange.headers_end_stream or exchange.websocket else None


def _verifies(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
