"""The first provider fails in every way there is: clients notice nothing, and it is left alone.

Counted, not timed, wherever it can be: how many requests still reached a provider that was out.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gateway_simulators import ThreadedSimulator
from support.gateway import RunningGateway, running_gateway, wait_for

RATE = int(os.environ.get("OUTAGE_RATE", "25"))
"""Requests a second: what two cores carry with room left, so that no queue of ours is measured."""
BACK_S = float(os.environ.get("OUTAGE_BACK_S", "10"))
"""How soon a provider has all of its traffic again; five seconds where nothing else runs."""
DEADLINE_S = 1.5
"""Of an attempt: how long a request may lose with a provider that hangs.  Long enough that the
provider in order never misses it on a machine that others use, too."""
OPENS_AFTER = 10
"""Requests that a provider may still get once it is out."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    def change(document: dict[str, Any]) -> None:
        document["failover"] = {"attempt_timeout_s": DEADLINE_S, "max_attempts": 2}
        # A machine that others use, too, must not look like an outage of the gateway's own.
        document["server"]["shed"] = {"lag_ms": 1000}
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
    """Steady requests from many clients until the block ends; keeps what became of each."""

    def __init__(self, gateway: RunningGateway, **fields: Any) -> None:
        self._gateway, self._fields = gateway, fields
        self._end = threading.Event()
        self.outcomes: list[str] = []
        self._noticed: list[str] = []
        self._client = httpx.Client(
            base_url=gateway.base_url,
            headers={"authorization": f"Bearer {gateway.keys['dev']}"},
            timeout=30,
            limits=httpx.Limits(max_connections=None),
        )

    def __enter__(self) -> Traffic:
        self._pool = ThreadPoolExecutor(max_workers=int(4 * RATE * DEADLINE_S))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._pool.shutdown()
        self._client.close()

    def _run(self) -> None:
        number, due = 0, time.monotonic()
        while not self._end.wait(max(0.0, due - time.monotonic())):
            number += 1
            due += 1 / RATE
            self._pool.submit(self._ask, number)

    def _ask(self, number: int) -> None:
        body = {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": f"Question {number}"}],
            **self._fields,
        }
        answer = self._client.post("/v1/chat/completions", json=body)
        code = "" if answer.status_code == 200 else f" {answer.json()['error']['code']}"
        self.outcomes.append(f"{answer.status_code}{code}")
        if code:
            self._noticed.append(answer.headers["x-request-id"])

    def nobody_noticed(self) -> None:
        """Every request was answered; else tells what became of those that were not."""
        assert len(self.outcomes) > 3 * RATE
        failed = [self._gateway.record_of(one) for one in self._noticed]
        assert set(self.outcomes) == {"200"}, [one.get("attempts") for one in failed]


def target(gateway: RunningGateway, name: str = "openai/gpt-4o-mini") -> dict[str, Any]:
    """How a target stands, as the admin server tells."""
    found = {one["target"]: one for one in gateway.admin("GET", "/v1/targets").json()["targets"]}
    standing: dict[str, Any] = found[name]
    return standing


def is_back(gateway: RunningGateway) -> bool:
    """Whether the first provider has all of its traffic."""
    standing = target(gateway)
    return (standing["circuit"], standing["share"]) == ("closed", 1.0)


def settle(gateway: RunningGateway) -> None:
    """Until the first provider has all of its traffic again, with requests that show it can."""

    def look() -> bool:
        gateway.chat("Are you well?")
        return is_back(gateway)

    wait_for(look, 40, f"it did not come back: {target(gateway)}")


def seconds_until_back(gateway: RunningGateway) -> float:
    """How long the first provider, which is in order again, waits for the last of its traffic."""
    start = time.monotonic()
    shares: list[float] = []

    def look() -> bool:
        shares.append(target(gateway)["share"])
        return is_back(gateway)

    try:
        wait_for(look, BACK_S, "not back")
    except AssertionError:
        pytest.fail(f"not back: {shares}, {target(gateway)}")
    return time.monotonic() - start


