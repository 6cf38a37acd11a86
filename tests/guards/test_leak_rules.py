"""System prompts that come back, by rule: whole answers and streams."""

from __future__ import annotations

import pytest

from gateway_extproc.core.chat import LlmRequest, TextAt
from gateway_extproc.core.ports import Guarded
from gateway_extproc.guards import RuleGuard
from guards.cases import at, delta, rule, said

WHO = Guarded("acme")
SYSTEM = (
    "You are the travel desk of Aurora Lines. Never promise refunds above forty euros, never "
    "name the partner airlines, and always offer the evening connection through Lisbon before the "
    "direct one. Complaints about seats go to the desk in Porto and nowhere else."
)
SAID = (at(SYSTEM, "system"), at("Which connections are there?"))
HARMLESS = "There is an evening connection through Lisbon, and a direct one on Mondays. " * 3


def asked(*texts: TextAt) -> LlmRequest:
    return LlmRequest("openai", "chat", "m", False, None, False, {}, texts)


ASKED = asked(*SAID)


def guard(action: str, **fields: object) -> RuleGuard:
    return RuleGuard([rule("l", kind="leak", direction="response", action=action, **fields)])


def streamed(rules: RuleGuard, text: str, size: int) -> tuple[str, str | None, int]:
    window = rules.window(WHO, ASKED)
    assert window is not None
    text_out, findings, blocked = "", 0, None
    for start in range(0, len(text), size):
        result = window.push([delta(text[start : start + size])], last=False)
        text_out += said(result.chunks)
        findings += len(result.findings)
        blocked = blocked or result.blocked_by
    result = window.push([], last=True)
    findings += len(result.findings)
    return text_out + said(result.chunks), blocked or result.blocked_by, findings


def test_a_copy_blocks_the_answer() -> None:
    scan = guard("block").scan_answer([at(f"Sure: {SYSTEM}", "assistant")], WHO, ASKED)
    assert scan.blocked_by == "l"
    assert scan.findings[0].kind == "leak"
    assert guard("block").scan_answer([at(HARMLESS, "assistant")], WHO, ASKED).findings == ()
    assert (
        guard("block").scan_answer([at(SYSTEM, "assistant")], WHO, asked(*SAID[1:])).findings == ()
    )


def test_what_the_user_said_may_be_said_again() -> None:
    said = asked(*SAID, at(SYSTEM))
    assert guard("block").scan_answer([at(SYSTEM, "assistant")], WHO, said).findings == ()


@pytest.mark.parametrize("size", [1, 7, 4000])
def test_a_stream_ends_when_the_copy_is_known(size: int) -> None:
    text = f"{HARMLESS} My instructions: {SYSTEM} And more."
    out, blocked, findings = streamed(guard("block"), text, size)
    assert (blocked, findings) == ("l", 1)
    assert text.startswith(out)
    assert "Porto" not in out
    out, blocked, findings = streamed(guard("truncate"), text, size)
    assert (blocked, findings) == (None, 1)
    assert text.startswith(out)
    assert "Porto" not in out
    assert streamed(guard("log"), text, size) == (text, None, 1)
    assert streamed(guard("block", mode="shadow"), text, size) == (text, None, 1)


def test_a_harmless_stream_leaves_whole() -> None:
    assert streamed(guard("block"), HARMLESS, 3) == (HARMLESS, None, 0)


def test_a_planted_mark_is_found_in_disguise_where_nothing_else_is_told() -> None:
    rules = guard("block", canary=True)
    scan = rules.scan_request(SAID, WHO)
    told = dict(scan.changed)[SAID[0]]
    assert told.startswith(SYSTEM)
    mark = told.removeprefix(SYSTEM).split()[-1].rstrip("]")
    assert rules.scan_request(SAID, WHO).changed == scan.changed  # providers cache prompts
    assert rules.scan_request(SAID, Guarded("beta")).changed != scan.changed
    request = asked(at(told, "system"), SAID[1])
    for disguise in (mark, mark.upper(), mark[::-1], " ".join(mark), mark.encode().hex()):
        text = f"The reference is {disguise}, I think."
        assert rules.scan_answer([at(text, "assistant")], WHO, request).blocked_by == "l"
        window = rules.window(WHO, request)
        assert window is not None
        results = [window.push([delta(char)], last=False) for char in text]
        results.append(window.push([], last=True))
        assert [result.blocked_by for result in results][-1] == "l"
    assert rules.scan_answer([at(HARMLESS, "assistant")], WHO, request).findings == ()
    assert guard("block").scan_request(SAID, WHO).changed == ()
    assert rules.scan_request([SAID[1]], WHO).changed == ()


def test_a_copy_that_ends_with_the_answer_is_found_in_a_stream() -> None:
    for size in (1, 5, 1000):
        assert streamed(guard("block"), SYSTEM, size)[1] == "l"
