"""Conditions in CEL: as another implementation says, and closed where it cannot say."""

from __future__ import annotations

import time
from typing import Any

import celpy
import pytest
from celpy.adapter import json_to_cel
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.config.condition import (
    MAX_CHARS,
    VARIABLES,
    ConditionError,
    compile_condition,
)

FACTS: dict[str, Any] = {
    "tenant": "acme",
    "user": "ann",
    "application": "web",
    "roles": ["developer", "auditor"],
    "method": "api_key",
    "labels": {"team": "core"},
    "data_classes": ["standard"],
    "endpoint": "chat",
    "model": "gpt-4o",
    "source": "192.0.2.7",
    "hour": 10,
    "weekday": 3,
}


def oracle(text: str, facts: dict[str, Any]) -> bool:
    """What cel-python, the pure Python implementation, says; False for an error."""
    environment = celpy.Environment()
    program = environment.program(environment.compile(text))
    try:
        return bool(program.evaluate({name: json_to_cel(value) for name, value in facts.items()}))
    except celpy.CELEvalError:
        return False


def test_every_variable_has_a_fact() -> None:
    assert set(VARIABLES) == set(FACTS)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("true", True),
        ("hour >= 8 && hour < 18 && weekday < 6", True),
        ("tenant == 'acme' || user == 'nobody'", True),
        ("'auditor' in roles && !('finops' in roles)", True),
        ("labels['team'] == 'core'", True),
        ("labels['cost'] == 'x'", False),
        ("'cost' in labels && labels['cost'] == 'x'", False),
        ("labels['cost'] == 'x' || true", True),
        ("labels['cost'] == 'x' || hour > 3", True),
        ("1 / (hour - 10) > 0", False),
        ("model.startsWith('gpt-') && model.size() < 10", True),
        ("model.matches('^gpt-[0-9]o$')", True),
        ("source.startsWith('192.0.2.')", True),
        ("data_classes.all(c, c == 'standard')", True),
        ("data_classes.exists(c, c == 'regulated')", False),
        ("endpoint in ['chat', 'messages']", True),
        ("weekday == 3 ? user == 'ann' : false", True),
    ],
)
def test_conditions_mean_what_the_other_implementation_says(text: str, *, holds: bool) -> None:
    assert compile_condition(text)(FACTS) is holds
    assert oracle(text, FACTS) is holds


WORDS = st.sampled_from(["acme", "ann", "web", "chat", "x", ""])
TERMS = st.one_of(
    st.builds(
        "{} {} '{}'".format,
        st.sampled_from(["tenant", "user", "endpoint", "model"]),
        st.sampled_from(["==", "!="]),
        WORDS,
    ),
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["hour", "weekday"]),
        st.sampled_from(["<", "<=", "==", ">"]),
        st.integers(-2, 25),
    ),
    st.builds("'{}' in roles".format, WORDS),
    st.builds("labels['{}'] == '{}'".format, st.sampled_from(["team", "cost"]), WORDS),
)
TEXTS = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(0, 23), WORDS)
def test_both_implementations_agree(text: str, hour: int, user: str) -> None:
    facts = {**FACTS, "hour": hour, "user": user}
    assert compile_condition(text)(facts) is oracle(text, facts)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tenent == 'a'", "undeclared reference to 'tenent'"),
        ("hour == 'a'", "no matching overload"),
        ("hour", "not true or false"),
        ("(", "Syntax error"),
        ("", "Syntax error"),
        ("true || " * MAX_CHARS + "true", "more than"),
    ],
)
def test_a_text_that_is_no_condition_is_told_in_one_line(text: str, why: str) -> None:
    with pytest.raises(ConditionError, match=why) as caught:
        compile_condition(text)
    assert "\n" not in str(caught.value)


def test_missing_or_wrong_facts_do_not_hold() -> None:
    condition = compile_condition("user == 'ann'")
    assert not condition({})
    assert not condition({**FACTS, "user": 7})
    assert not condition({**FACTS, "user": None})


def test_patterns_of_a_condition_take_linear_time() -> None:
    condition = compile_condition("model.matches('^(a+)+$')")
    began = time.perf_counter()
    assert not condition({**FACTS, "model": "a" * 5000 + "!"})
    assert time.perf_counter() - began < 1.0
