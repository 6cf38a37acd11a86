"""JSON Web Tokens (RFC 7519), read by the rules of RFC 8725.

The algorithm is the issuer's to choose in our configuration, never the token's; a key
serves the one algorithm of its type.  Headers that bring or point to a key are refused,
not ignored.  Everything is checked on bounded input, cheap checks first.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway_extproc.core.errors import RequestError, refuse
from gateway_extproc.core.jsonin import read_object
from gateway_extproc.identity.encoding import from_base64url
from gateway_extproc.identity.keyset import ALGORITHMS, MAX_KID_CHARS

MAX_CHARS: Final = 16 * 1024
"""Longer tokens are refused before any work; Envoy takes 60 KiB of headers in all."""
MAX_HEADER_CHARS: Final = 1024
MAX_DEPTH: Final = 8

FOREIGN_KEYS: Final = frozenset({"jku", "jwk", "x5u", "x5c"})
"""Header fields with which a token brings its own key, or says where to fetch it."""
UNSUPPORTED: Final = frozenset({"crit", "b64", "zip", "enc", "epk", "p2c", "p2s"})
"""Header fields that change what the token means, or make it an encrypted one."""
TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt", "application/jwt"})


def looks_like_token(text: str) -> bool:
    """Whether a bearer value is a JWT's to judge: a JSON object in base64url, and a dot.

    No API key holds a dot; so every value is one authenticator's, never two's.
    """
    return text.startswith("eyJ") and "." in text


def invalid(rule: str) -> RequestError:
    """The client learns that the token is bad; the record says by which rule."""
    return RequestError(refuse("invalid_token", "The token is not valid.", rule=f"token.{rule}"))


@dataclass(frozen=True, slots=True)
class Token:
    """A token's parts.  Nothing in it is proven yet."""

    algorithm: str
    kid: str | None
    claims: Mapping[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an issuer's claims must say; ``leeway_s`` is how far clocks may differ."""

    issuer: str
    audiences: frozenset[str]
    leeway_s: float


def read_token(text: str) -> Token:
    """The parts of a compact, signed token (RFC 7515, 3.1); raises ``RequestError``."""
    if len(text) > MAX_CHARS:
        raise invalid("size")
    parts = text.split(".", 3)
    if len(parts) != 3 or len(parts[0]) > MAX_HEADER_CHARS:
        raise invalid("form")
    header = _object(parts[0], "header")
    algorithm, kid = _check_header(header)
    claims = _object(parts[1], "claims")
    try:
        signature = from_base64url(parts[2])
    except ValueError:
        raise invalid("signature_form") from None
    return Token(algorithm, kid, claims, text[: text.rindex(".")].encode(), signature)


def _object(part: str, rule: str) -> dict[str, Any]:
    try:
        return read_object(from_base64url(part), max_depth=MAX_DEPTH)
    except (RequestError, ValueError):
        raise invalid(rule) from None


def _check_header(header: Mapping[str, Any]) -> tuple[str, str | None]:
    if not FOREIGN_KEYS.isdisjoint(header):
        raise invalid("foreign_key")
    if not UNSUPPORTED.isdisjoint(header):
        raise invalid("header")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise invalid("algorithm")
    if "kid" in header and not (isinstance(kid, str) and len(kid) <= MAX_KID_CHARS):
        raise invalid("kid")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise invalid("type")
    return algorithm, kid


def check_claims(claims: Mapping[str, Any], terms: Terms, now_s: float) -> float:
    """Until when the claims hold (Unix seconds, leeway included); raises ``RequestError``."""
    if claims.get("iss") != terms.issuer:
        raise invalid("issuer")
    if terms.audiences.isdisjoint(_audiences(claims.get("aud"))):
        raise invalid("audience")
    expires_s = _seconds(claims, "exp")
    if expires_s is None:
        raise invalid("exp")
    for name in ("nbf", "iat"):
        begins_s = _seconds(claims, name)
        if begins_s is not None and now_s < begins_s - terms.leeway_s:
            raise invalid(name)
    until_s = expires_s + terms.leeway_s
    if now_s >= until_s:
        raise RequestError(refuse("expired_token", "The token has expired.", rule="token.exp"))
    return until_s


def _audiences(value: Any) -> Collection[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str)]


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2); None where the claim is absent."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise invalid(name)
    return float(value)
