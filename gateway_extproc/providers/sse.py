"""Server-sent events, cut out of a byte stream without losing a byte.

The rules are the WHATWG HTML standard's, section 9.2.6 "Interpreting an event
stream", with two differences that a gateway needs: every event carries the bytes
it was made of (framing, comments and blank lines included, so that the raw bytes
of all events joined are the input), and an event that the input ends without
its blank line is delivered instead of dropped, because what the model said in it
was already paid for.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
"""No provider sends one event near this size; more is a broken or hostile stream."""

_BOM: Final = b"\xef\xbb\xbf"
_CR: Final = 0x0D

# A line ends with CRLF, LF or CR; an event ends with an empty line.  A CR before
# an LF is never a line end of its own, however the bytes were cut.
_EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


class SseEvent(NamedTuple):
    """One event; ``data`` is None for bytes that dispatch nothing (comments, blank lines)."""

    name: str
    data: bytes | None
    raw: bytes


class EventTooLarge(ValueError):
    """An event exceeds the bound; ``events`` holds those completed before it."""

    def __init__(self, limit: int, events: tuple[SseEvent, ...]) -> None:
        super().__init__(f"an event is larger than {limit} bytes")
        self.events = events


class SseParser:
    """Takes a stream in any cut of its bytes; the events do not depend on the cut.

    That independence has one price: a CR as the very last byte may be half of a
    CRLF, so an event that ends with a lone CR waits for the next byte.
    """

    __slots__ = ("_first", "_limit", "_pending", "_searched")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._pending = bytearray()
        self._searched = 0
        self._first = True

    def feed(self, data: bytes, *, last: bool = False) -> list[SseEvent]:
        """The events that ``data`` completed; raises ``EventTooLarge`` (a ``ValueError``)."""
        if not self._pending and len(data) <= self._limit:
            body = _one_event(data)
            if body is not None:
                self._first = False
                return [SseEvent("", body, data)]
        buffer: bytes | bytearray = data
        if self._pending:
            self._pending += data
            buffer = self._pending
        events: list[SseEvent] = []
        find_end = _end_any if b"\r" in buffer else _end_lf
        start, size = 0, len(buffer)
        while (end := find_end(buffer, start, max(start, self._searched))) > 0:
            if end == size and buffer[-1] == _CR and not last:
                break  # it may be half of a CRLF
            if end - start > self._limit:
                raise EventTooLarge(self._limit, tuple(events))
            events.append(self._event(bytes(buffer[start:end])))
            start = end
        rest = size - start
        if rest > self._limit:
            raise EventTooLarge(self._limit, tuple(events))
        if last and rest:
            events.append(self._event(bytes(buffer[start:])))
            rest = 0
        if rest or self._pending:
            self._keep(buffer, rest)
        return events

    def _keep(self, buffer: bytes | bytearray, rest: int) -> None:
        """Remembers the unfinished event, and how far it was already searched."""
        done = len(buffer) - rest
        if buffer is self._pending:
            del self._pending[:done]
        else:
            self._pending = bytearray(buffer[done:])
        self._searched = max(0, rest - 3)  # an end is at most four bytes long

    def _event(self, raw: bytes) -> SseEvent:
        body = _one_event(raw)
        if body is not None:
            self._first = False
            return SseEvent("", body, raw)
        first, self._first = self._first, False
        return _read_lines(raw.removeprefix(_BOM) if first else raw, raw)


def _one_event(raw: bytes) -> bytes | None:
    """The data of one event of one line, as nearly all are; None for anything else."""
    if raw[:6] != b"data: ":
        return None
    end, size = raw.find(b"\n"), len(raw)
    if end == size - 2 and raw[end:] == b"\n\n" and b"\r" not in raw:
        return raw[6:end]
    # Google ends lines with CRLF.
    if end == size - 3 and raw[end - 1 :] == b"\r\n\r\n" and raw.find(b"\r") == end - 1:
        return raw[6 : end - 1]
    return None


def _end_lf(buffer: bytes | bytearray, start: int, searched: int) -> int:
    """Where the event that begins at ``start`` ends, 0 if not in here: LF is the only line end."""
    if buffer.startswith(b"\n", start):  # an empty line of its own
        return start + 1
    found = buffer.find(b"\n\n", searched)
    return found + 2 if found >= 0 else 0


def _end_any(buffer: bytes | bytearray, start: int, searched: int) -> int:
    """The same where CR and CRLF may be line ends."""
    empty_line = _LINE_END.match(buffer, start)
    found = empty_line or _EVENT_END.search(buffer, searched)
    return found.end() if found else 0


def _read_lines(text: bytes, raw: bytes) -> SseEvent:
    """The general case: several lines, comments, event names, any line end."""
    name = b""
    data: list[bytes] = []
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for line in text.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return SseEvent(name.decode("utf-8", "replace"), b"\n".join(data) if data else None, raw)
