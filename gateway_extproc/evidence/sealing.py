"""Texts under lock: one key a record, wrapped for each reviewer; docs/evidence.md has the format.

Pure: randomness comes in.  X25519 (RFC 7748), HKDF-SHA256 (RFC 5869), ChaCha20-Poly1305 (RFC 8439).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway_extproc.config.mistakes import Mistake
from gateway_extproc.config.model import Config

Line = dict[str, Any]
Entropy = Callable[[int], bytes]

VERSION: Final = 1
LABEL: Final = b"gateway-extproc texts 1"
KEY_INFO: Final = b"gateway-extproc texts 1 key"
WRAP_NONCE: Final = bytes(12)
"""A wrapping key is used once, so its nonce may be known."""

PUBLIC: Final = "x25519:"
PRIVATE: Final = "x25519-private:"


class NotOpened(ValueError):
    """The texts cannot be opened with this key; says why."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One who may open what is sealed."""

    reviewer: str
    raw: bytes

    @property
    def key_id(self) -> str:
        return key_id(self.raw)


class Identity:
    """A reviewer's private key; never prints itself."""

    __slots__ = ("_key",)

    def __init__(self, raw: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(raw)

    @property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def written(self) -> str:
        """The line of an identity file that holds the secret."""
        return PRIVATE + _encode(self._key.private_bytes_raw())

    def agree(self, peer: bytes) -> bytes:
        """What both sides know, and nobody else; raises ValueError for a key that hides nothing."""
        return self._key.exchange(X25519PublicKey.from_public_bytes(peer))


def key_id(public: bytes) -> str:
    """Names a public key."""
    return hashlib.sha256(public).hexdigest()[:16]


def write_public(raw: bytes) -> str:
    """A public key as configurations have it."""
    return PUBLIC + _encode(raw)


def read_public(reviewer: str, text: str) -> PublicKey:
    """A public key of a configuration; raises ValueError for one that cannot keep a secret."""
    raw = base64.b64decode(text.removeprefix(PUBLIC), validate=True)
    # RFC 7748, section 6.1: with some points everybody knows what comes out.
    Identity(b"\x01" * 32).agree(raw)
    return PublicKey(reviewer, raw)


def read_identity(text: str) -> Identity:
    """The private key in an identity file; lines with ``#`` say nothing.  Raises ValueError."""
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if len(found) != 1 or not found[0].startswith(PRIVATE):
        raise ValueError("not an identity file of 'gateway-extproc evidence keygen'")
    return Identity(base64.b64decode(found[0].removeprefix(PRIVATE), validate=True))


def reviewer_mistakes(config: Config) -> Iterator[Mistake]:
    """Public keys that are none."""
    for i, reviewer in enumerate(config.evidence.reviewers):
        try:
            read_public(reviewer.id, reviewer.public_key)
        except ValueError:
            path = f"evidence.reviewers[{i}].public_key"
            yield Mistake(path, repr(reviewer.public_key), "a public key of X25519")


def seal(head: Line, plain: bytes, readers: Sequence[PublicKey], entropy: Entropy) -> Line:
    """The line that holds ``plain``; ``head`` is what stands in it for everybody to read.

    ``head`` has decision_id, time, expires, rule and directions; none of it can be changed
    without the texts becoming unreadable.
    """
    key, nonce = entropy(32), entropy(12)
    return {
        "version": VERSION,
        **head,
        "keys": [_wrap(key, reader, head["decision_id"], entropy) for reader in readers],
        "nonce": _encode(nonce),
        "sealed": _encode(ChaCha20Poly1305(key).encrypt(nonce, plain, _bound(head))),
    }


def open_sealed(line: Mapping[str, Any], identity: Identity) -> bytes:
    """The plain bytes of a line; raises ``NotOpened``."""
    if line.get("version") != VERSION:
        raise NotOpened(f"a format of version {line.get('version')}, not {VERSION}")
    mine = [key for key in line["keys"] if key["key_id"] == key_id(identity.public)]
    if not mine:
        names = ", ".join(sorted(key["reviewer"] for key in line["keys"]))
        raise NotOpened(f"it was sealed for others: {names}")
    try:
        ephemeral = base64.b64decode(mine[0]["ephemeral"])
        wrap = _wrap_key(identity.agree(ephemeral), ephemeral, identity.public)
        wrapped = base64.b64decode(mine[0]["wrapped"])
        key = ChaCha20Poly1305(wrap).decrypt(WRAP_NONCE, wrapped, line["decision_id"].encode())
        sealed = base64.b64decode(line["sealed"])
        return ChaCha20Poly1305(key).decrypt(base64.b64decode(line["nonce"]), sealed, _bound(line))
    except (InvalidTag, ValueError):
        raise NotOpened("it was changed after it was sealed") from None


def _wrap(key: bytes, reader: PublicKey, decision_id: str, entropy: Entropy) -> Line:
    ephemeral = Identity(entropy(32))
    wrap = _wrap_key(ephemeral.agree(reader.raw), ephemeral.public, reader.raw)
    wrapped = ChaCha20Poly1305(wrap).encrypt(WRAP_NONCE, key, decision_id.encode())
    return {
        "reviewer": reader.reviewer,
        "key_id": reader.key_id,
        "ephemeral": _encode(ephemeral.public),
        "wrapped": _encode(wrapped),
    }


def _wrap_key(shared: bytes, ephemeral: bytes, reader: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=ephemeral + reader, info=KEY_INFO).derive(shared)


def _bound(head: Mapping[str, Any]) -> bytes:
    """What the seal covers beside the texts: a line each, in this order."""
    parts = (head["decision_id"], head["time"], head["expires"], head["rule"])
    return b"\n".join((LABEL, *(p.encode() for p in parts), ",".join(head["directions"]).encode()))


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
