"""The sections of ``identity`` about proofs other than API keys.

Whoever proves something from outside speaks only for what stands here: each section
names the tenants and the roles that it may give.
"""

from __future__ import annotations

import base64
import ipaddress
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from gateway_extproc.config.base import Id, Section

Name = Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]{0,126}[!-~])?$")]
TenantPattern = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9._-]{0,62}|([a-z0-9][a-z0-9._-]{0,62})?\*)$")
]
Algorithm = Literal["RS256", "ES256", "EdDSA"]
ClaimPath = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=256)], ...],
    Field(min_length=1, max_length=8),
]
CA_FILE = "/etc/ssl/certs/ca-certificates.crt"

SPIFFE_PATTERN = (
    r"^spiffe://[a-z0-9._-]{1,255}"
    r"(/([A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*|\*|\{tenant\}|\{user\}|\{application\}))+$"
)


def _keys_url(url: str) -> str:
    parts = urlsplit(url)
    try:
        valid = parts.port != 0 and bool(parts.hostname) and not parts.netloc.endswith(":")
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("a URL with a host, and a port from 1 to 65535 or none")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        # Whoever can answer for the issuer can sign in as anybody.
        raise ValueError("https, or http to this machine")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ed25519_key(text: str) -> str:
    try:
        size = len(base64.b64decode(text, validate=True))
    except ValueError:
        size = 0
    if size != 32:
        raise ValueError("the 32 bytes of an Ed25519 public key in base64")
    return text


class Claim(Section):
    """How one name is read from a token's claims."""

    path: ClaimPath
    """Where the claim stands: the names from the outside in, such as ``[org, id]``."""
    prefix: str = ""
    """What the value must begin with; it is cut off."""
    map: dict[Name, Name] = Field(default_factory=dict)
    """Other names for values; with a map, only its values are known."""
    default: Name | None = None
    """Used where the claim is absent; without it such a token is refused."""


class RolesClaim(Section):
    """How roles are read from a token's claims: from a list, or a text with spaces."""

    path: ClaimPath
    """Where the claim stands: the names from the outside in, such as ``[groups]``."""
    prefix: str = ""
    """What a value must begin with to count; it is cut off."""
    map: dict[Name, Id] = Field(default_factory=dict)
    """Roles by value; with a map, only its values count."""
    default: tuple[Id, ...] = ()
    """Used where no value names a role; without it such a token is refused."""


class Claims(Section):
    """Which claims say who asks."""

    tenant: Claim
    """Who pays."""
    user: Claim = Claim(path=("sub",))
    """Who asks."""
    application: Claim = Claim(path=("azp",))
    """Which program asks; where the claim is absent, ``identity.application_header`` says it."""
    roles: RolesClaim
    """What the token may do."""


