"""What a stage answers in a phase, and what all stages together decide."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from gateway_extproc.core.errors import Refusal

Header = tuple[str, str]
BodyMode = Literal["buffered", "streamed", "none"]


@dataclass(frozen=True, slots=True)
class Continue:
    """Nothing to change."""


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """Where Envoy shall send the request, and what a fallback attempt needs.

    ``clusters`` are tried in order, one an attempt.  ``fallback`` is the JSON text
    that Envoy hands to the upstream-level stream of a second attempt; empty
    when the plan has one target.
    """

    clusters: tuple[str, ...]
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Amend:
    """Go on, changed.

    ``set_headers`` overwrite, they never append.  ``body`` replaces the whole
    body (or the whole chunk in a stream); ``body_mode`` is only read in
    response_headers, ``plan`` only in request_body.  ``rule`` names the policy
    line behind the change, for the trail.
    """

    set_headers: tuple[Header, ...] = ()
    remove_headers: tuple[str, ...] = ()
    body: bytes | None = None
    body_mode: BodyMode | None = None
    plan: RoutePlan | None = None
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer that the gateway gives itself."""

    status: int
    headers: tuple[Header, ...]
    body: bytes
    details: str = ""


@dataclass(frozen=True, slots=True)
class Respond:
    """End here: a refusal, or an answer that needs no provider."""

    refusal: Refusal | None = None
    answer: Answer | None = None
    rule: str = ""

    def __post_init__(self) -> None:
        if (self.refusal is None) == (self.answer is None):
            raise ValueError("Respond carries either a refusal or an answer")


Verdict = Continue | Amend | Respond

CONTINUE = Continue()


@dataclass(frozen=True, slots=True, eq=False)
class TrailStep:
    """What a stage said in a phase, and under which rule.

    Compared by identity, and made by ``trail_step`` only: requests of one kind share all their
    steps, so that a trail is recognised without a look at a single text.
    """

    stage: str
    phase: str
    verdict: str
    rule: str


@lru_cache(maxsize=4096)
def trail_step(stage: str, phase: str, verdict: str = "continue", rule: str = "") -> TrailStep:
    """The step that all requests share."""
    return TrailStep(stage, phase, verdict, rule)


class TrailEntry(NamedTuple):
    """One line of "why": which stage said what, and in how long.

    A tuple, because a request makes twenty of them.
    """

    step: TrailStep
    microseconds: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The stages' verdicts of one phase, merged: all that the wire has to encode.

    Exactly one of three kinds: ``answer`` is set (end here), ``abort`` names a
    reason to break the stream (an answer already began and cannot be finished
    well), or neither (go on, with the changes).
    """

    set_headers: tuple[Header, ...] = ()
    remove_headers: tuple[str, ...] = ()
    body: bytes | None = None
    body_mode: BodyMode | None = None
    plan: RoutePlan | None = None
    answer: Answer | None = None
    abort: str | None = None


PASS = Decision()
