"""Whether the ledger is what providers would bill: a running gateway under mixed load.

    make evidence-sums COUNT=50000

Chats, streams, another dialect's model, refused keys, streams that the client leaves and
providers that fail go through the real Envoy.  What the providers counted is worked out here
from the bodies that reached them, by the simulators' published formula, and prices are
multiplied anew; both stand beside the gateway's own records, request by request.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from gateway_simulators import ThreadedSimulator
from gateway_simulators.answers import completion_tokens, prompt_tokens
from gateway_simulators.journal import Received
from support.gateway import RunningGateway, running_gateway, wait_for

ROUND: Final = 1000
"""Requests between two looks at what reached the providers, whose journals are bounded."""
AT_ONCE: Final = 16
KINDS: Final = (
    "chat",
    "chat",
    "stream",
    "claude",
    "chat",
    "no key",
    "stream",
    "left",
    "chat",
    "claude",
)
PRICES: Final = {
    "gpt-4o-mini": (150, 600),
    "gpt-4o": (2500, 10000),
    "claude-haiku-4-5": (1000, 5000),
    "claude-sonnet-4-5": (3000, 15000),
}
"""Nano-dollars a token of the prompt and of the completion, as in the demo's configuration."""


@dataclass
class Books:
    """What was asked, and what providers counted of it."""

    asked: dict[str, str] = field(default_factory=dict)
    """Kind of each request by its id."""
    billed: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Model and tokens of each request that a provider answered to its end."""
    failed: int = 0
    """Attempts that a provider refused or broke off."""

    def take(self, provider: ThreadedSimulator) -> None:
        """What reached a provider since the last look."""
        for received in provider.requests:
            if received.outcome == "answered":
                request_id = received.header("x-request-id")
                assert request_id is not None
                self.billed[request_id] = _counted(received)
            else:
                self.failed += 1
        provider.clear()


def _counted(received: Received) -> tuple[str, int, int]:
    body = received.json()
    texts = [message["content"] for message in body["messages"]]
    words = [text if isinstance(text, str) else text[0]["text"] for text in texts]
    return body["model"], prompt_tokens(words), completion_tokens(f"You said: {words[-1]}")


async def load(gateway: RunningGateway, numbers: range, books: Books) -> None:
    """These requests, some at once."""
    todo: Iterator[int] = iter(numbers)

    async def work(client: httpx.AsyncClient) -> None:
        for number in todo:
            await _ask(client, gateway, number, books)

    async with httpx.AsyncClient(base_url=gateway.base_url, timeout=60) as client:
        await asyncio.gather(*(work(client) for _ in range(AT_ONCE)))


async def _ask(
    client: httpx.AsyncClient, gateway: RunningGateway, number: int, books: Books
) -> None:
    kind = KINDS[number % len(KINDS)]
    key = "gw_test_nobody" if kind == "no key" else gateway.keys["dev"]
    words = f"request {number} " + "with some more words " * (number % 7 + 1)
    if kind == "left":
        words += "and an answer that is long enough to be left " * 40
    body: dict[str, Any] = {
        "model": "claude-sonnet-4-5" if kind == "claude" else "gpt-4o-mini",
        "messages": [{"role": "user", "content": words}],
    }
    if kind in ("stream", "left"):
        body["stream"] = True
    headers = {"authorization": f"Bearer {key}"}
    # Who is turned away before anything is looked at is told to wait: no id, and no record.
    while not await _sent(client, body, headers, kind, books):  # noqa: ASYNC110
        await asyncio.sleep(1)


async def _sent(
    client: httpx.AsyncClient,
    body: dict[str, Any],
    headers: dict[str, str],
    kind: str,
    books: Books,
) -> bool:
    async with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        if "x-request-id" not in answer.headers:
            return False
        books.asked[answer.headers["x-request-id"]] = kind
        async for _ in answer.aiter_bytes():
            if kind == "left":
                break
    return True


def mixed_load(gateway: RunningGateway, count: int) -> Books:
    """So many requests; every other round begins with a provider that fails for a while."""
    books = Books()
    for start in range(0, count, ROUND):
        if start // ROUND % 2 == 0:
            gateway.openai.faults.set(status=500, times=ROUND // 20)
            gateway.anthropic.faults.set(reset=True, times=ROUND // 50)
        asyncio.run(load(gateway, range(start, min(count, start + ROUND)), books))
        for provider in (gateway.openai, gateway.anthropic):
            provider.faults.clear()
            books.take(provider)
    return books


@dataclass(frozen=True)
class Found:
    """How the records stand beside the books."""

    requests: int
    decisions: int
    costs: int
    compared: int
    """Requests that a provider answered to its end, and whose usage it reported."""
    differing: tuple[str, ...]
    tokens: tuple[int, int]
    """Of those, as providers counted and as the ledger says."""
    nanos: tuple[int, int]
    failovers: int
    left: int
    """Streams that the client left: the ledger holds an estimate of what was sent."""


def compare(gateway: RunningGateway, books: Books) -> Found:
    """Waits for the last record and looks at all."""
    wait_for(
        lambda: len({r["request_id"] for r in gateway.costs()}) >= len(books.asked), 30.0,
        "some request has no cost record",
    )  # fmt: skip
    decisions = {r["request_id"]: r for r in gateway.records()}
    costs = {r["request_id"]: r for r in gateway.costs()}
    tokens, nanos, differing, compared = [0, 0], [0, 0], [], 0
    for request_id, (model, prompt, completion) in books.billed.items():
        record = costs[request_id]
        usage = record.get("usage", {})
        if usage.get("source") != "reported":
            continue
        compared += 1
        price = PRICES[model]
        due = prompt * price[0] + completion * price[1]
        said = usage["prompt_tokens"] + usage["completion_tokens"]
        tokens = [tokens[0] + prompt + completion, tokens[1] + said]
        nanos = [nanos[0] + due, nanos[1] + record["cost_nanos"]]
        if (said, record["cost_nanos"]) != (prompt + completion, due):
            differing.append(request_id)
    return Found(
        len(books.asked), len(decisions), len(costs), compared, tuple(differing),
        (tokens[0], tokens[1]), (nanos[0], nanos[1]),
        sum(len(r.get("attempts", ())) > 1 for r in decisions.values()),
        sum(r["outcome"] == "ABORTED" for r in decisions.values()),
    )  # fmt: skip


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    with tempfile.TemporaryDirectory() as folder, running_gateway(Path(folder)) as gateway:
        found = compare(gateway, mixed_load(gateway, count))
    print(f"{found.requests} requests, {found.decisions} decision and {found.costs} cost records")
    print(f"{found.failovers} went to a second provider, {found.left} were left by their client")
    print(f"{found.compared} answered to their end: providers counted {found.tokens[0]} tokens and")
    print(f"{found.nanos[0]} nano-dollars, the ledger {found.tokens[1]} and {found.nanos[1]}")
    print(f"{len(found.differing)} of them differ {found.differing[:5]}")
    complete = found.requests == found.decisions == found.costs
    return 0 if complete and not found.differing else 1


if __name__ == "__main__":
    sys.exit(main())
