"""The sections of guards and of what they mask: what may go in and come out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from gateway_extproc.config.base import Id, Mode, ModelName, Name, Positive, Section
from gateway_extproc.core.chat import ROLES, Role
from gateway_extproc.core.guarding import Action, PackName

GuardKind = Literal[
    "pattern", "regex", "terms", "pii", "secret", "hidden", "injection", "leak", "links", "shell",
    "format", "language",
]  # fmt: skip
LanguageCode = Annotated[str, StringConstraints(pattern="^[a-z]{2,3}$")]
EntityName = Literal[
    "card",
    "iban",
    "us_ssn",
    "uk_nino",
    "es_dni",
    "it_codice_fiscale",
    "fr_nir",
    "de_steuer_id",
    "nl_bsn",
    "pl_pesel",
    "br_cpf",
    "in_aadhaar",
    "ca_sin",
    "au_tfn",
    "email",
    "ip",
    "phone",
    "date_of_birth",
    "address",
    "api_key",
    "private_key",
    "jwt",
    "url_password",
    "generic_secret",
]


class GuardScope(Section):
    """Whom it concerns; where several lists stand, a request has to be in each of them."""

    tenants: tuple[Id, ...] = ()
    """Only these tenants; empty means all."""
    routes: tuple[ModelName, ...] = ()
    """Only requests for these models' routes; empty means all."""
    keys: tuple[Id, ...] = ()
    """Only callers with these credentials, by id; empty means all."""


class GuardFormat(Section):
    """What an answer has to look like."""

    as_json: bool = False
    """It is one JSON value."""
    as_asked: bool = False
    """It is what the request's own ``response_format`` (or its like) says; a request without one
    asks for nothing."""
    json_schema: dict[str, Any] | None = None
    """A JSON schema (2020-12, 2019-09, 7, 6) that it matches. References stay in the schema."""
    required: tuple[str, ...] = ()
    """Members that the outermost object has."""
    one_of: tuple[str, ...] = ()
    """It is one of these texts."""
    max_chars: Positive | None = None
    """It has at most so many characters."""
    repair: bool = False
    """Small faults of JSON (fences, text around it, trailing commas, an end that is missing) are
    put right first, if there is only one way to do that. Not in streams."""
    retry: bool = False
    """``block``: the client is told to ask again, as the official SDKs do by themselves; a
    request that says it is a second try (``x-stainless-retry-count``) begins with the next target.
    Not in streams."""


class MaskConversations(Section):
    """Placeholders of ``mask`` rules that stay the same over the requests of one conversation, and
    are put back in later answers, too. Needed where the provider keeps the conversation; a client
    that sends all turns each time gets the same placeholders without."""

    header: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")] = "x-conversation-id"
    """Names the conversation. Two callers with the same name have two conversations."""
    tenants: tuple[Id, ...] = ()
    """Only these tenants; empty means all."""
    ttl_s: Annotated[float, Field(ge=60, le=30 * 86400)] = 3600.0
    """Kept so long after the last new value: encrypted, in the Redis that counts limits where
    ``store.kind`` says so, else in ``identity.state_dir``."""
    on_error: Literal["open", "closed"] = "closed"
    """Whether a request goes on with placeholders of its own when the store is away."""


