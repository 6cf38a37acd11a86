"""The configuration file, field by field: the one source of truth.

Strict and frozen: a wrong type, an unknown field or a dangling name is an error
with its path.  Docstrings of the fields become the reference in docs/.
"""

from __future__ import annotations

from datetime import date
from ipaddress import ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from gateway_extproc.config.base import (
    EndpointName,
    Id,
    ModelName,
    Name,
    Nanos,
    Positive,
    Section,
)
from gateway_extproc.config.caching import Cache
from gateway_extproc.config.catalogue import Catalogue
from gateway_extproc.config.evidencing import Evidence
from gateway_extproc.config.failing import Failover, HealthCheck, RouteFailover
from gateway_extproc.config.families import Differences, FamilyName
from gateway_extproc.config.guarding import GuardLevel, GuardPack, GuardRule, MaskConversations
from gateway_extproc.config.health import Health
from gateway_extproc.config.passing import Passthrough
from gateway_extproc.config.proofs import Issuer, PeerCertificates, SignedRequests
from gateway_extproc.config.routing import Choosing, Routing, TargetRef
from gateway_extproc.config.scopes import Budget, Limit
from gateway_extproc.config.shadowing import Shadow
from gateway_extproc.core.access import AdminPermission

ClassName = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9][a-z0-9._-]{0,62})$")]
RegionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]*\*?$", min_length=1)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^([a-z0-9-]{1,64})?$")]
DialectName = Literal["openai", "anthropic", "gemini", "vertex", "bedrock", "cohere"]


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


def _is_network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError as error:
        raise ValueError(f"a network such as 192.0.2.0/24 ({error})") from None
    return text


Network = Annotated[str, AfterValidator(_is_network)]


class Listen(Section):
    """An address and a port to listen on."""

    address: str = "127.0.0.1"
    """IP address to listen on."""
    port: Annotated[int, Field(ge=1, le=65535)] = 10000
    """TCP port."""


class Tls(Section):
    """TLS towards clients, terminated by Envoy, which reads the files when it starts."""

    certificate_file: str
    """The gateway's certificate and its chain, PEM."""
    key_file: str
    """The certificate's private key, PEM."""
    client_ca_file: str = ""
    """Authorities that may vouch for client certificates, PEM; none are asked for without it."""
    require_client_certificate: bool = False
    """Whether a connection without a client certificate is refused at once."""


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


class Shed(Section):
    """What a worker turns away when it has more to do than it can.

    Refused with 503 and a ``retry-after``, first what may wait; a worker's load is how late its
    event loop runs, not how many requests wait for their providers.
    """

    lag_ms: Annotated[float, Field(ge=1, le=1000)] = 30.0
    """How late the event loop may run, in milliseconds; later, requests are turned away, and those
    that may wait at a third of it."""
    priority_header: HeaderName = "x-gateway-priority"
    """Header by which a request says ``batch``: it may wait. Nothing raises a priority."""
    batch_tenants: tuple[Id, ...] = ()
    """Tenants whose requests may all wait."""
    batch_applications: tuple[Name, ...] = ()
    """Applications whose requests may all wait."""


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
    tls: Tls | None = None
    """TLS for clients; plain HTTP without it."""
    admin: Listen = Listen(port=10080)
    """Health, metrics and status of all workers."""
    envoy_admin: Listen = Listen(port=9901)
    """Envoy's own admin interface; keep it private."""
    max_in_flight: Positive = 1000
    """Requests one worker handles at a time; more are refused at once with 503."""
    shed: Shed = Shed()
    """When and whom an overloaded worker turns away."""
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 20.0
    """How long streams may go on after a worker was asked to stop."""


TooLong = Literal["refuse", "oldest_turns"]


class Caps(Section):
    """Upper bounds of one request."""

    body_bytes: Positive = 8 * 1024 * 1024
    """Largest request body; larger ones are refused with 413."""
    upload_bytes: Positive = 26 * 1024 * 1024
    """The same at endpoints that take a file (``transcriptions`` and the like): OpenAI's own 25 MB,
    and room for the other fields. Envoy buffers so much for any request, the gateway refuses it at
    other endpoints."""
    answer_bytes: Positive = 16 * 1024 * 1024
    """Upper bound of an answer that is read whole (streams have none)."""
    depth: Annotated[int, Field(gt=0, le=200)] = 48
    """How deeply a request's JSON may be nested."""
    max_tokens: Positive = 8192
    """Completion tokens that a request may ask for; also the default when it asks for none."""
    prompt_tokens: Positive | None = None
    """Prompt tokens (estimated) of a request; none for no cap but the provider's own."""
    too_long: TooLong = "refuse"
    """What happens to a longer prompt: ``refuse``, or ``oldest_turns`` to leave out its oldest
    turns (never system messages nor the last user turn; calls of tools stay with their results)."""
    cost_nanos: Nanos | None = None
    """Worst-case price of one request in nano-dollars; dearer ones are refused."""


