"""Rules over what an answer looks like: whole answers and streams."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.ports import Guarded
from gateway_extproc.guards import RuleGuard
from guards.cases import at, delta, rule, said

WHO = Guarded("acme")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
}
ASKED = LlmRequest(
    "openai", "chat", "m", False, None, False,
    {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}, (),
)  # fmt: skip


def guard(action: str = "block", **fields: Any) -> RuleGuard:
    return RuleGuard([rule("f", kind="format", direction="response", action=action, format=fields)])


def scan(rules: RuleGuard, text: str, asked: LlmRequest | None = ASKED) -> Any:
    path = ("choices", 0, "message", "content")
    return rules.scan_answer([at(text, "assistant", path)], WHO, asked)


@pytest.mark.parametrize(
    ("fields", "good", "bad"),
    [
        ({"as_json": True}, "[1]", "Sure: [1]"),
        ({"as_asked": True}, '{"city":"Porto"}', '{"days":1}'),
        ({"json_schema": SCHEMA}, '{"city":"Porto","days":2}', '{"city":"Porto","days":0}'),
        ({"required": ("a",)}, '{"a":1}', '{"b":1}'),
        ({"one_of": ("yes", "no")}, "yes", "maybe"),
        ({"max_chars": 5}, "12345", "123456"),
    ],
)
def test_an_answer_of_another_shape_is_blocked(fields: dict[str, Any], good: str, bad: str) -> None:
    rules = guard(**fields)
    assert scan(rules, good).findings == ()
    found = scan(rules, bad)
    assert (found.blocked_by, found.findings[0].kind) == ("f", "format")
    assert scan(guard("log", **fields), bad).blocked_by is None


def test_a_request_that_asks_for_no_shape_gets_any() -> None:
    plain = LlmRequest("openai", "chat", "m", False, None, False, {}, ())
    assert scan(guard(as_asked=True), "Hello", plain).findings == ()


def test_small_faults_are_mended_where_the_rule_says_so() -> None:
    text = '```json\n{"city": "Porto",}\n```'
    assert scan(guard(json_schema=SCHEMA), text).blocked_by == "f"
    mended = scan(guard(json_schema=SCHEMA, repair=True), text)
    assert (mended.blocked_by, mended.findings) == (None, ())
    assert mended.changed[0][1].replace(" ", "") == '{"city":"Porto"}'
    assert mended.changed_by == "f"
    assert scan(guard(json_schema=SCHEMA, repair=True), "no JSON at all").blocked_by == "f"


def test_what_other_rules_change_is_not_mended_and_so_is_told() -> None:
    """A mend that is lost beside a redaction would let a broken answer pass unseen."""
    shape = rule("f", kind="format", direction="response", action="block",
                 format={"json_schema": SCHEMA, "repair": True})  # fmt: skip
    mail = rule("m", direction="response", entities=("email",))
    found = scan(RuleGuard([mail, shape]), '```json\n{"city": "a@b.org",}\n```')
    assert found.blocked_by == "f"
    assert [one.kind for one in found.findings] == ["format", "email"]
    good = scan(RuleGuard([mail, shape]), '{"city": "a@b.org"}')
    assert (good.blocked_by, good.changed[0][1]) == (None, '{"city": "[EMAIL]"}')


def test_a_text_that_stays_wrong_is_not_mended_by_halves() -> None:
    mends = rule("f", kind="format", direction="response", action="log",
                 format={"json_schema": SCHEMA, "repair": True})  # fmt: skip
    short = rule("s", kind="format", direction="response", action="log",
                 format={"max_chars": 5})  # fmt: skip
    found = scan(RuleGuard([mends, short]), '```json\n{"city": "Porto",}\n```')
    assert [one.rule for one in found.findings] == ["f", "s"]
    assert found.changed == ()


def test_thoughts_and_tool_calls_have_no_shape() -> None:
    rules = guard(as_json=True)
    texts = [at("thinking", "assistant", ("choices", 0, "message", "reasoning_content"))]
    assert rules.scan_answer(texts, WHO, ASKED).findings == ()


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_stream_of_another_shape_ends_in_a_block(size: int) -> None:
    for text, expected in (('{"city":"Porto"}', None), ('{"days":1}', "f")):
        window = guard(as_asked=True).window(WHO, ASKED)
        assert window is not None
        out = ""
        for start in range(0, len(text), size):
            result = window.push([delta(text[start : start + size])], last=False)
            out += said(result.chunks)
            assert result.blocked_by is None
        result = window.push([], last=True)
        out += said(result.chunks)
        assert result.blocked_by == expected
        assert out == text
