"""Key sets (RFC 7517): which public keys of an issuer may verify tokens, and how.

A key is usable for exactly one algorithm, by its own type: an RSA key never serves
as an HMAC secret, whatever a token or a key says.  Symmetric keys are not even read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.jsonin import read_object

MAX_BYTES: Final = 256 * 1024
"""A key set is a few kilobytes; what is larger is not one."""
MAX_KEYS: Final = 64
MAX_DEPTH: Final = 8
MAX_KID_CHARS: Final = 256

RSA_BITS: Final = range(2048, 8193)
"""RFC 7518, section 3.3 demands 2048; more than 8192 is a way to burn our CPU."""

Key = RSAKey | ECKey | OKPKey

READERS: Final[dict[tuple[str, str], tuple[str, Any]]] = {
    ("RSA", ""): ("RS256", RSAKey),
    ("EC", "P-256"): ("ES256", ECKey),
    ("OKP", "Ed25519"): ("EdDSA", OKPKey),
}
"""(key type, curve) -> (the one algorithm it is for, how it is read)."""

ALGORITHMS: Final = {name: JWSRegistry.algorithms[name] for name, _ in READERS.values()}


class KeySetError(ValueError):
    """A document that is no usable key set; says why, never shows it."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key and the algorithm it is for."""

    kid: str
    algorithm: str
    key: Key = field(repr=False)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the holder of the private key signed these bytes."""
        return ALGORITHMS[self.algorithm].verify(message, signature, self.key)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one issuer, by (algorithm, kid)."""

    keys: Mapping[tuple[str, str], VerificationKey]

    def find(self, algorithm: str, kid: str | None) -> VerificationKey | None:
        """The key that a token names; without a name, the only one of that algorithm."""
        if kid is not None:
            return self.keys.get((algorithm, kid))
        fitting = [key for (name, _), key in self.keys.items() if name == algorithm]
        return fitting[0] if len(fitting) == 1 else None


def read_key_set(data: bytes) -> KeySet:
    """The usable keys of a JWKS document; raises ``KeySetError``.

    Keys of other types or for other uses are passed over, as RFC 7517 (section 5) asks.
    A key that claims a type and does not hold it spoils the document: half a rotation
    must not replace a good set.
    """
    if len(data) > MAX_BYTES:
        raise KeySetError(f"larger than {MAX_BYTES} bytes")
    try:
        entries = read_object(data, max_depth=MAX_DEPTH).get("keys")
    except (RequestError, ValueError):
        raise KeySetError("not one JSON object") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise KeySetError("no list of keys")
    if len(entries) > MAX_KEYS:
        raise KeySetError(f"more than {MAX_KEYS} keys")
    keys: dict[tuple[str, str], VerificationKey] = {}
    for entry in entries:
        key = _read_key(entry)
        if key is None:
            continue
        if (key.algorithm, key.kid) in keys:
            raise KeySetError("two keys of one type and kid")
        keys[key.algorithm, key.kid] = key
    if not keys:
        raise KeySetError("no key that could verify a token")
    return KeySet(keys)


def _read_key(entry: dict[str, Any]) -> VerificationKey | None:
    reader = READERS.get((str(entry.get("kty")), str(entry.get("crv", ""))))
    if reader is None:
        return None
    algorithm, kind = reader
    kid = entry.get("kid", "")
    if not isinstance(kid, str) or len(kid) > MAX_KID_CHARS:
        raise KeySetError("a kid that is no short text")
    if not _is_for(entry, algorithm):
        return None
    # Only the public parts: a private key published by mistake is not kept in memory.
    public = {name: entry[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in entry}
    try:
        key: Key = kind.import_key(public)
        bits = key.public_key.key_size if isinstance(key, RSAKey) else None
    except (JoseError, ValueError, TypeError, KeyError):
        raise KeySetError(f"an {entry['kty']} key that cannot be read") from None
    if bits is not None and bits not in RSA_BITS:
        raise KeySetError(f"an RSA key of {bits} bits")
    return VerificationKey(kid, algorithm, key)


def _is_for(entry: dict[str, Any], algorithm: str) -> bool:
    """Whether the key's own words allow verifying with the algorithm (RFC 7517, 4.2 to 4.4)."""
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and entry.get("alg", algorithm) in (algorithm, "Ed25519" if algorithm == "EdDSA" else "")
    )
