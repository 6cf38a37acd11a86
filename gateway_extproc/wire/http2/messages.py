"""DATA payloads, cut anywhere, to gRPC messages.

A message on the wire is a flag byte, four bytes of length, and the message (gRPC over
HTTP/2, "Length-Prefixed-Message").
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

from gateway_extproc.wire.options import MESSAGE_BYTES
from gateway_extproc.wire.stream import Status, StreamAborted

PREFIX_BYTES: Final = 5

RESERVE: Final = 4
"""Times of what came already: so much memory is taken at once for what is still to come.

A peer may announce 64 MiB with five bytes, so its word alone takes no memory; and growing
frame by frame would copy a large message several times."""
RESERVE_MOST: Final = 1024 * 1024
"""And never more at once than what is filled in a fraction of a millisecond: other streams
wait meanwhile."""


class MessageCutter:
    """Collects one stream's payloads until messages are whole."""

    __slots__ = ("_body", "_filled", "_need", "_prefix", "_room")

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._prefix = b""
        self._body: BytesIO | None = None
        self._need = PREFIX_BYTES
        """Bytes of the prefix, then of the message."""
        self._filled = 0
        self._room = 0

    @property
    def empty(self) -> bool:
        """Nothing of an unfinished message is here."""
        return self._body is None and not self._prefix

    def feed(self, payload: memoryview) -> list[bytes]:
        """The messages that ``payload`` completes; raises ``StreamAborted`` for a bad one."""
        if self._filled + len(payload) < self._need:
            # Most frames of a large message.
            self._add(payload)
            return []
        messages: list[bytes] = []
        while len(payload) >= (left := self._need - self._filled):
            self._add(payload[:left])
            payload = payload[left:]
            if self._body is not None:
                # The bytes that were filled, not a copy of them.
                messages.append(self._body.getvalue())
                self._begin()
            else:
                self._need = check_prefix(self._prefix[0], int.from_bytes(self._prefix[1:], "big"))
                self._filled = 0
                self._body = BytesIO()
        if payload:
            self._add(payload)
        return messages

    def _add(self, piece: memoryview) -> None:
        body, filled = self._body, self._filled + len(piece)
        if body is None:
            self._prefix += piece
        else:
            if filled > self._room:
                self._reserve(body, filled)
            body.write(piece)
        self._filled = filled

    def _reserve(self, body: BytesIO, filled: int) -> None:
        """Room for the rest of the message, as far as what is here vouches for it."""
        self._room = min(self._need, RESERVE * filled, filled + RESERVE_MOST)
        body.seek(self._room - 1)
        body.write(b"\x00")
        body.seek(self._filled)


def check_prefix(compressed: int, size: int) -> int:
    """The size of a message that we take; raises ``StreamAborted`` for others."""
    if compressed:
        # We offered no encoding, so none may be used (gRPC over HTTP/2, "Compression").
        raise StreamAborted("compressed messages are not supported", Status.UNIMPLEMENTED)
    if size > MESSAGE_BYTES:
        raise StreamAborted(
            f"a message of {size} bytes is larger than {MESSAGE_BYTES}", Status.RESOURCE_EXHAUSTED
        )
    return size
