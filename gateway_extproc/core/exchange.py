"""All that is known of one request, and which stage writes which part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from gateway_extproc.core.access import Grant
from gateway_extproc.core.cached import CacheNote
from gateway_extproc.core.chat import Document, LlmRequest
from gateway_extproc.core.endpoint import Endpoint
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.guarding import Action
from gateway_extproc.core.heard import Heard
from gateway_extproc.core.identity import Permit
from gateway_extproc.core.limits import Measure, Reservation
from gateway_extproc.core.planning import Plan
from gateway_extproc.core.ports import (
    AnswerDecoder,
    AnswerReader,
    AnswerWriter,
    Masked,
    OutputWindow,
    Release,
    Restorer,
)
from gateway_extproc.core.relayed import Relayed
from gateway_extproc.core.route import Attempt, Target
from gateway_extproc.core.usage import Usage
from gateway_extproc.core.verdict import TrailEntry
from gateway_extproc.core.watching import Watching

Outcome = Literal["open", "allowed", "refused", "failed", "aborted"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A detector's observation.  Never carries the text it was found in.

    ``path`` says where (a place in the document, or a stream slot), ``start`` and
    ``end`` are character offsets there; ``action`` is what the rule does about it.
    ``fingerprint`` is a keyed hash of the whole text, of prompts only: a review names it by that.
    """

    rule: str
    kind: str
    direction: Literal["request", "response"]
    action: Action
    mode: Literal["enforce", "shadow"]
    path: str
    start: int
    end: int
    score: float = 1.0
    fingerprint: str = ""

    @property
    def enforced(self) -> bool:
        return self.mode == "enforce"


