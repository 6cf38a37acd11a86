"""The client interfaces that the gateway serves, by method and path."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlencode

from gateway_extproc.core.chat import Document


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One interface: ``dialect`` is the language its clients speak, errors included.

    ``providers`` are the dialects that can say the same; None where every dialect can, because
    there is a translation.  ``aliases`` are further paths of the same interface.
    ``batch`` tells whether providers charge its requests by their price for batches.
    A ``{model}`` in ``path`` stands for the model, which these clients name there.
    ``form`` tells that its body is a form with a file instead of JSON.  ``kind`` tells what it is
    about: a model, something that a provider keeps (a file, a batch), or a path passed through;
    of those ``websockets`` may become a websocket.
    """

    name: str
    method: str
    path: str
    dialect: str
    has_body: bool = True
    providers: frozenset[str] | None = None
    aliases: tuple[str, ...] = ()
    batch: bool = False
    form: bool = False
    kind: Literal["model", "resource", "passed"] = "model"
    websockets: bool = False

    def served_by(self, dialect: str) -> bool:
        """Whether a provider of this dialect can answer it."""
        return self.providers is None or dialect in self.providers


_OPENAI: Final = frozenset({"openai"})
_COHERE: Final = frozenset({"cohere"})

CHAT: Final = Endpoint("chat", "POST", "/v1/chat/completions", "openai")
MESSAGES: Final = Endpoint("messages", "POST", "/v1/messages", "anthropic")
RESPONSES: Final = Endpoint("responses", "POST", "/v1/responses", "openai")
COMPLETIONS: Final = Endpoint("completions", "POST", "/v1/completions", "openai", providers=_OPENAI)
EMBEDDINGS: Final = Endpoint("embeddings", "POST", "/v1/embeddings", "openai", providers=_OPENAI)
MODERATIONS: Final = Endpoint("moderations", "POST", "/v1/moderations", "openai", providers=_OPENAI)
IMAGES: Final = Endpoint("images", "POST", "/v1/images/generations", "openai", providers=_OPENAI)
RERANK: Final = Endpoint(
    "rerank", "POST", "/v1/rerank", "openai", providers=_OPENAI | _COHERE, aliases=("/v2/rerank",)
)
TRANSCRIPTIONS: Final = Endpoint(
    "transcriptions", "POST", "/v1/audio/transcriptions", "openai", providers=_OPENAI, form=True
)
TRANSLATIONS: Final = Endpoint(
    "translations", "POST", "/v1/audio/translations", "openai", providers=_OPENAI, form=True
)
SPEECH: Final = Endpoint("speech", "POST", "/v1/audio/speech", "openai", providers=_OPENAI)
COUNT_TOKENS: Final = Endpoint(
    "count_tokens", "POST", "/v1/messages/count_tokens", "anthropic",
    providers=frozenset({"anthropic"}),
)  # fmt: skip
MODELS: Final = Endpoint("models", "GET", "/v1/models", "openai", has_body=False)

GENERATE: Final = Endpoint(
    "generate_content", "POST", "/v1beta/models/{model}:generateContent", "gemini"
)
STREAM_GENERATE: Final = Endpoint(
    "generate_content", "POST", "/v1beta/models/{model}:streamGenerateContent", "gemini"
)

COHERE_CHAT: Final = Endpoint("cohere_chat", "POST", "/v2/chat", "cohere")
EMBED: Final = Endpoint("embed", "POST", "/v2/embed", "cohere", providers=_COHERE)

CONVERSE: Final = Endpoint("converse", "POST", "/model/{model}/converse", "bedrock")
STREAM_CONVERSE: Final = Endpoint("converse", "POST", "/model/{model}/converse-stream", "bedrock")
CHAT_APIS: Final = ("chat", "responses")
"""OpenAI's two interfaces for chat; a provider of its dialect may have only one of them."""
CHATTING: Final = frozenset(
    {"chat", "responses", "messages", "generate_content", "cohere_chat", "converse"}
)
"""Interfaces that a provider may be asked for in another language."""

_GEMINI_VERSIONS: Final = ("/v1beta/models/", "/v1/models/", "/v1alpha/models/")
"""Which of its API's versions a client of Gemini names makes no difference here."""
_VERBS: Final = {"generateContent": GENERATE, "streamGenerateContent": STREAM_GENERATE}
_BEDROCK: Final = "/model/"
_CONVERSES: Final = {"converse": CONVERSE, "converse-stream": STREAM_CONVERSE}
_COHERE_VERSION: Final = "/v2/"

