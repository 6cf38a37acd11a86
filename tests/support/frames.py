"""HTTP/2 frames as bytes, also those that a well-behaved library refuses to make.

Independent of the server's own constants on purpose: written from RFC 9113, section 6.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import hpack

from gateway_extproc.wire.options import PROCESS_SERVICE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PROCESS = f"/{PROCESS_SERVICE}/Process"


class Kind(enum.IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Code(enum.IntEnum):
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11


class Setting(enum.IntEnum):
    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

WINDOW_MAX = 2**31 - 1
DEFAULT_WINDOW = 65_535
FRAME_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it came; ``kind`` is a plain number, because unknown ones exist."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of RST_STREAM or GOAWAY."""
        at = {Kind.RST_STREAM: 0, Kind.GOAWAY: 4}[Kind(self.kind)]
        return int.from_bytes(self.payload[at : at + 4], "big")

    @property
    def last_stream(self) -> int:
        """Of GOAWAY: the last stream that was or may yet be served."""
        assert self.kind == Kind.GOAWAY
        return int.from_bytes(self.payload[:4], "big") & WINDOW_MAX

    @property
    def ends_stream(self) -> bool:
        return self.kind in (Kind.DATA, Kind.HEADERS) and bool(self.flags & END_STREAM)


def frame(
    kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, length: int | None = None
) -> bytes:
    """One frame; ``length`` lies about the payload's."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def parse(data: bytearray) -> Iterator[Frame]:
    """Takes the whole frames off the front of ``data``; the server pads nothing."""
    while len(data) >= 9:
        size = int.from_bytes(data[:3], "big")
        if len(data) < 9 + size:
            return
        kind, flags = data[3], data[4]
        stream = int.from_bytes(data[5:9], "big") & WINDOW_MAX
        payload = bytes(data[9 : 9 + size])
        del data[: 9 + size]
        yield Frame(kind, flags, stream, payload)


def settings(*pairs: tuple[int, int]) -> bytes:
    payload = b"".join(struct.pack(">HI", name, value) for name, value in pairs)
    return frame(Kind.SETTINGS, payload=payload)


def settings_ack() -> bytes:
    return frame(Kind.SETTINGS, ACK)


def ping(payload: bytes = b"pingpong", *, ack: bool = False) -> bytes:
    return frame(Kind.PING, ACK if ack else 0, payload=payload)


def window_update(stream: int, increment: int) -> bytes:
    return frame(Kind.WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", increment))


def rst_stream(stream: int, code: int = Code.CANCEL) -> bytes:
    return frame(Kind.RST_STREAM, stream=stream, payload=struct.pack(">I", code))


def goaway(last: int = 0, code: int = Code.NO_ERROR, text: bytes = b"") -> bytes:
    return frame(Kind.GOAWAY, payload=struct.pack(">II", last, code) + text)


def priority(stream: int, parent: int = 0, weight: int = 15) -> bytes:
    return frame(Kind.PRIORITY, stream=stream, payload=struct.pack(">IB", parent, weight))


def data(stream: int, payload: bytes, *, end: bool = False, padding: int | None = None) -> bytes:
    flags = END_STREAM if end else 0
    if padding is None:
        return frame(Kind.DATA, flags, stream, payload)
    return frame(
        Kind.DATA, flags | PADDED, stream, bytes([padding]) + payload + bytes(padding)
    )  # fmt: skip


def data_frames(stream: int, payload: bytes, *, end: bool = False) -> bytes:
    """A payload of any size in frames of the default size."""
    cuts = range(0, max(len(payload), 1), FRAME_BYTES)
    pieces = [payload[at : at + FRAME_BYTES] for at in cuts]
    last = len(pieces) - 1
    return b"".join(
        data(stream, piece, end=end and number == last) for number, piece in enumerate(pieces)
    )


REQUEST: tuple[tuple[str, str], ...] = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", PROCESS),
    (":authority", "gateway"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)
"""The request headers of every ext_proc stream."""


def request(*more: tuple[str, str], **changes: str | None) -> tuple[tuple[str, str], ...]:
    """``REQUEST`` with pseudo headers or others replaced (``_`` for ``-`` and for ``:``); None
    leaves one out."""
    names = {name.strip(":").replace("-", "_"): name for name, _ in REQUEST}
    replaced = {names[key]: value for key, value in changes.items()}
    kept = [(name, replaced.get(name, value)) for name, value in REQUEST]
    return (*((name, value) for name, value in kept if value is not None), *more)


def block(headers: tuple[tuple[str, str], ...] = REQUEST) -> bytes:
    """A header block that needs no dynamic table, as our announced table size asks."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode(headers)


def headers(
    stream: int,
    fields: tuple[tuple[str, str], ...] | bytes = REQUEST,
    *,
    end: bool = False,
    flags: int = END_HEADERS,
) -> bytes:
    payload = fields if isinstance(fields, bytes) else block(fields)
    return frame(Kind.HEADERS, flags | (END_STREAM if end else 0), stream, payload)


def continuation(stream: int, payload: bytes, *, end: bool = True) -> bytes:
    return frame(Kind.CONTINUATION, END_HEADERS if end else 0, stream, payload)


def message(payload: bytes, *, compressed: int = 0, length: int | None = None) -> bytes:
    """A gRPC message with its five-byte prefix; ``length`` lies about its size."""
    size = len(payload) if length is None else length
    return struct.pack(">BI", compressed, size) + payload


def messages_of(payload: bytes) -> list[bytes]:
    """The gRPC messages in a stream's whole payload; an AssertionError for a cut one."""
    found, at = [], 0
    while at < len(payload):
        flag, size = struct.unpack_from(">BI", payload, at)
        assert flag == 0
        assert len(payload) >= at + 5 + size, "the stream ended inside a message"
        found.append(payload[at + 5 : at + 5 + size])
        at += 5 + size
    return found
