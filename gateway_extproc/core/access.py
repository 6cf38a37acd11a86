"""What roles allow: grants, and which of them decides about a request.

A role is a set of grants.  A request passes when *one* grant allows all of it:
endpoint, model, route, data classes and condition.  So two roles never add up to
what neither of them allows.  Pure: no clock, no table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

AdminPermission = Literal[
    "view_status",
    "view_costs",
    "view_decisions",
    "explain",
    "reveal_evidence",
    "change_routes",
    "change_guards",
    "reload",
    "view_keys",
    "manage_keys",
    "revoke_keys",
    "every_tenant",
]
"""What a role may do at the admin server.

Without ``every_tenant`` the others only concern what belongs to the caller's own tenant: its
records, its costs, its keys and reviews.
"""

ADMIN_PERMISSIONS: Final[tuple[AdminPermission, ...]] = get_args(AdminPermission)

Facts = Mapping[str, Any]
"""What a condition may ask about a request, by name."""

Condition = Callable[[Facts], bool]
"""True when it holds; whatever cannot be evaluated does not hold."""

Matcher = Callable[[str], bool]

ANY_CLASS: Final = frozenset({"*"})

DenialReason = Literal[
    "endpoint_not_allowed", "model_not_allowed", "data_class_not_allowed", "condition_not_met"
]


def match_all(name: str) -> bool:
    """Matches every name."""
    return True


def name_matcher(names: Iterable[str]) -> Matcher:
    """Matches exact names, and prefixes written with a final ``*``."""
    names = tuple(names)
    if "*" in names:
        return match_all
    exact = frozenset(name for name in names if not name.endswith("*"))
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    return lambda name: name in exact or name.startswith(prefixes)


@dataclass(frozen=True, slots=True)
class Grant:
    """One rule of a role: what it allows when its condition holds.

    ``admin`` are permissions at the admin server, where endpoints, models, routes
    and data classes say nothing.
    """

    role: str
    rule: str
    endpoints: frozenset[str] = frozenset()
    may_use_model: Matcher = field(default=match_all, repr=False)
    may_use_route: Matcher = field(default=match_all, repr=False)
    may_use_target: Matcher = field(default=match_all, repr=False)
    data_classes: frozenset[str] = ANY_CLASS
    admin: frozenset[str] = frozenset()
    condition: Condition | None = field(default=None, repr=False)

    def allows_classes(self, classes: frozenset[str]) -> bool:
        return self.data_classes is ANY_CLASS or classes <= self.data_classes

    def holds(self, facts: Callable[[], Facts]) -> bool:
        """Whether its condition holds; the facts are only made for who has one."""
        return self.condition is None or self.condition(facts())


@dataclass(frozen=True, slots=True)
class Denial:
    """No grant allows it; ``reason`` is what the last of them fell by.

    ``rule`` names the condition that did not hold, as role/rule.
    """

    reason: DenialReason
    rule: str = ""


def find_grant(
    grants: Iterable[Grant],
    endpoint: str,
    model: str | None,
    route: str | None,
    classes: frozenset[str],
    facts: Callable[[], Facts],
) -> Grant | Denial:
    """The first grant that allows all of it, or how far the nearest one came.

    ``model`` and ``route`` are None where the endpoint names none.
    """
    came = 0
    rule = ""
    for grant in grants:
        if endpoint not in grant.endpoints:
            continue
        if model is not None and not (
            grant.may_use_model(model) and (route is None or grant.may_use_route(route))
        ):
            came = max(came, 1)
        elif not grant.allows_classes(classes):
            came = max(came, 2)
        elif not grant.holds(facts):
            came, rule = 3, f"{grant.role}/{grant.rule}"
        else:
            return grant
    return Denial(_FALLEN_BY[came], rule)


_FALLEN_BY: Final[tuple[DenialReason, ...]] = (
    "endpoint_not_allowed",
    "model_not_allowed",
    "data_class_not_allowed",
    "condition_not_met",
)


def find_admin_grant(
    grants: Iterable[Grant], permission: AdminPermission, facts: Callable[[], Facts]
) -> Grant | None:
    """The first grant that allows this at the admin server."""
    for grant in grants:
        if permission in grant.admin and grant.holds(facts):
            return grant
    return None
