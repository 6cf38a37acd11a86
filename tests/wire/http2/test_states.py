"""The tables say something about every frame in every state."""

from __future__ import annotations

import pytest

from gateway_extproc.wire.http2 import frames
from gateway_extproc.wire.http2.frames import ErrorCode
from gateway_extproc.wire.http2.states import (
    EXPECTED,
    ON_CONNECTION,
    ON_STREAM,
    RECEIVED,
    Expect,
    StreamState,
)

OF_STREAMS = {
    frames.DATA,
    frames.HEADERS,
    frames.PRIORITY,
    frames.RST_STREAM,
    frames.WINDOW_UPDATE,
}


@pytest.mark.parametrize("state", StreamState)
def test_every_frame_of_streams_is_judged_in_every_state(state: StreamState) -> None:
    assert set(RECEIVED[state]) == OF_STREAMS
    for judgement in RECEIVED[state].values():
        ends = judgement.act.startswith("end")
        assert ends == (judgement.code is not ErrorCode.NO_ERROR)


def test_every_expectation_has_its_frames() -> None:
    assert set(EXPECTED) == set(Expect)
    assert not ON_CONNECTION & ON_STREAM
    assert frames.WINDOW_UPDATE not in ON_CONNECTION | ON_STREAM


def test_a_server_is_pushed_nothing() -> None:
    assert all(frames.PUSH_PROMISE not in may for may in EXPECTED.values())
