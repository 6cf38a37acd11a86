"""guard: what a rule finds is blocked or masked before anybody else sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import Release
from gateway_extproc.core.verdict import Amend, Continue, Respond, Verdict
from gateway_extproc.providers.translate import DIALECTS
from support import bodies
from support.config import ANN
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
        {"id": "seen", "direction": "both", "kind": "pattern", "action": "flag",
         "patterns": ["write"]},
        {"id": "masked", "direction": "both", "kind": "pii", "action": "mask",
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
