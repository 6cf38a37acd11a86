"""Which targets may serve a request at all, whatever a strategy would like.

Each filter says why it drops a target.  All but the context window hang on a few facts that many
requests share, so what they leave is remembered.  What a catalogue does not know of a model drops
nothing: a model of your own needs no entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from gateway_extproc.core.endpoint import BY_NAME
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.planning import CAUSES, Cause, Choice, Drop, Plan, Policy, Query
from gateway_extproc.core.recent import Recent
from gateway_extproc.core.route import Target
from gateway_extproc.routing.needs import can_be_told_schemas

REMEMBERED: Final = 4096
"""Combinations of a policy and what it is asked for, whose outcome a worker remembers."""

REFUSALS: Final[Mapping[Cause, tuple[str, str, str | None]]] = {
    "permission": ("target_not_allowed", "Your roles allow none of those who serve this model.",
                   "model"),
    "data_class": ("no_eligible_target",
                   "No provider of '{model}' is approved for this request's data class.", "model"),
    "region": ("region_not_available", "Nobody serves '{model}' in the regions that are allowed.",
               "model"),
    "endpoint": ("endpoint_not_served", "'{model}' is not served at this endpoint.", "model"),
    "dialect": ("unsupported_parameter",
                "'response_format' cannot be expressed for those who serve this model.",
                "response_format"),
    "capability": ("capability_not_available",
                   "No model behind '{model}' can do all that this request asks for.", "model"),
    "max_tokens": ("max_tokens_too_high",
                   "No model behind '{model}' gives answers as long as 'max_tokens' asks for.",
                   "max_tokens"),
    "context": ("context_length_exceeded",
                "This prompt and its answer do not fit into the context of '{model}'.", "messages"),
    "drained": ("targets_drained", "All who serve '{model}' are taken out of service.", None),
}  # fmt: skip
"""By cause: reason, message, parameter."""

_RANK: Final = {cause: rank for rank, cause in enumerate(CAUSES)}


class Sieved(NamedTuple):
    """What is left of a policy's choices, and what is not; ``room`` is the smallest context
    window that is known among those left."""

    kept: tuple[Choice, ...]
    dropped: tuple[Drop, ...]
    room: int | None


class Filters:
    """The filters of one worker, with what they remember."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._sieved: Recent[tuple[object, ...], Sieved] = Recent(most)

    def sieve(self, policy: Policy, query: Query) -> Sieved:
        """Choices by everything but the context window."""
        cap = query.cap_tokens if query.named_cap else 0
        key = (
            policy.key, query.classes, query.needs, query.endpoint, query.dialect,
            query.same_dialect, query.region if query.region_required else "", query.grant, cap,
        )  # fmt: skip
        found = self._sieved.get(key)
        return found if found is not None else self._sieved.keep(key, sieve(policy, query))


def sieve(policy: Policy, query: Query) -> Sieved:
    """Without a memory; equal queries give equal outcomes."""
    kept, dropped = list[Choice](), list[Drop]()
    for choice in policy.choices:
        drop = judge(choice.target, policy, query)
        if drop is None:
            kept.append(choice)
        else:
            dropped.append(drop)
    return Sieved(tuple(kept), tuple(dropped), least_room(kept))


def judge(target: Target, policy: Policy, query: Query) -> Drop | None:
    """Why a target may not be tried, by everything but its context window; None if it may."""
    for cause, why in _reasons(target, policy, query):
        return Drop(target, cause, why)
    return None


def fits(target: Target, query: Query) -> Drop | None:
    """Whether prompt and answer fit into the context window, as far as it is known."""
    room = target.facts.context_tokens
    need = query.prompt_tokens + answer_tokens(target, query)
    if room is None or need <= room:
        return None
    return Drop(target, "context", f"about {need} tokens do not fit into {room}")


def answer_tokens(target: Target, query: Query) -> int:
    """The longest answer that this target would be asked for."""
    most = target.facts.max_output_tokens
    return query.cap_tokens if most is None else min(most, query.cap_tokens)


def least_room(choices: Iterable[Choice]) -> int | None:
    """The smallest context window that is known."""
    known = [c.target.facts.context_tokens for c in choices]
    return min((tokens for tokens in known if tokens is not None), default=None)


def refusal_of(plan: Plan, model: str) -> Refusal:
    """Why nobody may serve a request: what the target that came furthest fell by."""
    causes: list[Cause] = [drop.cause for drop in plan.dropped]
    cause: Cause = max(causes, key=_RANK.__getitem__, default="data_class")
    reason, message, param = REFUSALS[cause]
    return refuse(reason, message.format(model=model), param=param, rule=plan.rule or None)


def _reasons(target: Target, policy: Policy, query: Query) -> Iterator[tuple[Cause, str]]:
    if not query.may_use_target(target.name):
        yield "permission", f"not allowed by {query.grant}"
    if not query.classes <= target.data_classes:
        missing = ", ".join(sorted(query.classes - target.data_classes))
        yield "data_class", f"not approved for {missing}"
    yield from _places(target, policy, query)
    if not BY_NAME[query.endpoint].served_by(target.dialect):
        yield "endpoint", f"its dialect has no {query.endpoint}"
    facts = target.facts
    if facts.endpoints is not None and query.endpoint not in facts.endpoints:
        yield "endpoint", f"not served at {query.endpoint}"
    if query.same_dialect and not can_be_told_schemas(query.dialect, target.dialect):
        yield "dialect", f"what is asked cannot be said in the dialect {target.dialect}"
    if facts.capabilities is not None and not query.needs <= facts.capabilities:
        missing = ", ".join(sorted(query.needs - facts.capabilities))
        yield "capability", f"cannot do {missing}"
    most = facts.max_output_tokens
    if query.named_cap and most is not None and query.cap_tokens > most:
        yield "max_tokens", f"answers have at most {most} tokens"


def _places(target: Target, policy: Policy, query: Query) -> Iterator[tuple[Cause, str]]:
    """A target that may be processed in several regions has to be allowed in each."""
    places = target.facts.regions or {target.region}
    if policy.regions is not None and not all(map(policy.regions, places)):
        yield "region", "not in a region of this rule"
    wanted = query.region if query.region_required else ""
    if wanted and not all(lies_in(place, wanted) for place in places):
        yield "region", "not in the region that is asked for"


def lies_in(place: str, region: str) -> bool:
    """Whether a region is the one that is asked for, or a part of it: ``eu-west`` of ``eu``."""
    return place == region or place.startswith(f"{region}-")
