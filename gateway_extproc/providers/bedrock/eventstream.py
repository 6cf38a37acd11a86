"""Binary event streams (``application/vnd.amazon.eventstream``): cut out of bytes, and written.

A message is a prelude (its whole length and that of its headers, each of four bytes, then the CRC32
of those eight), the headers, a payload, and the CRC32 of all before.  Numbers are big-endian.
Both checksums are checked: the first before the lengths are believed, the second before the
payload is.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple
from zlib import crc32

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""AWS's own bound."""

_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = struct.Struct(">I")
_LENGTHS: Final = struct.Struct(">II")
_HEADER: Final = struct.Struct(">B")
_SIZE: Final = struct.Struct(">BH")
_MIN_BYTES: Final = _PRELUDE.size + _CRC.size
_WIDTHS: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Header types of a fixed width; 6 and 7 (bytes, text) name their own."""
_TEXT: Final = 7
_SIZED: Final = (6, _TEXT)


class BadMessage(ValueError):
    """The bytes are no event stream, or were changed on their way.

    ``messages`` holds those completed before.
    """

    def __init__(self, problem: str, messages: tuple[Message, ...] = ()) -> None:
        super().__init__(problem)
        self.messages = messages


class Message(NamedTuple):
    """One message; of its headers only those that are text.  ``raw`` is all of it, as it came."""

    headers: dict[str, str]
    payload: bytes
    raw: bytes = b""


class EventStreamParser:
    """Takes a stream in any cut of its bytes; the messages do not depend on the cut."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether a message has begun that is not complete."""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completed; raises ``BadMessage``."""
        pending = self._pending
        pending += data
        messages: list[Message] = []
        start = 0
        try:
            while len(pending) - start >= _PRELUDE.size:
                length = _length(pending, start)
                if len(pending) - start < length:
                    break
                messages.append(_message(bytes(pending[start : start + length])))
                start += length
        except BadMessage as problem:
            raise BadMessage(str(problem), tuple(messages)) from None
        del pending[:start]
        return messages


def _length(data: bytearray, start: int) -> int:
    """How long the message is that begins at ``start``; raises ``BadMessage``."""
    length, headers, checksum = _PRELUDE.unpack_from(data, start)
    if crc32(data[start : start + 8]) != checksum:
        raise BadMessage("the checksum of a prelude is wrong")
    if not _MIN_BYTES <= length <= MAX_MESSAGE_BYTES or headers > length - _MIN_BYTES:
        raise BadMessage("a message has an impossible length")
    return int(length)


def _message(data: bytes) -> Message:
    (checksum,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    if crc32(data[: -_CRC.size]) != checksum:
        raise BadMessage("the checksum of a message is wrong")
    (headers_bytes,) = _CRC.unpack_from(data, 4)
    begin = _PRELUDE.size
    end = begin + headers_bytes
    try:
        headers = _headers(data[begin:end])
    except (IndexError, struct.error, UnicodeDecodeError):
        raise BadMessage("the headers of a message cannot be read") from None
    return Message(headers, data[end : -_CRC.size], data)


def _headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    while at < len(data):
        size = data[at]
        name = data[at + 1 : at + 1 + size].decode()
        kind = data[at + 1 + size]
        at += 2 + size
        if kind in _SIZED:
            (width,) = struct.unpack_from(">H", data, at)
            at += 2
        elif kind in _WIDTHS:
            width = _WIDTHS[kind]
        else:
            raise BadMessage("a header has an unknown type")
        value = data[at : at + width]
        at += width
        if at > len(data):
            raise BadMessage("a header is longer than its message")
        if kind == _TEXT:
            headers[name] = value.decode()
    return headers


def write_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message with text headers, its checksums made."""
    block = b"".join(
        _HEADER.pack(len(name)) + name.encode() + _SIZE.pack(_TEXT, len(value)) + value.encode()
        for name, value in headers.items()
    )
    lengths = _LENGTHS.pack(_MIN_BYTES + len(block) + len(payload), len(block))
    message = lengths + _CRC.pack(crc32(lengths)) + block + payload
    return message + _CRC.pack(crc32(message))
