"""The SSE parser: every line end, every cut, not a byte lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.providers.sse import EventTooLarge, SseEvent, SseParser


def parse(*pieces: bytes) -> list[SseEvent]:
    parser = SseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.feed(b"", last=True)


def told(*pieces: bytes) -> list[tuple[str, bytes]]:
    return [(event.name, event.data) for event in parse(*pieces) if event.data is not None]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_standard_is_understood(end: bytes) -> None:
    stream = end.join([b"event: a", b"data: 1", b"data: 2", b"", b"data:3", b"", b""])
    assert told(stream) == [("a", b"1\n2"), ("", b"3")]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: x\n\n", [("", b"x")]),
        (b"data:x\n\n", [("", b"x")]),
        (b"data:  x\n\n", [("", b" x")]),
        (b"\xef\xbb\xbfdata: x\n\n", [("", b"x")]),
        (b": comment\n\ndata: x\n\n", [("", b"x")]),
        (b": comment\ndata: x\n\n", [("", b"x")]),
        (b"id: 7\nretry: 10\ndata: x\n\n", [("", b"x")]),
        (b"event: only\n\ndata: x\n\n", [("", b"x")]),
        (b"\n\n\ndata: x\n\n\n", [("", b"x")]),
        (b"data\n\ndata\ndata\n\ndata:", [("", b""), ("", b"\n"), ("", b"")]),
        (b"data: unfinished", [("", b"unfinished")]),
        (b"data: a\r\n\r\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        ("data: \u00e4\u20ac\n\n".encode(), [("", "\u00e4\u20ac".encode())]),
        (b"dataset: x\n\n", []),
        (b"", []),
    ],
)
def test_the_standards_cases(stream: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert told(stream) == expected
    assert b"".join(event.raw for event in parse(stream)) == stream


_STREAMS = st.lists(
    st.sampled_from(
        [
            b"data: ",
            b"data:",
            b"event: a",
            b":",
            b"x",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b"\xef\xbb\xbf",
            "€".encode(),
        ]
    ),
    max_size=30,
).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(_STREAMS, st.data())
def test_any_cut_gives_the_same_events_and_loses_no_byte(
    stream: bytes, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = SseParser().feed(stream, last=True)
    assert parse(*pieces) == whole == parse(*[bytes([byte]) for byte in stream])
    assert b"".join(event.raw for event in whole) == stream


def test_an_event_over_the_bound_is_refused_after_those_before_it() -> None:
    for pieces in ([b"data: 1\n\ndata: " + b"x" * 40], [b"data: 1\n\n", b"data: ", b"x" * 40]):
        parser = SseParser(limit=32)
        events: list[SseEvent] = []
        for piece in pieces[:-1]:
            events += parser.feed(piece)
        with pytest.raises(ValueError) as caught:
            parser.feed(pieces[-1])
        assert isinstance(caught.value, EventTooLarge)
        assert [event.data for event in (*events, *caught.value.events)] == [b"1"]


def test_a_large_event_in_small_pieces_takes_linear_time() -> None:
    parser = SseParser()
    started = time.perf_counter()
    for _ in range(4000):
        parser.feed(b"x" * 1000)
    assert time.perf_counter() - started < 2
