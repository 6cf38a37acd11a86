"""Header blocks: which method a request calls, and the few blocks that we send.

We announce a header table of size 0.  Once the peer's encoder says that it obeys, every
block stands alone, so a block need not be decoded to keep the decoder in step.  Decoding
costs more than all the rest of a request (140 us for ten headers in Python), and of the
metadata only the method is wanted: so blocks that begin with the same bytes, up to and
with ``:path``, as one that was decoded and found right, are not decoded again.  What
follows in them is read by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.exceptions import InvalidTableSizeError

from gateway_extproc.wire.http2 import limits
from gateway_extproc.wire.http2.frames import ConnectionFault, ErrorCode
from gateway_extproc.wire.stream import Status

REMEMBERED_PREFIXES: Final = 16
"""Beginnings of blocks that are known; a peer has one a method."""

GRPC: Final = b"application/grpc"

LENGTH_DIGITS: Final = 19
"""Digits of the largest number of 63 bits; Python refuses to read thousands."""

Field = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Head:
    """What a request's header block says, as far as anyone wants to know."""

    path: str
    grpc: bool = True
    content_length: int | None = None


class MalformedHeaders(Exception):
    """A block that decodes and is no request (RFC 9113, section 8.1.1)."""


class BlockCollector:
    """A header block that goes on in CONTINUATION frames (RFC 9113, section 6.10)."""

    def __init__(self) -> None:
        self._block = bytearray()
        self._continuations = 0
        self.flags = 0
        """Of the HEADERS frame that began it."""
        self.stream_id = 0

    def begin(self, flags: int, stream_id: int, fragment: bytes | bytearray) -> None:
        """The first part, of a HEADERS frame without END_HEADERS."""
        self.flags, self.stream_id = flags, stream_id
        self._block[:] = fragment
        self._continuations = 0

    def add(self, stream_id: int, fragment: bytes | bytearray) -> None:
        """The next part; raises ``ConnectionFault``."""
        if stream_id != self.stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of another stream")
        self._block += fragment
        self._continuations += 1
        if (
            len(self._block) > limits.HEADER_BLOCK_BYTES
            or self._continuations > limits.CONTINUATIONS
        ):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header block too large")

    def take(self) -> bytes:
        """The whole block."""
        block = bytes(self._block)
        self._block.clear()
        return block


class HeaderReader:
    """Reads the blocks of one connection in order; ``bear`` is told what a large one costs."""

    def __init__(self, bear: Callable[[float], None]) -> None:
        self._bear = bear
        self._decoder = Decoder(max_header_list_size=limits.HEADER_BLOCK_BYTES)
        self._known: dict[bytes, Head] = {}

    def settings_acknowledged(self) -> None:
        """From now on a block must begin by shrinking the table (RFC 9113, section 4.3.1)."""
        self._decoder.max_allowed_table_size = limits.HEADER_TABLE_BYTES

    def read(self, block: bytes) -> Head:
        """A request's head; raises ``MalformedHeaders`` or ``ConnectionFault``."""
        for prefix, known in self._known.items():
            if block.startswith(prefix):
                return known
        head = check_request(self._decode(block))
        if self._stands_alone and head.grpc and head.content_length is None:
            self._remember(block, head)
        return head

    def read_trailers(self, block: bytes) -> None:
        """The fields behind a request's body; nobody wants them, so they are only checked."""
        check_trailers(self._decode(block))

    def skip(self, block: bytes) -> None:
        """A block that nobody reads: decoded only where the decoder would lose step."""
        if not self._stands_alone:
            self._decode(block)

    @property
    def _stands_alone(self) -> bool:
        """The encoder keeps no table, and may not make one again."""
        return self._decoder.header_table_size == self._decoder.max_allowed_table_size == 0

    def _decode(self, block: bytes) -> list[Field]:
        try:
            fields = [(bytes(f[0]), bytes(f[1])) for f in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError as error:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, str(error)) from None
        except (HPACKError, InvalidTableSizeError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, str(error)) from None
        if cost := len(fields) // limits.FIELDS_A_WORKLESS:
            self._bear(cost)
        return fields

    def _remember(self, block: bytes, head: Head) -> None:
        end = find_end_of_path(block)
        if end is not None and len(self._known) < REMEMBERED_PREFIXES:
            self._known[block[:end]] = head


# ------------------------------------------------------------------- what we are sent

_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_NEEDED: Final = (b":method", b":scheme", b":path")
_CONNECTION_FIELDS: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)