class Application(Section):
    """An application of a tenant whose data is of a further class."""

    id: Name
    """The application, as its credential names it."""
    data_class: Id
    """Its requests need targets that are approved for this class, too."""


class Tenant(Section):
    """Who pays."""

    id: Id
    data_class: Id = "standard"
    """Only targets approved for this class may serve the tenant."""
    applications: tuple[Application, ...] = ()
    """Applications with a further data class."""
    suspended: bool = False
    """A suspended tenant's requests are refused."""


class TenantsFile(Section):
    """The file that ``identity.tenants_file`` names: JSON, read again when it changes."""

    version: Literal[1]
    """Version of this file's format."""
    tenants: tuple[Tenant, ...]


class DataClass(Section):
    """Where data of one class may go, beside what providers are approved for."""

    id: Id
    regions: Annotated[tuple[RegionName, ...], Field(min_length=1)]
    """Regions of providers, or prefixes ending in ``*``; others never see the class."""


class RoleRule(Section):
    """A further grant of a role. One grant must allow all of a request."""

    id: Id
    """Names the grant in records."""
    endpoints: tuple[EndpointName, ...] = ()
    """Interfaces that it allows."""
    models: tuple[ModelName, ...] = ("*",)
    """Names, or prefixes ending in ``*``."""
    routes: tuple[ModelName, ...] = ("*",)
    """Routes, or prefixes ending in ``*``; a route is named by the model that it serves."""
    targets: tuple[ModelName, ...] = ("*",)
    """Who may answer: ``provider/model``, or prefixes ending in ``*``. A target that the grant does
    not name is never tried, whatever a route or a rule says."""
    data_classes: tuple[ClassName, ...] = ("*",)
    """Data classes that it allows; all of a request's must be among them."""
    admin: tuple[AdminPermission, ...] = ()
    """What it allows at the admin server, as for the role."""
    when: str = ""
    """A CEL condition over ``tenant``, ``user``, ``application``, ``roles``, ``method``,
    ``labels``, ``data_classes``, ``endpoint``, ``model``, ``source``, ``hour`` (0 to 23, UTC) and
    ``weekday`` (1 to 7); what cannot be evaluated does not hold. At the admin server ``endpoint``
    is ``admin`` and ``model`` is empty."""


class Role(Section):
    """What a role may do. Its own fields are its grant ``base``; ``rules`` are further ones."""

    id: Id
    endpoints: tuple[EndpointName, ...] = (
        "chat", "messages", "generate_content", "cohere_chat", "converse", "models",
    )  # fmt: skip
    """Interfaces that the role may use; ``passthrough:`` and an id for what is passed through."""
    models: tuple[ModelName, ...] = ("*",)
    """Names, or prefixes ending in ``*``."""
    routes: tuple[ModelName, ...] = ("*",)
    """Routes, or prefixes ending in ``*``; a route is named by the model that it serves."""
    targets: tuple[ModelName, ...] = ("*",)
    """Who may answer: ``provider/model``, or prefixes ending in ``*``. A target that the grant does
    not name is never tried, whatever a route or a rule says."""
    data_classes: tuple[ClassName, ...] = ("*",)
    """Data classes that the role may send; all of a request's must be among them."""
    admin: tuple[AdminPermission, ...] = ()
    """What the role may do at the admin server; without ``every_tenant`` only with what belongs to
    the caller's own tenant (records, costs, keys, reviews)."""
    when: str = ""
    """A CEL condition, as in ``rules``."""
    rules: tuple[RoleRule, ...] = ()
    """Further grants, each with conditions of its own."""


class ApiKey(Section):
    """One API key, as the gateway knows it: by its HMAC, never by its value."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{8,32}$")]
    """The id inside the key; names it in records."""
    hmac: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """HMAC-SHA256 of the whole key under the pepper; ``keys issue --static`` prints it."""
    tenant: Id
    """Who pays for requests with this key."""
    user: Name
    """Who asks, in records and limits."""
    application: Annotated[str, StringConstraints(max_length=128)] = "default"
    """Which of the user's programs asks; empty where ``identity.application_header`` says it."""
    roles: Annotated[tuple[Id, ...], Field(min_length=1)]
    """What the key may do; one grant of one role must allow all of a request."""
    endpoints: tuple[EndpointName, ...] = ()
    """Only these interfaces; empty means all that its roles allow."""
    models: tuple[ModelName, ...] = ()
    """Only these models, or prefixes ending in ``*``; empty means all that its roles allow."""
    networks: tuple[Network, ...] = ()
    """Only from these networks (CIDR); empty means from everywhere."""
    labels: dict[Id, Annotated[str, StringConstraints(max_length=128)]] = Field(
        default_factory=dict
    )
    """Written into its decision and cost records."""
    expires: date | None = None
    """Last day (UTC) on which the key is accepted."""


