"""Strict durability on the wire: what decided a request is on disk before it leaves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway_extproc import app
from gateway_extproc.evidence.recorder import EvidenceRecorder
from support import bodies, envoy
from support.config import ANN
from support.disk import Disk, opened
from support.parts import Bench
from wire.conftest import Served

ASK = (envoy.request_headers(ANN), envoy.request_body(bodies.chat()))


class Kept:
    """A server that keeps what it decides on a disk, and what is on it."""

    def __init__(self, folder: Path, disk: Disk, recorder: EvidenceRecorder) -> None:
        self.file = folder / "evidence" / "decisions-0.jsonl"
        self.disk, self.recorder = disk, recorder
        self.served: Served

    def outcomes(self) -> list[tuple[str, int]]:
        lines = [orjson.loads(line) for line in self.file.read_bytes().splitlines()]
        return [(r["outcome"], r.get("status", 0)) for r in lines if "decision_id" in r]


@pytest.fixture
async def kept(serve: Callable[..., Any], tmp_path: Path) -> AsyncIterator[Kept]:
    disk = Disk()
    recorder = opened(tmp_path, disk, strict=True, deny=True, timeout_s=2.0)
    made = Kept(tmp_path, disk, recorder)

    def adapt(bench: Bench) -> None:
        bench.parts = replace(bench.parts, recorder=recorder, keeper=recorder)
        bench.stages = app.pipeline(bench.parts)

    made.served = await serve(adapt)
    yield made
    disk.full, disk.slow_s = False, 0.0
    recorder.close()


def code(reply: Any) -> str:
    found: str = orjson.loads(reply.immediate_response.body)["error"]["code"]
    return found


async def test_a_request_goes_on_when_that_is_on_disk(kept: Kept) -> None:
    stream = kept.served.stream()
    await stream.ask(ASK[0])
    kept.disk.slow_s = 0.2
    began = time.monotonic()
    reply = await stream.ask(ASK[1])
    assert time.monotonic() - began >= 0.2
    assert reply.WhichOneof("response") == "request_body"
    assert kept.outcomes() == [("OPENED", 0)]


async def test_a_whole_answer_leaves_when_its_record_is_on_disk(kept: Kept) -> None:
    stream = kept.served.stream()
    for message in (*ASK, envoy.response_headers()):
        await stream.ask(message)
    last = await stream.ask(envoy.response_body(bodies.completion()))
    assert last.WhichOneof("response") == "response_body"
    assert kept.outcomes() == [("OPENED", 0), ("ALLOWED", 200)]


async def test_a_refusal_leaves_with_one_record(kept: Kept) -> None:
    stream = kept.served.stream()
    reply = await stream.ask(envoy.request_headers("nonsense"))
    assert code(reply) == "invalid_api_key"
    assert kept.outcomes() == [("REFUSED", 401)]


async def test_what_cannot_be_recorded_does_not_go_on(kept: Kept) -> None:
    stream = kept.served.stream()
    await stream.ask(ASK[0])
    kept.disk.full = True
    assert code(await stream.ask(ASK[1])) == "evidence_unavailable"
    # From now on nobody comes so far.
    assert code(await kept.served.stream().ask(ASK[0])) == "evidence_unavailable"
    kept.disk.full = False
    await envoy.until(lambda: len(kept.outcomes()) == 3)
    assert sorted(kept.outcomes()) == [("FAILED", 503), ("FAILED", 503), ("OPENED", 0)]
    assert kept.served.bench.parts.load.in_flight == 0


async def test_an_answer_that_cannot_be_recorded_stays(kept: Kept) -> None:
    """Its record waits; what the client got instead is recorded behind it."""
    stream = kept.served.stream()
    for message in (*ASK, envoy.response_headers()):
        await stream.ask(message)
    kept.disk.full = True
    last = await stream.ask(envoy.response_body(bodies.completion()))
    assert code(last) == "evidence_unavailable"
    kept.disk.full = False
    await envoy.until(lambda: len(kept.outcomes()) == 3)
    assert kept.outcomes() == [("OPENED", 0), ("ALLOWED", 200), ("FAILED", 503)]


async def test_a_client_that_leaves_while_the_disk_is_slow_is_recorded_once(kept: Kept) -> None:
    stream = kept.served.stream()
    await stream.ask(ASK[0])
    kept.disk.slow_s = 0.2
    await stream.send(ASK[1])
    stream.cancel()
    await envoy.until(lambda: len(kept.outcomes()) == 2)
    assert kept.outcomes()[0] == ("OPENED", 0)
    assert kept.outcomes()[1][0] == "ABORTED"
