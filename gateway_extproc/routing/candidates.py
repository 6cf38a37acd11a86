"""From a model's route to the targets that this permit may be served by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway_extproc.config.compile import Route
from gateway_extproc.core.identity import Permit
from gateway_extproc.core.route import Target


def plan_targets(
    permit: Permit, route: Route, max_attempts: int, more_classes: frozenset[str] = frozenset()
) -> tuple[Target, ...]:
    """The route's targets in order, without those that the caller's data must not reach.

    Several targets of one provider are several attempts: another model of it may take what the
    first one did not.  No target twice.  Empty when
    nobody is approved for all of the permit's data classes, and for ``more_classes``.
    """
    classes = permit.data_classes | more_classes
    return tuple(
        [target for target, dropped in judge_targets(classes, route, max_attempts) if not dropped]
    )


NOT_APPROVED: Final = "not approved for {classes}"
SAME_TARGET: Final = "it is tried already"
TOO_MANY: Final = "more attempts than failover.max_attempts"


class Candidate(NamedTuple):
    """A target of a route, and why it is not tried; empty for one that is."""

    target: Target
    dropped: str


def judge_targets(classes: frozenset[str], route: Route, max_attempts: int) -> Iterator[Candidate]:
    """All targets of a route in order, for data of these classes."""
    tried: set[str] = set()
    for target in route.targets:
        if not classes <= target.data_classes:
            missing = ", ".join(sorted(classes - target.data_classes))
            yield Candidate(target, NOT_APPROVED.format(classes=missing))
        elif target.name in tried:
            yield Candidate(target, SAME_TARGET)
        elif len(tried) == max_attempts:
            yield Candidate(target, TOO_MANY)
        else:
            tried.add(target.name)
            yield Candidate(target, "")
