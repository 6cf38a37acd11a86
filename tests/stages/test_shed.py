"""What a shed request gets, and what it costs."""

from __future__ import annotations

import orjson
import pytest

from gateway_extproc.core.ports import Load
from gateway_extproc.core.shedding import Shedding
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.stages.shed import Shed, priority_of

CHAT = {":path": "/v1/chat/completions"}
MESSAGES = {":path": "/v1/messages"}
WAITS = {"x-gateway-priority": "Batch"}


def shed(pressure: float) -> tuple[Shed, list[str]]:
    counted: list[str] = []
    shedding = Shedding(Load(), 10, 0.03, pressure=pressure)
    return Shed(shedding, DIALECTS, "x-gateway-priority", counted.append), counted


def test_batch_by_its_own_word_is_turned_away_first() -> None:
    decide, counted = shed(1.0)
    assert decide({**CHAT, **WAITS}) is not None
    assert decide(CHAT) is None
    assert counted == ["batch"]


@pytest.mark.parametrize("value", ["", "critical", "interactive", "high"])
def test_nothing_raises_a_priority(value: str) -> None:
    assert priority_of({"x-gateway-priority": value}, "x-gateway-priority") == "interactive"
    assert priority_of(WAITS, "") == "interactive"


def test_the_refusal_is_in_the_clients_format_with_a_time() -> None:
    decide, _ = shed(2.0)
    openai, anthropic = decide(CHAT), decide(MESSAGES)
    assert openai is not None
    assert anthropic is not None
    assert orjson.loads(openai.body)["error"]["code"] == "overloaded"
    assert orjson.loads(anthropic.body)["error"]["type"] == "overloaded_error"
    for answer in (openai, anthropic):
        assert answer.status == 503
        assert 1 <= int(dict(answer.headers)["retry-after"]) <= 4
        assert answer.details == "overloaded"


def test_a_worker_that_is_on_time_turns_nobody_away() -> None:
    decide, counted = shed(0.0)
    assert decide({**CHAT, **WAITS}) is None
    assert counted == []
