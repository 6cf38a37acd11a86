"""Lines of batches: read strictly, told by number; results as they may leave."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_extproc.core.errors import RequestError, refuse
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.translate import OPENAI
from gateway_extproc.stages.batchlines import (
    MOST_LINES,
    added,
    asked_tokens,
    body_of,
    read_answer,
    read_lines,
    refused_line,
    texts_of,
    write_line,
)

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def line(**fields: Any) -> bytes:
    whole = {"custom_id": "c", "method": "POST", "url": "/v1/chat/completions", "body": BODY}
    whole |= fields
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode()


def refused(data: bytes) -> str:
    with pytest.raises(RequestError) as caught:
        list(read_lines(data, OPENAI, 20))
    assert caught.value.refusal.param == "file"
    return caught.value.refusal.message


def test_lines_are_requests_with_ids_of_their_own() -> None:
    data = line(custom_id="a") + b"\r\n\n" + line(custom_id="b", body={**BODY, "max_tokens": 5})
    first, second = read_lines(data, OPENAI, 20)
    assert (first.custom_id, first.request.model, first.url) == ("a", "m", "/v1/chat/completions")
    assert [at.text for at in texts_of(first)] == ["hi", "a"]
    assert (asked_tokens(first.request, 100), asked_tokens(second.request, 100)) == (100, 5)
    assert json.loads(write_line(second, {"x": 1})) == {
        "custom_id": "b", "method": "POST", "url": "/v1/chat/completions", "body": {"x": 1},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "object"),
        (b'{"custom_id":"a","custom_id":"b"}', "twice"),
        (line(custom_id=None), "custom_id"),
        (line(custom_id="x" * 513), "custom_id"),
        (line(method="GET"), "method"),
        (line(url="/v1/images/generations"), "url"),
        (line(url=None), "url"),
        (line(body="text"), "body"),
        (line(body={**BODY, "messages": []}), "messages"),
        (line(body={**BODY, "stream": True}), "stream"),
        (line(body={**BODY, "model": "n"}), "first line"),
        (line(priority=1), "priority"),
        (line(custom_id="first"), "no other line"),
    ],
)
def test_a_bad_line_is_told_by_its_number(bad: bytes, says: str) -> None:
    message = refused(line(custom_id="first") + b"\n\n" + bad)
    assert message.startswith("Line 3: ")
    assert says in message


def test_no_lines_and_too_many_are_refused() -> None:
    assert "at least one" in refused(b"\n\n")
    assert str(MOST_LINES) in refused(b"\n" * (MOST_LINES + 1))


def test_a_result_that_may_not_leave_says_why_in_its_line() -> None:
    good = {"id": "r", "custom_id": "c", "error": None,
            "response": {"status_code": 200, "request_id": "q", "body": {"a": 1}}}  # fmt: skip
    assert body_of(good) == {"a": 1}
    for other in ({}, {"response": None}, {"response": {"status_code": 400, "body": {}}},
                  {"response": {"status_code": 200, "body": "text"}}):  # fmt: skip
        assert body_of(other) is None
    told = refused_line(good, refuse("answer_blocked", "no"))
    assert (told["custom_id"], told["response"]["status_code"]) == ("c", 400)
    assert told["response"]["body"]["error"]["code"] == "answer_blocked"
    assert read_answer(b"[]") is read_answer(b"{") is None


def test_usage_adds_up() -> None:
    total = added(added(Usage(), Usage(1, 2, 1, 1)), None)
    assert added(total, Usage(10, 20)) == Usage(11, 22, 1, 1)
