"""Where an HTTP/1.1 response ends, and its status: all a load client must know.

Strict about length, blind to everything else.  One response at a time: the load
client never pipelines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_BODILESS: Final = frozenset({204, 304})
MAX_HEAD_BYTES: Final = 64 * 1024


class MalformedResponse(ValueError):
    """The bytes are no HTTP/1.1 response, or more than one."""


class ResponseFraming:
    """Takes bytes in any cut; ``feed`` says when the response is complete.

    ``status`` and ``closes`` (the server wants the connection closed) are known
    then; ``size`` counts the bytes of the response.
    """

    __slots__ = ("_buffer", "_left", "_step", "closes", "size", "status")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Ready for the next response of the same connection."""
        self._buffer = b""
        self._left = 0
        self._step: Callable[[], bool | None] = self._head
        self.status = 0
        self.closes = False
        self.size = 0

    def feed(self, data: bytes) -> bool:
        """True when the response is complete; raises ``MalformedResponse``."""
        self.size += len(data)
        self._buffer = self._buffer + data if self._buffer else data
        while True:
            done = self._step()
            if done is None:
                continue
            if done and self._buffer:
                raise MalformedResponse("bytes after the end of the response")
            return done

    def end(self) -> bool:
        """The connection ended: True if that completes the response."""
        return self._step == self._until_close

    # Each step answers True (complete), False (needs bytes) or None (go on with the next).

    def _head(self) -> bool | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise MalformedResponse("headers without an end")
            return False
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
            raise MalformedResponse(f"no status line: {head[:40]!r}")
        self.status = int(head[9:12])
        if self.status < 200:
            return None
        self.closes = _CLOSE.search(head) is not None
        return self._body(head)

    def _body(self, head: bytes) -> bool | None:
        """Chooses how the body ends (RFC 9112, section 6.3)."""
        if self.status in _BODILESS:
            return True
        if _CHUNKED.search(head):
            self._step = self._chunk_size
            return None
        length = _LENGTH.search(head)
        if length is None:
            self.closes = True
            self._step = self._until_close
            return None
        self._left = int(length.group(1))
        self._step = self._counted
        return None

    def _counted(self) -> bool:
        if len(self._buffer) < self._left:
            self._left -= len(self._buffer)
            self._buffer = b""
            return False
        self._buffer = self._buffer[self._left :]
        return True

    def _until_close(self) -> bool:
        self._buffer = b""
        return False

    def _chunk_size(self) -> bool | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        try:
            size = int(self._buffer[:end].partition(b";")[0], 16)
        except ValueError:
            raise MalformedResponse(f"no chunk size: {self._buffer[:end][:40]!r}") from None
        self._buffer = self._buffer[end + 2 :]
        # The chunk's own line end is counted with it.
        self._left = size + 2
        self._step = self._chunk if size else self._trailers
        return None

    def _chunk(self) -> bool | None:
        if not self._counted():
            return False
        self._step = self._chunk_size
        return None

    def _trailers(self) -> bool | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        self._buffer = self._buffer[end + 2 :]
        return True if end == 0 else None