def first_choices(gateway: RunningGateway) -> Counter[str]:
    """How many requests began with which target, of those that are recorded.

    Not what reached a provider: on a machine that is busy with other things an attempt may miss its
    deadline, and who gets nothing now is still the last resort.
    """
    time.sleep(0.2)  # records are gathered for 20 ms before they are written
    return Counter(r["attempts"][0]["target"] for r in gateway.records() if r.get("attempts"))


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
        back_s = seconds_until_back(gateway)
    traffic.nobody_noticed()
    print(f"{fault} at {RATE}/s: {len(traffic.outcomes)} answered, back after {back_s:.1f} s")


def test_a_provider_that_nobody_reaches_is_a_non_event(gateway: RunningGateway) -> None:
    """It refuses connections; and is found again when it listens again."""
    with Traffic(gateway) as traffic:
        time.sleep(1)
        gateway.openai.refuse_connections()
        wait_for(lambda: target(gateway)["circuit"] != "closed", 10, "the circuit stays closed")
        gateway.openai.accept_connections()
        back_s = seconds_until_back(gateway)
    traffic.nobody_noticed()
    print(f"refused at {RATE}/s: {len(traffic.outcomes)} answered, back after {back_s:.1f} s")


def test_who_asked_for_rest_is_not_asked_before_the_time_it_named(
    gateway: RunningGateway,
) -> None:
    with Traffic(gateway) as traffic:
        time.sleep(1)
        gateway.openai.faults.set(status=429, retry_after="8")
        before = served(gateway.openai)
        wait_for(lambda: "rests_s" in target(gateway), 5, "it does not rest")
        assert served(gateway.openai) - before <= OPENS_AFTER, "more than were under way"
        time.sleep(2 * DEADLINE_S)  # what was under way is recorded then
        planned = first_choices(gateway)
        time.sleep(max(0.0, target(gateway)["rests_s"] - 1))
        asked = first_choices(gateway) - planned
        assert asked.total() > 0
        assert set(asked) == {"anthropic/claude-haiku-4-5"}
        assert target(gateway)["circuit"] == "closed"
        gateway.openai.faults.clear()
        wait_for(lambda: target(gateway)["share"] == 1.0, 20, f"not back: {target(gateway)}")
        assert new_requests(gateway.openai, 1) > 0
    traffic.nobody_noticed()


def test_a_provider_that_becomes_slow_loses_its_traffic_and_gets_it_back(
    gateway: RunningGateway,
) -> None:
    with Traffic(gateway) as traffic:
        time.sleep(3)
        gateway.openai.faults.set(delay_ms=300)  # within the deadline: no attempt fails
        wait_for(lambda: target(gateway)["share"] <= 0.2, 10, f"still asked: {target(gateway)}")
        assert target(gateway)["why"] == "slow"
        before = first_choices(gateway)
        time.sleep(4)
        asked = first_choices(gateway) - before
        assert asked["openai/gpt-4o-mini"] < asked.total() / 2
        # A floor of its traffic stays, to see its recovery.
        wait_for(lambda: new_requests(gateway.openai, 0.5), 20, "nobody asks it any more")
        gateway.openai.faults.clear()
        wait_for(lambda: target(gateway)["share"] > 0.5, 40, f"not back: {target(gateway)}")
    traffic.nobody_noticed()


def test_errors_inside_of_streams_open_the_circuit(gateway: RunningGateway) -> None:
    """Every answer begins with 200: what comes then is the provider's error."""
    before = served(gateway.openai)
    gateway.openai.faults.set(error_event_after=1)
    for i in range(12):
        gateway.chat(f"Stream {i}", stream=True)
    wait_for(lambda: target(gateway)["circuit"] != "closed", 3, f"closed: {target(gateway)}")
    assert served(gateway.openai) - before <= OPENS_AFTER + 2
    answer = gateway.chat("And now?", stream=True)
    assert answer.text.endswith("data: [DONE]\n\n")


