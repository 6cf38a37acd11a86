"""translate: what a provider gets, and what a client gets of its answer."""

from __future__ import annotations

import orjson
import pytest

from gateway_extproc.core.verdict import Decision
from support import bodies, flow
from support.parts import Bench


def error(decision: Decision) -> tuple[int, str]:
    assert decision.answer is not None
    code = orjson.loads(decision.answer.body)["error"]["code"]
    return decision.answer.status, code


async def test_the_provider_gets_its_path_model_and_length(bench: Bench) -> None:
    _, decision = await flow.ask(bench, bodies.chat(seed=7))
    assert decision.body is not None
    sent = orjson.loads(decision.body)
    assert (sent["model"], sent["seed"], sent["max_tokens"]) == ("east-small", 7, 8192)
    headers = dict(decision.set_headers)
    assert headers[":path"] == "/v1/chat/completions"
    assert headers["content-length"] == str(len(decision.body))
    assert headers["accept-encoding"] == "identity"
    assert headers["x-envoy-max-retries"] == "1"


async def test_another_dialect_gets_its_own_path_and_shape(bench: Bench) -> None:
    _, decision = await flow.ask(bench, bodies.chat(model="large"))
    assert decision.body is not None
    assert dict(decision.set_headers)[":path"] == "/api/v1/messages"
    assert orjson.loads(decision.body)["messages"][0]["role"] == "user"


FOREIGN = {
    "cookie": "planted",
    "x-forwarded-for": "10.0.0.1",
    "x-gateway-tenant": "other",
    "x-envoy-hedge-on-per-try-timeout": "true",
    "openai-organization": "org-planted",
    "anthropic-beta": "planted",
    "x-anything": "planted",
    "api-key": "planted",
}


async def test_foreign_headers_are_removed(bench: Bench) -> None:
    headers = {**FOREIGN, "user-agent": "sdk", "openai-beta": "b", "accept": "*/*"}
    headers.pop("api-key")
    _, decision = await flow.ask(bench, headers=headers)
    assert {*FOREIGN} - {"api-key"} <= set(decision.remove_headers)
    assert not {"user-agent", "openai-beta", "accept", ":path"} & set(decision.remove_headers)


async def test_a_header_is_kept_only_for_the_dialect_that_knows_it(bench: Bench) -> None:
    headers = {"openai-beta": "b", "anthropic-beta": "b"}
    _, decision = await flow.ask(bench, bodies.chat(model="large"), headers=headers)
    assert "openai-beta" in decision.remove_headers
    assert "anthropic-beta" not in decision.remove_headers


async def test_only_listed_headers_of_an_answer_reach_the_client(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    secret = {
        "openai-organization": "org-of-the-operator",
        "x-request-id": "req-of-the-provider",
        "set-cookie": "a=b",
        "server": "nginx",
        "x-ratelimit-remaining-requests": "3",
        "via": "proxy",
    }
    decision = await flow.answer_headers(
        bench, exchange, headers={**flow.JSON, **secret, "date": "now"}
    )
    removed_or_own = {*decision.remove_headers, *dict(decision.set_headers)}
    assert set(secret) <= removed_or_own
    assert not {"date", "content-type", ":status"} & removed_or_own
    assert dict(decision.set_headers)["x-request-id"] == exchange.request_id
    assert exchange.provider_request_id == "req-of-the-provider"


async def test_an_answer_in_the_clients_dialect_passes_unchanged(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    _, decision = await flow.answer(bench, exchange, bodies.completion(odd=1))
    assert (decision.body, decision.answer) == (None, None)
    assert (exchange.response_model, exchange.stop_reason) == ("east-small-0101", "stop")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, bodies.provider_error(code="bad_thing"), (400, "bad_thing")),
        (404, bodies.provider_error(code="model_not_found"), (404, "model_not_found")),
        (401, bodies.provider_error("Incorrect API key: sk-1"), (502, "provider_error")),
        (403, bodies.provider_error("Organisation x"), (502, "provider_error")),
        (429, bodies.provider_error(code="slow_down"), (429, "slow_down")),
        (500, bodies.provider_error(code="oops"), (500, "oops")),
        (503, b"upstream connect error", (503, "provider_unavailable")),
        (504, b"<html>", (504, "provider_timeout")),
        (200, b"not json", (502, "provider_answer_unreadable")),
        (200, b"[]", (502, "provider_answer_unreadable")),
        (200, b"{}", (502, "provider_answer_unreadable")),
        (302, b"", (502, "provider_answer_unreadable")),
    ],
)
async def test_errors_are_told_in_the_clients_terms(
    bench: Bench, status: int, body: bytes, expected: tuple[int, str]
) -> None:
    exchange, _ = await flow.ask(bench)
    _, decision = await flow.answer(bench, exchange, body, status=status)
    assert error(decision) == expected


