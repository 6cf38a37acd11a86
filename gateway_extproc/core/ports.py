"""What a stage needs from other rooms, as protocols; ``app.py`` passes the real ones in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from gateway_extproc.core.chat import Chunk, Document, LlmRequest, Path, TextAt
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.secret import Secret
from gateway_extproc.core.usage import Usage
from gateway_extproc.core.verdict import Header

if TYPE_CHECKING:
    from gateway_extproc.core.exchange import Exchange, Finding
    from gateway_extproc.core.identity import Nonce, Proven, Tenant
    from gateway_extproc.core.keys import KeyRecord, Stored


# ------------------------------------------------------------------ provider dialects


@dataclass(frozen=True, slots=True)
class Release:
    """What a provider's bytes meant: a whole document, or chunks of a stream.

    ``document`` is in the *client's* dialect for a whole answer; its ``texts`` are
    what a guard must see, ``echoes`` the places that repeat them (log probabilities
    of tokens) and must be cleared with them.  For a stream ``chunks`` holds the
    events that became complete with these bytes (possibly none).
    """

    document: Document | None = None
    raw: bytes | None = None
    texts: tuple[TextAt, ...] = ()
    echoes: tuple[Path, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    usage: Usage | None = None
    model: str = ""
    stop_reason: str = ""
    refusal: Refusal | None = None


class AnswerReader(Protocol):
    """Reads a provider's streamed answer; one a stream, any cut of the bytes."""

    def feed(self, data: bytes, *, last: bool) -> tuple[Chunk, ...]:
        """The events completed by ``data``; with ``last`` also what was left over."""


class AnswerDecoder(Protocol):
    """Makes a compressed answer plain."""

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """What these bytes say, within bounds."""


class AnswerWriter(Protocol):
    """Writes a streamed answer in the client's dialect."""

    def write(self, chunk: Chunk) -> bytes:
        """The chunk as bytes; empty where the client's dialect has nothing to say."""

    def error(self, refusal: Refusal) -> bytes:
        """An error event, and the dialect's end mark where it has one."""

    def stop(self) -> bytes:
        """A polite end with the content-filter stop reason, and the end mark."""


class Sent(NamedTuple):
    """A finished request to a provider, as a credential that signs it must know it.

    ``path`` goes with its query; ``now_s`` is Unix time.
    """

    method: str
    host: str
    path: str
    body: bytes
    region: str
    now_s: float


class Dialect(Protocol):
    """One wire shape, as spoken by clients and by providers.  Pure."""

    name: str

    # -- as the client's language
    def read_request(self, endpoint: str, document: Document) -> LlmRequest:
        """Checks types and finds the texts; raises ``RequestError`` with the field."""

    def refusal_body(self, refusal: Refusal, request_id: str) -> bytes:
        """A refusal as the JSON body that this dialect's SDKs parse."""

    def refusal_headers(self, refusal: Refusal) -> tuple[Header, ...]:
        """What its SDKs read beside the body."""

    def answer_texts(self, document: Document) -> tuple[TextAt, ...]:
        """Every text of a whole answer in this dialect."""

    # -- as the provider's language
    def credential_headers(self, secret: str, sent: Sent) -> tuple[Header, ...]:
        """The headers that prove the gateway to the provider.

        Raises LookupError for a secret that is none of this dialect's.
        """

    def read_error(self, status: int, document: Document | None) -> Refusal:
        """A provider's error answer, with its own type, code and message kept."""


class Translator(Protocol):
    """From one client dialect to one provider dialect, and back.  Pure."""

    def request(
        self, request: LlmRequest, model: str, max_tokens: int, *, force_usage: bool
    ) -> Document:
        """The provider's body; raises ``RequestError`` for what it cannot express."""

    def path(self, base_path: str, model: str = "", *, stream: bool = False) -> str:
        """The provider's path for this endpoint, below its base path.

        ``model`` and ``stream`` are for providers that are told in the path.
        """

    def answer(
        self, document: Document, raw: bytes, model: str = "", asked: LlmRequest | None = None
    ) -> Release:
        """A provider's whole answer, translated for the client.

        ``model`` is told to clients where the provider names none; ``asked`` is what they sent,
        for dialects whose answers repeat a part of it.
        """

    def reader(self) -> AnswerReader:
        """A reader for the provider's stream."""

    def writer(self, request: LlmRequest) -> AnswerWriter:
        """A writer for the client's stream; hides usage the client did not ask for."""


