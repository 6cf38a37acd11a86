"""The section ``evidence``: where records go, what they are worth, leave out and keep of texts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gateway_extproc.config.base import EndpointName, Id, ModelName, Positive, Section

RecordKind = Literal["decisions", "costs", "alerts"]
Direction = Literal["request", "response"]
KeptOutcome = Literal["allowed", "refused", "failed", "aborted"]
CheckpointReceiver = Literal["stdout", "file", "otlp"]
Share = Annotated[float, Field(ge=0, le=1)]
FieldName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class EvidenceScope(Section):
    """Which requests it concerns; where both lists stand, a request has to be in each."""

    tenants: tuple[Id, ...] = ()
    """Only these tenants; empty means all."""
    routes: tuple[ModelName, ...] = ()
    """Only requests for these models' routes; empty means all."""


class MaskRule(EvidenceScope):
    """Fields that records do not show."""

    fields: Annotated[tuple[FieldName, ...], Field(min_length=1)]
    """Fields of the record by name, ``user`` or ``labels.team``, or as JSON pointers without
    indexes, ``/labels/team``; of a list each item's (``findings.path``)."""
    action: Literal["remove", "hash"] = "remove"
    """``remove`` leaves the field out; ``hash`` writes a keyed hash, equal for equal values."""
    records: Annotated[tuple[RecordKind, ...], Field(min_length=1)] = ("decisions",)
    """The records that hide it: ``decisions`` (their spans and metrics, too), ``costs``,
    ``alerts``. What stands here for one kind says nothing of the others."""


class DropRule(EvidenceScope):
    """Decision records that are not kept, or only a share of them.

    Only of requests that were allowed, in which no rule found anything and everything worked; what
    was refused, failed or broke off is always kept.
    """

    id: Id
    """Names the rule in metrics."""
    endpoints: tuple[EndpointName, ...] = ()
    """Only these interfaces; empty means all."""
    statuses: tuple[int, ...] = ()
    """Only answers with these statuses (200 to 299); empty means all."""
    keep: Share = 0.0
    """Share of the records that is kept all the same, drawn by the decision's id."""


class Reviewer(Section):
    """Somebody who may read texts that are kept."""

    id: Id
    """Names the reviewer in rules and in what is kept."""
    public_key: Annotated[str, StringConstraints(pattern=r"^x25519:[A-Za-z0-9+/]{43}=$")]
    """As ``gateway-extproc evidence keygen`` prints it."""


class TextRule(EvidenceScope):
    """Requests whose texts are kept, redacted and encrypted; the first rule that fits decides."""

    id: Id
    """Names the rule in what is kept."""
    outcomes: tuple[KeptOutcome, ...] = ()
    """Only requests that end so; empty means all."""
    sample: Share = 1.0
    """Share of these requests, drawn by the decision's id."""
    directions: Annotated[tuple[Direction, ...], Field(min_length=1)] = ("request", "response")
    """Prompts, answers or both."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Kept so many days, then deleted at the end of the day (UTC)."""
    reviewers: Annotated[tuple[Id, ...], Field(min_length=1)]
    """Who can read them: each alone."""


class Checkpoints(Section):
    """Signed statements of where the logs stand, kept where this host cannot change them.

    Without them the logs are chained, but nobody can tell that their end was cut off.
    """

    key_file: str
    """The Ed25519 private key that signs (PEM, PKCS #8), read when a worker starts."""
    to: Annotated[tuple[CheckpointReceiver, ...], Field(min_length=1)] = ("stdout",)
    """Where they go, beside the logs themselves: the workers' standard output, a file, an
    OpenTelemetry collector (as log records)."""
    file: str = ""
    """The file of ``to: [file]``, shared by all workers; best on another file system."""
    otlp_endpoint: str = ""
    """The collector of ``to: [otlp]``, such as ``https://collector.example:4317``; if empty, what
    OTEL_EXPORTER_OTLP_LOGS_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT names."""
    every_records: Positive = 10_000
    """Records after which the next one is due."""
    every_s: Annotated[float, Field(ge=1, le=86400)] = 60.0
    """Seconds after which the next one is due, if anything was recorded."""


class Evidence(Section):
    """Where records go, and what they are worth."""

    dir: str = "run/evidence"
    """Folder of the decision log and the cost ledger, one chain of files of each per worker."""
    durability: Literal["batch", "strict"] = "batch"
    """``batch``: records are on disk ``batch_ms`` later. ``strict``: no request goes on to a
    provider and no whole answer leaves before the decision is on disk."""
    batch_ms: Annotated[float, Field(ge=1, le=1000)] = 20.0
    """How long records are gathered before they are written and synced together: what a crash of
    the machine can lose."""
    on_failure: Literal["drop", "deny"] = "drop"
    """When decisions cannot be written (disk full): ``drop`` goes on and counts what is lost,
    ``deny`` refuses requests with 503 until they can, and keeps what waits."""
    commit_timeout_ms: Annotated[float, Field(ge=10, le=4000)] = 1000.0
    """How long ``strict`` waits for the disk before ``on_failure`` applies."""
    segment_bytes: Annotated[int, Field(ge=65536)] = 256 * 1024 * 1024
    """Size at which a log goes on in another file."""
    segment_s: Annotated[float, Field(ge=0)] = 0.0
    """Age at which a log goes on in another file, in seconds; 0 for size alone."""
    checkpoints: Checkpoints | None = None
    """Signed checkpoints; none without it."""
    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of new traces that are sampled; a client's own decision is kept."""
    mask: tuple[MaskRule, ...] = ()
    """What records do not show."""
    drop: tuple[DropRule, ...] = ()
    """Decision records that are not kept; costs always are."""
    reviewers: tuple[Reviewer, ...] = ()
    """Who may read texts."""
    texts: tuple[TextRule, ...] = ()
    """Texts of prompts and answers that are kept for reviewers; none by default."""
