"""The section ``health``: when a target gets less traffic, or none, and how it comes back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gateway_extproc.config.base import Section

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
QuotaHeader = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")]
Measure = Literal["requests", "tokens", "input_tokens", "output_tokens", "units"]
ResetForm = Literal["duration", "seconds", "epoch", "time"]


class Circuit(Section):
    """When a target counts as out of order, and how it is tried again."""

    in_a_row: Annotated[int, Field(ge=1, le=1000)] = 5
    """Failures without a success between them that open it, over all workers of the host."""
    share: Share = 0.5
    """Share of failures among the requests of late that opens it, too."""
    min_requests: Annotated[int, Field(ge=1, le=10000)] = 10
    """So many requests of late before ``share`` says anything."""
    half_life_s: Seconds = 10.0
    """Time after which a request counts half as much in ``share``."""
    open_s: Seconds = 1.0
    """Pause before the first probes; it doubles with every probe that fails."""
    open_max_s: Seconds = 1.5
    """Longest pause. It and ``ramp_s`` say how soon a target is back after an outage."""
    probe_share: Share = 0.1
    """Share of its requests that go to it as probes, and with which it comes back."""
    probes_at_once: Annotated[int, Field(ge=1, le=1000)] = 3
    """Probes that may wait for their answers together."""
    close_after: Annotated[int, Field(ge=1, le=1000)] = 3
    """Probes that have to succeed before it counts as in order again."""
    ramp_s: Annotated[float, Field(ge=0, le=3600)] = 1.5
    """From ``probe_share`` to its whole share, after an outage or a rest."""


class Slowness(Section):
    """When a target counts as slow: against its own past, and against who could serve instead."""

    factor: Annotated[float, Field(gt=1, le=1000)] = 3.0
    """So many times its usual median to the first byte is slow."""
    least_ms: Annotated[float, Field(ge=0)] = 100.0
    """What it must be slower than usual by, at least."""
    floor: Annotated[float, Field(ge=0.001, le=1)] = 0.05
    """Share that it keeps, so that its recovery is seen."""
    return_s: Seconds = 20.0
    """From ``floor`` back to its whole share; away from it, it is halved every half second."""
    history_s: Seconds = 600.0
    """Half-life of what is usual for it."""


class Quota(Section):
    """How long a target rests that said so, and how its quota is made to last."""

    rest_max_s: Seconds = 300.0
    """Longest rest, whatever a provider says (``Retry-After``, the reset of a quota)."""
    rest_s: Seconds = 1.0
    """Rest after a 429 that names no time; it doubles with every further one."""
    horizon_s: Seconds = 30.0
    """A target's share falls when its quota would be used up within this time, and before it
    is renewed."""
    reserve: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    """Share of a quota below which it is as good as used up."""


class QuotaHeaders(Section):
    """Headers in which providers tell what is left, beside those that are known."""

    measure: Measure
    """What is counted."""
    remaining: QuotaHeader
    """What is left."""
    limit: QuotaHeader
    """The whole of it."""
    reset: QuotaHeader
    """When it is whole again."""
    reset_as: ResetForm = "seconds"
    """``duration`` such as ``1m30s``, ``seconds`` from now, ``epoch`` seconds, or an RFC 3339
    ``time``."""


class Health(Section):
    """How targets are watched; what is found moves traffic, and never forbids the last target."""

    enabled: bool = True
    """Whether they are watched at all."""
    circuit: Circuit = Circuit()
    """Failures."""
    slow: Slowness = Slowness()
    """Latency to the first byte."""
    quota: Quota = Quota()
    """429s, ``Retry-After`` and what is left of quotas."""
    quota_headers: tuple[QuotaHeaders, ...] = ()
    """Further headers that tell what is left."""
