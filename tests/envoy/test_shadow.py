"""Copies for shadow targets go through the real Envoy, on their own, and harm nobody."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from gateway_extproc import app
from gateway_extproc.config.compile import compile_config
from gateway_extproc.config.load import load
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.route import Target
from gateway_extproc.limits.rules import RuleBook, Who, compile_rules
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.shadowing import ShadowSender
from gateway_extproc.stages.attempt import AttemptBuilder
from gateway_extproc.stages.shadow import Copy
from gateway_extproc.stores.postbox import UnixPostbox
from gateway_extproc.stores.secrets import SecretFiles
from support.gateway import RunningGateway, running_gateway, wait_for
from support.parts import Bench, make_bench

WAITING = 4
SECTION = {"parallel": 2, "waiting": WAITING, "body_bytes": 10_000, "timeout_s": 2.0}
BUDGET: dict[str, Any] = {"id": "copies", "per": ["tenant"], "period": "day", "nanos": 250_000}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    def change(document: dict[str, Any]) -> None:
        document["shadow"] = SECTION
        (asked,) = [entry for entry in document["models"] if entry["model"] == "gpt-4o"]
        asked["shadow"] = [{"provider": "anthropic", "model": "claude-haiku-4-5"}]

    with running_gateway(tmp_path_factory.mktemp("shadow"), change) as gateway:
        yield gateway


class Shadows:
    """A sender on the running Envoy's socket, and what it told."""

    def __init__(self, gateway: RunningGateway, bench: Bench) -> None:
        config = load(
            yaml.safe_dump(yaml.safe_load((gateway.run_dir / "gateway.yaml").read_text()))
        )
        assert config.shadow is not None
        self.gateway = gateway
        self.bench = bench
        self.told: list[tuple[str, dict[str, Any] | None]] = []
        secrets = {p.id: Path(p.credential_file) for p in config.providers}
        self.targets = {
            target.name: target
            for route in compile_config(config).routes.values()
            for target in route.targets
        }
        self.sender = ShadowSender(
            config.shadow,
            UnixPostbox(str(gateway.run_dir / "sockets" / "shadow.sock"), 1 << 20),
            AttemptBuilder(
                DIALECTS, app.translator_for, SecretFiles(secrets, lambda: 0), time.time
            ),
            app.translator_for,
            bench.parts.limiter,
            RuleBook(compile_rules(bench.parts.snapshot.config)),
            lambda outcome, record: self.told.append((outcome, record)),
        )

    def copy(self, name: str, **changes: Any) -> Copy:
        document = {"model": "fast", "messages": [{"role": "user", "content": "Copy me"}],
                    "stream": changes.pop("stream", False)}  # fmt: skip
        request = LlmRequest(
            "openai", "chat", "fast", document["stream"] is True, None, False, document, ()
        )
        who = Who("acme", "ann", "app", "k1", "chat", "fast", "fast", "")
        copy = Copy("d" * 32, 0, request, self.targets[name], who, frozenset({"standard"}),
                    100, (10, 20), "", 100)  # fmt: skip
        return replace(copy, **changes)

    async def done(self, count: int) -> None:
        for _ in range(1000):
            if len(self.told) >= count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{len(self.told)} of {count} copies are done")


@pytest_asyncio.fixture
async def shadows(running: RunningGateway, tmp_path: Path) -> AsyncIterator[Shadows]:
    for simulator in (running.openai, running.anthropic):
        simulator.clear()
    bench = make_bench(tmp_path, budgets=[BUDGET])
    made = Shadows(running, bench)
    made.sender.start()
    yield made
    await made.sender.close()
    bench.close()
    for simulator in (running.openai, running.anthropic):
        assert not simulator.violations, simulator.violations


