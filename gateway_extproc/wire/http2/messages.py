"""DATA payloads, cut anywhere, to gRPC messages.

A message on the wire is a flag byte, four bytes of length, and the message (gRPC over
HTTP/2, "Length-Prefixed-Message").
"""

from __future__ import annotations

from typing import Final

from gateway_extproc.wire.options import MESSAGE_BYTES
from gateway_extproc.wire.stream import Status, StreamAborted

PREFIX_BYTES: Final = 5


class MessageCutter:
    """Collects one stream's payloads until messages are whole."""

    __slots__ = ("_data", "_need")

    def __init__(self) -> None:
        self._data = bytearray()
        self._need = PREFIX_BYTES

    @property
    def empty(self) -> bool:
        """Nothing of an unfinished message is here."""
        return not self._data

    def feed(self, payload: memoryview) -> list[bytes]:
        """The messages that ``payload`` completes; raises ``StreamAborted`` for a bad one."""
        self._data += payload
        return self._cut() if len(self._data) >= self._need else []

    def _cut(self) -> list[bytes]:
        data, at, messages = self._data, 0, []
        with memoryview(data) as view:
            while True:
                self._need = PREFIX_BYTES
                if len(data) - at < PREFIX_BYTES:
                    break
                self._need += check_prefix(data[at], int.from_bytes(view[at + 1 : at + 5], "big"))
                if len(data) - at < self._need:
                    break
                messages.append(bytes(view[at + PREFIX_BYTES : at + self._need]))
                at += self._need
        if at == len(data):
            # A large message's memory goes back at once.
            self._data = bytearray()
        else:
            del data[:at]
        return messages


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
