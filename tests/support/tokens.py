"""An issuer with real keys: its tokens, its key set, and forgeries of both."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

Algorithm = Literal["RS256", "ES256", "EdDSA"]
ALGORITHMS: tuple[Algorithm, ...] = ("RS256", "ES256", "EdDSA")
ISSUER = "https://login.example"
AUDIENCE = "gateway"
Key = RSAKey | ECKey | OKPKey


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(value: Any) -> str:
    return b64(value if isinstance(value, bytes) else orjson.dumps(value))


def make_key(algorithm: Algorithm, kid: str) -> Key:
    if algorithm == "RS256":
        return RSAKey.generate_key(2048, {"kid": kid})
    if algorithm == "ES256":
        return ECKey.generate_key("P-256", {"kid": kid})
    return OKPKey.generate_key("Ed25519", {"kid": kid})


@dataclass
class TokenIssuer:
    """One key an algorithm, named ``rs256-1`` and so on."""

    name: str = ISSUER
    generation: int = 1
    keys: dict[str, Key] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rotate(0)

    def rotate(self, by: int = 1) -> None:
        """New keys under new names; the old ones are gone."""
        self.generation += by
        self.keys = {a: make_key(a, self.kid(a)) for a in ALGORITHMS}

    def kid(self, algorithm: str) -> str:
        return f"{algorithm.lower()}-{self.generation}"

    def key_set(self) -> bytes:
        public = [
            {**key.as_dict(private=False), "use": "sig", "alg": algorithm}
            for algorithm, key in self.keys.items()
        ]
        return json.dumps({"keys": public}).encode()

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Good claims; a value of None takes one out."""
        now = int(time.time())
        claims = {
            "iss": self.name,
            "aud": AUDIENCE,
            "exp": now + 600,
            "iat": now,
            "sub": "ann",
            "azp": "chatbot",
            "org": {"id": "acme"},
            "groups": ["gw:developer", "staff"],
            "jti": "t-1",
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def header(self, algorithm: str = "RS256", **changed: Any) -> dict[str, Any]:
        header = {"alg": algorithm, "kid": self.kid(algorithm), "typ": "JWT", **changed}
        return {name: value for name, value in header.items() if value is not None}

    def sign(self, header: Any, claims: Any, algorithm: str = "RS256") -> str:
        """A token with any header and claims, truly signed."""
        text = f"{segment(header)}.{segment(claims)}"
        signer: Any = JWSRegistry.algorithms[algorithm]
        return f"{text}.{b64(signer.sign(text.encode(), self.keys[algorithm]))}"

    def token(self, algorithm: str = "RS256", **changed: Any) -> str:
        """A good token, but for the claims that are changed."""
        return self.sign(self.header(algorithm), self.claims(**changed), algorithm)


def issuer_section(**changed: Any) -> dict[str, Any]:
    """The issuer's section of a configuration."""
    section = {
        "id": "corp",
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "algorithms": list(ALGORITHMS),
        "jwks_file": "run/jwks.json",
        "tenants": ["acme"],
        "roles": ["developer"],
        "claims": {
            "tenant": {"path": ["org", "id"]},
            "roles": {"path": ["groups"], "prefix": "gw:"},
        },
        **changed,
    }
    return {name: value for name, value in section.items() if value is not None}
