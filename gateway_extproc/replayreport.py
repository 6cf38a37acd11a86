"""What a replay compares and tells: why requests were refused, and what changed of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from gateway_extproc.replayguards import Rejudged

STAGES: Final[dict[str, str]] = {
    "endpoint_not_allowed": "authorize",
    "model_not_found": "authorize",
    "model_not_allowed": "authorize",
    "data_class_not_allowed": "authorize",
    "condition_not_met": "authorize",
    "no_eligible_target": "route",
    "target_not_allowed": "route",
    "region_not_available": "route",
    "capability_not_available": "route",
    "max_tokens_too_high": "route",
    "context_length_exceeded": "route",
    "targets_drained": "route",
    "prompt_too_long": "caps",
    "request_cost_too_high": "caps",
    "rate_limit_exceeded": "limits",
    "insufficient_quota": "limits",
    "request_exceeds_limit": "limits",
    "prompt_blocked": "guard",
    "answer_blocked": "guard",
}
"""Refusals that policy decides about -> where; all others would have happened all the same."""

LIMITED: Final = frozenset(reason for reason, stage in STAGES.items() if stage == "limits")
ASKED: Final = frozenset({"prompt_blocked", "no_eligible_target"})
ANSWERED: Final = frozenset({"answer_blocked"})

ORDER: Final = ("authorize", "route", "caps", "limits", "guard")

Kind = Literal[
    "newly refused", "newly allowed", "refused otherwise", "other action", "other target"
]


class Why(NamedTuple):
    """Why a request is refused: reason and line of policy."""

    reason: str
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.reason} {self.rule}".strip()


class Difference(NamedTuple):
    """One kind of change, by the rule behind it and by tenant."""

    kind: Kind
    rule: str
    tenant: str
    before: str
    after: str


@dataclass(slots=True)
class Report:
    """All that a replay found."""

    records: int = 0
    unchanged: int = 0
    partly: int = 0
    """Records of which some rule could not be judged."""
    interrupted: int = 0
    anonymous: int = 0
    """Requests of nobody that was recognised: no policy looked at them."""
    revisions: Counter[str] = field(default_factory=Counter)
    differences: Counter[Difference] = field(default_factory=Counter)
    examples: dict[Difference, list[str]] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)

    def note(self, difference: Difference, decision_id: str, examples: int) -> None:
        """Counts a difference, and keeps the first few decisions of its kind."""
        self.differences[difference] += 1
        named = self.examples.setdefault(difference, [])
        if len(named) < examples:
            named.append(decision_id)


@dataclass(slots=True)
class Judged:
    """What the new policy says of one record."""

    refused: Why | None = None
    unknown: set[str] = field(default_factory=set)
    target: str = ""
    guards: tuple[Rejudged, ...] = ()


def differences_of(record: Mapping[str, Any], outcome: Judged) -> Iterator[Difference]:
    """What the new policy does otherwise with one request."""
    tenant, before, after = record["tenant"], why_of(record), outcome.refused
    if before != after:
        if before is None:
            assert after is not None
            yield Difference("newly refused", _named(after), tenant, "passed", after.reason)
        elif after is None:
            yield Difference("newly allowed", _named(before), tenant, before.reason, "passes")
        else:
            yield Difference("refused otherwise", _named(after), tenant, str(before), str(after))
    elif before is None and outcome.target and record.get("attempts"):
        was = record["attempts"][0]["target"]
        if was != outcome.target:
            route = record.get("route", "")
            yield Difference("other target", f"route {route}", tenant, was, outcome.target)
    for changed in {change for judged in outcome.guards for change in judged.changed}:
        yield Difference("other action", changed.rule, tenant, changed.before, changed.after)


def _named(why: Why) -> str:
    return why.rule or why.reason


def why_of(record: Mapping[str, Any]) -> Why | None:
    """Why policy refused a request at the time; None where it did not."""
    refusal = record.get("refusal")
    if not refusal or refusal["reason"] not in STAGES:
        return None
    reason = refusal["reason"]
    rule = refusal.get("rule", "")
    if reason == "no_eligible_target" and not rule:
        rule = record.get("route", "")
    return Why(reason, rule)


def stands(before: Why | None, reasons: frozenset[str], unknown: frozenset[str]) -> Why | None:
    """The refusal of a rule that cannot be judged anew: what it said is the best that is known."""
    if before is not None and before.reason in reasons and before.rule in unknown:
        return before
    return None


def stage_of(why: Why) -> str:
    """Which of the stages in ``ORDER`` refused."""
    return STAGES.get(why.reason, "")


def reached(before: Why | None, stage: str) -> bool:
    """Whether a request came as far as this stage, or past it."""
    return before is None or ORDER.index(stage_of(before)) >= ORDER.index(stage)