def test_who_asks_is_answered_by_the_first_and_the_copy_is_only_recorded(
    running: RunningGateway,
) -> None:
    for simulator in (running.openai, running.anthropic):
        simulator.clear()
    answer = running.chat("Copy me, too", model="gpt-4o")
    assert answer.status_code == 200
    assert len(running.openai.requests) == 1
    decision = running.record_of(answer.headers["x-request-id"])
    (record,) = wait_for(
        lambda: [
            record
            for file in (running.run_dir / "evidence").glob("shadows-*.jsonl")
            for line in file.read_text().splitlines()
            if (record := json.loads(line)).get("decision_id") == decision["decision_id"]
        ],
        10, "the copy was not recorded",
    )  # fmt: skip
    (received,) = running.anthropic.requests
    assert received.json()["model"] == "claude-haiku-4-5"
    assert record["provider"] == "anthropic"
    assert "Copy me" not in json.dumps(record)
    running.anthropic.clear()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_copy_has_its_own_credential_and_dialect(shadows: Shadows, stream: bool) -> None:
    shadows.sender.offer(shadows.copy("anthropic/claude-haiku-4-5", stream=stream))
    await shadows.done(1)
    [received] = shadows.gateway.anthropic.requests
    assert received.path == "/v1/messages"
    assert received.header("x-api-key") == shadows.gateway.provider_secrets["anthropic"]
    assert received.json()["model"] == "claude-haiku-4-5"
    assert not [name for name, _ in received.headers if name.startswith(("x-envoy", "x-forwarded"))]
    [(outcome, record)] = shadows.told
    assert outcome == "answered"
    assert record is not None
    assert (record["status"], record["provider"]) == (200, "anthropic")
    assert record["usage"]["source"] == "reported"
    assert record["usage"]["completion_tokens"] > 0
    assert record["cost_nanos"] > 0
    assert "Copy me" not in repr(record)
    assert "You said" not in repr(record)


@pytest.mark.parametrize(
    ("fault", "outcome", "status"),
    [({"status": 500}, "failed", 500), ({"hang": True}, "no_answer", None),
     ({"garbage": True}, "failed", 200), ({"reset": True}, "failed", 503)],
)  # fmt: skip
async def test_an_outage_of_the_shadow_is_only_recorded(
    shadows: Shadows, fault: dict[str, Any], outcome: str, status: int | None
) -> None:
    shadows.gateway.openai.faults.set(**fault)
    shadows.sender.offer(shadows.copy("openai/gpt-4o-mini"))
    await shadows.done(1)
    [(told, record)] = shadows.told
    assert record is not None
    assert (told, record.get("status"), record["cost_nanos"]) == (outcome, status, 0)
    shadows.gateway.openai.faults.clear()
    assert shadows.gateway.chat("Still served?").status_code == 200


async def test_what_does_not_fit_is_dropped_and_counted(shadows: Shadows) -> None:
    shadows.gateway.openai.faults.set(hang=True)
    shadows.sender.offer(shadows.copy("openai/gpt-4o-mini", size_bytes=10_001))
    assert shadows.told == [("too_large", None)]
    for _ in range(WAITING + 3):
        shadows.sender.offer(shadows.copy("openai/gpt-4o-mini"))
    assert [outcome for outcome, _ in shadows.told[1:]] == ["queue_full"] * 3


async def test_data_never_reaches_a_shadow_that_is_not_approved_for_it(shadows: Shadows) -> None:
    shadows.sender.offer(
        shadows.copy("openai/gpt-4o-mini", data_classes=frozenset({"standard", "regulated"}))
    )
    assert shadows.told == [("data_class", None)]
    assert not shadows.gateway.openai.requests


async def test_a_copy_is_paid_from_the_budget_of_who_asked(shadows: Shadows) -> None:
    """Each holds 110,000 nano-dollars, what it will probably cost, and settles what it did cost."""
    target: Target = shadows.targets["anthropic/claude-haiku-4-5"]
    assert target.price is not None
    for number in range(10):
        shadows.sender.offer(shadows.copy(target.name, number=number))
        await shadows.done(number + 1)
    outcomes = [outcome for outcome, _ in shadows.told]
    assert outcomes[0] == "answered"
    assert outcomes[-1] == "budget"
    spent = sum(record["cost_nanos"] for _, record in shadows.told if record)
    assert spent <= BUDGET["nanos"]
    assert len(shadows.gateway.anthropic.requests) == outcomes.count("answered")
