"""guard: what a rule finds is blocked or masked before anybody else sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.config.guardchecks import guard_rules
from gateway_extproc.core.chat import Chunk, TextDelta
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import Release
from gateway_extproc.core.verdict import Amend, Continue, Respond, Verdict
from gateway_extproc.guards import RuleGuard
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.stages.guard import Guard
from support import bodies
from support.config import ANN, make_config
from support.parts import Bench, make_bench


async def scanned(bench: Bench, text: str) -> tuple[Exchange, Verdict]:
    exchange = bench.exchange(ANN)
    await bench.stage("parse").request_body(exchange, bodies.chat(text, user="u-1"))
    return exchange, await bench.stage("guard").request_body(exchange, b"")


def texts(exchange: Exchange) -> list[str]:
    assert exchange.approved is not None
    return [at.text for at in exchange.approved.texts]


async def test_a_clean_prompt_is_approved_as_it_is(bench: Bench) -> None:
    exchange, verdict = await scanned(bench, "Hello")
    assert isinstance(verdict, Continue)
    assert exchange.approved is exchange.asked
    assert exchange.findings == []


async def test_a_mask_reaches_document_and_texts_and_leaves_the_original(bench: Bench) -> None:
    exchange, verdict = await scanned(bench, "write to jane@example.org")
    assert isinstance(verdict, Amend)
    assert exchange.approved is not None
    assert exchange.asked is not None
    assert exchange.approved.document["messages"][0]["content"] == "write to [EMAIL]"
    assert exchange.approved.document["user"] == "u-1"
    assert texts(exchange) == ["write to [EMAIL]"]
    assert exchange.asked.document["messages"][0]["content"] == "write to jane@example.org"


async def test_a_block_approves_nothing(bench: Bench) -> None:
    exchange, verdict = await scanned(bench, "a FORBIDDEN zebra")
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert (verdict.refusal.reason, verdict.refusal.rule) == ("prompt_blocked", "no-zebras")
    assert "zebra" not in verdict.refusal.message.replace("no-zebras", "")
    assert exchange.approved is None
    assert [finding.rule for finding in exchange.findings] == ["no-zebras"]


async def test_the_trail_names_the_rule_that_masked(tmp_path: Path) -> None:
    rules: list[dict[str, Any]] = [
        {"id": "seen", "direction": "both", "kind": "pattern", "action": "log",
         "patterns": ["write"]},
        {"id": "masked", "direction": "both", "kind": "pii", "action": "redact",
         "entities": ["email"]},
    ]  # fmt: skip
    _, verdict = await scanned(make_bench(tmp_path, guards=rules), "write to jane@example.org")
    assert isinstance(verdict, Amend)
    assert verdict.rule == "masked"


async def test_a_request_for_models_has_nothing_to_scan(bench: Bench) -> None:
    exchange = bench.exchange(ANN, path="/v1/models", method="GET")
    assert isinstance(await bench.stage("guard").request_body(exchange, b""), Continue)
    assert exchange.approved is None


async def answered(bench: Bench, text: str) -> tuple[Exchange, Verdict]:
    exchange, _ = await scanned(bench, "Hello")
    document = {"choices": [{"message": {"role": "assistant", "content": text}}], "kept": 1}
    exchange.arrived = Release(
        document=document, raw=b"raw", texts=DIALECTS["openai"].answer_texts(document)
    )
    return exchange, await bench.stage("guard").response_body(exchange, b"raw", last=True)


async def test_a_clean_answer_is_released_untouched(bench: Bench) -> None:
    exchange, verdict = await answered(bench, "Hello")
    assert isinstance(verdict, Continue)
    assert exchange.released is exchange.arrived


async def test_a_masked_answer_is_written_anew(bench: Bench) -> None:
    exchange, verdict = await answered(bench, "ask jane@example.org")
    assert isinstance(verdict, Amend)
    assert exchange.released is not None
    assert exchange.released.raw is None
    assert exchange.released.document is not None
    assert exchange.released.document["choices"][0]["message"]["content"] == "ask [EMAIL]"
    assert exchange.released.document["kept"] == 1


async def test_a_blocked_answer_is_not_released(bench: Bench) -> None:
    exchange, verdict = await answered(bench, "the forbidden zebra")
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert verdict.refusal.reason == "answer_blocked"
    assert exchange.released is None


@pytest.mark.parametrize("message", ["", "Not like this."])
async def test_a_rules_own_words_are_used(tmp_path: Path, message: str) -> None:
    rule = {
        "id": "r1",
        "direction": "both",
        "kind": "pattern",
        "action": "block",
        "patterns": ["zebra"],
        "message": message,
    }
    _, verdict = await scanned(make_bench(tmp_path, guards=[rule]), "zebra")
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert verdict.refusal.message == (message or "This prompt is not allowed by policy 'r1'.")


MASK: dict[str, Any] = {
    "id": "m", "direction": "request", "kind": "pii", "action": "mask", "entities": ["email"],
}  # fmt: skip


async def masked(tmp_path: Path, *more: dict[str, Any]) -> tuple[Bench, Exchange]:
    bench = make_bench(tmp_path, guards=[MASK, *more])
    exchange, verdict = await scanned(bench, "write to jane@example.org and jane@example.org")
    assert isinstance(verdict, Amend)
    assert texts(exchange) == ["write to [EMAIL-1] and [EMAIL-1]"]
    return bench, exchange


async def test_what_the_provider_must_not_see_comes_back_to_the_client(tmp_path: Path) -> None:
    bench, exchange = await masked(tmp_path)
    call = {"id": "c", "function": {"name": "send", "arguments": '{"to":"[EMAIL-1]"}'}}
    message = {"role": "assistant", "content": "Sent to [EMAIL-1].", "tool_calls": [call]}
    document = {"choices": [{"message": message}]}
    exchange.arrived = Release(document, b"raw", DIALECTS["openai"].answer_texts(document))
    await bench.stage("guard").response_body(exchange, b"raw", last=True)
    assert exchange.released is not None
    assert exchange.released.document is not None
    answer = exchange.released.document["choices"][0]["message"]
    assert answer["content"] == "Sent to jane@example.org."
    assert answer["tool_calls"][0]["function"]["arguments"] == '{"to":"jane@example.org"}'
    assert message["content"] == "Sent to [EMAIL-1]."  # what arrived is not changed
    assert "jane" not in repr(exchange.findings) + repr(exchange.masked)


@pytest.mark.parametrize("with_window", [False, True])
async def test_a_stream_gets_them_back_across_its_chunks(tmp_path: Path, with_window: bool) -> None:
    other = {"id": "x", "direction": "response", "kind": "pii", "action": "redact",
             "entities": ["email", "card"]}  # fmt: skip
    bench, exchange = await masked(tmp_path, *([other] if with_window else []))
    exchange.streaming = True
    said = ""
    pieces = list("Sent to [EMAIL-1], not to bob@example.org.")
    for number, piece in enumerate(pieces):
        chunk = Chunk(None, None, (TextDelta((0, "content"), piece),))
        exchange.arrived = Release(chunks=(chunk,))
        last = number == len(pieces) - 1
        await bench.stage("guard").response_body(exchange, b"", last=last)
        assert exchange.released is not None
        said += "".join(
            event.text
            for chunk in exchange.released.chunks
            for event in chunk.events
            if isinstance(event, TextDelta)
        )
    other_name = "[EMAIL]" if with_window else "bob@example.org"
    assert said == f"Sent to jane@example.org, not to {other_name}."


async def test_rules_that_annotate_are_named_in_the_answer(tmp_path: Path) -> None:
    rules = [
        {**MASK, "id": "a", "action": "annotate"},
        {**MASK, "id": "b", "action": "annotate", "mode": "shadow"},
        {**MASK, "id": "c", "action": "log"},
    ]
    bench = make_bench(tmp_path, guards=rules)
    exchange, _ = await scanned(bench, "write to jane@example.org")
    verdict = await bench.stage("guard").response_headers(exchange)
    assert isinstance(verdict, Amend)
    assert verdict.set_headers == (("x-gateway-guard", "a"),)
    assert texts(exchange) == ["write to jane@example.org"]


@pytest.mark.parametrize("on_error", ["open", "closed"])
async def test_what_could_not_be_looked_at_in_time_goes_by_policy(
    tmp_path: Path, on_error: str
) -> None:
    rule = {**MASK, "on_error": on_error, "deadline_ms": 5.0}
    bench = make_bench(tmp_path, guards=[rule])
    ticking = iter(range(0, 10**12, 6_000_000))
    guards = RuleGuard(guard_rules(make_config(guards=[rule])), clock_ns=lambda: next(ticking))
    stage = Guard(guards, lambda exchange, classes: ())
    exchange = bench.exchange(ANN)
    await bench.stage("parse").request_body(exchange, bodies.chat("to jane@example.org"))
    verdict = await stage.request_body(exchange, b"")
    assert exchange.degraded == ("guard",)
    if on_error == "open":
        assert exchange.failed_open
        assert texts(exchange) == ["to jane@example.org"]
    else:
        assert isinstance(verdict, Respond)
        assert verdict.refusal is not None
        assert (verdict.refusal.reason, verdict.refusal.rule) == ("guard_unavailable", "m")
        assert exchange.approved is None
        assert not exchange.failed_open


@pytest.mark.parametrize(("model", "providers"), [("small", ["west"]), ("pub-one", [])])
async def test_what_is_found_decides_who_may_answer(
    tmp_path: Path, model: str, providers: list[str]
) -> None:
    rule = {**MASK, "action": "route", "data_class": "health"}
    bench = make_bench(tmp_path, guards=[rule])
    for text, found in (("to jane@example.org", True), ("to nobody", False)):
        exchange = bench.exchange(ANN)
        await bench.stage("parse").request_body(exchange, bodies.chat(text, model=model))
        await bench.stage("route").request_body(exchange, b"")
        before = exchange.targets
        verdict = await bench.stage("guard").request_body(exchange, b"")
        if not found:
            assert exchange.targets == before
        elif providers:
            assert [target.provider for target in exchange.targets] == providers
            assert isinstance(verdict, Amend)
            assert verdict.rule == "m"
        else:
            assert isinstance(verdict, Respond)
            assert verdict.refusal is not None
            assert verdict.refusal.reason == "no_eligible_target"


async def test_a_tool_without_trust_gets_the_placeholder(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, guards=[{**MASK, "untrusted_tools": ["web_*"]}])
    exchange, _ = await scanned(bench, "write to jane@example.org")
    calls = [
        {"id": "c", "function": {"name": name, "arguments": '{"to":"[EMAIL-1]"}'}}
        for name in ("send", "web_search")
    ]
    document = {"choices": [{"message": {"role": "assistant", "tool_calls": calls}}]}
    exchange.arrived = Release(document, b"raw", DIALECTS["openai"].answer_texts(document))
    await bench.stage("guard").response_body(exchange, b"raw", last=True)
    assert exchange.released is not None
    assert exchange.released.document is not None
    answer = exchange.released.document["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in answer] == [
        '{"to":"jane@example.org"}',
        '{"to":"[EMAIL-1]"}',
    ]