# ------------------------------------------------------------------------ identity


class Authenticator(Protocol):
    """Verifies one kind of credential.  Never waits: what it needs is already here."""

    def authenticate(self, exchange: Exchange) -> Proven | Refusal | None:
        """Who the request's credential proves; a refusal for a bad one.

        None when the request carries no credential of this kind.  A request with
        credentials of several kinds is refused by identify, whatever each says.
        """


class KeyTable(Protocol):
    """The API keys that this process knows now."""

    def find(self, key_id: str) -> KeyRecord | None:
        """The record of a key, revoked ones included."""


class KeyStore(Protocol):
    """Where API keys are kept.  For commands and the supervisor: it may wait.

    Every method raises ``StoreUnavailable`` when the store does not answer.
    """

    def add(self, records: Sequence[KeyRecord]) -> None:
        """New keys, all or none; raises ``KeyExists``."""

    def change(self, key_id: str, edit: Callable[[KeyRecord], KeyRecord]) -> Stored:
        """Writes what ``edit`` makes of the record, as one step.

        Raises ``KeyUnknown``, and ``KeyRevoked`` for what may not follow a revocation.
        """

    def get(self, key_id: str) -> Stored:
        """One key; raises ``KeyUnknown``."""

    def changes(self, since: int) -> Sequence[Stored]:
        """The keys written after change number ``since``, oldest first: some or all of them.

        Empty only when there are none; 0 begins with the first key.
        """

    def close(self) -> None: ...


class TenantTable(Protocol):
    """The tenants that this process knows now; ``version`` changes when they do."""

    version: int

    def find(self, tenant: str) -> Tenant | None: ...


NonceOutcome = Literal["fresh", "seen", "unavailable"]


class NonceStore(Protocol):
    """Remembers nonces until they expire, for all workers that serve one client."""

    async def take(self, nonce: Nonce) -> NonceOutcome:
        """``fresh`` once for a nonce, ``seen`` until it expires.

        ``unavailable`` where the store does not answer, or is full: forgetting a live
        nonce would let it pass twice.
        """


# -------------------------------------------------------------------------- guards


class Guarded(NamedTuple):
    """Whose texts a guard looks at: rules name tenants, routes and keys.

    ``draw`` lies in [0, 1): a rule that looks at a share of the requests looks at those below.
    """

    tenant: str
    route: str = ""
    key: str = ""
    draw: float = 0.0


class Restorer(Protocol):
    """Puts masked values back into a streamed answer."""

    def push(self, chunks: Sequence[Chunk], *, last: bool) -> tuple[Chunk, ...]:
        """Takes chunks in order, gives those that may leave; ``last`` lets all of it go."""


class Masks(Protocol):
    """Masked values, each with its placeholder; only guards look inside."""

    @property
    def changed(self) -> bool:
        """Whether it holds more or less than when it was opened."""


class Masked(Protocol):
    """What was masked in one request; never prints it."""

    def restored(self, document: Document, texts: Iterable[TextAt]) -> Sequence[tuple[Path, str]]:
        """The texts of a whole answer that change with the values in them."""

    def restorer(self) -> Restorer:
        """The same for a stream."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a guard found in some texts, and the texts after what rules change.

    ``changed`` holds (place, new text) for the texts that changed; ``changed_by`` and
    ``blocked_by`` name the first enforced rule that changed something and that blocks.
    ``unjudged`` names the rules that could not look at every text, ``refused_by`` the first of
    them whose policy then refuses.  ``scanned`` of ``total`` characters were looked at.
    ``masked`` takes back what only the provider must not see; ``classes`` are what the data
    turned out to be, and ``routed_by`` the first rule that says so.
    """

    findings: tuple[Finding, ...] = ()
    changed: tuple[tuple[TextAt, str], ...] = ()
    changed_by: str = ""
    blocked_by: str | None = None
    unjudged: tuple[str, ...] = ()
    refused_by: str | None = None
    masked: Masked | None = None
    classes: frozenset[str] = frozenset()
    routed_by: str = ""
    scanned: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class WindowResult:
    """Chunks that may leave now; ``blocked_by`` ends the stream politely."""

    chunks: tuple[Chunk, ...]
    findings: tuple[Finding, ...] = ()
    blocked_by: str | None = None


