"""The streaming provider sends every event apart, and in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from bench.framing import ResponseFraming
from bench.load import run_load
from bench.provider import INTERVAL_MS, Provider, http_chunk, request_size, writes
from bench.workloads import CHUNKS, HOST, WORKLOADS, stream_events

STREAM = next(workload for workload in WORKLOADS if workload.chunks)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    ticks = writes()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Provider(ticks), HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def test_each_tick_is_one_event_and_the_last_ends_the_body() -> None:
    ticks = writes()
    assert len(ticks) == CHUNKS
    assert ticks[0] == http_chunk(stream_events()[0])
    assert ticks[-1].endswith(b"[DONE]\n\n\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n", None),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", 41),
        (b"GET / HTTP/1.1\r\n\r\n", 18),
    ],
)
def test_a_request_ends_where_its_length_says(data: bytes, size: int | None) -> None:
    assert request_size(data) == size


async def test_streams_come_whole_and_take_their_time(port: int) -> None:
    began = time.monotonic()
    report = await run_load(HOST, port, STREAM.request("k"), connections=3, count=6)
    assert (report.requests, report.non_2xx, report.errors) == (6, 0, 0)
    # Two streams on each connection, one after the other.
    assert time.monotonic() - began > 2 * (CHUNKS - 1) * INTERVAL_MS / 1000


async def test_events_leave_in_writes_of_their_own(port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(STREAM.request("k"))
    framing = ResponseFraming()
    reads = 0
    while not framing.feed(await reader.read(65536)):
        reads += 1
    writer.close()
    # The machine may join some; were they written together, it would be a handful.
    assert reads > CHUNKS * 0.8
