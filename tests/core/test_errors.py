"""The table of reasons is complete, and its rows make sense."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway_extproc
from gateway_extproc.core.errors import REASONS, invalid, refuse, unsupported

SOURCE = Path(gateway_extproc.__file__).parent

CALLS = {"refuse", "_refuse", "Refusal"}
"""Calls whose first argument, where it is a literal, is a reason."""


def reasons_in_source() -> Iterator[tuple[str, str]]:
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            named = [k.value for k in node.keywords if k.arg == "reason"]
            for value in (*node.args[:1], *named):
                if name in CALLS and isinstance(value, ast.Constant) and type(value.value) is str:
                    yield f"{file.relative_to(SOURCE)}:{node.lineno}", value.value


def test_every_reason_in_the_source_is_in_the_table() -> None:
    used = list(reasons_in_source())
    assert len(used) > 20
    assert [(place, reason) for place, reason in used if reason not in REASONS] == []


@pytest.mark.parametrize("reason", REASONS)
def test_status_and_type_belong_together(reason: str) -> None:
    status, kind = REASONS[reason]
    expected = {
        401: {"authentication_error"},
        403: {"permission_error"},
        429: {"rate_limit_error", "insufficient_quota"},
    }
    clients_fault, ours = {"invalid_request_error"}, {"api_error", "overloaded_error"}
    assert kind in expected.get(status, clients_fault if status < 500 else ours)


def test_an_unknown_reason_is_a_surprise() -> None:
    with pytest.raises(KeyError):
        refuse("no_such_reason", "No.")


def test_a_refusal_says_what_it_was_told() -> None:
    refusal = refuse("rate_limit_exceeded", "Wait.", retry_after_s=1.5, rule="per-user")
    assert (refusal.status, refusal.type) == (429, "rate_limit_error")
    assert (refusal.code, refusal.rule) == ("rate_limit_exceeded", "per-user")
    assert refusal.retry_after_s == 1.5


def test_a_request_error_names_the_field() -> None:
    assert invalid("messages[0].role", "a string").refusal.param == "messages[0].role"
    error = unsupported("logit_bias", "anthropic")
    assert error.refusal.reason == "unsupported_parameter"
    assert "logit_bias" in str(error)
