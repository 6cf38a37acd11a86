"""Posts to an HTTP server on a Unix socket, one connection a request: for what is seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import h11

READ_BYTES: Final = 64 * 1024


class Posted(NamedTuple):
    """A whole answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class PostFailed(Exception):
    """Nobody listened, or no whole answer came."""


class UnixPostbox:
    """The server behind one socket."""

    def __init__(self, path: str, max_answer_bytes: int) -> None:
        self._path, self._max_answer_bytes = path, max_answer_bytes

    async def post(
        self, target: str, headers: Sequence[tuple[str, str]], body: bytes, timeout_s: float
    ) -> Posted:
        """The answer, whatever its status; raises ``PostFailed``."""
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    return await self._exchange(reader, writer, target, headers, body)
                finally:
                    writer.close()
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            raise PostFailed(type(error).__name__) from None

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
    ) -> Posted:
        http = h11.Connection(h11.CLIENT)
        head = h11.Request(method="POST", target=target, headers=list(headers))
        for part in (head, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(http.send(part) or b"")
        await writer.drain()
        status, received = 0, bytearray()
        said: dict[str, str] = {}
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(READ_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
                said = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                received += event.data
                if len(received) > self._max_answer_bytes:
                    raise PostFailed("answer too large")
            elif isinstance(event, h11.EndOfMessage):
                return Posted(status, said, bytes(received))
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                raise PostFailed("connection closed")
