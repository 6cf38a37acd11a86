"""cache: the same answer to the same question of the same tenant, and to nothing else."""

from __future__ import annotations

import time
from copy import copy
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from gateway_extproc.config.caching import Cache
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Permit
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.core.verdict import Decision
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.stages.cache import _form_headers
from gateway_extproc.stages.cachekey import CachePolicy
from gateway_extproc.stores.answers import HostAnswers, SealedAnswers
from gateway_extproc.stores.memory import CacheBounds
from support import bodies, config, flow
from support.config import ANN, BOB, CAT, VIC
from support.parts import Bench, make_bench


def caching_bench(tmp_path: Path, **more: Any) -> Bench:
    sections = config.document(**more)
    for model in sections["models"]:
        model["cache_ttl_s"] = 60
    sections["providers"][0]["data_classes"] = ["standard", "health"]
    return make_bench(tmp_path, **sections)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return caching_bench(tmp_path)


async def asked(bench: Bench, body: bytes | None = None, **more: str) -> tuple[Exchange, Decision]:
    headers = {"cache-control": more.pop("control")} if "control" in more else {}
    return await flow.ask(bench, body, headers=headers, **more)


async def stored(bench: Bench, body: bytes | None = None, **more: str) -> None:
    exchange, _ = await asked(bench, body, **more)
    await flow.answer(bench, exchange, bodies.completion())


async def hits(bench: Bench, body: bytes | None = None, **more: str) -> bool:
    exchange, decision = await asked(bench, body, **more)
    assert (decision.answer is not None) is exchange.cache_hit
    await bench.pipeline().close(exchange)
    return exchange.cache_hit


async def test_an_identical_question_is_answered_at_once(bench: Bench) -> None:
    assert not await hits(bench)
    await stored(bench)
    exchange, decision = await asked(bench)
    assert decision.answer is not None
    assert (decision.answer.status, decision.answer.body) == (200, bodies.completion())
    assert dict(decision.answer.headers)["x-gateway-cache"] == "hit"
    assert exchange.outcome == "allowed"


async def test_the_order_of_keys_does_not_matter(bench: Bench) -> None:
    await stored(bench, b'{"model":"small","messages":[{"role":"user","content":"a"}]}')
    assert await hits(bench, b'{"messages":[{"content":"a","role":"user"}],"model":"small"}')


async def test_an_answer_ends_with_its_time(bench: Bench) -> None:
    await stored(bench)
    bench.clock.advance(60)
    assert not await hits(bench)


@pytest.mark.parametrize(
    "body",
    [
        bodies.chat("Hello!"),
        bodies.chat(temperature=0.5),
        bodies.chat(model="pub-one"),
        bodies.chat(user="somebody"),
    ],
)
async def test_another_question_is_another_question(bench: Bench, body: bytes) -> None:
    await stored(bench)
    assert not await hits(bench, body)


async def test_no_answer_reaches_who_has_tighter_rules(tmp_path: Path) -> None:
    rule = {"id": "r", "direction": "response", "kind": "pattern", "action": "block",
            "patterns": ["Hello"], "keys": [VIC.split("_")[2]]}  # fmt: skip
    bench = caching_bench(tmp_path, guards=[rule])
    await stored(bench, key=ANN)
    assert await hits(bench, key=ANN)
    assert not await hits(bench, key=VIC)


async def test_no_answer_crosses_tenants(bench: Bench) -> None:
    await stored(bench, key=ANN)
    assert not await hits(bench, key=BOB)
    assert await hits(bench, key=VIC)


async def test_no_answer_outlives_its_policy(bench: Bench) -> None:
    await stored(bench)
    other = replace(bench.parts.snapshot, revision="other")
    stages = {"cache": bench.parts.answers.cache(other)}
    bench.stages = [stages.get(stage.name, stage) for stage in bench.stages]
    assert not await hits(bench)


@pytest.mark.parametrize("control", ["no-cache", "No-Cache", "max-age=0, no-cache"])
async def test_a_client_may_ask_for_a_fresh_answer(bench: Bench, control: str) -> None:
    await stored(bench)
    assert not await hits(bench, control=control)
    assert await hits(bench)


