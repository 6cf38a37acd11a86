"""The bounds of a connection, and why they are what they are; docs/wire.md has the table."""

from __future__ import annotations

from typing import Final

from gateway_extproc.wire.http2.frames import (
    DEFAULT_WINDOW,
    MIN_FRAME_SIZE,
    Setting,
    settings,
    window_update,
)

STREAM_WINDOW: Final = 1024 * 1024
"""Bytes that a peer may send on a stream before we give window back.

Large enough that an ordinary body comes without a pause, small enough that the messages of
other streams wait behind at most this much."""

CONNECTION_WINDOW: Final = 16 * 1024 * 1024
"""Given back as bytes arrive: streams are bounded one by one, and a window that one stream
could use up while another needs it would be a deadlock."""

FRAME_BYTES: Final = MIN_FRAME_SIZE
"""Largest frame that we take: the protocol's default, which Envoy's codecs never exceed."""

CONCURRENT_STREAMS: Final = 32_768
"""Streams whose handler runs.  One that the peer has reset counts until its handler is done,
so a peer that opens and resets cannot pile up work (CVE-2023-44487)."""

HEADER_BLOCK_BYTES: Final = 16 * 1024
CONTINUATIONS: Final = 16
"""A header block's size, encoded and decoded, and the number of its CONTINUATION frames
(CVE-2024-27316).  Metadata of 16 KiB is gRPC's own upper bound."""

HELD_BYTES: Final = 256 * 1024 * 1024
MESSAGE_OVERHEAD: Final = 64
"""Bytes of unfinished or unread messages of one connection, and what each costs beside its
bytes; a stream that would go beyond ends with RESOURCE_EXHAUSTED."""

WORKLESS_BURST: Final = 1000
WORKLESS_PER_S: Final = 500
BYTES_A_WORKLESS: Final = 512
"""Frames that carry no work: so many at once, so many a second; each message, and each so many
bytes of payload in either direction, pay for one."""

STREAMS_A_WORKLESS: Final = 100
"""A change of all streams' windows counts as one such frame for each so many streams."""

FIELDS_A_WORKLESS: Final = 20
"""A header block that is decoded counts as one such frame for each so many fields: requests have
fewer, and decoding some hundred takes milliseconds."""

BACKLOG_BYTES: Final = 4 * 1024 * 1024
"""What no window bounds (acknowledgements, resets, statuses), while the peer reads nothing
(CVE-2019-9512, -9514, -9515)."""

REMEMBERED: Final = CONCURRENT_STREAMS
"""Streams that we ended first, whose late frames are dropped without an answer: as many as may
end at once."""

PREFACE_S: Final = 10.0
"""Time from connecting to the first SETTINGS."""

STALL_S: Final = 60.0
"""A stream whose message the peer does not take whole in this time is reset, also if it takes
some; a connection whose socket stays full for so long is cut."""

LINGER_S: Final = 2.0
"""After an error, time for the GOAWAY to reach the peer before the connection is cut."""

WRITE_HIGH_WATER: Final = 256 * 1024
"""Bytes in the transport above which writers wait."""

TURN_BYTES: Final = 256 * 1024
"""Payload sent in one turn of the loop; then the loop's other work comes, and the transport
says whether it is full."""

PIECE_BYTES: Final = 64 * 1024
"""Largest frame that we send, where the peer takes so much."""

READ_BYTES_MIN: Final = 32 * 1024
READ_BYTES_MAX: Final = 256 * 1024
"""The read buffer begins small, for peers that say little, and grows when reads fill it."""

HEADER_TABLE_BYTES: Final = 0
"""No table: every header block stands alone, and is decoded only where it must be."""


def greeting() -> bytes:
    """What we send first."""
    announced = {
        Setting.HEADER_TABLE_SIZE: HEADER_TABLE_BYTES,
        Setting.MAX_CONCURRENT_STREAMS: CONCURRENT_STREAMS,
        Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        Setting.MAX_HEADER_LIST_SIZE: HEADER_BLOCK_BYTES,
    }
    return settings(announced) + window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW)
