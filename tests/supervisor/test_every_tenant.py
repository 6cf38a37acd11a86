"""Who may see more than his own tenant: one grant has to allow both."""

from __future__ import annotations

from typing import Any

from gateway_extproc.core.errors import Refusal
from gateway_extproc.supervisor.admin import AdminCall, Caller
from support.config import api_key, key_entry
from support.gate import make_gate, snapshot_of_roles

KEY = api_key("mixed0000000")
VIEWER = {"id": "viewer", "endpoints": [], "admin": ["view_decisions"]}
WIDE = {"id": "wide", "endpoints": [], "admin": ["view_costs", "every_tenant"]}


async def admitted(permission: Any, *roles: dict[str, Any]) -> Caller | Refusal:
    """What the gate says of somebody with all of these roles."""
    entry = key_entry(KEY, "acme", "mia", roles[0]["id"])
    entry["roles"] = [role["id"] for role in roles]
    gate = make_gate(snapshot=snapshot_of_roles(roles=list(roles), keys=[entry]))
    call = AdminCall("GET", "/", (("x-api-key", KEY),), "127.0.0.1", b"")
    return await gate.admit(call, permission)


async def test_two_roles_do_not_add_up_to_what_neither_allows() -> None:
    caller = await admitted("view_decisions", VIEWER, WIDE)
    assert isinstance(caller, Caller)
    assert (caller.role, caller.every_tenant) == ("viewer", False)


async def test_the_grant_that_allows_more_is_the_one_that_counts() -> None:
    both = {"id": "both", "endpoints": [], "admin": ["view_decisions", "every_tenant"]}
    caller = await admitted("view_decisions", VIEWER, both)
    assert isinstance(caller, Caller)
    assert (caller.role, caller.every_tenant) == ("both", True)


async def test_a_condition_that_does_not_hold_leaves_the_narrow_grant() -> None:
    rule = {"id": "from-inside", "admin": ["view_decisions", "every_tenant"],
            "when": 'source.startsWith("10.")'}  # fmt: skip
    caller = await admitted("view_decisions", {**VIEWER, "rules": [rule]})
    assert isinstance(caller, Caller)
    assert caller.every_tenant is False


async def test_every_tenant_alone_allows_nothing() -> None:
    alone = {"id": "alone", "endpoints": [], "admin": ["every_tenant"]}
    assert isinstance(await admitted("view_decisions", alone), Refusal)