@pytest.mark.parametrize("control", ["no-store", "NO-STORE", "no-cache, no-store"])
async def test_a_client_may_ask_that_nothing_is_stored(bench: Bench, control: str) -> None:
    await stored(bench, control=control)
    assert not await hits(bench)


async def test_what_a_guard_found_in_the_prompt_is_not_stored(bench: Bench) -> None:
    prompt = bodies.chat("write to jane@example.org")
    await stored(bench, prompt)
    assert not await hits(bench, prompt)
    assert not await hits(bench, bodies.chat("write to [EMAIL]"))


async def test_what_a_guard_found_in_the_answer_is_not_stored(bench: Bench) -> None:
    exchange, _ = await asked(bench)
    await flow.answer(bench, exchange, bodies.completion("ask jane@example.org"))
    assert not await hits(bench)


STREAMED = bodies.chat(stream=True)
STREAMED_WITH_USAGE = bodies.chat(stream=True, stream_options={"include_usage": True})
EVENTS = bodies.completion_event("Hi there") + bodies.STREAM_END


async def stored_stream(bench: Bench, body: bytes, events: bytes = EVENTS) -> bytes:
    """What the first client was given."""
    exchange, _ = await asked(bench, body)
    _, at_body = await flow.answer(bench, exchange, events, headers=flow.EVENTS)
    return events if at_body.body is None else at_body.body


async def given(
    bench: Bench, body: bytes | None = None, **more: str
) -> tuple[bytes, dict[str, str]]:
    exchange, decision = await asked(bench, body, **more)
    assert exchange.cache_hit
    assert decision.answer is not None
    return decision.answer.body, dict(decision.answer.headers)


async def test_a_stream_is_given_again_as_it_was(bench: Bench) -> None:
    first = await stored_stream(bench, STREAMED_WITH_USAGE)
    body, headers = await given(bench, STREAMED_WITH_USAGE)
    assert body == first
    assert headers["content-type"] == "text/event-stream"


async def test_the_gateways_own_wish_for_usage_is_not_replayed(bench: Bench) -> None:
    first = await stored_stream(bench, STREAMED)
    body, _ = await given(bench, STREAMED)
    assert body == first
    assert b'"usage"' not in body
    told, _ = await given(bench, STREAMED_WITH_USAGE)
    assert b'"prompt_tokens":10' in told


async def test_a_stream_answers_who_wants_a_whole_answer(bench: Bench) -> None:
    await stored_stream(bench, STREAMED)
    body, headers = await given(bench)
    document = orjson.loads(body)
    assert document["choices"][0]["message"]["content"] == "Hi there"
    assert document["usage"]["total_tokens"] == 15
    assert headers["content-type"] == "application/json"


async def test_a_whole_answer_answers_who_wants_a_stream(bench: Bench) -> None:
    await stored(bench)
    body, headers = await given(bench, STREAMED)
    assert body.endswith(b"data: [DONE]\n\n")
    assert b'"content":"Hi there"' in body
    assert headers["content-type"] == "text/event-stream"


async def test_what_cannot_be_said_as_a_stream_is_asked_again(bench: Bench) -> None:
    exchange, _ = await asked(bench)
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "well"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await flow.answer(bench, exchange, bodies.completion(choices=[choice]))
    assert await hits(bench)
    assert not await hits(bench, STREAMED)


@pytest.mark.parametrize(
    "events",
    [
        bodies.completion_event("Hi"),
        bodies.completion_event("Hi") + b'data: {"error":{"message":"broken"}}\n\n',
        EVENTS.replace(b'"finish_reason":"stop"', b'"finish_reason":"length"'),
        EVENTS.replace(b'"finish_reason":"stop"', b'"finish_reason":"content_filter"'),
        EVENTS.replace(b"Hi there", b"ask jane@example.org"),
        bodies.STREAM_END,
    ],
    ids=["no end", "error", "cut", "filtered", "guarded", "empty"],
)
async def test_a_stream_that_did_not_end_well_is_not_stored(bench: Bench, events: bytes) -> None:
    await stored_stream(bench, STREAMED, events)
    assert not await hits(bench, STREAMED)


