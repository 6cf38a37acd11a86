"""The configuration file, field by field: the one source of truth.

Strict and frozen: a wrong type, an unknown field or a dangling name is an error
with its path.  Docstrings of the fields become the reference in docs/.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Positive = Annotated[int, Field(gt=0)]
Nanos = Annotated[int, Field(ge=0)]
Mode = Literal["enforce", "shadow"]
EndpointName = Literal["chat", "messages", "models"]
DialectName = Literal["openai", "anthropic"]


def _has_host_and_port(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("a URL that names a host")
    try:
        valid = parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.netloc.endswith(":"):
        raise ValueError("a port from 1 to 65535, or none")
    return url


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class Listen(Section):
    """An address and a port to listen on."""

    address: str = "127.0.0.1"
    """IP address to listen on."""
    port: Annotated[int, Field(ge=1, le=65535)] = 10000
    """TCP port."""


class WorkerTls(Section):
    """TLS between Envoy and workers that listen on TCP.  Files are read when a process starts."""

    cert_file: str
    """The workers' certificate, with its chain."""
    key_file: str
    """The certificate's private key."""
    ca_file: str
    """The authority that Envoy trusts for the workers' certificate."""
    server_name: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """The DNS name in the workers' certificate; Envoy accepts no other."""
    client_ca_file: str | None = None
    """The authority of Envoy's certificate; workers then take any peer that has one of it, so it
    should vouch for nobody else."""
    client_cert_file: str | None = None
    """Envoy's certificate."""
    client_key_file: str | None = None
    """The private key of Envoy's certificate."""


class WorkerTcp(Section):
    """Workers on TCP instead of Unix sockets, for an Envoy on another host.

    Whoever may connect to a worker is given what Envoy is given, providers' credentials
    included: in the clear only on loopback, and elsewhere only with certificates on both sides.
    """

    address: str = "127.0.0.1"
    """IP address that workers listen on, and Envoy connects to."""
    port: Annotated[int, Field(ge=1, le=65279)] = 10090
    """Port of the first worker; worker n listens on the nth port behind it."""
    tls: WorkerTls | None = None
    """Certificates; needed, with the client files, wherever the address is not loopback."""


class Server(Section):
    """The worker processes and the admin server."""

    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Worker processes; 0 means one per core."""
    wire: Literal["fast", "grpcio"] = "fast"
    """How workers speak gRPC: our own HTTP/2, or the grpcio library at several times the CPU."""
    socket_dir: str = "run"
    """Folder of the workers' Unix sockets, ``worker-0.sock`` and so on."""
    tcp: WorkerTcp | None = None
    """Where workers listen if not on Unix sockets."""
    listen: Listen = Listen()
    """Where Envoy listens for clients."""
    admin: Listen = Listen(port=10080)
    """Health, metrics and status of all workers."""
    envoy_admin: Listen = Listen(port=9901)
    """Envoy's own admin interface; keep it private."""
    max_in_flight: Positive = 1000
    """Requests one worker handles at a time; more are refused at once with 503."""
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 20.0
    """How long streams may go on after a worker was asked to stop."""


class Caps(Section):
    """Upper bounds of one request."""

    body_bytes: Positive = 8 * 1024 * 1024
    """Largest request body; larger ones are refused with 413."""
    answer_bytes: Positive = 16 * 1024 * 1024
    """Upper bound of an answer that is read whole (streams have none)."""
    depth: Annotated[int, Field(gt=0, le=200)] = 48
    """How deeply a request's JSON may be nested."""
    max_tokens: Positive = 8192
    """Completion tokens that a request may ask for; also the default when it asks for none."""
    cost_nanos: Nanos | None = None
    """Worst-case price of one request in nano-dollars; dearer ones are refused."""


class Failover(Section):
    """When Envoy tries the next target of a request."""

    attempt_timeout_s: Annotated[float, Field(ge=0.001, le=600)] = 30.0
    """How long one attempt may take to its response headers."""
    idle_timeout_s: Annotated[float, Field(ge=0.001, le=3600)] = 300.0
    """How long an answer may pause before it is cut."""
    max_attempts: Annotated[int, Field(ge=1, le=8)] = 3
    """Targets tried for one request, the first one included."""


class Tenant(Section):
    """Who pays."""

    id: Id
    data_class: Id = "standard"
    """Only targets approved for this class may serve the tenant."""


class Role(Section):
    """What a role may do: a set of endpoints and of models."""

    id: Id
    endpoints: tuple[EndpointName, ...] = ("chat", "messages", "models")
    """Interfaces that the role may use."""
    models: tuple[ModelName, ...] = ("*",)
    """Names, or prefixes ending in ``*``."""


class ApiKey(Section):
    """One API key, as the gateway knows it: by its HMAC, never by its value."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{8,32}$")]
    """The id inside the key; names it in records."""
    hmac: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """HMAC-SHA256 of the whole key under the pepper; ``keys issue`` prints it."""
    tenant: Id
    """Who pays for requests with this key."""
    user: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    """Who asks, in records and limits."""
    application: Annotated[str, StringConstraints(min_length=1, max_length=128)] = "default"
    """Which of the user's programs asks."""
    roles: Annotated[tuple[Id, ...], Field(min_length=1)]
    """What the key may do; roles add up."""
    expires: date | None = None
    """Last day (UTC) on which the key is accepted."""


