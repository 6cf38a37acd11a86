"""How servers that speak OpenAI's dialect differ from each other.

A table, not code: a server that differs in a further way needs a line, and a configuration may
say a line of its own (``providers[].differences``).  Sources are the servers' own API references.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from gateway_extproc.config.base import EndpointName, Section

FamilyName = Literal[
    "openai", "azure", "azure-v1", "vllm", "ollama", "mistral", "groq", "together", "deepseek",
    "openrouter", "litellm", "portkey", "kong", "compatible",
]  # fmt: skip
FAMILY_NAMES: Final[tuple[FamilyName, ...]] = get_args(FamilyName)
CapName = Literal["max_tokens", "max_completion_tokens"]

_OURS: Final = frozenset(
    {"host", "content-length", "content-type", "content-encoding", "accept-encoding",
     "transfer-encoding", "connection", "te", "upgrade", "traceparent", "tracestate"}
)  # fmt: skip
_OURS_BEGIN: Final = ("x-gateway-", "x-envoy-", "x-forwarded-", ":")


def _is_template(text: str) -> str:
    left = text.replace("{base}", "", 1).replace("{model}", "", 1)
    if left.count("{interface}") != 1 or set("{}?#") & set(left.replace("{interface}", "")):
        raise ValueError("a path with {interface}, and perhaps {base} and {model}, each once")
    return text


def _may_be_set(name: str) -> str:
    if name in _OURS or name.startswith(_OURS_BEGIN):
        raise ValueError("a header that the gateway does not write itself")
    return name


HeaderOfProvider = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$"), AfterValidator(_may_be_set)
]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Differences(Section):
    """In what a provider differs from its family; what is not said is as there."""

    path: Annotated[str, AfterValidator(_is_template)] | None = None
    """Where an interface stands: ``{base}`` is the path of ``base_url``, ``{interface}`` such as
    ``/chat/completions``, ``{model}`` the target's model."""
    query: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~=&%+-]*$")] | None = None
    """The query behind it, such as ``api-version=2024-10-21``."""
    credential_header: HeaderOfProvider | None = None
    """Header of the credential; in ``authorization`` it is a bearer token."""
    headers: dict[HeaderOfProvider, Annotated[str, StringConstraints(pattern=r"^[ -~]*$")]] = Field(
        default_factory=dict
    )
    """Further headers; not for secrets."""
    caps: Annotated[tuple[CapName, ...], Field(min_length=1)] | None = None
    """Spellings of a chat's cap that it understands; the first is written where clients name
    none."""
    renamed: dict[FieldName, FieldName] | None = None
    """Fields of a chat that have another name there."""
    left_out: tuple[FieldName, ...] | None = None
    """Fields of a chat that it does not know and that say nothing about the answer: they are left
    out."""
    refused: tuple[FieldName, ...] | None = None
    """Fields of a chat that it ignores or does not know: whoever asks for them is refused."""
    lacks: tuple[EndpointName, ...] | None = None
    """Interfaces that it does not have."""
    developer_role: bool | None = None
    """Whether it knows the role ``developer``; else such turns are ``system``."""
    checks_values: bool | None = None
    """Whether it refuses every wrong value, so that ``models[].mistakes`` may be left to it."""


@dataclass(frozen=True, slots=True)
class Family:
    """One line of the table; ``Differences`` says what the fields are."""

    name: str
    path: str = "{base}{interface}"
    query: str = ""
    credential_header: str = "authorization"
    headers: Mapping[str, str] = field(default_factory=dict)
    caps: tuple[CapName, ...] = ("max_tokens", "max_completion_tokens")
    renamed: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    developer_role: bool = True
    checks_values: bool = False


_HINTS: Final = frozenset(
    {"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "store",
     "user"}
)  # fmt: skip
"""They say how to account, keep or blame, not what to answer."""
_SOUND: Final = ("transcriptions", "translations", "speech")
_KEPT: Final = ("files", "batches")
"""Not there at all, or not as OpenAI has them."""
_NEW_FIRST: Final[tuple[CapName, ...]] = ("max_completion_tokens", "max_tokens")
_OLD_ONLY: Final[tuple[CapName, ...]] = ("max_tokens",)

FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        # Anything else: the old cap is the one that every server knows.
        Family("compatible"),
        # Reasoning models refuse the old cap.
        Family("openai", caps=_NEW_FIRST, checks_values=True, lacks=frozenset({"rerank"})),
        Family(
            "azure",
            path="{base}/openai/deployments/{model}{interface}",
            query="api-version=2024-10-21",
            credential_header="api-key",
            caps=_NEW_FIRST,
            checks_values=True,
            lacks=frozenset({"moderations", "rerank", "responses", *_KEPT}),
        ),
        # Azure's newer way: no deployment in the path, no version.
        Family(
            "azure-v1",
            credential_header="api-key",
            caps=_NEW_FIRST,
            checks_values=True,
            lacks=frozenset({"moderations", "rerank"}),
        ),
        Family("vllm", lacks=frozenset({"images", "moderations", "speech", *_KEPT})),
        # Its reference lists what it ignores.
        Family(
            "ollama",
            caps=_OLD_ONLY,
            left_out=_HINTS,
            refused=frozenset({"logit_bias", "n", "tool_choice"}),
            developer_role=False,
            lacks=frozenset({"images", "moderations", "rerank", *_SOUND, *_KEPT}),
        ),
        # Unknown fields are answered 422; usage comes without being asked for.
        Family(
            "mistral",
            caps=_OLD_ONLY,
            renamed={"seed": "random_seed"},
            left_out=_HINTS | {"service_tier", "stream_options"},
            refused=frozenset({"logit_bias", "logprobs", "top_logprobs", "verbosity"}),
            developer_role=False,
            lacks=frozenset(
                {"completions", "images", "rerank", "responses", "translations", "speech", *_KEPT}
            ),
        ),
        Family(
            "groq",
            caps=_NEW_FIRST,
            refused=frozenset({"logit_bias", "logprobs", "n", "top_logprobs"}),
            lacks=frozenset({"completions", "embeddings", "images", "moderations", "rerank"}),
        ),
        Family(
            "together",
            caps=_OLD_ONLY,
            left_out=_HINTS,
            developer_role=False,
            lacks=frozenset({"moderations", "responses", *_KEPT}),
        ),
        Family(
            "deepseek",
            caps=_OLD_ONLY,
            left_out=_HINTS,
            refused=frozenset({"logit_bias", "n", "parallel_tool_calls", "seed"}),
            developer_role=False,
            lacks=frozenset(
                {
                    "completions",
                    "embeddings",
                    "images",
                    "moderations",
                    "rerank",
                    "responses",
                    *_SOUND,
                    *_KEPT,
                }
            ),
        ),
        Family(
            "openrouter",
            lacks=frozenset({"images", "moderations", "rerank", *_SOUND, *_KEPT}),
        ),
        Family("litellm"),
        Family("portkey", credential_header="x-portkey-api-key"),
        Family("kong", credential_header="apikey"),
    )
}

_HOSTS: Final = {
    "api.openai.com": "openai",
    "api.mistral.ai": "mistral",
    "api.groq.com": "groq",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.deepseek.com": "deepseek",
    "openrouter.ai": "openrouter",
    "api.portkey.ai": "portkey",
}
_AZURE: Final = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


def family_of(base_url: str, named: FamilyName | None, own: Differences | None) -> Family:
    """The line of the table for a provider: as it is named, else by its host, with its own words.

    A host that the table does not know is ``compatible``.
    """
    family = FAMILIES[named or _by_host(base_url)]
    if own is None:
        return family
    said: dict[str, Any] = {
        name: frozenset(value) if isinstance(getattr(family, name), frozenset) else value
        for name in Differences.model_fields
        if (value := getattr(own, name)) is not None
    }
    return replace(family, **said)


def _by_host(base_url: str) -> str:
    url = urlsplit(base_url)
    host = (url.hostname or "").lower()
    if host.endswith(_AZURE):
        return "azure-v1" if url.path.rstrip("/").endswith("/openai/v1") else "azure"
    return _HOSTS.get(host, "compatible")