_NAME: Final = bytes(set(range(0x21, 0x7F)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ:"))
"""What may stand in a field's name (section 8.2.1)."""
_NOT_IN_VALUE: Final = b"\x00\r\n"


def check_request(fields: Iterable[Field]) -> Head:
    """The head of a request (RFC 9113, sections 8.2 and 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    regular: dict[bytes, bytes] = {}
    for name, value in fields:
        if name.startswith(b":"):
            if name not in _PSEUDO or name in pseudo or regular:
                raise MalformedHeaders(f"pseudo-header {name!r}")
            pseudo[name] = value
        else:
            check_field(name, value)
            regular[name] = value
    for name in _NEEDED:
        if not pseudo.get(name):
            raise MalformedHeaders(f"no {name.decode()}")
    if pseudo[b":method"] != b"POST":
        return Head("", grpc=False)
    return Head(
        pseudo[b":path"].decode("latin-1"),
        grpc=_is_grpc(regular.get(b"content-type", b"")),
        content_length=_content_length(regular.get(b"content-length")),
    )


def check_trailers(fields: Iterable[Field]) -> None:
    """Trailers have no pseudo-header fields (RFC 9113, section 8.1)."""
    for name, value in fields:
        if name.startswith(b":"):
            raise MalformedHeaders(f"pseudo-header {name!r} in trailers")
        check_field(name, value)


def check_field(name: bytes, value: bytes) -> None:
    """What no HTTP/2 field may be (RFC 9113, sections 8.2.1 and 8.2.2)."""
    if not name or name.translate(None, _NAME) or name in _CONNECTION_FIELDS:
        raise MalformedHeaders(f"field {name!r}")
    if value.translate(None, _NOT_IN_VALUE) != value:
        raise MalformedHeaders(f"value of {name!r}")
    if name == b"te" and value != b"trailers":
        raise MalformedHeaders("te other than trailers")


def _is_grpc(content_type: bytes) -> bool:
    """``application/grpc``, alone or with ``+proto`` or ``;`` behind it."""
    return content_type.startswith(GRPC) and content_type[len(GRPC) :][:1] in (b"", b"+", b";")


def _content_length(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or len(value) > LENGTH_DIGITS:
        raise MalformedHeaders("content-length is no number that can be")
    return int(value)


def find_end_of_path(block: bytes) -> int | None:
    """Where the field ``:path`` of a block ends (RFC 7541, section 6); None if it is spelled out.

    The block was decoded before and refers to the static table only, where ``:path`` is
    4 and 5.
    """
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:  # Indexed Field
            index, at = _integer(block, at, 7)
        elif first & 0xE0 == 0x20:  # Dynamic Table Size Update
            index, at = 0, _integer(block, at, 5)[1]
        else:  # Literal: 01 with indexing, 0000 without, 0001 never
            index, at = _integer(block, at, 6 if first & 0x40 else 4)
            if not index:
                at = _end_of_string(block, at)
            at = _end_of_string(block, at)
        if index in (4, 5):
            return at
    return None


def _end_of_string(block: bytes, at: int) -> int:
    length, at = _integer(block, at, 7)
    return at + length


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """An integer with a prefix of ``bits`` bits, and where it ends (section 5.1)."""
    limit = (1 << bits) - 1
    number = block[at] & limit
    at += 1
    if number < limit:
        return number, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        number += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return number, at


# --------------------------------------------------------------------- what we send


def literal(name: bytes, value: bytes) -> bytes:
    """A literal field without indexing, not Huffman-coded (RFC 7541, section 6.2.2)."""
    return b"\x00" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes((len(text),)) + text
    rest = len(text) - 127
    size = bytearray(b"\x7f")
    while rest >= 0x80:
        size.append(rest & 0x7F | 0x80)
        rest >>= 7
    size.append(rest)
    return bytes(size) + text


NO_TABLE: Final = b"\x20"
"""Says that our encoder keeps no table (RFC 7541, section 6.3).

A peer that allows a smaller table than before demands to hear of it (RFC 9113, section 4.3.1);
one that heard 0 at the start never needs to."""

STATUS_200: Final = b"\x88"
"""``:status: 200``, from the static table."""

RESPONSE: Final = STATUS_200 + literal(b"content-type", GRPC)

NOT_GRPC: Final = literal(b":status", b"415") + literal(b"content-length", b"0")
"""For what is no gRPC request (gRPC over HTTP/2, "Requests")."""

DETAILS_BYTES: Final = 1024
"""Longest status message; a peer may refuse larger header blocks."""


def trailers(status: Status, details: str) -> bytes:
    """The fields that end a gRPC answer; the message is percent-encoded."""
    block = literal(b"grpc-status", str(int(status)).encode())
    if not details:
        return block
    message = quote(details[:DETAILS_BYTES], safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return block + literal(b"grpc-message", message.encode())


OK: Final = trailers(Status.OK, "")
"""How almost every stream ends."""