class Identity(Section):
    """How callers prove who they are."""

    pepper_file: str
    """File with the secret under which API keys are stored."""


class Limit(Section):
    """A limit of requests over a window, one counter for each value of ``per``."""

    id: Id
    per: tuple[Literal["tenant", "user", "application", "endpoint", "model"], ...]
    """What is counted apart; empty means one counter for all requests."""
    requests: Positive
    """Requests allowed in one window."""
    window_s: Annotated[float, Field(gt=0, le=86400)] = 60.0
    """Length of the window, in seconds."""
    burst: Positive | None = None
    """Requests that may come at once; the whole window's by default."""
    tenants: tuple[Id, ...] = ()
    """Only these tenants; empty means all."""
    endpoints: tuple[EndpointName, ...] = ()
    """Only these endpoints; empty means all."""
    mode: Mode = "enforce"
    """``shadow`` counts and records, and never refuses."""


class GuardRule(Section):
    """One line of guard policy."""

    id: Id
    direction: Literal["request", "response", "both"]
    """Which texts are scanned: prompts, answers or both."""
    kind: Literal["pattern", "pii", "secret", "hidden"]
    """``pattern`` uses ``patterns``; ``pii`` and ``secret`` use ``entities``; ``hidden`` finds
    invisible characters that carry text."""
    action: Literal["block", "mask", "flag"]
    """Refuse, replace the match by a placeholder, or only record it."""
    patterns: tuple[str, ...] = ()
    """Regular expressions in Hyperscan's syntax, matched without regard to case."""
    entities: tuple[Literal["card", "iban", "us_ssn", "email", "api_key"], ...] = ()
    """What ``pii`` and ``secret`` rules look for."""
    roles: tuple[Literal["system", "user", "assistant", "tool"], ...] = (
        "system",
        "user",
        "assistant",
        "tool",
    )
    """Whose texts of a request are scanned."""
    tenants: tuple[Id, ...] = ()
    """Only these tenants; empty means all."""
    mode: Mode = "enforce"
    """``shadow`` records findings and never acts."""
    message: str = ""
    """What the client reads when the rule blocks; never the matched text."""


class Provider(Section):
    """One upstream: an Envoy cluster of its own."""

    id: Id
    """Also the name of its Envoy cluster."""
    dialect: DialectName
    """The wire shape that the provider speaks."""
    base_url: Annotated[
        str,
        StringConstraints(pattern=r"^https?://[^/?#\s@]+(/[^?#\s]*)?$"),
        AfterValidator(_has_host_and_port),
    ]
    """Scheme, host, port and base path, such as ``https://api.openai.com/v1``."""
    credential_file: str
    """File with the provider's secret; read again when it changes."""
    region: str = ""
    """A label; nothing routes by it yet."""
    data_classes: Annotated[tuple[Id, ...], Field(min_length=1)] = ("standard",)
    """Classes of data that this provider is approved for."""
    ca_file: str = "/etc/ssl/certs/ca-certificates.crt"
    """Certificate authorities that may vouch for an https provider."""


class Price(Section):
    """Nano-dollars a token (1,000 = one dollar a million tokens)."""

    model: ModelName
    """The target model that the price is for."""
    prompt_nanos: Nanos
    """A prompt token."""
    completion_nanos: Nanos
    """A completion token."""
    cached_nanos: Nanos | None = None
    """A prompt token read from the provider's cache; ``prompt_nanos`` if not given."""


class Prices(Section):
    """A price table with its version; every cost record names it."""

    version: str = "none"
    """Names the table in cost records."""
    models: tuple[Price, ...] = ()
    """One price a target model; a model without one costs 0."""


class TargetRef(Section):
    """One way to serve a model."""

    provider: Id
    """A provider of this file."""
    model: ModelName
    """The model's name at that provider."""


class ModelRoute(Section):
    """A model that clients may ask for, and who serves it, in order."""

    model: ModelName
    """The name that clients ask for."""
    targets: Annotated[tuple[TargetRef, ...], Field(min_length=1)]
    """Who serves it, first choice first; one target a provider is used."""
    max_tokens: Positive | None = None
    """Cap for this model instead of ``caps.max_tokens``."""
    cache_ttl_s: Annotated[float, Field(ge=0, le=86400)] = 0.0
    """Whole answers are kept this long, per tenant; 0 keeps none."""


class Evidence(Section):
    """Where records go."""

    dir: str = "run/evidence"
    """Folder of the decision log and the cost ledger, one file of each per worker."""
    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of new traces that are sampled; a client's own decision is kept."""


class Config(Section):
    """The whole file."""

    version: Literal[1]
    """Version of this file's format."""
    server: Server = Server()
    caps: Caps = Caps()
    failover: Failover = Failover()
    identity: Identity
    tenants: Annotated[tuple[Tenant, ...], Field(min_length=1)]
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    keys: tuple[ApiKey, ...] = ()
    limits: tuple[Limit, ...] = ()
    guards: tuple[GuardRule, ...] = ()
    providers: Annotated[tuple[Provider, ...], Field(min_length=1)]
    models: Annotated[tuple[ModelRoute, ...], Field(min_length=1)]
    prices: Prices = Prices()
    evidence: Evidence = Evidence()
