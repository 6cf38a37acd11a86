"""Whose rules are whose, and that a lower level only ever tightens."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.guardchecks import packs
from gateway_extproc.config.guarding import GuardLevel, GuardRule
from gateway_extproc.core.guarding import SEVERITY
from gateway_extproc.core.ports import Guarded
from gateway_extproc.guards import RuleGuard
from gateway_extproc.guards.guard import Reviews
from gateway_extproc.guards.policy import tighter
from guards.cases import at, rule

TEXT = [at("a@b.org")]


def level(**fields: object) -> GuardLevel:
    return GuardLevel.model_validate({"rule": "r", **fields}, strict=False)


@pytest.mark.parametrize(
    ("tenant", "route", "key"), list(product(("t", "u"), ("m", "n"), ("k", "l")))
)
def test_a_rule_is_for_those_that_all_its_lists_name(tenant: str, route: str, key: str) -> None:
    guard = RuleGuard([rule("r", tenants=("t",), routes=("m",), keys=("k",))])
    found = guard.scan_request(TEXT, Guarded(tenant, route, key)).findings
    assert bool(found) == ((tenant, route, key) == ("t", "m", "k"))


def test_a_level_tightens_for_its_own_and_for_nobody_else() -> None:
    levels = [
        level(tenants=("t",), action="redact"),
        level(keys=("k",), action="block"),
        level(routes=("m",), mode="enforce"),
    ]
    guard = RuleGuard([rule("r", action="log", mode="shadow")], levels)

    def done(who: Guarded) -> tuple[str, str]:
        found = guard.scan_request(TEXT, who).findings
        return found[0].action, found[0].mode

    assert done(Guarded("u")) == ("log", "shadow")
    assert done(Guarded("t")) == ("redact", "shadow")
    assert done(Guarded("t", "m")) == ("redact", "enforce")
    assert done(Guarded("t", "m", "k")) == ("block", "enforce")
    assert guard.scan_request(TEXT, Guarded("t", "m")).changed[0][1] == "[EMAIL]"
    assert guard.scan_request(TEXT, Guarded("t", "m", "k")).blocked_by == "r"
    assert guard.window(Guarded("t", "m", "k")) is not None


@given(
    st.sampled_from(sorted(SEVERITY)),
    st.sampled_from(("enforce", "shadow")),
    st.lists(
        st.tuples(
            st.sampled_from([None, *sorted(SEVERITY)]), st.sampled_from((None, "enforce", "shadow"))
        )
    ),
)
def test_no_level_ever_loosens(action: str, mode: str, said: list[tuple[str, str]]) -> None:
    before = rule("r", action=action, mode=mode)
    after = tighter(before, [level(tenants=("t",), action=a, mode=m) for a, m in said])
    assert SEVERITY[after.action] >= SEVERITY[before.action]
    assert (before.mode, after.mode) != ("enforce", "shadow")
    assert after.sample >= before.sample


def test_a_sampled_shadow_rule_looks_at_its_share() -> None:
    guard = RuleGuard([rule("r", mode="shadow", sample=0.25)])
    draws = [i / 1000 for i in range(1000)]
    seen = [bool(guard.scan_request(TEXT, Guarded("t", draw=draw)).findings) for draw in draws]
    assert seen == [draw < 0.25 for draw in draws]
    assert guard.window(Guarded("t", draw=0.2)) is not None
    assert guard.window(Guarded("t", draw=0.3)) is None


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("log", "to a@b.org and 4111111111111111"),
        ("annotate", "to a@b.org and 4111111111111111"),
        ("truncate", "to "),
        ("sanitize", "to  and 4111111111111111"),
        ("redact", "to [EMAIL] and 4111111111111111"),
    ],
)
def test_each_action_leaves_its_own_text(action: str, text: str) -> None:
    guard = RuleGuard([rule("r", action=action, entities=("email",))])
    before = "to a@b.org and 4111111111111111"
    scan = guard.scan_request([at(before)], Guarded("t"))
    assert [f.action for f in scan.findings] == [action]
    assert (scan.changed[0][1] if scan.changed else before) == text


def test_of_two_actions_on_one_place_the_most_severe_wins() -> None:
    guard = RuleGuard(
        [
            rule("s", kind="pattern", patterns=(r"write to \S+ today please",), action="sanitize"),
            rule("r", entities=("email",), action="redact"),
        ]
    )
    scan = guard.scan_request([at("x write to a@b.org today please y")], Guarded("t"))
    assert scan.changed[0][1] == "x [EMAIL] y"
    assert scan.changed_by == "s"


def test_arguments_are_redacted_where_text_would_be_cut() -> None:
    guard = RuleGuard([rule("r", action="truncate", entities=("email",))])
    text = '{"to":"a@b.org","cc":"x"}'
    scan = guard.scan_request([at(text, path=("arguments",))], Guarded("t"))
    assert scan.changed[0][1] == '{"to":"[EMAIL]","cc":"x"}'


@pytest.mark.parametrize("name", ["baseline", "strict", "pii", "secrets", "regulated"])
def test_every_pack_compiles_and_its_rules_bear_its_name(name: str) -> None:
    rules = packs()[name]
    assert rules
    assert all(one.id.startswith(f"{name}.") for one in rules)
    RuleGuard(rules)


def test_packs_have_rules_of_their_own() -> None:
    ids = [one.id for rules in packs().values() for one in rules]
    assert len(ids) == len(set(ids))
    assert all(isinstance(one, GuardRule) for rules in packs().values() for one in rules)


def test_a_text_that_was_approved_passes_that_rule_and_no_other() -> None:
    rules = [rule("r", action="block", entities=("email",)), rule("s", entities=("card",))]
    reviews = Reviews(lambda text: f"print of {len(text)}", lambda r, p: (r, p) == ("r", known))
    known = f"print of {len('a@b.org 4111111111111111')}"
    guard = RuleGuard(rules, reviews=reviews)
    scan = guard.scan_request([at("a@b.org 4111111111111111")], Guarded("t"))
    assert (scan.blocked_by, scan.changed[0][1]) == (None, "a@b.org [CARD]")
    assert [(f.rule, f.action, f.fingerprint) for f in scan.findings] == [
        ("r", "allow", known),
        ("s", "redact", known),
    ]
    assert guard.scan_request([at("a@b.org")], Guarded("t")).blocked_by == "r"
    answer = guard.scan_answer([at("a@b.org 4111111111111111")], Guarded("t"))
    assert (answer.blocked_by, answer.findings[0].fingerprint) == ("r", "")
