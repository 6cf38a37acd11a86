"""More than the gateway can do: who may wait waits, the others are served, nobody is forgotten.

Figures are ratios within one run, because the machine is shared.  Prompts of digits keep the
guard busy, so that one worker is full long before the clients or the simulated provider are.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from support.gateway import RunningGateway, running_gateway

BODY = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "4111 22 333 " * 250}]}
).encode()
INTERACTIVE, BATCH = 12, 60


@dataclass
class Tally:
    statuses: Counter[int] = field(default_factory=Counter)
    refused: list[tuple[str, bytes]] = field(default_factory=list)
    failed: int = 0


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway of one worker without limits."""

    def change(document: dict[str, Any]) -> None:
        document["limits"] = []
        del document["server"]["shed"]

    with running_gateway(tmp_path_factory.mktemp("small"), change, workers=1) as gateway:
        yield gateway


async def callers(
    gateway: RunningGateway, number: int, seconds: float, priority: str = ""
) -> Tally:
    """So many clients that ask again as soon as they were answered, cheaply."""
    tally, until = Tally(), time.monotonic() + seconds
    at = urlsplit(gateway.base_url)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {at.netloc}\r\n"
        f"authorization: Bearer {gateway.keys['dev']}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(BODY)}\r\n"
        + (f"x-gateway-priority: {priority}\r\n" if priority else "")
        + "\r\n"
    ).encode()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        while time.monotonic() < until:
            writer.write(head + BODY)
            try:
                status, headers, body = await asyncio.wait_for(_answer(reader), 20)
            except (TimeoutError, ValueError, asyncio.IncompleteReadError, ConnectionError):
                tally.failed += 1
                return
            tally.statuses[status] += 1
            if status != 200:
                tally.refused.append((headers, body))
                await asyncio.sleep(0.02)
        writer.close()

    await asyncio.gather(*(one() for _ in range(number)))
    return tally


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return int(head.split(" ", 2)[1]), head, await reader.readexactly(length)


async def _slowest_look(gateway: RunningGateway, seconds: float) -> float:
    """The admin server's longest answer meanwhile."""
    slowest, until = 0.0, time.monotonic() + seconds
    async with httpx.AsyncClient(timeout=10) as client:
        while time.monotonic() < until:
            began = time.monotonic()
            assert (await client.get(f"{gateway.admin_url}/status")).status_code in (200, 401)
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.1)
    return slowest


async def test_who_may_wait_waits_and_the_others_are_served(small: RunningGateway) -> None:
    alone = await callers(small, INTERACTIVE, 3.0)
    # A machine that is busy with others can make one worker late by itself.
    assert alone.statuses[503] < 0.2 * sum(alone.statuses.values())
    assert alone.failed == 0
    peak = alone.statuses[200] / 3.0

    seconds = 6.0
    interactive, batch, slowest = await asyncio.gather(
        callers(small, INTERACTIVE, seconds),
        callers(small, BATCH, seconds, "batch"),
        _slowest_look(small, seconds),
    )
    good = (interactive.statuses[200] + batch.statuses[200]) / seconds
    shares = {
        name: tally.statuses[503] / sum(tally.statuses.values())
        for name, tally in (("interactive", interactive), ("batch", batch))
    }
    print(
        f"\nalone {peak:.0f}/s; at overload {good:.0f}/s good, "
        f"interactive {interactive.statuses[200] / seconds:.0f}/s, turned away "
        f"{100 * shares['interactive']:.0f} % of interactive and {100 * shares['batch']:.0f} % "
        f"of batch; admin server at most {slowest * 1e3:.0f} ms"
    )
    assert interactive.failed == batch.failed == 0
    assert set(interactive.statuses) | set(batch.statuses) <= {200, 503}
    assert shares["batch"] > 0.2
    assert shares["interactive"] < shares["batch"] / 2
    assert good > 0.6 * peak
    assert interactive.statuses[200] / seconds > 0.4 * peak
    assert slowest < 1.0
    for headers, body in (*interactive.refused, *batch.refused):
        assert "retry-after: " in headers
        assert json.loads(body)["error"]["code"] == "overloaded"
    _counted(small, alone, interactive, batch)

    began = time.monotonic()
    while (await callers(small, 1, 0.3)).statuses[503]:
        assert time.monotonic() - began < 5
    assert small.status()["workers"][0]["restarts"] == 0


def _counted(gateway: RunningGateway, *tallies: Tally) -> None:
    """Every refusal is in the metric, though it left no record."""
    text = gateway.admin("GET", "/metrics").text
    shed = sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith("gateway_shed_total{")
    )
    assert shed == sum(tally.statuses[503] for tally in tallies)


def test_the_folder_of_records_has_none_of_a_request_that_was_turned_away(
    small: RunningGateway, tmp_path: Path
) -> None:
    assert not [r for r in small.records() if r.get("refusal", {}).get("reason") == "overloaded"]