class Issuer(Section):
    """One issuer of JSON Web Tokens, and what it may vouch for."""

    id: Id
    """Names the issuer here and in records."""
    issuer: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    """The claim ``iss``, exactly."""
    audiences: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=512)], ...],
        Field(min_length=1),
    ]
    """A token must be meant for one of these (claim ``aud``)."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)]
    """The signatures that count; everything else is refused."""
    jwks_url: (
        Annotated[
            str,
            StringConstraints(pattern=r"^https?://[^/?#\s@]+(/[^#\s]*)?$"),
            AfterValidator(_keys_url),
        ]
        | None
    ) = None
    """Where the issuer publishes its keys: https, or http on this machine."""
    jwks_file: str | None = None
    """A file with the issuer's keys instead; read again when it changes."""
    ca_file: str = CA_FILE
    """Certificate authorities that may vouch for ``jwks_url``."""
    refresh_s: Annotated[float, Field(ge=10, le=86400)] = 300.0
    """How often the keys are fetched; a token with an unknown key asks earlier."""
    leeway_s: Annotated[float, Field(ge=0, le=300)] = 30.0
    """How far the issuer's clock may differ from ours."""
    verified_by: Literal["gateway", "envoy"] = "gateway"
    """``envoy``: Envoy's jwt_authn filter verifies, and the gateway reads the claims that it
    hands over; tokens without that are refused."""
    tenants: Annotated[tuple[TenantPattern, ...], Field(min_length=1)]
    """The tenants that the issuer may speak for: names, or prefixes ending in ``*``."""
    roles: Annotated[tuple[Id, ...], Field(min_length=1)]
    """The roles that the issuer may give; others in a token are passed over."""
    claims: Claims
    """Which claims say who asks."""
    denied_file: str | None = None
    """Tokens and users that are no longer accepted, one a line: ``jti:<id>`` or ``sub:<id>``;
    read again when it changes."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("either jwks_url or jwks_file")
        return self


class Signer(Section):
    """One caller that signs its requests."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{2,62}$")]
    """The key id in the signature; names the caller's credential in records."""
    secret_file: str | None = None
    """File with the secret shared for HMAC-SHA256, 32 characters or more; read again when it
    changes."""
    public_key: Annotated[str, AfterValidator(_ed25519_key)] | None = None
    """The caller's Ed25519 public key instead: 32 bytes in base64, for RFC 9421 signatures."""
    tenant: Id
    """Who pays."""
    user: Name
    """Who asks, in records and limits."""
    application: Name = "default"
    """Which of the user's programs asks."""
    roles: Annotated[tuple[Id, ...], Field(min_length=1)]
    """What the caller may do; roles add up."""

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.secret_file is None) == (self.public_key is None):
            raise ValueError("either secret_file or public_key")
        return self


class SignedRequests(Section):
    """Requests that are signed one by one, each good for one use."""

    window_s: Annotated[float, Field(gt=0, le=900)] = 60.0
    """How far a signature's time may be from ours; as long is its nonce remembered."""
    shared_by: Literal["host", "redis"] = "host"
    """Who remembers which signatures were used: all workers of a host, or all hosts of the
    section ``redis``; then nothing signed passes while that does not answer."""
    signers: tuple[Signer, ...] = ()
    """Who may sign."""


class Workload(Section):
    """Client certificates of one shape, and whom they stand for."""

    id: Id
    """Names the rule in records."""
    spiffe_id: Annotated[str, StringConstraints(pattern=SPIFFE_PATTERN, max_length=2048)]
    """The SPIFFE id: each part of the path is a fixed text, ``*``, ``{tenant}``, ``{user}`` or
    ``{application}``; the trust domain is fixed."""
    tenant: Id | None = None
    """Who pays, where the id does not say it."""
    tenants: tuple[TenantPattern, ...] = ()
    """The tenants that ``{tenant}`` may be: names, or prefixes ending in ``*``."""
    user: Name | None = None
    """Who asks, where the id does not say it; the id's whole path if neither does."""
    application: Name = "default"
    """Which program asks, where the id does not say it."""
    roles: Annotated[tuple[Id, ...], Field(min_length=1)]
    """What such a caller may do; roles add up."""

    @model_validator(mode="after")
    def _one_tenant(self) -> Self:
        named = "{tenant}" in self.spiffe_id
        if named == (self.tenant is not None) or named != bool(self.tenants):
            raise ValueError("either tenant, or {tenant} in spiffe_id together with tenants")
        if any(self.spiffe_id.count(name) > 1 for name in ("{tenant}", "{user}", "{application}")):
            raise ValueError("each name in braces only once in spiffe_id")
        return self


class PeerCertificates(Section):
    """Identity from the client certificate that Envoy verified."""

    source: Literal["connection", "header"] = "connection"
    """Where the certificate's URI is read: from the connection's attributes, or from
    ``x-forwarded-client-cert``, which Envoy is then told to overwrite (SANITIZE_SET)."""
    workloads: tuple[Workload, ...] = ()
    """Which certificates are known; the first rule that fits decides."""