class GuardRule(GuardScope):
    """One line of guard policy."""

    id: Id
    """Names it in answers, records and metrics; the id of a pack's rule replaces that rule."""
    direction: Literal["request", "response", "both"]
    """Which texts are scanned: prompts, answers or both."""
    kind: GuardKind
    """``pattern`` uses ``patterns``, and so does ``regex`` for those that are not the operator's
    own (RE2, in bounded memory); ``terms`` uses ``terms``; ``pii`` and ``secret`` use ``entities``;
    ``hidden`` finds
    invisible characters that carry text; ``injection`` scores whole texts: orders that are not the
    sender's to give, in prompts and, for the role ``tool``, in data; ``leak`` finds the request's
    system prompt in its answer; ``links`` finds addresses that would carry data out
    when they are shown or followed, ``shell`` commands that harm who runs them; ``format`` checks
    what an answer looks like; ``language`` judges in which language a text is written, with the
    optional extra of that name."""
    action: Action
    """``log`` records the finding, ``annotate`` also names the rule in a header of the answer,
    ``truncate`` cuts the text before the match, ``sanitize`` takes the match out, ``redact``
    replaces it for good, ``mask`` replaces it for the provider and puts it back into the answer,
    ``route`` lets only providers answer that are approved for ``data_class``, ``block`` refuses;
    ``allow`` switches a pack's rule off."""
    untrusted_tools: tuple[Name, ...] = ()
    """``mask``: tools whose arguments keep the placeholder, by name or ``prefix*``."""
    data_class: Id = ""
    """``route``: the class that the request's data turns out to have."""
    patterns: tuple[str, ...] = ()
    """Regular expressions in Hyperscan's syntax, matched without regard to case."""
    terms: tuple[str, ...] = ()
    """What ``terms`` rules look for, without regard to case."""
    terms_file: str = ""
    """A file with more terms, one a line; read when the configuration is."""
    whole_words: bool = True
    """Whether a term inside of a longer word is none; false for scripts without spaces."""
    allowed_hosts: tuple[Name, ...] = ()
    """``links``: hosts, with their subdomains, that addresses may lead to."""
    allowed: tuple[LanguageCode, ...] = ()
    """``language``: the languages that texts may be in, by their codes in ISO 639."""
    denied: tuple[LanguageCode, ...] = ()
    """``language``: those that texts may not be in, all others may; instead of ``allowed``."""
    min_letters: Positive = 30
    """``language``: a text with fewer letters outside of code, addresses and mark-up is not judged;
    a character of Chinese, Japanese or Korean counts as three."""
    entities: tuple[EntityName, ...] = ()
    """What ``pii`` and ``secret`` rules look for."""
    canary: bool = False
    """``leak``: a mark is written behind the system prompt, the same for all requests with that
    prompt; an answer that tells it in any letter case, encoding or order is found too."""
    format: GuardFormat = GuardFormat()
    """What ``format`` rules look at."""
    roles: tuple[Role, ...] = ()
    """Whose texts of a request are scanned; empty means all, and for ``injection`` those of
    ``user`` and ``tool`` (system prompts are orders by nature)."""
    mode: Mode = "enforce"
    """``shadow`` records findings and never acts."""
    sample: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of requests that a rule in ``shadow`` looks at."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """``injection``: the score from which on the rule acts. About one in a hundred harmless texts
    lies above 0.5, one in a thousand above 0.9. ``language``: how likely the text is in another
    language than it may be."""
    on_error: Literal["open", "closed"] = "closed"
    """Whether a request goes on when the rule could not look at it: its detector failed, or
    ``deadline_ms`` was over."""
    deadline_ms: Annotated[float, Field(gt=0, le=10_000)] = 250.0
    """Texts of a request that were not reached by then are not looked at."""
    message: str = ""
    """What the client reads when the rule blocks; never the matched text."""
    version: str = ""
    """Names this state of the rule in records."""

    @property
    def scanned_roles(self) -> tuple[str, ...]:
        """``roles``, or what they are by default."""
        return self.roles or (("user", "tool") if self.kind == "injection" else ROLES)


class GuardPack(GuardScope):
    """A shipped set of rules, switched on."""

    pack: PackName
    """``gateway-extproc guard packs`` prints what is in each."""
    mode: Mode = "enforce"
    """``shadow`` tries all rules of the pack."""


class GuardLevel(GuardScope):
    """A rule made tighter for some tenants, routes or keys; it cannot be loosened here."""

    rule: Id
    """The id of a rule of this file or of a pack that is switched on."""
    action: Action | None = None
    """A more severe action."""
    mode: Mode | None = None
    """``enforce`` for a rule in ``shadow``."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """A lower threshold."""
