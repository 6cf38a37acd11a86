"""The load client counts what really came back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.framing import MalformedResponse, ResponseFraming
from bench.load import build_request, load, percentile, run_load
from gateway_simulators import ThreadedSimulator

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = (
    b"HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\ntrailer: 1\r\n\r\n"
)
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
REQUEST = build_request("POST", "/", "test", [("content-type", "text/plain")], b"hi")

Respond = Callable[[asyncio.StreamWriter], None]


@asynccontextmanager
async def server(respond: Respond) -> AsyncIterator[int]:
    """A server that reads ``REQUEST`` again and again and lets ``respond`` answer."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                assert await reader.readexactly(len(REQUEST)) == REQUEST
                respond(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


@pytest.mark.parametrize(("response", "status"), [(OK, 200), (CHUNKED, 503), (CONTINUED, 204)])
@given(data=st.data())
def test_any_cut_of_a_response_gives_the_same_end(
    response: bytes, status: int, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(response) - 1))))
    parts = [response[a:b] for a, b in zip([0, *cuts], [*cuts, len(response)], strict=True)]
    framing = ResponseFraming()
    assert [framing.feed(part) for part in parts] == [False] * len(cuts) + [True]
    assert (framing.status, framing.size) == (status, len(response))


@pytest.mark.parametrize(
    "broken", [b"SMTP 220 hello\r\n\r\n", OK + b"x", CHUNKED.replace(b"1;x=y", b"zz")]
)
def test_a_malformed_response_is_not_counted_as_one(broken: bytes) -> None:
    with pytest.raises(MalformedResponse):
        ResponseFraming().feed(broken)


async def test_count_bounds_the_load() -> None:
    async with server(lambda writer: writer.write(OK)) as port:
        report = await run_load("127.0.0.1", port, REQUEST, connections=4, count=100)
    assert (report.requests, report.non_2xx, report.errors) == (100, 0, 0)
    assert report.bytes_read == 100 * len(OK)
    assert 0 < report.p50_ms <= report.p99_ms


async def test_seconds_bound_the_load_and_other_statuses_are_counted() -> None:
    async with server(lambda writer: writer.write(CHUNKED)) as port:
        report = await run_load("127.0.0.1", port, REQUEST, connections=2, seconds=0.2)
    assert report.requests > 0
    assert report.non_2xx == report.requests
    assert 0.2 <= report.seconds < 2


async def test_a_connection_that_the_server_closes_is_opened_again() -> None:
    def answer_and_close(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        writer.close()

    async with server(answer_and_close) as port:
        report = await run_load("127.0.0.1", port, REQUEST, connections=2, count=10)
    assert (report.requests, report.errors) == (10, 0)


async def test_a_broken_answer_is_an_error() -> None:
    def break_off(writer: asyncio.StreamWriter) -> None:
        writer.write(OK[:-1])
        writer.close()

    async with server(break_off) as port:
        report = await run_load("127.0.0.1", port, REQUEST, connections=2, count=6)
    assert (report.requests, report.errors) == (0, 6)


async def test_a_closed_port_ends_the_load() -> None:
    async with server(lambda writer: None) as port:
        pass
    report = await run_load("127.0.0.1", port, REQUEST, connections=3, seconds=5)
    assert (report.requests, report.errors) == (0, 3)
    assert report.seconds < 2


def test_load_runs_on_uvloop() -> None:
    with ThreadedSimulator("openai") as simulator:
        request = build_request("GET", "/_simulator/faults", simulator.host)
        report = load(simulator.host, simulator.port, request, connections=3, count=30)
    assert (report.requests, report.non_2xx, report.errors) == (30, 0, 0)


def test_percentile_is_a_measured_value() -> None:
    assert percentile([], 0.5) == 0
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99