async def test_a_stream_whose_client_left_is_not_stored(bench: Bench) -> None:
    exchange, _ = await asked(bench, STREAMED)
    await flow.answer_headers(bench, exchange, headers=flow.EVENTS)
    await bench.pipeline().response_body(exchange, EVENTS[:-20], last=False)
    await bench.pipeline().close(exchange)
    assert not await hits(bench, STREAMED)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_that_was_cut_is_not_stored(bench: Bench, reason: str) -> None:
    exchange, _ = await asked(bench)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hi"},
        "finish_reason": reason,
    }
    await flow.answer(bench, exchange, bodies.completion(choices=[choice]))
    assert not await hits(bench)


async def test_calls_of_tools_are_stored(bench: Bench) -> None:
    function = {"name": "weather", "arguments": '{"city":"Oslo"}'}
    call = {"id": "c1", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    exchange, _ = await asked(bench)
    await flow.answer(bench, exchange, bodies.completion(choices=[choice]))
    body, _ = await given(bench)
    assert orjson.loads(body)["choices"][0]["message"]["tool_calls"] == [call]
    stream, _ = await given(bench, STREAMED)
    assert b'"name":"weather"' in stream


async def test_anthropics_clients_are_given_their_own_shape(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench, bodies.messages(), path="/v1/messages")
    await flow.answer(bench, exchange, bodies.completion())
    again, decision = await flow.ask(bench, bodies.messages(), path="/v1/messages")
    assert again.cache_hit
    assert decision.answer is not None
    message = orjson.loads(decision.answer.body)
    assert message["content"] == [{"type": "text", "text": "Hi there"}]
    _, streamed = await flow.ask(bench, bodies.messages(stream=True), path="/v1/messages")
    assert streamed.answer is not None
    assert streamed.answer.body.startswith(b"event: message_start")


# ------------------------------------------------------------- what may be answered twice


@pytest.mark.parametrize(
    ("sampling", "fields", "cached"),
    [
        ("unasked", {}, True),
        ("unasked", {"temperature": 0}, True),
        ("unasked", {"temperature": 0.0, "top_p": 0.5}, True),
        ("unasked", {"temperature": 0.2}, False),
        ("unasked", {"top_p": 0.5}, False),
        ("unasked", {"temperature": None}, True),
        ("greedy", {}, False),
        ("greedy", {"temperature": 0}, True),
        ("any", {"temperature": 0.9}, True),
        ("any", {"n": 2}, False),
        ("any", {"n": 1}, True),
    ],
)
async def test_policy_says_which_sampling_may_be_answered_twice(
    tmp_path: Path, sampling: str, fields: dict[str, Any], cached: bool
) -> None:
    bench = caching_bench(tmp_path, cache={"sampling": sampling})
    body = bodies.chat(**fields)
    await stored(bench, body)
    assert await hits(bench, body) is cached
    bench.close()


@pytest.mark.parametrize(
    ("fields", "steady"),
    [
        ({}, True),
        ({"p": 0.5}, False),
        ({"inferenceConfig": {"maxTokens": 9}}, True),
        ({"inferenceConfig": {"temperature": 0.7}}, False),
        ({"inferenceConfig": {"temperature": 0}}, True),
        ({"generationConfig": {"topK": 3}}, False),
    ],
)
def test_sampling_is_found_where_each_dialect_says_it(fields: dict[str, Any], steady: bool) -> None:
    assert CachePolicy(Cache(), "r1")._is_steady(fields) is steady


async def test_data_of_a_class_is_stored_where_policy_allows_it(tmp_path: Path) -> None:
    bench = caching_bench(tmp_path, cache={"data_classes": ["standard", "health"]})
    await stored(bench, key=CAT)
    assert await hits(bench, key=CAT)
    bench.close()


async def test_only_a_share_crosses_tenants(tmp_path: Path) -> None:
    shared = {"shared": [{"id": "all", "tenants": ["acme", "beta"]}]}
    bench = caching_bench(tmp_path, cache=shared)
    await stored(bench, key=ANN)
    assert await hits(bench, key=BOB)
    bench.close()


async def test_a_share_does_not_cross_rules_on_answers(tmp_path: Path) -> None:
    shared = {"shared": [{"id": "all", "tenants": ["acme", "beta"]}]}
    rule = {"id": "r", "direction": "response", "kind": "pattern", "action": "block",
            "patterns": ["Hello"], "tenants": ["beta"]}  # fmt: skip
    bench = caching_bench(tmp_path, cache=shared, guards=[rule])
    await stored(bench, key=ANN)
    assert not await hits(bench, key=BOB)
    bench.close()


async def test_who_speaks_another_version_is_answered_anew(bench: Bench) -> None:
    for headers in ({}, {"anthropic-beta": "new"}):
        exchange, _ = await flow.ask(bench, headers=headers)
        assert not exchange.cache_hit
        await flow.answer(bench, exchange, bodies.completion())


# ------------------------------------------------------------------- what clients ask for


async def test_the_bypass_header_leaves_the_cache_aside(bench: Bench) -> None:
    await stored(bench)
    exchange, decision = await flow.ask(bench, headers={"x-gateway-cache": "bypass"})
    assert decision.answer is None
    at_headers, _ = await flow.answer(bench, exchange, bodies.completion("Other"))
    assert dict(at_headers.set_headers)["x-gateway-cache"] == "bypass"
    body, _ = await given(bench)
    assert b"Hi there" in body


async def test_who_wants_only_what_is_cached_is_told_that_nothing_is(bench: Bench) -> None:
    exchange, decision = await asked(bench, control="only-if-cached")
    assert decision.answer is not None
    assert decision.answer.status == 504
    assert exchange.refusal is not None
    assert exchange.refusal.reason == "not_cached"
    await stored(bench)
    await given(bench, control="only-if-cached")


@pytest.mark.parametrize("fields", [{"temperature": 1}, {"model": "pub-one"}])
async def test_only_if_cached_never_goes_to_a_provider(
    bench: Bench, fields: dict[str, Any]
) -> None:
    _, decision = await asked(bench, bodies.chat(**fields), control="only-if-cached")
    assert decision.answer is not None
    assert decision.answer.status == 504


async def test_an_answer_may_be_too_old_for_a_client(tmp_path: Path) -> None:
    bench = caching_bench(tmp_path)
    await stored(bench)
    bench.clock.advance(30)
    _, headers = await given(bench, control="max-age=30")
    assert headers["age"] == "30"
    assert not await hits(bench, control="max-age=29")
    assert not await hits(bench, control="max-age=0")
    bench.close()


async def test_a_miss_that_is_kept_says_so(bench: Bench) -> None:
    exchange, _ = await asked(bench)
    at_headers, at_body = await flow.answer(bench, exchange, bodies.completion())
    assert dict(at_headers.set_headers)["x-gateway-cache"] == "miss"
    assert dict(at_body.set_headers)["x-gateway-cache"] == "stored"


async def test_a_route_without_a_cache_says_nothing(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    exchange, _ = await asked(bench)
    at_headers, _ = await flow.answer(bench, exchange, bodies.completion())
    assert "x-gateway-cache" not in dict(at_headers.set_headers)
    bench.close()


# ------------------------------------------------------------------- a store that is away


class Broken:
    """A store that does not answer."""

    async def get(self, key: bytes) -> bytes | None:
        raise StoreUnavailable("away")

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        raise StoreUnavailable("away")


async def test_a_store_that_is_away_is_a_miss_and_is_told(tmp_path: Path) -> None:
    bench = caching_bench(tmp_path)
    answers = replace(bench.parts.answers, store=Broken())
    stages = {"cache": answers.cache(bench.parts.snapshot),
              "remember": answers.remember(bench.parts.snapshot)}  # fmt: skip
    bench.stages = [stages.get(stage.name, stage) for stage in bench.stages]
    exchange, decision = await asked(bench)
    assert decision.answer is None
    await flow.answer(bench, exchange, bodies.completion())
    assert exchange.outcome == "allowed"
    assert exchange.degraded == ("cache",)
    bench.close()


# ------------------------------------------------------------------------ no hit across


async def test_no_hit_crosses_tenants_in_100000_interleaved_requests(tmp_path: Path) -> None:
    """Ten tenants ask the same hundred questions in any order; each answer names its tenant."""
    store = HostAnswers(tmp_path / "answers", CacheBounds(1 << 28, 10_000, 4096), time.time)
    sealed = SealedAnswers(store, b"k" * 32)
    bench = caching_bench(tmp_path)
    policy = CachePolicy(bench.parts.snapshot.config.cache, bench.parts.snapshot.revision)
    dice = Random(7)
    names = [f"tenant-{number}" for number in range(10)]
    permit = bench.permit(ANN)
    permits = [with_tenant(permit, name) for name in names]
    questions = []
    for number in range(100):
        exchange, _ = await asked(bench, bodies.chat(f"question {number}"))
        questions.append(exchange)
    hits_seen = wrong = 0
    for _ in range(100_000):
        exchange, tenant = dice.choice(questions), dice.randrange(10)
        exchange.permit = permits[tenant]
        key = policy.key(exchange)
        found = await sealed.get(key)
        if found is None:
            await sealed.put(key, names[tenant].encode(), 600)
            continue
        hits_seen += 1
        wrong += found != names[tenant].encode()
    assert (hits_seen, wrong) == (100_000 - 1000, 0)
    store.close()
    bench.close()


def with_tenant(permit: Permit, name: str) -> Permit:
    principal = replace(permit.principal, tenant=replace(permit.principal.tenant, id=name))
    changed = copy(permit)
    object.__setattr__(changed, "principal", principal)
    return changed


async def test_a_special_data_class_is_not_stored(bench: Bench) -> None:
    await stored(bench, key=CAT)
    assert not await hits(bench, key=CAT)


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_an_error_is_not_stored(bench: Bench, status: int) -> None:
    exchange, _ = await asked(bench)
    await flow.answer(bench, exchange, bodies.provider_error(), status=status)
    assert not await hits(bench)


async def test_an_answer_that_did_not_arrive_is_not_stored(bench: Bench) -> None:
    exchange, _ = await asked(bench)
    await flow.answer_headers(bench, exchange)
    await bench.pipeline().close(exchange)
    assert not await hits(bench)


async def test_a_route_without_a_time_keeps_nothing(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    await stored(bench)
    assert not await hits(bench)


async def test_a_hit_saves_what_the_stored_answer_cost(bench: Bench) -> None:
    exchange, _ = await asked(bench)
    await flow.answer(bench, exchange, bodies.completion())
    assert exchange.cost_nanos == 10 * 100 + 5 * 400
    hit, _ = await asked(bench)
    await bench.pipeline().close(hit)
    assert (hit.saved_nanos, hit.cost_nanos, hit.usage) == (exchange.cost_nanos, 0, None)


@pytest.mark.parametrize(
    ("dialect", "endpoint", "document", "kind"),
    [
        ("bedrock", "converse", {"messages": [{"role": "user", "content": [{"text": "q"}]}]},
         "application/vnd.amazon.eventstream"),
        ("gemini", "generate_content", {"contents": [{"parts": [{"text": "q"}]}], "alt": "json"},
         "application/json"),
        ("gemini", "generate_content", {"contents": [{"parts": [{"text": "q"}]}], "alt": "sse"},
         "text/event-stream"),
        ("cohere", "cohere_chat", {"messages": [{"role": "user", "content": "q"}]},
         "text/event-stream"),
    ],
)  # fmt: skip
def test_a_kept_stream_has_the_media_type_of_its_client(
    dialect: str, endpoint: str, document: dict[str, Any], kind: str
) -> None:
    asked = DIALECTS[dialect].read_request(endpoint, {"model": "m", "stream": True, **document})
    assert dict(_form_headers(asked, streamed=True))["content-type"] == kind
    assert dict(_form_headers(asked, streamed=False)) == {"content-type": "application/json"}
