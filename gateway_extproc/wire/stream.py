"""What a server gives a handler: one bidirectional stream of messages."""

from __future__ import annotations

from enum import IntEnum
from typing import NoReturn, Protocol


class Status(IntEnum):
    """The gRPC status codes that this room sends (gRPC core, "Status codes")."""

    OK = 0
    UNKNOWN = 2
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class StreamAborted(Exception):
    """The stream ends with an error status; no message can follow."""

    def __init__(self, details: str, status: Status = Status.INTERNAL) -> None:
        super().__init__(details)
        self.details = details
        self.status = status


class Stream(Protocol):
    """One stream; the two servers each bring their own.

    A peer that leaves (cancel, lost connection) cancels the task of the handler.
    """

    async def read(self) -> bytes | None:
        """The next message; None when the peer is done."""

    async def write(self, message: bytes) -> None:
        """Sends one message; waits while the peer takes none."""

    async def abort(self, details: str) -> NoReturn:
        """Ends the stream with an error status; Envoy then fails the request.

        Raises ``StreamAborted``, so that nothing more is done for the stream.
        """


class Handler(Protocol):
    """Serves streams; one is shared by all streams of a worker."""

    async def serve(self, stream: Stream) -> None:
        """Runs one stream to its end; a return ends it with status OK."""