class LimitState(NamedTuple):
    """How a limit or budget stood when it was asked: what is left of it, and until when.

    ``held`` is what this request took of it; ``retry_after_s`` is 0 where it was allowed.
    """

    id: str
    limit: int
    remaining: int
    reset_s: float
    allowed: bool
    mode: Literal["enforce", "shadow"]
    measure: Measure = "requests"
    budget: bool = False
    held: int = 0
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something about this request that security or governance must hear of.

    ``kind`` is what happened, ``action`` what followed, ``subject`` whom it is about:
    a credential's id, an address, data classes.  Never a credential.
    """

    category: Literal["governance", "abuse", "spend", "health"]
    kind: str
    action: Literal["alert", "refuse", "throttle", "suspend", "route", "open", "probe", "close"]
    subject: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """W3C trace context of this request: 32 and 16 lower-case hex digits."""

    trace_id: str
    span_id: str
    parent_span_id: str = ""
    sampled: bool = True
    state: str = ""

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


@dataclass(slots=True)
class Exchange:
    """One request and its answer, from the first byte to the record.

    The heading above each group names the only writer of its fields.  The trail,
    the refusal and the outcome are written by the pipeline itself.
    """

    # --- the wire: what Envoy said
    method: str
    path: str
    headers: dict[str, str]
    repeated_headers: frozenset[str] = frozenset()
    headers_end_stream: bool = False
    websocket: bool = False
    """Whether the client wants to go on as a websocket: then no body follows."""
    response_status: int = 0
    response_headers: dict[str, str] = field(default_factory=dict)
    response_cluster: str = ""
    response_details: str = ""
    attempt_count: int = 1
    attempt_notes: dict[str, str] = field(default_factory=dict)
    response_headers_only: bool = False
    response_ended: bool = False
    request_body_bytes: int = 0
    response_body_bytes: int = 0
    delivered_bytes: int = 0
    answer_status: int = 0
    peer_uri: str = ""
    """URI of the client certificate that Envoy verified; from the connection, not a header."""
    envoy_claims: Mapping[str, Any] | None = None
    """Token claims that Envoy's jwt_authn verified, by issuer; only where it forwards them."""

    # --- record (``client_dialect`` is set when the exchange is opened)
    decision_id: str = ""
    request_id: str = ""
    endpoint: Endpoint | None = None
    client_dialect: str = "openai"
    trace: TraceContext | None = None
    started_ns: int = 0
    started_wall_ns: int = 0
    first_byte_ns: int = 0

    # --- admit
    admitted: bool = False

    # --- identify (``source`` is the client's address as Envoy saw it)
    source: str = ""
    permit: Permit | None = None
    body_sha256: bytes | None = None

    # --- authorize: the grant that allowed it, and the model asked for with aliases resolved
    grant: Grant | None = None
    model: str = ""

    # --- identify (abuse), authorize and route (governance), route and limit (spend), health
    events: list[Event] = field(default_factory=list)

    # --- parse; truncate, where it left out the oldest turns
    asked: LlmRequest | None = None
    asked_body: bytes = b""
    document: Document | None = field(default=None, repr=False)
    """Of a request without a model, where it has one."""
    writer: AnswerWriter | None = None
    client_body: bytes = b""
    dropped_messages: int = 0

    # --- guard (``approved`` is ``asked`` after masking; ``released`` what may leave; of
    # --- ``scannable_chars`` of the prompt ``scanned_chars`` were looked at)
    approved: LlmRequest | None = None
    findings: list[Finding] = field(default_factory=list)
    guard_scope: tuple[str, ...] = ()
    scanned_chars: int = 0
    scannable_chars: int = 0
    masked: Masked | None = None
    window: OutputWindow | None = None
    restorer: Restorer | None = None
    released: Release | None = None
    stream_blocked_by: str = ""

    # --- keep: what the provider said, where it may be kept for reviewers
    heard: Heard | None = None

    # --- cache and remember
    cache: CacheNote | None = None
    cache_key: bytes = b""
    cache_hit: bool = False
    saved_nanos: int = 0
    """What the stored answer cost when it was made."""

    # --- route; guard, where what it found narrows the targets
    route_id: str = ""
    targets: tuple[Target, ...] = ()
    plan: Plan | None = None
    complexity: float = 0.0
    """How hard the request is, in [0, 1]; 0 where nothing asked for it."""
    shadow_targets: tuple[Target, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    # --- failover: when all attempts together must have answered, on the clock of ``started_ns``
    deadline_ns: int = 0

    # --- passing and resources, where no model is asked
    relayed: Relayed | None = None

    # --- health
    watching: Watching | None = None

    # --- limit (``cap_tokens`` caps one completion; ``settled`` stands beside ``limits``)
    limits: tuple[LimitState, ...] = ()
    settled: tuple[int, ...] = ()
    reservation: Reservation | None = None
    expected_prompt_tokens: int = 0
    expected_completion_tokens: int = 0
    cap_tokens: int = 0
    worst_case_nanos: int = 0
    usage: Usage | None = None
    cost_nanos: int = 0
    price_version: str = ""

    # --- translate (``sent_path`` and ``sent_body`` of the first attempt, for its signature)
    sent_path: str = ""
    sent_body: bytes = b""
    dropped: tuple[tuple[str, ...], ...] = ()
    """Of each attempt, in order: the fields of the request that it did not tell."""
    answered_by: Target | None = None
    reader: AnswerReader | None = None
    decoder: AnswerDecoder | None = None
    arrived: Release | None = None
    answer_text_bytes: int = 0
    answer_ended_well: bool = False
    reported_usage: Usage | None = None
    provider_request_id: str = ""
    response_model: str = ""
    stop_reason: str = ""

    # --- the pipeline; refusal and outcome also by guard and translate, for a stream that
    # --- ends badly after its status line left
    trail: list[TrailEntry] = field(default_factory=list)
    refusal: Refusal | None = None
    outcome: Outcome = "open"
    streaming: bool = False
    revision: str = ""

    @property
    def policy_model(self) -> str:
        """The model that policy looks at: an alias is the model that it stands for."""
        return self.model or (self.asked.model if self.asked is not None else "")

    @property
    def billed_target(self) -> Target | None:
        """Who is paid: who answered, or else who was asked first."""
        return self.answered_by or (self.targets[0] if self.targets else None)

    # --- any stage that went on without something it needed (a store, a detector)
    degraded: tuple[str, ...] = ()
    failed_open: bool = False