def test_neither_wrong_requests_nor_clients_that_leave_open_the_circuit(
    gateway: RunningGateway,
) -> None:
    gateway.openai.faults.set(status=400)
    for i in range(15):
        assert gateway.chat(f"Wrong {i}").status_code == 400
    assert target(gateway)["share"] == 1.0
    gateway.openai.faults.set(delay_ms=250)
    for i in range(15):
        with gateway.client() as client, pytest.raises(httpx.ReadTimeout):
            client.post(
                "/v1/chat/completions",
                json={"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"{i}"}]},
                timeout=0.15,
            )
    assert (target(gateway)["circuit"], target(gateway)["share"]) == ("closed", 1.0)


def test_a_change_of_a_circuit_stands_in_the_decision_record(gateway: RunningGateway) -> None:
    gateway.openai.faults.set(status=500)
    answers = [gateway.chat(f"Fail {i}") for i in range(5)]
    records = [gateway.record_of(answer.headers["x-request-id"]) for answer in answers]
    events = [event for record in records for event in record.get("events", ())]
    assert events == [
        {"category": "health", "kind": "circuit", "action": "open",
         "subject": "openai/gpt-4o-mini"}
    ]  # fmt: skip
    metrics = httpx.get(f"{gateway.admin_url}/metrics", timeout=10).text
    assert 'gateway_circuit_changes_total{action="open"}' in metrics
    assert 'gateway_target_circuit{target="openai/gpt-4o-mini"}' in metrics
    assert 'gateway_target_share{target="anthropic/claude-haiku-4-5"} 1.0' in metrics


def test_overflow_goes_elsewhere_before_a_quota_is_used_up(gateway: RunningGateway) -> None:
    """The provider says what is left, and never has to say no."""
    gateway.openai.faults.set(
        headers={
            "x-ratelimit-limit-requests": "1000",
            "x-ratelimit-remaining-requests": "3",
            "x-ratelimit-reset-requests": "12s",
        }
    )

    def told() -> bool:
        # A worker may look at how targets stand a moment later than the admin server.
        assert gateway.chat("How much is left?").status_code == 200
        return target(gateway).get("why") == "quota"

    wait_for(told, 5, "nobody was told")
    standing = target(gateway)
    assert standing["share"] == 0.0
    requests = next(q for q in standing["quotas"] if q["measure"] == "requests")
    assert (requests["remaining"], requests["limit"]) == (3, 1000)
    before = first_choices(gateway)
    for i in range(8):
        assert gateway.chat(f"Overflow {i}").status_code == 200
    asked = first_choices(gateway) - before
    assert set(asked) == {"anthropic/claude-haiku-4-5"}
    gateway.openai.faults.clear()
    wait_for(lambda: target(gateway)["share"] == 1.0, 20, "its quota was not renewed")


def test_an_operator_drains_a_provider_on_all_workers(gateway: RunningGateway) -> None:
    drained = gateway.admin("POST", "/v1/targets/drain", name="openai", for_s=600).json()
    assert [one["why"] for one in drained["targets"]] == ["drained"]
    time.sleep(1)  # every worker looks four times a second
    before = first_choices(gateway)
    for i in range(20):
        assert gateway.chat(f"Drained {i}").status_code == 200
    assert set(first_choices(gateway) - before) == {"anthropic/claude-haiku-4-5"}
    refused = gateway.admin("POST", "/v1/targets/undrain", key="dev", name="openai")
    assert refused.status_code == 403
    assert gateway.admin("POST", "/v1/targets/drain", name="nobody").status_code == 404
    gateway.admin("POST", "/v1/targets/undrain", name="openai")
    wait_for(lambda: target(gateway)["share"] == 1.0, 5, "it stays drained")
    time.sleep(1)
    before = first_choices(gateway)
    assert gateway.chat("Back?").status_code == 200
    assert set(first_choices(gateway) - before) == {"openai/gpt-4o-mini"}