REALTIME: Final = "/v1/realtime"
"""Passed through as a websocket where policy says so, never otherwise."""
SWITCHED: Final = 101
"""The status of a connection that has become a websocket (RFC 6455)."""
NO_UPGRADES: Final = "Websockets are not served here; use an interface of requests and answers."
"""What a client of ``REALTIME`` is told: of an upgrade by Envoy, of a plain GET by the gateway."""

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    CHAT, MESSAGES, GENERATE, STREAM_GENERATE, RESPONSES, COMPLETIONS, EMBEDDINGS, MODERATIONS,
    IMAGES, RERANK, TRANSCRIPTIONS, TRANSLATIONS, SPEECH, COUNT_TOKENS, COHERE_CHAT, EMBED,
    CONVERSE, STREAM_CONVERSE, MODELS,
)  # fmt: skip
FILE_UPLOAD: Final = Endpoint("files", "POST", "/v1/files", "openai", form=True, kind="resource")
FILES: Final = Endpoint("files", "GET", "/v1/files", "openai", False, kind="resource")
FILE: Final = Endpoint("files", "GET", "/v1/files/{id}", "openai", False, kind="resource")
FILE_DELETE: Final = Endpoint("files", "DELETE", "/v1/files/{id}", "openai", False, kind="resource")
FILE_CONTENT: Final = Endpoint(
    "files", "GET", "/v1/files/{id}/content", "openai", False, batch=True, kind="resource"
)
BATCH_CREATE: Final = Endpoint(
    "batches", "POST", "/v1/batches", "openai", batch=True, kind="resource"
)
BATCHES: Final = Endpoint("batches", "GET", "/v1/batches", "openai", False, kind="resource")
BATCH: Final = Endpoint(
    "batches", "GET", "/v1/batches/{id}", "openai", False, batch=True, kind="resource"
)
BATCH_CANCEL: Final = Endpoint(
    "batches", "POST", "/v1/batches/{id}/cancel", "openai", False, kind="resource"
)
RESOURCES: Final = (
    FILE_UPLOAD, FILES, FILE, FILE_DELETE, FILE_CONTENT, BATCH_CREATE, BATCHES, BATCH, BATCH_CANCEL
)  # fmt: skip
"""What a provider keeps: files and batches, several methods a path."""
BY_NAME: Final[dict[str, Endpoint]] = {endpoint.name: endpoint for endpoint in ENDPOINTS}
BY_PATH: Final[dict[str, Endpoint]] = {
    path: endpoint for endpoint in ENDPOINTS for path in (endpoint.path, *endpoint.aliases)
}


AZURE: Final = "/openai/"
"""Begins all paths of Azure OpenAI's clients."""
_DEPLOYMENTS: Final = AZURE + "deployments/"


def find_endpoint(path: str, method: str = "") -> Endpoint | None:
    """The endpoint behind a request path (query string ignored), or None.

    ``method`` chooses where a path has several; another one gives the first of them.
    """
    plain = path.partition("?")[0]
    known = BY_PATH.get(plain)
    if known is not None:
        return known
    if plain.startswith(AZURE):
        azure = BY_PATH.get(_azure(plain)[1])
        return azure if azure is None or azure.dialect == "openai" else None
    if plain.startswith(("/v1/files", "/v1/batches")):
        shape = plain if plain.count("/") == 2 else _shape_of(plain)
        found = [endpoint for endpoint in RESOURCES if endpoint.path == shape]
        return next((e for e in found if e.method == method), found[0] if found else None)
    model, verb = _model_and_verb(plain)
    if not model:
        return None
    return (_CONVERSES if plain.startswith(_BEDROCK) else _VERBS).get(verb)


def _azure(path: str) -> tuple[str, str]:
    """The deployment that a path of Azure's interface names, if any, and OpenAI's own path.

    ``/openai/deployments/NAME/chat/completions`` names one, ``/openai/v1/chat/completions`` and
    ``/openai/models`` do not.  Whatever stands in ``api-version`` makes no difference here.
    """
    if path.startswith(_DEPLOYMENTS):
        name, _, rest = path.removeprefix(_DEPLOYMENTS).partition("/")
        return unquote(name), f"/v1/{rest}" if name else ""
    rest = path.removeprefix(AZURE)
    return "", f"/v1/{rest.removeprefix('v1/')}"


def spoken(dialect: str, endpoint: str, lacks: Collection[str] = ()) -> str:
    """The language in which a provider is asked what this endpoint's clients ask for.

    The provider's dialect, but where it lacks one of ``CHAT_APIS`` and clients speak that:
    ``openai:chat``, ``openai:responses``.
    """
    if dialect != "openai" or endpoint not in CHATTING:
        return dialect
    if "chat" in lacks and endpoint != "responses":
        return "openai:responses"
    return "openai:chat" if "responses" in lacks and endpoint == "responses" else dialect


