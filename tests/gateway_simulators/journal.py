"""What reached a simulator: a bounded record that tests read."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

MAX_REQUESTS: Final = 2_000
MAX_BYTES: Final = 64 * 1024 * 1024

Outcome = Literal["open", "answered", "refused", "fault", "client_left"]


@dataclass(slots=True)
class Received:
    """One request as it came.  Header names are lower case, in order of arrival.

    ``outcome`` tells how it ended: ``refused`` by a check, ``fault`` by a set fault,
    ``client_left`` before the last byte, ``answered`` otherwise.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    status: int = 0
    outcome: Outcome = "open"

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> Any:
        """The body's JSON; raises ValueError (orjson's) when it is none."""
        return orjson.loads(self.body)

    def document(self) -> dict[str, Any]:
        """For the HTTP interface: ``json`` is null when the body is no JSON."""
        try:
            parsed = self.json()
        except ValueError:
            parsed = None
        return {
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body": self.body.decode(errors="replace"),
            "json": parsed,
            "status": self.status,
            "outcome": self.outcome,
        }


@dataclass(frozen=True, slots=True)
class Violation:
    """A header that must never reach this provider; its value is not kept."""

    header: str
    method: str
    path: str


class Journal:
    """The last requests and violations; the oldest go when a bound is reached.

    Written by the server's loop and read from test threads, hence the lock.
    """

    def __init__(self, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES) -> None:
        self._lock = threading.Lock()
        self._requests: deque[Received] = deque()
        self._violations: deque[Violation] = deque(maxlen=max_requests)
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._bytes = 0
        self.served = 0

    def add(self, received: Received) -> None:
        with self._lock:
            self.served += 1
            self._requests.append(received)
            self._bytes += len(received.body)
            while len(self._requests) > self._max_requests or (
                self._bytes > self._max_bytes and len(self._requests) > 1
            ):
                self._bytes -= len(self._requests.popleft().body)

    def add_violation(self, violation: Violation) -> None:
        with self._lock:
            self._violations.append(violation)

    def clear(self) -> None:
        with self._lock:
            self._requests.clear()
            self._violations.clear()
            self._bytes = 0

    @property
    def requests(self) -> list[Received]:
        with self._lock:
            return list(self._requests)

    @property
    def violations(self) -> list[Violation]:
        with self._lock:
            return list(self._violations)