class AbuseRule(Section):
    """What counts as abuse of a credential, and what follows."""

    id: Id
    """Names the rule in records and metrics."""
    signal: Literal["volume", "failures", "networks"]
    """``volume``: requests of one credential; ``failures``: refused credentials from one address;
    ``networks``: different networks (/24, /48) from which one credential comes."""
    threshold: Positive
    """More than this in one window is abuse. Each worker counts its own share."""
    window_s: Annotated[float, Field(gt=0, le=86400)] = 60.0
    """Length of the window, in seconds."""
    factor: Annotated[float, Field(ge=0)] = 0.0
    """For ``volume``: also more than so many times the window before; 0 asks no such thing."""
    action: Literal["alert", "throttle", "suspend"] = "alert"
    """Only count it, refuse with 429 for ``for_s``, or suspend the API key for ``for_s`` on all
    workers. Other credentials than API keys, and addresses, are throttled instead."""
    for_s: Annotated[float, Field(gt=0, le=604800)] = 300.0
    """How long it is throttled or suspended, in seconds."""
    tenants: tuple[Id, ...] = ()
    """Only credentials of these tenants; empty means all. Not for ``failures``."""


class Identity(Section):
    """How callers prove who they are, and what is known of them."""

    pepper_file: str
    """File with the secret under which API keys are stored."""
    state_dir: str = ""
    """Folder of the key store and of the last good tenants, on a local disk that survives
    restarts; by default ``state`` in ``server.socket_dir``."""
    tenants_file: str = ""
    """JSON file with further tenants (``version`` 1, and ``tenants`` as in this file); read again
    when it changes."""
    application_header: HeaderName = ""
    """Header that names the application of a credential that names none itself."""
    data_class_header: HeaderName = ""
    """Header by which a request adds data classes to its tenant's; it never takes one away."""
    abuse: tuple[AbuseRule, ...] = ()
    """What counts as abuse of credentials."""
    issuers: tuple[Issuer, ...] = ()
    """Who may vouch for callers with JSON Web Tokens."""
    signed: SignedRequests = SignedRequests()
    """Callers that sign each request."""
    certificates: PeerCertificates = PeerCertificates()
    """Callers that are known by their client certificate."""


class Redis(Section):
    """A Redis that several hosts share: keys, nonces, and limits where ``store`` says so."""

    address: Listen = Listen(port=6379)
    """Where it listens."""
    tls: bool = False
    """Whether to speak TLS to it."""
    ca_file: str = "/etc/ssl/certs/ca-certificates.crt"
    """Certificate authorities that may vouch for it."""
    username: str = ""
    """Its ACL user; empty for the default one."""
    password_file: str = ""
    """File with its password; empty for none."""
    prefix: Id = "gateway"
    """Begins the names of all keys."""
    timeout_ms: Annotated[int, Field(ge=1, le=10000)] = 20
    """Longest wait for one answer."""


class CounterRedis(Redis):
    """A Redis for limits and budgets: one server, one that Sentinels watch, or a Cluster."""

    sentinels: tuple[Listen, ...] = ()
    """Sentinels that know where the master is; ``address`` is not used then."""
    service: str = ""
    """The master's name at the Sentinels."""
    cluster: bool = False
    """Whether ``address`` is a node of a Redis Cluster. Counters of one tenant live together; a
    reservation that also takes from counters that tenants share is one script in each place."""


class Store(Section):
    """Where limits and budgets are counted."""

    kind: Literal["memory", "redis"] = "memory"
    """``memory``: one table for all workers of this host, in ``server.socket_dir``; ``redis``: one
    for all hosts."""
    redis: CounterRedis | None = None
    """The Redis that counts; the section ``redis`` by default. Its ``maxmemory-policy`` has to be
    ``noeviction``."""
    rise_factor: Annotated[float, Field(ge=0)] = 3.0
    """Tokens of a request are told to rise suddenly when an application's recent mean is so many
    times its usual one; 0 tells nothing."""
    lease_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """A hold whose worker is gone ends after so long; those of long answers are renewed."""


