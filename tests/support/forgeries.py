"""Forged credentials of every kind that an attacker without a key can make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from support.signatures import PUBLIC, hmac_header, rfc9421_headers
from support.tokens import ALGORITHMS, TokenIssuer, b64, segment

PATH = "/v1/chat/completions"
Headers = list[tuple[str, str]]


class Forgery(NamedTuple):
    """Headers that must prove nobody; ``body`` is what comes with them."""

    kind: str
    headers: Headers
    body: bytes


@dataclass
class Forger:
    """Knows all that is public of a gateway's issuers and signers, and good credentials to spoil.

    ``secret`` is a signer's real one: only to make signatures that are then spoilt.
    """

    issuer: TokenIssuer
    body: bytes
    secret: str

    def __post_init__(self) -> None:
        self.attacker = TokenIssuer(self.issuer.name)
        self.good = self.issuer.token()

    def all(self) -> Iterator[Forgery]:
        for kind, make in (
            ("alg none", self._none),
            ("key mix-up", self._mix_up),
            ("kid tricks", self._kids),
            ("foreign keys", self._foreign),
            ("claims", self._claims),
            ("another key", self._another_key),
            ("weak signatures", self._weak),
            ("truncated", self._truncated),
            ("bit flips", self._flips),
            ("recombined", self._recombined),
            ("spellings", self._spellings),
        ):
            for token in make():
                yield Forgery(kind, [("authorization", f"Bearer {token}")], self.body)
        for kind, headers in (*self._repeated(), *self._smuggled(), *self._signed()):
            yield Forgery(kind, headers, self.body)
        yield from self._other_bodies()

    # ------------------------------------------------------------------ tokens

    def _none(self) -> Iterator[str]:
        claims = segment(self.issuer.claims())
        signature = self.good.rpartition(".")[2]
        for alg in ("none", "None", "NONE", "nOnE", "none ", "", "null", "N\u043ene"):
            for kid in (self.issuer.kid("RS256"), None, ""):
                head = segment({"alg": alg, "typ": "JWT", **({} if kid is None else {"kid": kid})})
                yield f"{head}.{claims}."
                yield f"{head}.{claims}.{signature}"
                yield f"{head}.{claims}.{b64(b'0')}"

    def _mix_up(self) -> Iterator[str]:
        """A public key used as an HMAC secret (RFC 8725, section 2.1)."""
        for algorithm in ALGORITHMS:
            key = self.issuer.keys[algorithm]
            public: Any = key.public_key
            as_json = key.as_dict(private=False)
            secrets_ = [
                public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
                for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
            ]
            secrets_ += [
                secrets_[0].strip(),
                json.dumps(as_json).encode(),
                str(as_json.get("n", as_json.get("x"))).encode(),
                b"",
            ]
            for name, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
                for secret in secrets_:
                    yield self._hmac_token(name, digest, secret, self.issuer.kid(algorithm))
        for claimed in ALGORITHMS:
            for used in set(ALGORITHMS) - {claimed}:
                for kid in (self.issuer.kid(used), self.issuer.kid(claimed)):
                    header = self.issuer.header(claimed, kid=kid)
                    yield self.attacker.sign(header, self.issuer.claims(), used)

    def _hmac_token(self, name: str, digest: str, secret: bytes, kid: str) -> str:
        text = f"{segment({'alg': name, 'kid': kid})}.{segment(self.issuer.claims())}"
        return f"{text}.{b64(hmac.digest(secret, text.encode(), digest))}"

    def _kids(self) -> Iterator[str]:
        kid = self.issuer.kid("RS256")
        tricks = [
            "../../../../dev/null", "/dev/null", "file:///dev/null", "/proc/self/environ",
            "..\\..\\windows\\win.ini", f"../{kid}", f"{kid}/../{kid}", f"{kid}\x00", f"{kid} ",
            f" {kid}", kid.upper(), f"{kid}' OR '1'='1", f"{kid}; DROP TABLE keys", "$(id)",
            "`id`", "| cat /etc/passwd", "http://127.0.0.1:9/keys", "%2e%2e%2f", "*", "?", ".",
            "__proto__", "{{7*7}}", "${jndi:ldap://127.0.0.1/x}", "\u0440s256-1", "", "x" * 256,
            "x" * 5000,
        ]  # fmt: skip
        for trick in tricks:
            for algorithm in ALGORITHMS:
                header = self.issuer.header(algorithm, kid=trick)
                yield self.attacker.sign(header, self.issuer.claims(), algorithm)
            yield self._hmac_token("HS256", "sha256", b"", trick)
        for odd in (7, None, True, [kid], {"kid": kid}):
            head = {"alg": "RS256", "kid": odd}
            yield self.attacker.sign(head, self.issuer.claims())

    def _foreign(self) -> Iterator[str]:
        """A token that brings its own key, or says where it lies."""
        for algorithm in ALGORITHMS:
            own = self.attacker.keys[algorithm].as_dict(private=False)
            for url in ("http://127.0.0.1:9/jwks", "https://login.example/../keys", "file:///k"):
                for name in ("jku", "x5u"):
                    yield self._attack(algorithm, **{name: url})
                    yield self._attack(algorithm, **{name: url, "kid": None})
            yield self._attack(algorithm, jwk=own)
            yield self._attack(algorithm, jwk=own, kid=None)
            yield self._attack(algorithm, x5c=[b64(b"certificate")])
            yield self._attack(algorithm, x5t="x", kid=None, jwk=own)
            for crit in (["exp"], ["b64"], [], "b64", ["jwk"]):
                yield self.issuer.sign(
                    self.issuer.header(algorithm, crit=crit, b64=False),
                    self.issuer.claims(),
                    algorithm,
                )

    def _attack(self, algorithm: str, **header: Any) -> str:
        return self.attacker.sign(
            self.issuer.header(algorithm, **header), self.issuer.claims(), algorithm
        )

    def _claims(self) -> Iterator[str]:
        """Truly signed by the issuer, and not for us, not now, or for whom it may not speak."""
        now = int(time.time())
        values: dict[str, tuple[Any, ...]] = {
            "exp": (
                *(now - age for age in (31, 60, 3600, 10**6, 10**9)),
                *(None, "never", True, [], 0, -1, f"{now + 600}"),
            ),
            "nbf": (now + 60, now + 3600, now + 10**9),
            "iat": (now + 60, now + 3600, now + 10**9),
            "aud": (None, "", "Gateway", "gateway ", "gateway2", [], ["x"], {}, 1, True),
            "iss": (
                None, "", "https://login.example/", "https://login.example.evil",
                "HTTPS://login.example", "https://login.examp1e", ["https://login.example"],
            ),
            "org": ({"id": "beta"}, {"id": "ACME"}, {"id": "*"}, {"id": ""}, {"id": []}, {}),
            "groups": ([], None, ["developer"], ["gw:auditor"], "gw:"),
            "sub": ("", " ", "a\nb", "x" * 500, {"a": 1}, None),
        }  # fmt: skip
        for name, wrong in values.items():
            for value in wrong:
                for algorithm in ALGORITHMS:
                    yield self.issuer.token(algorithm, **{name: value})

    def _another_key(self) -> Iterator[str]:
        for i in range(100):
            for algorithm in ALGORITHMS:
                yield self.attacker.token(algorithm, jti=f"a-{i}", sub=f"user-{i}")

    def _weak(self) -> Iterator[str]:
        """Signatures of nothing: zeros, ones, infinity, the order of the curve."""
        order = (0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551).to_bytes(32)
        zero, one = bytes(32), (1).to_bytes(32)
        for algorithm in ALGORITHMS:
            text = self.issuer.token(algorithm).rpartition(".")[0]
            bits = [b"", b"\x00", bytes(64), bytes(256), b"\xff" * 64, b"\xff" * 256]
            bits += [a + b for a in (zero, one, order) for b in (zero, one, order)]
            bits += [b"\x01" + bytes(63), bytes(255) + b"\x01"]
            for value in bits:
                yield f"{text}.{b64(value)}"

    def _truncated(self) -> Iterator[str]:
        for algorithm in ALGORITHMS:
            token = self.issuer.token(algorithm)
            yield from (token[:cut] for cut in range(4, len(token)))

    def _flips(self) -> Iterator[str]:
        """Every bit of the last bytes, and one bit of every other character."""
        for algorithm in ALGORITHMS:
            token = self.issuer.token(algorithm)
            for at in range(len(token)):
                bits = range(8) if at > len(token) - 12 else (at % 7,)
                for bit in bits:
                    yield token[:at] + chr(ord(token[at]) ^ (1 << bit)) + token[at + 1 :]

    def _recombined(self) -> Iterator[str]:
        """Parts of several good tokens put together."""
        good = {self.issuer.token(a, sub=s) for a in ALGORITHMS for s in "ab"}
        tokens = [token.split(".") for token in good]
        for head, _, _ in tokens:
            for _, claims, _ in tokens:
                for _, _, signature in tokens:
                    if (token := f"{head}.{claims}.{signature}") not in good:
                        yield token
        head, _, signature = self.good.split(".")
        for changed in ({"sub": "admin"}, {"org": {"id": "beta"}}, {"exp": 10**12}):
            yield f"{head}.{segment(self.issuer.claims(**changed))}.{signature}"

    def _spellings(self) -> Iterator[str]:
        head, claims, signature = self.good.split(".")
        last = signature[-1]
        for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
            if other != last:
                yield f"{head}.{claims}.{signature[:-1]}{other}"
        yield from (
            f"{head}.{claims}.{signature}=",
            f"{head}.{claims}.{signature}==",
            f"{head}.{claims}.{signature}.",
            f"{head}.{claims}..{signature}",
            f"{head} .{claims}.{signature}",
            f"{head}.{claims}.{signature} x",
            f"{head}.{claims}.{signature}\t",
            f"{head}.{claims}.{signature},{self.good}",
            f"{head}.{claims}.{signature}.{signature}.{signature}",
            f"{head}%2E{claims}%2E{signature}",
            json.dumps({"protected": head, "payload": claims, "signature": signature}),
            self.good + "A" * 1_000_000,
            "eyJ." * 100_000,
            "eyJ" + "." * 50_000,
        )

    # ----------------------------------------------------------------- headers

    def _repeated(self) -> Iterator[tuple[str, Headers]]:
        good, bad = f"Bearer {self.good}", f"Bearer {self.attacker.token()}"
        for first, second in ((good, bad), (bad, good), (good, good), (good, "Basic YTpi")):
            yield "repeated", [("authorization", first), ("authorization", second)]
            yield "repeated", [("authorization", f"{first}, {second}")]
            yield "repeated", [("authorization", first), ("x-api-key", second[7:])]
            yield "repeated", [("authorization", first), ("api-key", "gw_live_x")]

    def _smuggled(self) -> Iterator[tuple[str, Headers]]:
        claims = json.dumps(self.issuer.claims())
        uri = "spiffe://apps.example/ns/acme/sa/chatbot"
        names = {
            "x-gateway-tenant": "acme", "x-gateway-user": "ann", "x-gateway-roles": "developer",
            "x-gateway-permit": "true", "x-gateway-identity": claims, "x-gateway-claims": claims,
            "x-gateway-authenticated": "1", "x-gateway-fallback": "east:fallback",
            "x-forwarded-client-cert": f"URI={uri}", "x-forwarded-user": "ann",
            "x-jwt-payload": b64(claims.encode()), "x-jwt-claims": claims,
            "x-envoy-dynamic-metadata": claims, "x-envoy-peer-metadata": b64(claims.encode()),
            "envoy.filters.http.jwt_authn": claims, "metadata-context": claims,
            "x-envoy-internal": "true", "x-envoy-original-path": "/healthz",
            "x-client-verify": "SUCCESS", "x-ssl-client-s-dn": "CN=ann", "x-user-id": "ann",
            "x-amzn-oidc-data": self.good, "x-goog-iap-jwt-assertion": self.good,
            "cf-access-jwt-assertion": self.good, "x-auth-token": self.good,
            "cookie": f"access_token={self.good}", "proxy-authorization": f"Bearer {self.good}",
            "x-authorization": f"Bearer {self.good}", "token": self.good,
        }  # fmt: skip
        for name, value in names.items():
            yield "smuggled", [(name, value)]
            for spoilt in ("", "Bearer", "Basic YTpi", f"Bearer {self.attacker.token()}"):
                yield "smuggled", [(name, value), ("authorization", spoilt)]

    # -------------------------------------------------------- signed requests

    def _signed(self) -> Iterator[tuple[str, Headers]]:
        good = self._fresh()
        for at in range(len(good)):
            for bit in (0, 1, 5):
                value = good[:at] + chr(ord(good[at]) ^ (1 << bit)) + good[at + 1 :]
                yield "hmac bit flips", [("authorization", value)]
        yield from (
            ("hmac truncated", [("authorization", good[:cut])]) for cut in range(15, len(good))
        )
        now = time.time()
        changes: list[dict[str, Any]] = [
            *({"time_s": now + offset} for offset in (-10**9, -3600, -120, 600, 3600, 10**9)),
            *(
                {"secret": text}
                for text in ("", "x" * 32, self.secret[:-1], self.secret + "x", self.secret.upper())
            ),
            *({"key": text} for text in ("robot", "nobody", "BATCH", "b\u0430tch", "batch.")),
            *({"method": text} for text in ("GET", "post", "PUT", "")),
            *({"path": text} for text in ("/v1/messages", PATH + "/", PATH + "?a=1", "/", "")),
        ]  # fmt: skip
        for changed in changes:
            yield "hmac", [("authorization", self._fresh(**changed))]
        other = self._fresh()
        yield "hmac", [("authorization", other), ("authorization", other)]
        yield "hmac", [("authorization", other), ("x-api-key", "gw_live_x")]
        yield from (("rfc 9421", list(headers.items())) for headers in self._rfc9421())

    def _rfc9421(self) -> Iterator[dict[str, str]]:
        good = self._fresh_9421()
        for name in ("signature-input", "signature"):
            for at in range(len(good[name])):
                for bit in (0, 5):
                    value = good[name]
                    value = value[:at] + chr(ord(value[at]) ^ (1 << bit)) + value[at + 1 :]
                    yield {**good, name: value}
        for name in good:
            yield {key: value for key, value in good.items() if key != name}
            yield {**good, name: ""}
        stranger = Ed25519PrivateKey.generate()
        now = time.time()
        for changed in (
            {"key": stranger}, {"keyid": "batch"}, {"keyid": "r\u043ebot"}, {"keyid": "../robot"},
            {"created": now - 120}, {"created": now + 600}, {"method": "GET"}, {"path": "/x"},
            {"components": ("@method", "@path")}, {"components": ("content-digest",)},
            {"components": ()}, {"more": ';alg="hmac-sha256"'}, {"more": ';alg="none"'},
            {"more": f";expires={int(now) - 1}"}, {"more": ';tag="x";tag="x"'},
        ):  # fmt: skip
            yield self._fresh_9421(**changed)
        # The public key as an HMAC secret.
        base = self._fresh_9421(more=';alg="hmac-sha256"')
        mac = hmac.digest(base64.b64decode(PUBLIC), base["signature-input"].encode(), "sha256")
        yield {**base, "signature": f"sig1=:{base64.b64encode(mac + mac).decode()}:"}

    def _other_bodies(self) -> Iterator[Forgery]:
        """A good signature with another body than the one that was signed."""
        for body in (self.body + b" ", self.body[:-1], b"{}", self.body.replace(b"a", b"b", 1)):
            yield Forgery("another body", [("authorization", self._fresh())], body)
            yield Forgery("another body", list(self._fresh_9421().items()), body)
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            headers = {**self._fresh_9421(), "content-digest": f"sha-256=:{digest}:"}
            yield Forgery("another body", list(headers.items()), body)

    def _fresh(self, **changed: Any) -> str:
        nonce = secrets.token_urlsafe(16)
        return hmac_header(self.body, **{"secret": self.secret, "nonce": nonce, **changed})

    def _fresh_9421(self, **changed: Any) -> dict[str, str]:
        return rfc9421_headers(self.body, **{"nonce": secrets.token_urlsafe(16), **changed})
