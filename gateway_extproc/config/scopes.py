"""The sections ``limits`` and ``budgets``: whom they concern, what they count apart."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway_extproc.config.base import EndpointName, Id, Mode, ModelName, Name, Section
from gateway_extproc.core.calendar import find_zone
from gateway_extproc.core.limits import MAX_AMOUNT


def _is_time_zone(name: str) -> str:
    if find_zone(name) is None:
        raise ValueError("a time zone such as Europe/Berlin")
    return name


Amount = Annotated[int, Field(gt=0, le=MAX_AMOUNT)]
TimeZone = Annotated[str, AfterValidator(_is_time_zone)]
Measured = Literal["tenant", "user", "application", "key", "endpoint", "model", "route", "provider"]
StoreFailure = Literal["open", "closed", "local"]


class Scope(Section):
    """Whom a limit or a budget concerns, and what it counts apart."""

    id: Id
    """Names it in answers, records and metrics."""
    per: tuple[Measured, ...]
    """What is counted apart; empty means one counter for all. ``key`` is the credential, ``route``
    the model that serves (a budget may switch it), ``provider`` the one that is asked first."""
    time_zone: TimeZone = "UTC"
    """Where days and months begin, such as ``Europe/Berlin``."""
    tenants: tuple[Id, ...] = ()
    """Only these tenants; empty means all."""
    applications: tuple[Name, ...] = ()
    """Only these applications; empty means all."""
    users: tuple[Name, ...] = ()
    """Only these users; empty means all."""
    endpoints: tuple[EndpointName, ...] = ()
    """Only these endpoints; empty means all."""
    models: tuple[ModelName, ...] = ()
    """Only these requested models, or prefixes ending in ``*``; empty means all."""
    mode: Mode = "enforce"
    """``shadow`` counts and records, and never refuses."""
    on_store_failure: StoreFailure = "local"
    """What holds while Redis does not answer: ``open`` lets pass, ``closed`` refuses with 503,
    ``local`` gives each host its share (of a budget at most 5 % of it, for at most ten minutes;
    then it is ``closed``)."""


class Limit(Scope):
    """A limit of one measure over time, one counter for each value of ``per``.

    Exactly one of ``requests``, ``prompt_tokens``, ``completion_tokens``, ``tokens`` and
    ``concurrency`` is given.
    """

    requests: Amount | None = None
    """Requests allowed in one window."""
    prompt_tokens: Amount | None = None
    """Prompt tokens allowed in one window; estimated before, settled after."""
    completion_tokens: Amount | None = None
    """Completion tokens allowed in one window."""
    tokens: Amount | None = None
    """Tokens of both kinds allowed in one window."""
    concurrency: Amount | None = None
    """Requests that may be open at a time; it has no window."""
    window_s: Annotated[float, Field(gt=0, le=86400)] = 60.0
    """Length of the window, in seconds; it slides (GCRA)."""
    period: Literal["day", "month"] | None = None
    """A stretch of the calendar instead of ``window_s``."""
    burst: Amount | None = None
    """What may come at once; the whole window's by default."""
    hold: Literal["strict", "estimate"] = "estimate"
    """What is held for a request until its tokens are known: the worst case, or what is usual."""


class Threshold(Section):
    """What happens when so much of a budget is used."""

    percent: Annotated[int, Field(ge=1, le=100)]
    """How much of the budget; an alert looks at what is used, the others also at what is held."""
    action: Literal["alert", "route", "throttle", "refuse"]
    """Tell, serve by a cheaper route, let pass fewer requests, or refuse."""
    route: str = ""
    """For ``route``: the model of this file whose route serves from then on."""
    requests: Amount | None = None
    """For ``throttle``: requests that may pass in a minute from then on."""


class Budget(Scope):
    """Money or tokens of a day or a month, reserved before and settled after each request.

    Exactly one of ``nanos`` and ``tokens`` is given.
    """

    nanos: Amount | None = None
    """Nano-dollars (1,000,000,000 = one dollar); a model without a price costs nothing."""
    tokens: Amount | None = None
    """Tokens, prompts and completions together."""
    period: Literal["day", "month"] = "month"
    """How long it has to last."""
    hold: Literal["strict", "estimate"] = "strict"
    """``strict`` holds the worst case, so it is never overspent; ``estimate`` what is usual for
    the caller, so more requests run at a time, and some per cent may be overspent."""
    thresholds: tuple[Threshold, ...] = ()
    """Actions before it is used up; at 100 % it refuses in any case."""
