"""Masks of a conversation: the same placeholder in each request, the value back in each answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import Release, StoreUnavailable
from gateway_extproc.core.secret import Secret
from gateway_extproc.core.verdict import Respond, Verdict
from gateway_extproc.guardrules import open_conversations
from gateway_extproc.guards.placeholders import CONVERSATION_BYTES_MAX
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.stores.masks import HostMasks
from support import bodies, parts
from support.config import ANN, BOB, VIC
from support.parts import Bench, make_bench

MASK = {
    "id": "m", "direction": "request", "kind": "pii", "action": "mask", "entities": ["email"],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the masks of this test are kept."""
    return tmp_path


def bench_of(folder: Path, **settings: Any) -> Bench:
    server = {"socket_dir": str(folder)}
    return make_bench(folder, guards=[MASK], mask_conversations=settings, server=server)


async def ask(
    bench: Bench, text: str, *, key: str = ANN, conversation: str = "c-1"
) -> tuple[Exchange, Verdict]:
    exchange = bench.exchange(key)
    if conversation:
        exchange.headers["x-conversation-id"] = conversation
    await bench.stage("parse").request_body(exchange, bodies.chat(text))
    return exchange, await bench.stage("guard").request_body(exchange, b"")


def contents(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def sent(exchange: Exchange) -> str:
    assert exchange.approved is not None
    text = exchange.approved.document["messages"][0]["content"]
    assert isinstance(text, str)
    return text


async def restored(bench: Bench, exchange: Exchange, answer: str) -> str:
    document = {"choices": [{"index": 0, "message": {"role": "assistant", "content": answer}}]}
    texts = DIALECTS["openai"].answer_texts(document)
    exchange.arrived = Release(document=document, raw=b"raw", texts=texts)
    await bench.stage("guard").response_body(exchange, b"", last=True)
    assert exchange.released is not None
    assert exchange.released.document is not None
    text = exchange.released.document["choices"][0]["message"]["content"]
    assert isinstance(text, str)
    return text


async def test_an_answer_names_what_only_an_earlier_request_said(folder: Path) -> None:
    bench = bench_of(folder)
    first, _ = await ask(bench, "I am jane@example.org")
    assert sent(first) == "I am [EMAIL-1]"
    second, _ = await ask(bench, "who am I?")
    assert await restored(bench, second, "you are [EMAIL-1]") == "you are jane@example.org"


async def test_a_new_value_gets_a_placeholder_of_its_own(folder: Path) -> None:
    bench = bench_of(folder)
    await ask(bench, "I am jane@example.org")
    second, _ = await ask(bench, "write to joe@example.org, from jane@example.org")
    assert sent(second) == "write to [EMAIL-2], from [EMAIL-1]"


async def test_a_worker_that_starts_anew_finds_the_conversation(folder: Path) -> None:
    await ask(bench_of(folder), "I am jane@example.org")
    bench = bench_of(folder)
    second, _ = await ask(bench, "who am I?")
    assert await restored(bench, second, "[EMAIL-1]") == "jane@example.org"


@pytest.mark.parametrize(
    ("key", "conversation"), [(BOB, "c-1"), (VIC, "c-1"), (ANN, "c-2"), (ANN, "")]
)
async def test_nobody_else_and_no_other_conversation_reads_it(
    folder: Path, key: str, conversation: str
) -> None:
    bench = bench_of(folder)
    await ask(bench, "I am jane@example.org")
    other, _ = await ask(bench, "who is [EMAIL-1]?", key=key, conversation=conversation)
    assert await restored(bench, other, "you are [EMAIL-1]") == "you are [EMAIL-1]"


async def test_a_tenant_that_is_not_named_keeps_nothing(folder: Path) -> None:
    bench = bench_of(folder, tenants=["beta"])
    await ask(bench, "I am jane@example.org")
    second, _ = await ask(bench, "who am I?")
    assert await restored(bench, second, "[EMAIL-1]") == "[EMAIL-1]"


async def test_two_requests_at_once_do_not_share_a_placeholder(folder: Path) -> None:
    bench = bench_of(folder)
    asked = await asyncio.gather(*(ask(bench, f"I am user{n}@example.org") for n in range(4)))
    assert sorted(sent(exchange) for exchange, _ in asked) == [
        f"I am [EMAIL-{n}]" for n in range(1, 5)
    ]
    later, _ = await ask(bench, "all of us?")
    told = await restored(bench, later, "[EMAIL-1] [EMAIL-2] [EMAIL-3] [EMAIL-4]")
    assert sorted(told.split()) == [f"user{n}@example.org" for n in range(4)]


async def test_what_the_client_itself_writes_in_brackets_is_nobody_s_value(folder: Path) -> None:
    bench = bench_of(folder)
    await ask(bench, "I am jane@example.org")
    second, _ = await ask(bench, "what is [EMAIL-1]? I am joe@example.org")
    assert sent(second) == "what is [EMAIL-1]? I am [EMAIL-2]"
    assert await restored(bench, second, "[EMAIL-1]") == "[EMAIL-1]"


async def test_values_are_nowhere_in_the_clear(folder: Path) -> None:
    await ask(bench_of(folder), "I am jane@example.org", conversation="very-private")
    data = contents(folder / "state")
    assert b"SQLite format" in data
    assert not any(word in data for word in (b"jane", b"example.org", b"very-private", b"acme"))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(HostMasks, "get", away)


@pytest.mark.usefixtures("broken")
async def test_without_the_store_nothing_is_asked(folder: Path) -> None:
    exchange, verdict = await ask(bench_of(folder), "I am jane@example.org")
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert (verdict.refusal.reason, verdict.refusal.status) == ("guard_unavailable", 503)
    assert exchange.approved is None


@pytest.mark.usefixtures("broken")
async def test_where_policy_says_open_the_request_has_placeholders_of_its_own(folder: Path) -> None:
    bench = bench_of(folder, on_error="open")
    exchange, _ = await ask(bench, "I am jane@example.org")
    assert sent(exchange) == "I am [EMAIL-1]"
    assert "masks" in exchange.degraded
    assert await restored(bench, exchange, "[EMAIL-1]") == "jane@example.org"


async def test_what_is_too_much_to_keep_is_masked_for_good(folder: Path) -> None:
    bench = bench_of(folder)
    many = " ".join(f"{'x' * 40}{n}@example.org" for n in range(CONVERSATION_BYTES_MAX // 50))
    exchange, _ = await ask(bench, many)
    assert sent(exchange).startswith("[EMAIL-1] [EMAIL-2] ")
    assert sent(exchange).endswith(" [EMAIL] [EMAIL]")
    later, _ = await ask(bench, "who?")
    assert await restored(bench, later, "[EMAIL-7] [EMAIL]") == f"{'x' * 40}6@example.org [EMAIL]"


async def test_a_map_under_another_pepper_is_begun_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Secret("the-one-before")
    monkeypatch.setattr(parts, "open_conversations", lambda c, _: open_conversations(c, before))
    await ask(bench_of(folder), "I am jane@example.org")
    monkeypatch.undo()
    bench = bench_of(folder)
    exchange, _ = await ask(bench, "I am joe@example.org")
    assert sent(exchange) == "I am [EMAIL-1]"
    assert "masks" in exchange.degraded
    assert await restored(bench, exchange, "[EMAIL-1]") == "joe@example.org"
