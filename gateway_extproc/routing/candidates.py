"""From a model's entry to the targets that this permit may be served by.

What can be said of a request whose text is not there, as a replay of records has it: data classes
and the order of the file.  Requests themselves are planned by ``planner``.
"""

from __future__ import annotations

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
    tried: dict[str, Target] = {}
    for target in route.targets:
        if classes <= target.data_classes and len(tried) < max_attempts:
            tried.setdefault(target.name, target)
    return tuple(tried.values())
