"""``sign``: the headers with which a request proves its sender, for curl and for scripts."""

from __future__ import annotations

import secrets
import time
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.identity.httpsig import signature_headers
from gateway_extproc.identity.signed import SignedParts, authorization, read_authorization
from gateway_extproc.stores.secrets import SecretUnavailable, read_secret

NONCE_BYTES = 16


def sign(
    key_id: str,
    key_file: Path,
    *,
    by_secret: bool,
    method: str,
    path: str,
    body_file: Path | None,
) -> dict[str, str]:
    """The headers for one request, sent within the gateway's window; raises ``CommandFailure``.

    ``key_file`` holds a shared secret (``by_secret``), or an Ed25519 private key as PEM.
    """
    now_s, nonce = int(time.time()), secrets.token_urlsafe(NONCE_BYTES)
    try:
        body = b"" if body_file is None else body_file.read_bytes()
        if by_secret:
            parts = SignedParts(key_id, now_s, nonce, sha256(body).digest())
            return _by_secret(key_file, method, path, parts)
        return signature_headers(_private_key(key_file), key_id, method, path, body, now_s, nonce)
    except (OSError, SecretUnavailable, ValueError) as error:
        raise CommandFailure(str(error)) from None


def _by_secret(file: Path, method: str, path: str, parts: SignedParts) -> dict[str, str]:
    value = authorization(read_secret(file).reveal(), method, path, parts)
    if read_authorization(value) is None:
        raise ValueError(f"--key {parts.key}: not the id of a signer")
    return {"authorization": value}


def _private_key(file: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{file}: not an Ed25519 key")
    return key
