"""CPU of watching targets: what one request costs, and one look at a target's standing.

No-ops are measured beside it and taken off; processor time, so that others on the machine count
little.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

from gateway_extproc.config.health import Health as Policy
from gateway_extproc.config.quotaheaders import headers_of
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.route import Target
from gateway_extproc.routing.watched import Watched, key_of
from gateway_extproc.stages.health import Health
from gateway_extproc.stores.standings import HostStandings

ROUNDS: Final = 9
TURNS: Final = 2_000
TARGETS: Final = 200
QUOTA: Final = {
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-remaining-requests": "9000",
    "x-ratelimit-reset-requests": "6s",
    "x-ratelimit-limit-tokens": "1000000",
    "x-ratelimit-remaining-tokens": "900000",
    "x-ratelimit-reset-tokens": "6s",
}


def target(number: int) -> Target:
    name = f"p{number}"
    return Target(name, "openai", "small", name, f"{name}:fallback", "/v1")


def microseconds(turn: Callable[[], object]) -> float:
    """Of one turn: the median over rounds, with the turn of a loop that does nothing taken off."""
    return max(0.0, _spent(turn) - _spent(lambda: None))


def _spent(turn: Callable[[], object]) -> float:
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(TURNS):
            turn()
        rounds.append((time.process_time_ns() - began) / TURNS / 1000)
    return median(rounds)


def run_now(work: object) -> None:
    """A coroutine that never waits, without a loop."""
    try:
        work.send(None)  # type: ignore[attr-defined]
    except StopIteration:
        return
    raise AssertionError("the stage waited")


async def _measure(folder: Path) -> list[tuple[str, float]]:
    targets = [target(number) for number in range(TARGETS)]
    keys = [key_of(one) for one in targets]
    watched = [Watched(key, 1, tuple(keys[:5])) for key in keys]
    table = HostStandings(folder / "health.table", watched, Policy(), time.time)
    stage = Health(table, {"p0": headers_of("openai", ())}, {}, time.time)
    asked = LlmRequest(
        dialect="openai", endpoint="chat", model="small", stream=False, wants_usage=False,
        max_tokens=None, texts=(), document={},
    )  # fmt: skip

    def request(headers: dict[str, str]) -> None:
        exchange = Exchange("POST", "/v1/chat/completions", {})
        exchange.asked, exchange.targets = asked, (targets[0], targets[1])
        run_now(stage.request_body(exchange, b""))
        exchange.response_headers, exchange.response_status = headers, 200
        exchange.response_cluster, exchange.attempt_count = "p0", 1
        exchange.answered_by, exchange.response_details = targets[0], "via_upstream"
        run_now(stage.response_headers(exchange))
        exchange.outcome = "allowed"
        run_now(stage.close(exchange))

    bare = microseconds(lambda: _bare(asked, targets))
    rows = [
        ("one request watched", microseconds(lambda: request({})) - bare),
        ("the same, with quota headers", microseconds(lambda: request(QUOTA)) - bare),
        ("one standing read", microseconds(lambda: table.of(targets[0]))),
        ("200 standings read", microseconds(lambda: [table.of(one) for one in targets])),
        ("one tick of a worker, 200 targets", microseconds(table.tick)),
    ]
    table.close()
    return rows


def _bare(asked: LlmRequest, targets: list[Target]) -> None:
    """What making the exchange of a turn costs by itself."""
    exchange = Exchange("POST", "/v1/chat/completions", {})
    exchange.asked, exchange.targets = asked, (targets[0], targets[1])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, cost in asyncio.run(_measure(Path(folder))):
            print(f"{name:<36}{cost:8.2f} us")


if __name__ == "__main__":
    main()
