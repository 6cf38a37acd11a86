"""Signed requests as clients make them, and the signers that the gateway knows."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway_extproc.core.exchange import Exchange
from support.parts import chat_exchange

SECRET = "s" * 20 + "-shared-by-two-0123456789"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()

BATCH = {"id": "batch", "secret_file": "run/batch", "tenant": "acme", "user": "batch-user",
         "application": "nightly", "roles": ["developer"]}  # fmt: skip
ROBOT = {"id": "robot", "public_key": PUBLIC, "tenant": "acme", "user": "robot-user",
         "roles": ["developer"]}  # fmt: skip


def hmac_header(
    body: bytes,
    *,
    secret: str = SECRET,
    key: str = "batch",
    method: str = "POST",
    path: str = "/v1/chat/completions",
    time_s: float | None = None,
    nonce: str = "nonce-0123456789",
) -> str:
    """``Authorization`` by the words of docs/signed-requests.md, not by the gateway's code."""
    seconds = int(time.time() if time_s is None else time_s)
    digest = hashlib.sha256(body).hexdigest()
    lines = ["GW1-HMAC-SHA256", key, f"{method} {path}", str(seconds), nonce, digest]
    mac = hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()
    return (
        f"GW1-HMAC-SHA256 key={key}, time={seconds}, nonce={nonce}, body={digest}, signature={mac}"
    )


def rfc9421_headers(
    body: bytes,
    *,
    key: Ed25519PrivateKey = PRIVATE,
    keyid: str = "robot",
    method: str = "POST",
    path: str = "/v1/chat/completions",
    created: float | None = None,
    nonce: str = "nonce-0123456789",
    more: str = "",
    components: tuple[str, ...] = ("@method", "@path", "content-digest"),
    **headers: str,
) -> dict[str, str]:
    """The three headers of RFC 9421 and RFC 9530, by the words of the RFC."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    headers = {"content-digest": f"sha-256=:{digest}:", **headers}
    derived = {
        "@method": method,
        "@path": path.partition("?")[0],
        "@query": "?" + path.partition("?")[2],
        "@request-target": path,
        "@authority": headers.get(":authority", ""),
    }
    seconds = int(time.time() if created is None else created)
    names = " ".join(f'"{name}"' for name in components)
    params = f'({names});created={seconds};nonce="{nonce}";keyid="{keyid}"{more}'
    lines = [f'"{name}": {derived.get(name, headers.get(name, ""))}' for name in components]
    lines.append(f'"@signature-params": {params}')
    signature = base64.b64encode(key.sign("\n".join(lines).encode())).decode()
    return {**headers, "signature-input": f"sig1={params}", "signature": f"sig1=:{signature}:"}


def signed_exchange(headers: dict[str, str], **fields: Any) -> Exchange:
    """A request of which only the headers are known."""
    return chat_exchange(headers=headers, **fields)
