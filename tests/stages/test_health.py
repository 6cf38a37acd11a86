"""What the stage tells of attempts: over a real table, on a model clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.config.health import Health as Policy
from gateway_extproc.config.quotaheaders import headers_of
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.names import ATTEMPT_TOLD
from gateway_extproc.core.route import Target
from gateway_extproc.core.watching import Watching
from gateway_extproc.routing.row import ASKED_TO_WAIT, CIRCUIT_OPEN, QUOTA
from gateway_extproc.routing.watched import Watched, key_of
from gateway_extproc.stages.health import Health
from gateway_extproc.stores.standings import HostStandings

EAST = Target("east", "openai", "small", "east", "east:fallback", "/v1")
WEST = Target("west", "openai", "small", "west", "west:fallback", "/v1")
POOL = {"east": 3}
INCOMPLETE = refuse("provider_stream_incomplete", "The stream ended early.")
NOW = 1_000_000.0


class World:
    """A table, the stage over it, and a clock."""

    def __init__(self, folder: Path, pools: dict[str, int]) -> None:
        self.now_s = NOW
        watched = [
            Watched(key_of(one), pools.get(one.provider, 1), (key_of(other),))
            for one, other in ((EAST, WEST), (WEST, EAST))
        ]
        self.table = HostStandings(folder / "t", watched, Policy(), lambda: self.now_s)
        tables = {one.provider: headers_of(one.dialect, ()) for one in (EAST, WEST)}
        self.stage = Health(self.table, tables, pools, lambda: self.now_s)

    def send(self, *, stream: bool = False) -> Exchange:
        exchange = Exchange("POST", "/v1/chat/completions", {})
        exchange.asked = LlmRequest(
            dialect="openai", endpoint="chat", model="small", stream=stream, wants_usage=False,
            max_tokens=None, texts=(), document={},
        )  # fmt: skip
        exchange.targets = (EAST, WEST)
        asyncio.run(_done(self.stage.request_body(exchange, b"")))
        return exchange

    def answer(
        self, exchange: Exchange, status: int, *, by: Target | None = EAST, attempts: int = 1,
        notes: dict[str, str] | None = None, headers: dict[str, str] | None = None,
        details: str = "via_upstream", streaming: bool = False,
    ) -> None:  # fmt: skip
        exchange.response_status, exchange.answered_by = status, by
        exchange.response_headers = {":status": str(status), **(headers or {})}
        exchange.attempt_count, exchange.attempt_notes = attempts, notes or {}
        exchange.response_details, exchange.streaming = details, streaming
        if by is not None:
            exchange.response_cluster = by.cluster if by is EAST else by.fallback_cluster
        asyncio.run(_done(self.stage.response_headers(exchange)))

    def end(self, exchange: Exchange, outcome: Any = "allowed") -> None:
        exchange.outcome = outcome
        asyncio.run(_done(self.stage.close(exchange)))
        self.table.tick()

    def request(self, status: int, times: int = 1, **told: Any) -> Exchange:
        for _ in range(times):
            exchange = self.send()
            self.answer(exchange, status, **told)
            self.end(exchange, "failed" if status >= 400 else "allowed")
        return exchange

    def why(self, target: Target = EAST) -> str:
        return self.table.of(target).why


async def _done(work: Any) -> None:
    await work


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, {})
    yield made
    made.table.close()


@pytest.fixture
def pooled(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, POOL)
    yield made
    made.table.close()


def test_errors_of_the_target_that_answered_open_its_circuit(world: World) -> None:
    exchange = world.request(500, times=5)
    assert world.why() == CIRCUIT_OPEN
    assert world.why(WEST) == ""
    event = exchange.events[0]
    assert (event.category, event.action, event.subject) == ("health", "open", "east/small")


def test_errors_of_attempts_before_it_count_for_those_who_made_them(world: World) -> None:
    world.request(200, times=5, by=WEST, attempts=2, notes={"1": "503", "2": "200"})
    assert (world.why(), world.why(WEST)) == (CIRCUIT_OPEN, "")


def test_attempts_without_an_answer_are_failures(world: World) -> None:
    details = "upstream_reset_before_response_started{connection_failure}"
    world.request(503, times=5, by=None, attempts=2, details=details)
    assert (world.why(), world.why(WEST)) == (CIRCUIT_OPEN, CIRCUIT_OPEN)


@pytest.mark.parametrize(
    "details",
    ["upstream_reset_before_response_started{overflow}", "request_payload_too_large",
     "downstream_remote_disconnect"],
)  # fmt: skip
def test_what_envoy_says_of_itself_is_nobodys_failure(world: World, details: str) -> None:
    world.request(503, times=10, by=None, details=details)
    assert world.why() == ""


def test_a_fallback_that_the_gateway_refused_is_no_failure_of_its_target(world: World) -> None:
    world.request(
        503, times=10, by=WEST, attempts=2, notes={"1": "400"}, details="gateway_unsupported"
    )
    assert (world.why(), world.why(WEST)) == ("", "")


def test_wrong_requests_and_clients_that_leave_say_nothing(world: World) -> None:
    world.request(400, times=20)
    for _ in range(20):
        world.end(world.send(), "aborted")
    for _ in range(20):
        exchange = world.send(stream=True)
        world.answer(exchange, 200, streaming=True)
        world.end(exchange, "aborted")
    assert world.why() == ""


def test_a_good_status_with_a_body_that_cannot_be_read_is_a_failure(world: World) -> None:
    for _ in range(5):
        exchange = world.send()
        world.answer(exchange, 200)
        assert world.why() == ""
        exchange.refusal = refuse("provider_answer_unreadable", "No JSON.")
        world.end(exchange, "failed")
    assert world.why() == CIRCUIT_OPEN


def test_an_answer_that_a_guard_refused_is_none(world: World) -> None:
    for _ in range(20):
        exchange = world.send()
        world.answer(exchange, 200)
        exchange.refusal = refuse("answer_blocked", "Not this.")
        world.end(exchange, "refused")
    assert world.why() == ""


def test_streams_that_break_open_the_circuit_within_ten(world: World) -> None:
    sent = 0
    while not world.why():
        exchange = world.send(stream=True)
        world.answer(exchange, 200, streaming=True)
        exchange.refusal = INCOMPLETE
        world.end(exchange, "failed")
        sent += 1
        assert sent <= 10
    assert world.why() == CIRCUIT_OPEN


def test_an_answer_without_a_body_is_seen_though_its_headers_ended_the_request(
    world: World,
) -> None:
    """Translate refuses it at its headers, before this stage."""
    for _ in range(5):
        exchange = world.send()
        exchange.response_status, exchange.answered_by = 500, EAST
        exchange.response_cluster, exchange.attempt_count = "east", 1
        exchange.response_details = "via_upstream"
        world.end(exchange, "failed")
    assert world.why() == CIRCUIT_OPEN


# ----------------------------------------------------------------------------- rests


@pytest.mark.parametrize("as_note", [False, True])
def test_retry_after_is_kept_to(world: World, as_note: bool) -> None:
    """Of the answer that came through, and of an attempt before it, as its cluster noted it."""
    if as_note:
        notes = {"1": "429", "1" + ATTEMPT_TOLD: "retry-after: 20\nx-other: 1"}
        world.request(200, by=WEST, attempts=2, notes=notes)
    else:
        world.request(429, headers={"retry-after": "20"})
    assert world.why() == ASKED_TO_WAIT
    world.now_s += 19.9
    assert world.table.of(EAST).share == 0.0
    world.now_s += 3
    assert world.why() == ""


def test_an_overloaded_target_that_names_a_time_rests(world: World) -> None:
    world.request(529, headers={"retry-after": "20"})
    assert world.why() == ASKED_TO_WAIT


def test_a_429_that_says_when_the_quota_is_renewed_rests_until_then(world: World) -> None:
    headers = {
        "x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "40s",
    }  # fmt: skip
    world.request(429, headers=headers)
    world.now_s += 39
    assert world.table.of(EAST).share == 0.0
    world.now_s += 4
    assert world.why() == ""


def test_what_is_left_is_read_from_good_answers(world: World) -> None:
    headers = {
        "x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "10",
        "x-ratelimit-reset-tokens": "30s",
    }  # fmt: skip
    world.request(200, headers=headers)
    assert world.why() == QUOTA


# --------------------------------------------------------------------------- latency


def test_the_latency_of_a_fallback_is_its_own(world: World) -> None:
    """East loses five seconds; west answers 200 ms after it was asked."""
    for _ in range(20):
        exchange = world.send()
        began_ms = int((world.now_s + 5) * 1000)
        world.now_s += 5.2
        notes = {"1": "", "2" + ATTEMPT_TOLD: f"at: {began_ms}"}
        world.answer(exchange, 200, by=WEST, attempts=2, notes=notes)
        world.end(exchange)
    row = world.table.rows()[key_of(WEST)]
    assert row.usual_ms(stream=False, now_s=world.now_s) == pytest.approx(200, rel=0.25)


# ----------------------------------------------------------------------------- pools


def position(exchange: Exchange) -> int:
    assert isinstance(exchange.watching, Watching)
    return exchange.watching.positions["east"]


def test_a_pools_credentials_take_turns(pooled: World) -> None:
    chosen = []
    for _ in range(6):
        pooled.now_s += 0.01
        chosen.append(position(pooled.request(200)))
    assert chosen == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("status", [429, 401])
def test_a_credential_that_is_refused_rests_alone(pooled: World, status: int) -> None:
    bad = position(pooled.request(status, headers={"retry-after": "60"}))
    chosen = []
    for _ in range(10):
        pooled.now_s += 0.01
        chosen.append(position(pooled.request(200)))
    assert bad not in chosen
    assert set(chosen) == {0, 1, 2} - {bad}
    assert pooled.why() == ""


def test_a_pool_whose_credentials_all_rest_is_not_asked(pooled: World) -> None:
    for _ in range(3):
        pooled.now_s += 0.01
        pooled.request(429, headers={"retry-after": "60"})
    assert pooled.why() == ASKED_TO_WAIT


def test_a_pool_of_bad_credentials_is_an_outage(pooled: World) -> None:
    for _ in range(3):
        pooled.now_s += 0.01
        pooled.request(401)
    assert pooled.table.of(EAST).share == 0.0
