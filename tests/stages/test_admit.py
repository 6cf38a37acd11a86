"""admit: what is refused before anything else is done."""

from __future__ import annotations

import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import Load
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


async def ask(load: Load, exchange: Exchange) -> Verdict:
    return await Admit(load, 2, 100).request_headers(exchange)


async def test_one_more_than_the_worker_takes_is_refused_with_a_time(load: Load) -> None:
    admitted = [chat_exchange() for _ in range(2)]
    for exchange in admitted:
        assert isinstance(await ask(load, exchange), Continue)
    verdict = await ask(load, chat_exchange())
    assert reason(verdict) == "overloaded"
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert (verdict.refusal.status, verdict.refusal.retry_after_s) == (503, 1.0)


async def test_close_frees_the_slot_of_the_admitted_only(load: Load) -> None:
    stage = Admit(load, 1, 100)
    first, second = chat_exchange(), chat_exchange()
    await stage.request_headers(first)
    await stage.request_headers(second)
    await stage.close(second)
    assert load.in_flight == 1
    await stage.close(first)
    assert load.in_flight == 0
    assert isinstance(await stage.request_headers(chat_exchange()), Continue)


@pytest.mark.parametrize(
    ("path", "method", "headers", "expected"),
    [
        ("/v1/embeddings", "POST", {}, "unknown_endpoint"),
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
    stage = Admit(load, 2, 100)
    assert reason(await stage.request_headers(exchange)) == expected
    await stage.close(exchange)
    assert load.in_flight == 0


@pytest.mark.parametrize("length", ["100", "0", "", "-5", "abc"])
async def test_a_length_within_the_cap_or_unreadable_passes(load: Load, length: str) -> None:
    exchange = chat_exchange(headers={"content-length": length})
    assert isinstance(await ask(load, exchange), Continue)
