"""Budgets through the real Envoy: what SDKs see, what dies with a worker, what the ledger says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway_extproc.config.load import load
from gateway_extproc.core.limits import SECOND_US, Ask
from gateway_extproc.limiters import limits_table, now_us
from gateway_extproc.limits.rules import compile_rules
from gateway_extproc.stores.host import HostCounters
from support.gateway import RunningGateway, running_gateway, wait_for

LIMIT = 60_000
BUDGET = {"id": "team", "per": ["tenant"], "tokens": LIMIT, "period": "month",
          "thresholds": [{"percent": 50, "action": "alert"}]}  # fmt: skip


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    def change(document: dict[str, Any]) -> None:
        document["budgets"] = [BUDGET]
        document["limits"] = [{"id": "tokens-a-minute", "per": ["user"], "tokens": 10**7}]

    with running_gateway(tmp_path, change) as running:
        yield running


def client(gateway: RunningGateway) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{gateway.base_url}/v1", api_key=gateway.keys["dev"], max_retries=2
    )


def ask(sdk: openai.OpenAI, max_tokens: int = 1000, text: str = "Hello " * 20) -> Any:
    return sdk.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", max_tokens=max_tokens,
        messages=[{"role": "user", "content": text}],
    )  # fmt: skip


def stands(gateway: RunningGateway) -> tuple[int, int]:
    """What the budget's counter says: used, held."""
    config = load((gateway.run_dir / "gateway.yaml").read_text())
    rule = next(r for r in compile_rules(config) if r.budget)
    table = HostCounters(limits_table(config), now_us)
    tenant = next(cost["tenant"] for cost in gateway.costs() if "usage" in cost)
    look = (Ask(rule.counter, f"team\x1f{tenant}", 0, settles=False),)
    reserved = asyncio.run(table.reserve(f"look{now_us()}", look, SECOND_US))
    table.close()
    return reserved.states[0].used, reserved.states[0].held


def alerts(gateway: RunningGateway) -> list[str]:
    """Thresholds that were told."""
    return [
        line
        for file in gateway.run_dir.rglob("alerts-*.jsonl")
        for line in file.open()
        if "budget_threshold" in line
    ]


def ledger(gateway: RunningGateway) -> int:
    """Tokens of all cost records; a request that stands twice counts once."""
    by_id = {
        record["decision_id"]: record["usage"] for record in gateway.costs() if "usage" in record
    }
    return sum(u["prompt_tokens"] + u["completion_tokens"] for u in by_id.values())


def test_an_sdk_reads_what_is_left_and_is_not_made_to_wait_for_a_month(
    gateway: RunningGateway,
) -> None:
    sdk = client(gateway)
    headers = ask(sdk).headers
    assert 0 < int(headers["x-ratelimit-remaining-tokens"]) < 10**7
    # Each holds 24,000 tokens and settles some thousands of them.
    refused = None
    for _ in range(40):
        try:
            ask(sdk, 4000, "long " * 4000)
        except openai.RateLimitError as error:
            refused = error
            break
    assert refused is not None
    assert refused.code == "insufficient_quota"
    assert refused.response.headers["x-should-retry"] == "false"
    assert int(refused.response.headers["retry-after"]) > 0
    assert ask(sdk, 100).status_code == 200
    wait_for(lambda: stands(gateway)[1] == 0, 5, "something is still held")
    assert LIMIT - 24_500 < stands(gateway)[0] <= LIMIT
    # Told once, behind the settlement that passed it, and written a moment later.
    wait_for(lambda: len(alerts(gateway)) == 1, 5, f"{alerts(gateway)}")


def test_counter_and_ledger_agree_although_workers_die(gateway: RunningGateway) -> None:
    stop = threading.Event()

    def load_it() -> None:
        sdk = client(gateway).with_options(max_retries=0)
        while not stop.is_set():
            try:
                ask(sdk, 100)
            except openai.APIError:
                stop.wait(0.05)

    threads = [threading.Thread(target=load_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            stop.wait(0.7)
            pid = gateway.status()["workers"][0]["pid"]
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: gateway.status()["ready"], 20, "no worker came back")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    with contextlib.suppress(AssertionError):
        wait_for(lambda: stands(gateway) == (ledger(gateway), 0), 10, "they do not agree")
    used, held = stands(gateway)
    assert (used, held) == (ledger(gateway), 0)
    assert used <= LIMIT
    assert used > LIMIT // 20