def is_own(path: str) -> bool:
    """Whether a path is the gateway's, served or not: such a one is never passed through.

    All below files and batches is, for the ids there are those of tenants; all below ``REALTIME``,
    for there a provider gives keys of its own to whoever asks.
    """
    plain = path.partition("?")[0]
    kept = (f"{REALTIME}/", "/v1/files", "/v1/batches")
    return plain.startswith(kept) or bool(find_endpoint(plain))


def _shape_of(path: str) -> str:
    """A resource's path with ``{id}`` in place of its id."""
    _, version, kind, name, *rest = path.split("/")
    return "/".join(("", version, kind, "{id}" if name else "", *rest))


def resource_id(path: str) -> str:
    """The id in a resource's path."""
    return path.partition("?")[0].split("/")[3]


def _model_and_verb(path: str) -> tuple[str, str]:
    """The model that stands in a path of Gemini's or of Bedrock's, and what is asked of it.

    Nothing for other paths.
    """
    if path.startswith(_BEDROCK):  # a name may hold slashes, escaped or not
        model, _, verb = path.removeprefix(_BEDROCK).rpartition("/")
        return model, verb
    for prefix in _GEMINI_VERSIONS:
        if path.startswith(prefix):
            model, _, verb = path.removeprefix(prefix).rpartition(":")
            return model, verb
    return "", ""


def with_path(endpoint: Endpoint, path: str, document: Document) -> Document:
    """The document, and in it what clients of this endpoint say in the path.

    Gemini's and Bedrock's clients name the model there, and whether they want a stream
    (``stream``); Gemini's also whether as server-sent events (``alt`` is ``sse``) or as one JSON
    array.  Azure's clients name the deployment there, which counts for more than what the
    document says.
    """
    if path.startswith(_DEPLOYMENTS):
        return {**document, "model": _azure(path.partition("?")[0])[0]}
    if "{model}" not in endpoint.path or path == endpoint.path:
        return document
    plain, _, query = path.partition("?")
    model = unquote(_model_and_verb(plain)[0])
    if endpoint.dialect == "bedrock":
        return {**document, "model": model, "stream": endpoint is STREAM_CONVERSE}
    alt = dict(parse_qsl(query)).get("alt", "json")
    return {**document, "model": model, "stream": endpoint is STREAM_GENERATE, "alt": alt}


def _is_geminis(path: str) -> bool:
    """Whether nobody but a client of Gemini would ask there, served or not."""
    return path.startswith(_GEMINI_VERSIONS[0]) or (
        path.startswith(_GEMINI_VERSIONS) and bool(_model_and_verb(path)[0])
    )


def without_key(path: str) -> tuple[str, str | None]:
    """A path of Gemini's interface without the key in its query, and that key.

    A key in an address ends in logs: it is taken out before anybody looks at the path.
    """
    plain, mark, query = path.partition("?")
    if not mark or not _is_geminis(plain):
        return path, None
    fields = parse_qsl(query, keep_blank_values=True)
    keys = [value for name, value in fields if name == "key"]
    if not keys:
        return path, None
    rest = urlencode([field for field in fields if field[0] != "key"])
    # Several keys leave open which one counts: joined they are nobody's.
    return f"{plain}?{rest}" if rest else plain, ",".join(keys)


def error_dialect(path: str, headers: Mapping[str, str]) -> str:
    """Which dialect an error must be written in, also for a path we do not serve."""
    if path.startswith(_COHERE_VERSION):  # nobody else has a second version
        return "cohere"
    if path.startswith(_BEDROCK):
        return "bedrock"
    endpoint = find_endpoint(path)
    if endpoint is not None and endpoint is not MODELS:
        return endpoint.dialect
    if _is_geminis(path) or "x-goog-api-key" in headers:
        return "gemini"
    return "anthropic" if "anthropic-version" in headers else "openai"


EVENTS: Final = "text/event-stream"
EVENT_STREAMS: Final = {"bedrock": "application/vnd.amazon.eventstream"}
"""How streams of a dialect are marked, where they are not server-sent events."""


def is_stream(dialect: str, kind: str) -> bool:
    """Whether a provider of this dialect marks a stream by this media type.

    Google's may answer with one JSON array that grows, where a server does not know ``alt=sse``.
    """
    if dialect in ("gemini", "vertex") and kind == "application/json":
        return True
    return kind == EVENT_STREAMS.get(dialect, EVENTS)


def stream_type(dialect: str, document: Document) -> str:
    """The media type of the stream that answers a client's document."""
    if dialect == "gemini" and document.get("alt") != "sse":
        return "application/json"  # one array
    return EVENT_STREAMS.get(dialect, EVENTS)