async def test_a_providers_401_says_nothing_of_the_operators_key(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    body = bodies.provider_error("Incorrect API key provided: sk-planted")
    _, decision = await flow.answer(bench, exchange, body, status=401)
    assert decision.answer is not None
    assert b"sk-planted" not in decision.answer.body


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (503, (503, "provider_unavailable")),
        (504, (504, "provider_timeout")),
        (429, (503, "provider_unavailable")),
        (200, (502, "provider_answer_unreadable")),
    ],
)
async def test_what_envoy_itself_answers_is_no_providers_word(
    bench: Bench, status: int, expected: tuple[int, str]
) -> None:
    exchange, _ = await flow.ask(bench)
    _, decision = await flow.answer(bench, exchange, b"local", status=status, cluster="")
    assert error(decision) == expected


async def test_an_answer_of_headers_only_is_an_error(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    decision = await flow.answer_headers(bench, exchange, status=500, only=True)
    assert decision.answer is not None
    assert decision.answer.status == 500


async def test_a_providers_wait_is_passed_on(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench)
    headers = {**flow.JSON, "retry-after": "7"}
    _, decision = await flow.answer(
        bench, exchange, bodies.provider_error(), status=429, headers=headers
    )
    assert decision.answer is not None
    assert ("retry-after", "7") in decision.answer.headers


async def test_a_stream_is_switched_on_only_for_who_asked_for_one(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench, bodies.chat(stream=True))
    decision = await flow.answer_headers(
        bench, exchange, headers={"content-type": "text/event-stream; charset=utf-8",
                                  "content-length": "5"}
    )  # fmt: skip
    assert decision.body_mode == "streamed"
    assert "content-length" in decision.remove_headers
    other, _ = await flow.ask(bench)
    assert (await flow.answer_headers(bench, other, headers=flow.EVENTS)).body_mode is None


async def test_json_for_a_stream_is_unreadable(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench, bodies.chat(stream=True))
    _, decision = await flow.answer(bench, exchange, bodies.completion())
    assert error(decision) == (502, "provider_answer_unreadable")


async def test_a_stream_that_ends_early_ends_in_an_error_event(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench, bodies.chat(stream=True))
    _, decision = await flow.answer(
        bench, exchange, bodies.completion_event("Hi"), headers=flow.EVENTS
    )
    assert decision.body is not None
    assert b"provider_stream_incomplete" in decision.body
    assert exchange.outcome == "failed"


async def test_the_note_for_a_fallback_is_the_approved_request(bench: Bench) -> None:
    _, plain = await flow.ask(bench, bodies.chat("Hi", seed=7))
    assert plain.plan is not None
    note = orjson.loads(plain.plan.fallback)
    assert note["document"] == orjson.loads(bodies.chat("Hi", seed=7))
    assert note["further"] == [["west:fallback", "west-small"]]
    _, masked = await flow.ask(bench, bodies.chat("to jane@example.org"))
    assert masked.plan is not None
    assert "jane" not in masked.plan.fallback
    assert orjson.loads(masked.plan.fallback)["document"]["messages"][0]["content"] == "to [EMAIL]"