class OutputWindow(Protocol):
    """The output filter of one stream; holds text back only while it could match."""

    def push(self, chunks: Sequence[Chunk], *, last: bool) -> WindowResult:
        """Takes chunks in order; ``last`` flushes what is held."""


class Guard(Protocol):
    """Scans texts by the rules of one direction."""

    def scan_request(
        self, texts: Sequence[TextAt], who: Guarded, masks: Masks | None = None
    ) -> Scan:
        """``masks`` are those of earlier requests; they take what is masked now."""

    def scan_answer(self, texts: Sequence[TextAt], who: Guarded, asked: LlmRequest | None) -> Scan:
        """``asked`` is the request, as the model read it."""

    def message_of(self, rule_id: str) -> str:
        """What the client reads when the rule blocks; "" lets the caller choose."""

    def may_ask_again(self, who: Guarded, rule_id: str = "") -> bool:
        """Whether a malformed answer is worth another try: of a rule, or of any that looks."""

    def scope(self, who: Guarded) -> tuple[str, ...]:
        """What tells callers apart whose answers are judged by other rules."""

    def window(self, who: Guarded, asked: LlmRequest | None) -> OutputWindow | None:
        """A window for one streamed answer; None when no output rule applies."""


# -------------------------------------------------------------------------- stores


class StoreUnavailable(Exception):
    """A store did not answer in time, or could not be read; nothing was changed."""


class MaskStore(Protocol):
    """Sealed masks by the name of a conversation; every method raises ``StoreUnavailable``."""

    async def open(self) -> None:
        """Connects, if it can be done now."""

    async def get(self, name: str) -> bytes | None:
        """What was put there, until its life is over."""

    async def put(self, name: str, sealed: bytes, life_s: float, instead_of: bytes | None) -> bool:
        """False, and nothing is put, where no longer stands what ``get`` gave."""

    async def close(self) -> None: ...


class AnswerCache(Protocol):
    """Kept answers by key; the key holds whose they are and the policy revision.

    Both methods raise ``StoreUnavailable``, at the latest at the store's own deadline.
    """

    async def get(self, key: bytes) -> bytes | None:
        """What was put there, until its time is over or it made room for others."""

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """False where the store does not take it: too large, or too much waits already."""


class Claims(Protocol):
    """Who asks a provider now, so that the workers of a host ask only once."""

    async def take(self, key: bytes, life_s: float) -> bool:
        """True for the one that shall ask; its claim ends by itself after ``life_s``."""

    async def held(self, key: bytes) -> bool:
        """Whether somebody asks just now."""

    async def drop(self, key: bytes) -> None:
        """The one that asked is done."""


class Once(Protocol):
    """What may be done once only, whoever does it; raises ``StoreUnavailable``."""

    async def take(self, name: str) -> bool:
        """True for who comes first."""


class Meanings(Protocol):
    """Texts as vectors of length 1, made beside the serving loop."""

    async def vector(self, text: str) -> Sequence[float] | None:
        """None where it would take too long, or too many wait."""


class Credentials(Protocol):
    """The providers' secrets, by provider id."""

    def get(self, provider: str) -> Secret:
        """The current secret; raises LookupError when there is none."""


# ------------------------------------------------------------------------ evidence


class Recorder(Protocol):
    """Takes the finished exchange: decision record, cost record, metrics, span."""

    @property
    def accepting(self) -> bool:
        """False while policy says that nothing may pass, because nothing can be recorded."""

    def opened(self) -> None:
        """A request began."""

    def record(self, exchange: object, ended_ns: int) -> None:
        """A request that was opened is over."""

    def shed(self, priority: str) -> None:
        """A request was turned away before it was opened."""

    def bill(self, exchange: object, usage: Usage | None, cost_nanos: int) -> dict[str, Any]:
        """The cost record of a request that used so much; None where it used nothing."""


class Keeper(Protocol):
    """Strict durability: what decided a request is on disk before it leaves the gateway.

    False means that it could not be kept in time, and that policy says: then it must not leave.
    """

    async def keep_opening(self, exchange: object) -> bool:
        """Records that a request goes on to a provider, and waits for the disk."""

    async def keep_ending(self) -> bool:
        """Waits for the record of the exchange that was closed just now."""

    def amend(self, exchange: object) -> None:
        """Records an exchange once more, whose answer became another one after its end."""


@dataclass(slots=True)
class Load:
    """What admit knows of this worker; the wire counts, the supervisor drains."""

    in_flight: int = 0
    draining: bool = False
