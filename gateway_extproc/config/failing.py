"""The section ``failover``, and what routes may say instead: when the next target is tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

from gateway_extproc.config.base import EndpointName, Section

if TYPE_CHECKING:
    from gateway_extproc.config.model import Config

NoAnswer = Literal["any", "unsent", "never"]
RefusalKind = Literal["context_window", "content_policy"]
RetriedStatus = Annotated[int, Field(ge=400, le=599)]
TimeoutHeader = Annotated[str, StringConstraints(pattern=r"^([a-z0-9-]{1,64})?$")]
Seconds = Annotated[float, Field(ge=0.001, le=3600)]
Deadline = Annotated[float, Field(ge=0.001, le=600)]


class Failover(Section):
    """When Envoy tries the next target of a request, and how long it may take."""

    attempt_timeout_s: Deadline = 30.0
    """How long one attempt may take: to the end of a whole answer, or to the first byte of a
    stream."""
    first_byte_timeout_s: Deadline | None = None
    """How long one attempt of a stream may take to the first byte of its body; by default
    ``attempt_timeout_s``."""
    total_timeout_s: Seconds | None = None
    """How long all attempts together may take, from the request's headers on: to the end of a whole
    answer, to the first byte of a stream. None for no bound but those of the attempts."""
    timeout_header: TimeoutHeader = "x-request-timeout"
    """Header in which a client says, in seconds, how long it will wait; it only ever shortens
    ``total_timeout_s``. Empty for none."""
    idle_timeout_s: Annotated[float, Field(ge=0.001, le=3600)] = 300.0
    """How long an answer may pause before it is cut."""
    max_attempts: Annotated[int, Field(ge=1, le=8)] = 3
    """Targets tried for one request, the first one included."""
    no_answer: NoAnswer = "any"
    """What is tried again of attempts that nobody answered. ``unsent``: only those whose request
    cannot have reached the provider (connection refused or reset before it was sent). ``any``: also
    those that were reset, broke off, or ran into their deadline. ``never``: none."""
    statuses: tuple[RetriedStatus, ...] = (
        429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529,
    )  # fmt: skip
    """Statuses of a provider after which the next target is tried."""
    refusals: tuple[RefusalKind, ...] = ()
    """Refusals of a provider (400, 413, 422) after which the next target is tried:
    ``context_window`` for a prompt that is too long for the model, ``content_policy`` for one that
    the provider's own filter rejects."""
    repeat: tuple[EndpointName, ...] = (
        "chat", "messages", "generate_content", "responses", "completions", "embeddings",
        "moderations", "rerank", "transcriptions", "translations", "count_tokens", "cohere_chat",
        "embed", "converse",
    )  # fmt: skip
    """Interfaces whose requests may reach a second provider although the first may have served
    them. Of all others only what surely was not served goes on: unsent requests, 429, ``refusals``.
    """
    repeat_keyed: bool = False
    """Whether requests with an ``idempotency-key`` may be repeated, too; no other provider knows
    the key."""
    hold: bool = True
    """Whether Envoy holds back the headers of an answer until its first byte, so that a stream that
    begins with nothing can still go to the next target. Needs an Envoy with Wasm (V8)."""


class RouteFailover(Section):
    """What a route says instead of the section ``failover``."""

    attempt_timeout_s: Deadline | None = None
    first_byte_timeout_s: Deadline | None = None
    total_timeout_s: Seconds | None = None
    no_answer: NoAnswer | None = None
    statuses: tuple[RetriedStatus, ...] | None = None
    refusals: tuple[RefusalKind, ...] | None = None
    repeat: tuple[EndpointName, ...] | None = None
    repeat_keyed: bool | None = None


class HealthCheck(Section):
    """How Envoy looks whether a provider is there, beside what its answers say."""

    path: Annotated[str, StringConstraints(pattern=r"^/[^\s#]*$")]
    """Path that is asked for (GET, without a credential)."""
    interval_s: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    """How often it is asked."""
    timeout_s: Annotated[float, Field(ge=0.05, le=60)] = 2.0
    """How long an answer may take."""
    unhealthy_after: Annotated[int, Field(ge=1, le=100)] = 2
    """Failed checks in a row after which the provider is passed over."""
    healthy_after: Annotated[int, Field(ge=1, le=100)] = 1
    """Good checks in a row after which it is asked again."""
    statuses: Annotated[tuple[Annotated[int, Field(ge=200, le=499)], ...], Field(min_length=1)] = (
        200, 401, 403, 404, 405,
    )  # fmt: skip
    """Answers that show that it is there; a provider that asks for a credential is."""


class FailoverPolicies:
    """The policy of each route; of a route that says nothing the section's."""

    def __init__(self, general: Failover, special: Iterable[tuple[str, RouteFailover]]) -> None:
        self.general = general
        self._special: Mapping[str, Failover] = {
            route: general.model_copy(update=said.model_dump(exclude_none=True))
            for route, said in special
        }

    def of(self, route: str) -> Failover:
        return self._special.get(route, self.general)

    def all(self) -> Mapping[str, Failover]:
        """The policies of routes that have their own."""
        return self._special


def failover_policies(config: Config) -> FailoverPolicies:
    """The policies of a configuration's routes."""
    special = [(route.model, route.failover) for route in config.models if route.failover]
    return FailoverPolicies(config.failover, special)