class Provider(Section):
    """One upstream: an Envoy cluster of its own."""

    id: Id
    """Also the name of its Envoy cluster."""
    dialect: DialectName
    """The wire shape that the provider speaks."""
    family: FamilyName | None = None
    """Of ``openai``: which server it is, as ``docs/interfaces.md`` lists them. By default its host
    tells, and one that is not known there is ``compatible``."""
    differences: Differences | None = None
    """In what it differs from its family."""
    base_url: Annotated[
        str,
        StringConstraints(pattern=r"^https?://[^/?#\s@]+(/[^?#\s]*)?$"),
        AfterValidator(_has_host_and_port),
    ]
    """Scheme, host, port and base path, such as ``https://api.openai.com/v1``."""
    credential_file: str
    """File with the provider's secret; read again when it changes."""
    credential_files: Annotated[tuple[str, ...], Field(max_length=15)] = ()
    """Files with further secrets for the same provider. Each request takes the one with most
    quota left; one that was answered 429 rests. Records and metrics name them by position, 0 for
    ``credential_file``."""
    region: str = ""
    """Where its data stays; ``data_classes`` may ask for it."""
    data_classes: Annotated[tuple[Id, ...], Field(min_length=1)] = ("standard",)
    """Classes of data that this provider is approved for. A request that carries several classes
    needs a provider that is approved for each of them."""
    ca_file: str = "/etc/ssl/certs/ca-certificates.crt"
    """Certificate authorities that may vouch for an https provider."""
    check: HealthCheck | None = None
    """Active health checks by Envoy; none without it."""


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
    second_nanos: Nanos | None = None
    """A second of sound, of a model that is charged by those instead of tokens."""
    character_nanos: Nanos | None = None
    """A character of text to be spoken, of a model that is charged by those instead of tokens."""
    audio_prompt_nanos: Nanos | None = None
    """A prompt token of a sound; ``prompt_nanos`` if not given."""
    audio_completion_nanos: Nanos | None = None
    """A completion token of speech; ``completion_nanos`` if not given."""
    image_prompt_nanos: Nanos | None = None
    """A prompt token of an image; ``prompt_nanos`` if not given."""
    image_completion_nanos: Nanos | None = None
    """A completion token of an image; ``completion_nanos`` if not given."""


class Prices(Section):
    """A price table with its version; every cost record names it.

    It stands above the catalogue: a model that is named here has this price and no other.
    """

    version: str = "none"
    """Names the table in cost records."""
    models: tuple[Price, ...] = ()
    """One price a target model; a model without one, and without one in the catalogue, costs 0."""


class ModelRoute(Choosing):
    """A name that clients may ask for, and who serves it: a model, a virtual model such as
    ``auto`` with a strategy over several, or an alias.

    An alias has nothing but ``model`` and ``alias_of``.
    """

    model: ModelName
    """The name that clients ask for."""
    alias_of: ModelName | None = None
    """Another entry, which is no alias itself: all that is said of it holds for this name, too.
    Roles and keys are asked for this name, and for the other's route."""
    targets: tuple[TargetRef, ...] = ()
    """Who serves it, first choice first; several targets of one provider are several attempts.
    Needed, but for an alias."""
    max_tokens: Positive | None = None
    """Cap for this model instead of ``caps.max_tokens``."""
    prompt_tokens: Positive | None = None
    """Cap of its prompts instead of ``caps.prompt_tokens``."""
    too_long: TooLong | None = None
    """What happens to longer prompts instead of ``caps.too_long``."""
    unread_tokens: Literal["refuse", "allow"] = "refuse"
    """What happens to prompts of ``embeddings`` and ``completions`` that come as numbers of a
    vocabulary: guards cannot read them. ``allow`` sends them on unread; they are counted."""
    mistakes: Literal["refuse", "provider"] = "refuse"
    """Who tells clients of OpenAI's dialect that a value is wrong: the gateway, at once, or the
    ``provider``, in its own words, where its family checks all values itself (``openai``,
    ``azure``). Texts are read, and caps hold, all the same."""
    cache_ttl_s: Annotated[float, Field(ge=0, le=86400)] = 0.0
    """Answers are kept this long, as the section ``cache`` says; 0 keeps none."""
    failover: RouteFailover | None = None
    """When the next target is tried, where it is otherwise than in the section ``failover``."""


class Config(Section):
    """The whole file."""

    version: Literal[1]
    """Version of this file's format."""
    server: Server = Server()
    caps: Caps = Caps()
    failover: Failover = Failover()
    shadow: Shadow | None = None
    identity: Identity
    redis: Redis | None = None
    data_classes: tuple[DataClass, ...] = ()
    tenants: tuple[Tenant, ...] = ()
    roles: tuple[Role, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    store: Store = Store()
    cache: Cache = Cache()
    guards: tuple[GuardRule, ...] = ()
    guard_packs: tuple[GuardPack, ...] = ()
    guard_levels: tuple[GuardLevel, ...] = ()
    mask_conversations: MaskConversations | None = None
    providers: Annotated[tuple[Provider, ...], Field(min_length=1)]
    models: Annotated[tuple[ModelRoute, ...], Field(min_length=1)]
    passthrough: tuple[Passthrough, ...] = ()
    routing: Routing = Routing()
    catalogue: Catalogue = Catalogue()
    prices: Prices = Prices()
    evidence: Evidence = Evidence()
    health: Health = Health()
