"""admit: what is refused before anything else is done."""

from __future__ import annotations

import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import Load
from gateway_extproc.core.shedding import Shedding
from gateway_extproc.core.verdict import Continue, Respond, Verdict
from gateway_extproc.stages.admit import Admit
from support.parts import chat_exchange


@pytest.fixture
def load() -> Load:
    return Load()


def reason(verdict: Verdict) -> str:
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    return verdict.refusal.reason


def admit(load: Load) -> Admit:
    return Admit(Shedding(load, 2, 0.03), 100, lambda exchange: False)


async def ask(load: Load, exchange: Exchange) -> Verdict:
    return await admit(load).request_headers(exchange)


async def test_what_may_wait_by_policy_waits_while_others_pass(load: Load) -> None:
    shedding = Shedding(load, 10, 0.03, pressure=1.0)
    for may_wait in (True, False):
        stage = Admit(shedding, 100, lambda exchange, waits=may_wait: waits)  # type: ignore[misc]
        verdict = await stage.request_body(chat_exchange(), b"")
        assert isinstance(verdict, Respond) is may_wait
        if may_wait:
            assert reason(verdict) == "overloaded"


async def test_close_frees_the_slot_of_the_admitted_only(load: Load) -> None:
    stage = admit(load)
    first, second = chat_exchange(), chat_exchange()
    await stage.request_headers(first)
    await stage.close(second)  # turned away before it got here
    assert load.in_flight == 1
    await stage.close(first)
    assert load.in_flight == 0


@pytest.mark.parametrize(
    ("path", "method", "headers", "expected"),
    [
        ("/v1/audio/nowhere", "POST", {}, "unknown_endpoint"),
        ("/v1/realtime?model=m", "GET", {}, "endpoint_not_served"),
        ("/", "GET", {}, "unknown_endpoint"),
        ("/v1/chat/completions", "GET", {}, "method_not_allowed"),
        ("/v1/chat/completions", "", {}, "method_not_allowed"),
        ("/v1/models", "POST", {}, "method_not_allowed"),
        ("/v1/chat/completions", "POST", {"content-length": "101"}, "body_too_large"),
        ("/v1/chat/completions", "POST", {"content-length": "9" * 400}, "body_too_large"),
    ],
)
async def test_what_is_not_served_is_refused_and_frees_its_slot(
    load: Load, path: str, method: str, headers: dict[str, str], expected: str
) -> None:
    exchange = chat_exchange(path, method=method, headers=headers)
    stage = admit(load)
    assert reason(await stage.request_headers(exchange)) == expected
    await stage.close(exchange)
    assert load.in_flight == 0


@pytest.mark.parametrize("length", ["100", "0", "", "-5", "abc"])
async def test_a_length_within_the_cap_or_unreadable_passes(load: Load, length: str) -> None:
    exchange = chat_exchange(headers={"content-length": length})
    assert isinstance(await ask(load, exchange), Continue)
