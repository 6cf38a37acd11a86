"""Grants: every shipped role against every permission, and how a decision is found."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.access import (
    ADMIN_PERMISSIONS,
    ANY_CLASS,
    AdminPermission,
    Denial,
    Grant,
    find_admin_grant,
    find_grant,
    name_matcher,
)
from gateway_extproc.core.endpoint import ENDPOINTS
from support.config import make_snapshot

STANDARD = frozenset({"standard"})

ANSWERS: Final = {
    "chat", "messages", "generate_content", "responses", "completions", "embeddings", "moderations",
    "images", "rerank", "transcriptions", "translations", "speech", "count_tokens", "cohere_chat",
    "embed", "converse",
}  # fmt: skip

TABLE: Final[dict[str, tuple[set[str], set[str]]]] = {
    # role: (endpoints, admin permissions); everything that is not listed is refused
    "developer": ({*ANSWERS, "models"}, set()),
    "application": (ANSWERS, set()),
    "platform-admin": (
        {"models"},
        {
            "view_status", "view_costs", "view_decisions", "explain", "change_routes", "reload",
            "view_keys", "manage_keys", "revoke_keys", "every_tenant",
        },
    ),
    "security-operator": (
        set(),
        {
            "view_status", "view_decisions", "explain", "reveal_evidence", "change_guards",
            "reload", "view_keys", "revoke_keys", "every_tenant",
        },
    ),
    "finops": (set(), {"view_status", "view_costs", "every_tenant"}),
    "auditor": (
        set(),
        {"view_status", "view_costs", "view_decisions", "explain", "view_keys", "every_tenant"},
    ),
}  # fmt: skip

ROLES = make_snapshot(roles=[], keys=[]).roles


def test_the_table_is_about_all_shipped_roles() -> None:
    assert set(TABLE) == set(ROLES)


@pytest.mark.parametrize("permission", ADMIN_PERMISSIONS)
@pytest.mark.parametrize("role", TABLE)
def test_every_role_against_every_admin_permission(role: str, permission: AdminPermission) -> None:
    granted = find_admin_grant(ROLES[role], permission, dict) is not None
    assert granted is (permission in TABLE[role][1])


@pytest.mark.parametrize("endpoint", [endpoint.name for endpoint in ENDPOINTS])
@pytest.mark.parametrize("role", TABLE)
def test_every_role_against_every_endpoint(role: str, endpoint: str) -> None:
    found = find_grant(ROLES[role], endpoint, "any-model", "any-route", STANDARD, dict)
    assert isinstance(found, Grant) is (endpoint in TABLE[role][0])


@pytest.mark.parametrize(
    ("role", "lacks"),
    [
        ("developer", {"change_routes", "change_guards", "manage_keys"}),
        ("application", {"change_routes", "change_guards", "manage_keys"}),
        ("platform-admin", {"reveal_evidence", "change_guards", "chat", "messages"}),
        ("security-operator", {"change_routes", "manage_keys", "view_costs", "chat", "messages"}),
        ("finops", {"view_decisions", "reveal_evidence", "view_keys", "chat", "messages"}),
        ("auditor", {"reveal_evidence", "change_routes", "revoke_keys", "chat", "messages"}),
    ],
)
def test_the_separations_hold(role: str, lacks: set[str]) -> None:
    held = {name for grant in ROLES[role] for name in (*grant.endpoints, *grant.admin)}
    assert not held & lacks


@pytest.mark.parametrize("permission", ["change_routes", "change_guards", "manage_keys"])
def test_who_may_send_prompts_changes_nothing(permission: str) -> None:
    senders = [role for role, (endpoints, _) in TABLE.items() if "chat" in endpoints]
    assert senders
    assert all(permission not in TABLE[role][1] for role in senders)


# ------------------------------------------------------------------- finding a grant


def grant(rule: str = "g", **fields: Any) -> Grant:
    base: dict[str, Any] = {"endpoints": frozenset({"chat"})}
    return Grant("role", rule, **{**base, **fields})


def test_two_roles_do_not_add_up_to_what_neither_allows() -> None:
    grants = [
        grant(may_use_model=name_matcher(["small"])),
        grant(endpoints=frozenset({"messages"}), may_use_model=name_matcher(["large"])),
    ]
    found = find_grant(grants, "chat", "large", "large", STANDARD, dict)
    assert found == Denial("model_not_allowed")


@pytest.mark.parametrize(
    ("fields", "denial"),
    [
        ({"endpoints": frozenset({"models"})}, Denial("endpoint_not_allowed")),
        ({"may_use_model": name_matcher(["large"])}, Denial("model_not_allowed")),
        ({"may_use_route": name_matcher(["other"])}, Denial("model_not_allowed")),
        ({"data_classes": frozenset({"health"})}, Denial("data_class_not_allowed")),
        ({"condition": lambda facts: False}, Denial("condition_not_met", "role/g")),
    ],
)
def test_a_denial_says_what_the_nearest_grant_fell_by(
    fields: dict[str, Any], denial: Denial
) -> None:
    ask = ("chat", "small", "small", STANDARD, dict)
    assert find_grant([grant(**fields)], *ask) == denial
    far = grant(endpoints=frozenset())
    assert find_grant([far, grant(**fields), far], *ask) == denial
    good = grant("good")
    assert find_grant([far, grant(**fields), good], *ask) is good


def test_all_classes_of_a_request_must_be_allowed() -> None:
    some = grant(data_classes=frozenset({"standard", "health"}))
    both = frozenset({"standard", "regulated"})
    assert find_grant([some], "chat", "m", "m", both, dict) == Denial("data_class_not_allowed")
    assert find_grant([grant(data_classes=ANY_CLASS)], "chat", "m", "m", both, dict)


def test_facts_are_only_made_for_who_has_a_condition() -> None:
    def facts() -> dict[str, Any]:
        raise AssertionError("nobody asked")

    assert isinstance(find_grant([grant()], "chat", "m", "m", STANDARD, facts), Grant)


NAMES = st.sampled_from(["a", "b", "c"])
SETS = st.frozensets(NAMES, max_size=3)
GRANTS = st.builds(
    lambda endpoints, models, classes, holds: grant(
        endpoints=endpoints,
        may_use_model=name_matcher(models),
        data_classes=classes,
        condition=lambda facts: holds,
    ),
    SETS,
    SETS,
    SETS,
    st.booleans(),
)


@given(st.lists(GRANTS, max_size=5), NAMES, NAMES, SETS)
def test_a_request_passes_exactly_when_one_grant_allows_all_of_it(
    grants: list[Grant], endpoint: str, model: str, classes: frozenset[str]
) -> None:
    allowed = any(
        endpoint in g.endpoints
        and g.may_use_model(model)
        and classes <= g.data_classes
        and g.condition is not None
        and g.condition({})
        for g in grants
    )
    found = find_grant(grants, endpoint, model, model, classes, dict)
    assert isinstance(found, Grant) is allowed
