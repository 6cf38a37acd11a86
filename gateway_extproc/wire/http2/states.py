"""What may follow what on a stream and on a connection, as tables.

A stream seen by the side that receives (RFC 9113, section 5.1).  We never push and
never speak first, so the states are fewer than the RFC's:

    IDLE     nothing came yet
    OPEN     the peer may send; we may answer
    ENDED    the peer sent END_STREAM ("half-closed (remote)"); we may answer
    LEFT     we ended it while the peer was still sending; frames that were on their
             way are read and dropped (section 5.1, "closed", third item)
    CLOSED   over on both sides

The states change like this; everything else is judged by ``RECEIVED`` below.

    IDLE  --HEADERS-->             OPEN
    IDLE  --HEADERS+END_STREAM-->  ENDED
    OPEN  --END_STREAM-->          ENDED
    OPEN  --RST_STREAM-->          CLOSED
    OPEN  --we answered-->         LEFT      (trailers, then RST_STREAM(NO_ERROR), section 8.1)
    ENDED --RST_STREAM-->          CLOSED
    ENDED --we answered-->         CLOSED
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from gateway_extproc.wire.http2.frames import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
)


class StreamState(Enum):
    IDLE = "idle"
    OPEN = "open"
    ENDED = "half-closed (remote)"
    LEFT = "left"
    CLOSED = "closed"


# Where each frame passes, a name of a module is ten times cheaper than a member of an enum
# (Python 3.11 searches those at each use).
OPEN: Final = StreamState.OPEN
ENDED: Final = StreamState.ENDED


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to do about a frame: take it, drop it, or end the stream or the connection."""

    act: Literal["take", "drop", "end stream", "end connection"]
    code: ErrorCode = ErrorCode.NO_ERROR


TAKE: Final = Judgement("take")
DROP: Final = Judgement("drop")
_NOT_IDLE: Final = Judgement("end connection", ErrorCode.PROTOCOL_ERROR)
_ENDED: Final = Judgement("end stream", ErrorCode.STREAM_CLOSED)
_CLOSED: Final = Judgement("end connection", ErrorCode.STREAM_CLOSED)

RECEIVED: Final[dict[StreamState, dict[int, Judgement]]] = {
    # "Receiving any frame other than HEADERS or PRIORITY on a stream in this state MUST be
    # treated as a connection error of type PROTOCOL_ERROR."
    StreamState.IDLE: {
        DATA: _NOT_IDLE, HEADERS: TAKE, PRIORITY: TAKE, RST_STREAM: _NOT_IDLE,
        WINDOW_UPDATE: _NOT_IDLE,
    },
    StreamState.OPEN: {
        DATA: TAKE, HEADERS: TAKE, PRIORITY: TAKE, RST_STREAM: TAKE, WINDOW_UPDATE: TAKE,
    },
    # "If an endpoint receives additional frames, other than WINDOW_UPDATE, PRIORITY, or
    # RST_STREAM, for a stream that is in this state, it MUST respond with a stream error of
    # type STREAM_CLOSED."
    StreamState.ENDED: {
        DATA: _ENDED, HEADERS: _ENDED, PRIORITY: TAKE, RST_STREAM: TAKE, WINDOW_UPDATE: TAKE,
    },
    StreamState.LEFT: {
        DATA: DROP, HEADERS: DROP, PRIORITY: DROP, RST_STREAM: DROP, WINDOW_UPDATE: DROP,
    },
    # WINDOW_UPDATE and RST_STREAM may have crossed our END_STREAM on the way.  DATA costs the
    # peer its stream, not the others theirs: which of several streams was reset by us is
    # remembered for a bounded number only, and a late frame must not end the connection.
    StreamState.CLOSED: {
        DATA: _ENDED, HEADERS: _CLOSED, PRIORITY: DROP, RST_STREAM: DROP, WINDOW_UPDATE: DROP,
    },
}  # fmt: skip


class Expect(Enum):
    """What a connection waits for."""

    PREFACE = "the preface"
    SETTINGS = "the peer's first SETTINGS"
    ANYTHING = "any frame"
    CONTINUATION = "the rest of a header block"


ANYTHING: Final = Expect.ANYTHING

ALL: Final = frozenset(range(256))

EXPECTED: Final[dict[Expect, frozenset[int]]] = {
    # Section 3.4: before any frame.
    Expect.PREFACE: frozenset(),
    # Section 3.4: the preface is followed by a SETTINGS frame.
    Expect.SETTINGS: frozenset({SETTINGS}),
    # PUSH_PROMISE is for servers (section 8.4); a CONTINUATION follows a block only (6.10).
    Expect.ANYTHING: ALL - {PUSH_PROMISE, CONTINUATION},
    # Section 6.10: no other frame, of this or of any other stream, may stand between.
    Expect.CONTINUATION: frozenset({CONTINUATION}),
}
"""Frame types that may come, by what is expected; others are a PROTOCOL_ERROR of the
connection.  Unknown types may come at any time but inside a header block (section 5.5)."""

ON_CONNECTION: Final = frozenset({SETTINGS, PING, GOAWAY})
ON_STREAM: Final = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION})
"""Frames that must, and that must not, be on stream 0; WINDOW_UPDATE may be on both."""
