"""What a connection holds for its streams, and what it refuses to hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway_extproc.wire.http2 import limits
from gateway_extproc.wire.http2.intake import Intake
from gateway_extproc.wire.http2.states import StreamState
from gateway_extproc.wire.http2.stream import Http2Stream

ROOM = 10_000
HEAD = 5

Feed = Callable[[Intake, Http2Stream, bytes], None]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELD_BYTES", ROOM)


def a_stream(number: int) -> Http2Stream:
    connection: Any = None  # the intake does not ask for it
    return Http2Stream(connection, number, limits.STREAM_WINDOW)


def alone(intake: Intake, stream: Http2Stream, message: bytes) -> None:
    intake.take(stream, message)


def in_pieces(intake: Intake, stream: Http2Stream, message: bytes) -> None:
    intake.cut(stream, memoryview(b"\0" + len(message).to_bytes(4, "big") + message))


@pytest.mark.parametrize("feed", [alone, in_pieces])
def test_a_message_that_is_refused_keeps_nobody_else_out(feed: Feed) -> None:
    intake, first, large, other = Intake(lambda frame: None), a_stream(1), a_stream(3), a_stream(5)
    feed(intake, first, bytes(1000))
    before = intake.held
    assert 1000 <= before <= 1000 + limits.MESSAGE_OVERHEAD + HEAD
    feed(intake, large, bytes(ROOM))
    assert large.state is StreamState.LEFT
    assert intake.held == before
    feed(intake, other, bytes(1000))
    assert other.state is StreamState.OPEN
    assert intake.held == 2 * before


def test_a_payload_whose_messages_are_too_many_is_not_held() -> None:
    """Each small message costs its place in the queue: that is refused behind the bytes."""
    intake, stream = Intake(lambda frame: None), a_stream(1)
    many = bytes(HEAD) * (ROOM // HEAD - 10)
    assert len(many) < ROOM
    assert intake.cut(stream, memoryview(many)) == 0
    assert (stream.state, intake.held, stream.held) == (StreamState.LEFT, 0, 0)
