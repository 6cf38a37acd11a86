"""Both servers behind both of Envoy's HTTP/2 codecs: the same gateway four times."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway_extproc.cli.processes import envoy_binary
from support.gateway import FORGIVING, ROOMY, RunningGateway, running_gateway

FLAG = "envoy.reloadable_features.http2_use_oghttp2"
MEGABYTE = 1_000_000


@pytest.fixture(
    scope="module",
    params=[(wire, codec) for wire in ("fast", "grpcio") for codec in ("nghttp2", "oghttp2")],
    ids="-".join,
)
def paired(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    """A gateway with one server, and an Envoy that speaks to it with one codec."""
    wire, codec = request.param
    folder = tmp_path_factory.mktemp(f"{wire}-{codec}")

    def change(document: dict[str, Any]) -> None:
        document["server"]["wire"] = wire
        document["caps"]["max_tokens"] = 2_000_000
        document["catalogue"], document["health"] = ROOMY, FORGIVING
        # About bytes, not about a machine that has too much to do.
        document["server"]["shed"] = {"lag_ms": 1000.0}

    environment = {"ENVOY_BIN": str(_envoy_with(folder, use_oghttp2=codec == "oghttp2"))}
    with running_gateway(folder, change, width=20_000, environment=environment) as gateway:
        runtime = httpx.get(f"{gateway.envoy_admin_url}/runtime").json()["entries"]
        assert runtime[FLAG]["final_value"] == str(codec == "oghttp2").lower()
        yield gateway


def _envoy_with(folder: Path, *, use_oghttp2: bool) -> Path:
    """Envoy with one more layer of runtime flags on top of its configuration."""
    layer = {"name": "codec", "static_layer": {FLAG: use_oghttp2}}
    script = folder / "envoy"
    more = shlex.quote(f"layered_runtime: {{layers: [{json.dumps(layer)}]}}")
    script.write_text(f'#!/bin/sh\nexec {envoy_binary()} "$@" --config-yaml {more}\n')
    script.chmod(0o755)
    return script


@pytest.fixture(autouse=True)
def _fresh(paired: RunningGateway) -> None:
    for simulator in (paired.openai, paired.anthropic):
        simulator.faults.clear()
        simulator.clear()


def test_a_chat(paired: RunningGateway) -> None:
    answer = paired.chat("Hello there")
    assert answer.status_code == 200
    assert "Hello there" in answer.text


def test_a_stream_of_many_events(paired: RunningGateway) -> None:
    answer = paired.chat("say: " + "lorem ipsum " * 20_000, stream=True, max_tokens=200_000)
    assert answer.status_code == 200
    assert answer.text.rstrip().endswith("data: [DONE]")
    assert len(answer.content) > 240_000


def test_eight_megabytes_each_way(paired: RunningGateway) -> None:
    text = "say: " + "lorem ipsum " * (7 * MEGABYTE // 12)
    answer = paired.chat(text, max_tokens=2_000_000)
    assert answer.status_code == 200, answer.text[:200]
    assert len(answer.content) > 6.9 * MEGABYTE
    assert paired.openai.requests[-1].json()["messages"][0]["content"] == text


def test_large_and_small_at_once(paired: RunningGateway) -> None:
    def ask(number: int) -> int:
        size = 2 * MEGABYTE if number % 8 == 0 else 100
        answer = paired.chat("x" * size, stream=number % 3 == 0, max_tokens=100)
        return answer.status_code

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(96))) == [200] * 96


def test_a_failover(paired: RunningGateway) -> None:
    paired.openai.faults.set(status=503)
    answer = paired.chat("Who is left?")
    assert answer.status_code == 200
    record = paired.record_of(answer.headers["x-request-id"])
    assert [a["status"] for a in record["attempts"]] == [503, 200]


def test_a_refusal(paired: RunningGateway) -> None:
    answer = paired.chat("Hello", key=None)
    assert answer.status_code == 401
    assert not paired.openai.requests


def test_nothing_failed_that_was_not_meant_to(paired: RunningGateway) -> None:
    """Neither side complained of the other, and nothing was let through undecided."""
    stats = httpx.get(f"{paired.envoy_admin_url}/stats?filter=gateway-extproc|ext_proc").text
    counts = dict(line.split(": ") for line in stats.splitlines() if ": " in line)
    assert int(counts["http.clients.ext_proc.streams_started"]) > 90
    for name in ("streams_failed", "failure_mode_allowed", "message_timeouts"):
        assert counts[f"http.clients.ext_proc.{name}"] == "0", name
    errors = {k: v for k, v in counts.items() if ".http2." in k and "error" in k}
    assert not {k: v for k, v in errors.items() if v != "0"}
    assert "connection ended" not in paired.log("up.log")
