"""The sections of ``evidence``: what records leave out, and which texts are kept for reviewers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gateway_extproc.config.base import EndpointName, Id, ModelName, Section

RecordKind = Literal["decisions", "costs", "alerts"]
Direction = Literal["request", "response"]
KeptOutcome = Literal["allowed", "refused", "failed", "aborted"]
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
