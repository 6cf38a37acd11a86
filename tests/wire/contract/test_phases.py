"""Every order of up to four messages, against the table of what may follow what."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from gateway_extproc.core.phase import MAY_FOLLOW, Phase
from support import bodies, envoy
from support.config import ANN
from wire.conftest import Served

MESSAGES = {
    "request_headers": envoy.request_headers(ANN),
    "request_body": envoy.request_body(bodies.chat(stream=True)),
    "response_headers": envoy.response_headers(kind="text/event-stream"),
    "response_body": envoy.response_body(bodies.completion_event("Hi"), end=False),
    "response_trailers": envoy.response_trailers(),
}

ABORTED = "INTERNAL"
ENDED = "OK"

Play = tuple[str, ...]


def expected(play: Play) -> Iterator[str]:
    """What answers each message, then how the stream ends.

    Three answers are the stream's last: to response headers of a request that was never
    seen (they pass) or not decided yet (refused), and the abort of what may not come.
    """
    seen: list[str] = []
    phase: Phase | None = None
    for kind in play:
        if kind == "response_trailers":
            yield kind
            continue
        if Phase(kind) not in MAY_FOLLOW[phase]:
            yield ABORTED
            return
        phase = Phase(kind)
        if kind == "response_headers" and "request_body" not in seen:
            yield "immediate_response" if seen else kind
            break
        seen.append(kind)
        yield kind
    yield ENDED


async def observed(served: Served, play: Play) -> list[str]:
    """What a server answers; nothing is sent after the message that has the last answer."""
    *wanted, end = expected(play)
    stream = served.stream()
    answers: list[str] = []
    try:
        for kind in play[: len(wanted) + (end == ABORTED)]:
            answer = await stream.ask(MESSAGES[kind])
            assert answer is not None, play
            answers.append(answer.WhichOneof("response"))
        if len(answers) == len(play):
            await stream.half_close()
        assert await stream.read() is None, play
    except grpc.aio.AioRpcError:
        pass
    return [*answers, (await stream.status())[0]]


@pytest.mark.parametrize("length", [1, 2, 3, 4])
async def test_every_order_of_messages_ends_as_the_table_says(served: Served, length: int) -> None:
    plays = list(itertools.product(MESSAGES, repeat=length))
    requests = 0
    for group in _cut(plays, 25):
        found = await asyncio.gather(*(observed(served, play) for play in group))
        for play, answers in zip(group, found, strict=True):
            assert answers == list(expected(play)), play
            requests += "request_headers" in [k for k in play if k != "response_trailers"][:1]
    await envoy.until(lambda: len(served.records) == requests)
    assert served.bench.parts.load.in_flight == 0


def _cut(plays: list[Play], size: int) -> Iterator[list[Play]]:
    for at in range(0, len(plays), size):
        yield plays[at : at + size]


def test_the_model_knows_good_ends_and_bad_ones() -> None:
    """Else the test above could agree with a server that answers anything."""
    whole = ("request_headers", "request_body", "response_headers", "response_body")
    assert list(expected(whole)) == [*whole, ENDED]
    assert list(expected(whole[:1] * 2)) == [whole[0], ABORTED]
    ends = [list(expected(play))[-1] for play in itertools.product(MESSAGES, repeat=4)]
    assert 0 < ends.count(ENDED) < ends.count(ABORTED)


async def test_all_messages_at_once_are_answered_in_order(served: Served) -> None:
    """A peer need not wait for an answer before it sends on."""
    stream = served.stream()
    whole = ("request_headers", "request_body", "response_headers", "response_body")
    for kind in (*whole, "response_body", "response_body"):
        await stream.send(MESSAGES[kind])
    await stream.half_close()
    answers: list[Any] = []
    while (answer := await stream.read()) is not None:
        answers.append(answer.WhichOneof("response"))
    assert answers == [*whole, "response_body", "response_body"]
