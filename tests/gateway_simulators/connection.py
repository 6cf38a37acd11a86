"""One HTTP/1.1 connection: h11 for the protocol, asyncio streams for the bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Final

import h11

from gateway_simulators.shape import Headers

READ_BYTES: Final = 64 * 1024
MAX_HEADER_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 32 * 1024 * 1024


class BodyTooLarge(Exception):
    """The request's body is beyond ``MAX_BODY_BYTES``."""


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request; header names in lower case."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Connection:
    """Reads requests and writes answers; every method may raise ConnectionError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        # drain() then waits until the kernel has everything: "abort after N events"
        # would otherwise throw away what still waits in the process.
        writer.transport.set_write_buffer_limits(high=0)

    async def next_request(self) -> Request | None:
        """The next request, None when the client is done.

        Raises ``BodyTooLarge`` and h11.RemoteProtocolError.
        """
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_BODY_BYTES:
                    raise BodyTooLarge
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body))
            else:
                return None

    async def send(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer, in one write: one system call instead of three."""
        length = ("content-length", str(len(body)))
        head = h11.Response(status_code=status, headers=[*headers, length])
        self._write(head, h11.Data(data=body), h11.EndOfMessage())
        await self.flush()

    async def send_half(self, status: int, headers: Headers, body: bytes) -> None:
        """The head of a whole answer and half of its body, then the connection breaks."""
        self.start(status, [*headers, ("content-length", str(len(body)))])
        self.part(body[: len(body) // 2])
        await self.flush()
        self.abort()

    def start(self, status: int, headers: Headers) -> None:
        """The head of an answer whose parts follow."""
        self._write(h11.Response(status_code=status, headers=headers))

    def part(self, data: bytes) -> None:
        self._write(h11.Data(data=data))

    async def end(self) -> None:
        self._write(h11.EndOfMessage())
        await self.flush()

    async def flush(self) -> None:
        await self._writer.drain()

    def client_left(self) -> bool:
        """The client closed its side; HTTP clients only do so when they are gone."""
        return self._reader.at_eof() or self._writer.transport.is_closing()

    async def wait_until_client_left(self) -> None:
        while await self._reader.read(READ_BYTES):
            pass

    def abort(self) -> None:
        """Closes without finishing the answer: a FIN in the middle of a body."""
        self._writer.transport.abort()

    def reset(self) -> None:
        """A TCP RST: linger 0 makes the kernel drop the connection hard."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._http.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._reader.read(READ_BYTES))

    def _write(self, *events: h11.Event) -> None:
        data = b"".join(self._http.send(event) or b"" for event in events)
        if data:
            self._writer.write(data)


def _request(head: h11.Request, body: bytes) -> Request:
    return Request(
        method=head.method.decode(),
        path=head.target.decode(),
        headers=tuple((name.decode(), value.decode("latin-1")) for name, value in head.headers),
        body=body,
    )
