"""The first provider fails in every way there is: clients notice nothing, and it is left alone.

Counted, not timed, wherever it can be: how many requests still reached a provider that was out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gateway_simulators import ThreadedSimulator
from support.gateway import RunningGateway, running_gateway, wait_for

RATE = 40
"""Requests a second: what two cores carry with room left, so that no queue of ours is measured."""
DEADLINE_S = 0.4
"""Of an attempt: how long a request may lose with a provider that hangs."""
OPENS_AFTER = 10
"""Requests that a provider may still get once it is out."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    def change(document: dict[str, Any]) -> None:
        document["failover"] = {"attempt_timeout_s": DEADLINE_S, "max_attempts": 2}
        document["models"] = [
            {
                "model": "gpt-4o-mini",
                "targets": [
                    {"provider": "openai", "model": "gpt-4o-mini"},
                    {"provider": "anthropic", "model": "claude-haiku-4-5"},
                ],
            }
        ]

    with running_gateway(tmp_path_factory.mktemp("outages"), change) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(gateway: RunningGateway) -> Iterator[None]:
    for simulator in (gateway.openai, gateway.anthropic):
        simulator.clear()
    settle(gateway)
    yield
    gateway.openai.faults.clear()


class Traffic:
    """Steady requests from many clients until the block ends; keeps every status."""

    def __init__(self, gateway: RunningGateway, **fields: Any) -> None:
        self._gateway, self._fields = gateway, fields
        self._end = threading.Event()
        self.statuses: list[int] = []
        self._client = httpx.Client(
            base_url=gateway.base_url,
            headers={"authorization": f"Bearer {gateway.keys['dev']}"},
            timeout=30,
        )

    def __enter__(self) -> Traffic:
        self._pool = ThreadPoolExecutor(max_workers=48)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._pool.shutdown()
        self._client.close()

    def _run(self) -> None:
        number = 0
        while not self._end.wait(1 / RATE):
            number += 1
            self._pool.submit(self._ask, number)

    def _ask(self, number: int) -> None:
        body = {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": f"Question {number}"}],
            **self._fields,
        }
        answer = self._client.post("/v1/chat/completions", json=body)
        self.statuses.append(answer.status_code)


def target(gateway: RunningGateway, name: str = "openai/gpt-4o-mini") -> dict[str, Any]:
    """How a target stands, as the admin server tells."""
    found = {one["target"]: one for one in gateway.admin("GET", "/v1/targets").json()["targets"]}
    standing: dict[str, Any] = found[name]
    return standing


def settle(gateway: RunningGateway) -> None:
    """Until the first provider has all of its traffic again, with requests that show it can."""

    def look() -> bool:
        gateway.chat("Are you well?")
        return bool(target(gateway)["share"] == 1.0)

    wait_for(look, 40, f"it did not come back: {target(gateway)}")


def served(simulator: ThreadedSimulator) -> int:
    return len(simulator.requests)


def new_requests(simulator: ThreadedSimulator, seconds: float) -> int:
    before = served(simulator)
    time.sleep(seconds)
    return served(simulator) - before


FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "reset": {"reset": True},
    "hang": {"hang": True},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_is_a_non_event(gateway: RunningGateway, fault: str) -> None:
    with Traffic(gateway) as traffic:
        time.sleep(1)
        gateway.openai.faults.set(**FAULTS[fault])
        before = served(gateway.openai)
        wait_for(lambda: target(gateway)["circuit"] != "closed", 10, "the circuit stays closed")
        # Whatever was under way when the last of them failed had been sent before.
        under_way = int(RATE * DEADLINE_S) + 1 if fault == "hang" else 2
        assert served(gateway.openai) - before <= OPENS_AFTER + under_way
        # Probes only: a tenth of the requests at most, in a pause that grows.
        assert new_requests(gateway.openai, 2) <= 2 * RATE // 4
        gateway.openai.faults.clear()
        wait_for(lambda: target(gateway)["share"] == 1.0, 10, f"not back: {target(gateway)}")
    assert len(traffic.statuses) > 3 * RATE
    assert set(traffic.statuses) == {200}
