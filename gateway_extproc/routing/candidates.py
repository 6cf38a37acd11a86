"""From a model's route to the targets that this permit may be served by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from gateway_extproc.config.compile import Route
from gateway_extproc.core.identity import Permit
from gateway_extproc.core.route import Target
from gateway_extproc.core.standing import Standings


def plan_targets(
    permit: Permit, route: Route, max_attempts: int, more_classes: frozenset[str] = frozenset()
) -> tuple[Target, ...]:
    """The route's targets in order, without those that the caller's data must not reach.

    One target a provider: the second attempt shall go elsewhere.  Empty when
    nobody is approved for all of the permit's data classes, and for ``more_classes``.
    """
    classes = permit.data_classes | more_classes
    return tuple(
        [target for target, dropped in judge_targets(classes, route, max_attempts) if not dropped]
    )


def by_standing(route: Route, standings: Standings, draw: Callable[[], float]) -> Route:
    """The route with its targets in the order in which they should be tried now.

    A target with a share of its traffic keeps its place for that share of the requests and stands
    behind the others for the rest; who gets nothing now is the last resort.
    """
    shares = [(standings.of(target).share, target) for target in route.targets]
    if all(share >= 1.0 for share, _ in shares):
        return route
    kept: list[Target] = []
    behind: list[tuple[float, int, Target]] = []
    for share, target in shares:
        if share >= 1.0 or draw() < share:
            kept.append(target)
        else:
            behind.append((-share, len(behind), target))
    return replace(route, targets=(*kept, *_targets(sorted(behind))))


def _targets(ranked: Iterable[tuple[float, int, Target]]) -> Iterator[Target]:
    return (target for _, _, target in ranked)


NOT_APPROVED: Final = "not approved for {classes}"
SAME_PROVIDER: Final = "its provider is tried already"
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
        elif target.provider in tried:
            yield Candidate(target, SAME_PROVIDER)
        elif len(tried) == max_attempts:
            yield Candidate(target, TOO_MANY)
        else:
            tried.add(target.provider)
            yield Candidate(target, "")
