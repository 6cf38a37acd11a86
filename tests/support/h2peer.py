"""Two HTTP/2 peers for tests: ``H2Peer`` keeps the rules (by ``h2``), ``RawPeer`` keeps none.

``H2Peer`` checks the server: ``h2`` raises when a frame breaks the protocol or a window.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack

from support import frames
from support.frames import Code, Frame, Kind, Setting

TIMEOUT_S = 10.0


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to ``unix:PATH`` or ``HOST:PORT``."""
    if address.startswith("unix:"):
        return await asyncio.open_unix_connection(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


class RawPeer:
    """A connection on which anything can be sent, and every frame that comes is seen."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._pending: list[Frame] = []
        self._bytes = bytearray()
        self._decoder = hpack.Decoder()

    @classmethod
    async def open(cls, address: str, *pairs: tuple[int, int], greet: bool = True) -> RawPeer:
        """Connects; with ``greet`` sends the preface and SETTINGS with these pairs."""
        peer = cls(*await connect(address))
        if greet:
            await peer.send(frames.PREFACE, frames.settings(*pairs))
        return peer

    async def send(self, *pieces: bytes) -> None:
        """Sends bytes; a connection that the server has ended takes them silently."""
        try:
            self._writer.write(b"".join(pieces))
            await asyncio.wait_for(self._writer.drain(), TIMEOUT_S)
        except ConnectionError:
            return

    async def each(self, data: bytes, size: int = 1) -> None:
        """Sends bytes in pieces that arrive one by one."""
        for at in range(0, len(data), size):
            await self.send(data[at : at + size])
            await asyncio.sleep(0)

    def half_close(self) -> None:
        self._writer.write_eof()

    def vanish(self) -> None:
        """Ends the connection without a word."""
        self._writer.transport.abort()

    async def next(self, timeout_s: float = TIMEOUT_S) -> Frame | None:
        """The next frame; None when the server has ended the connection."""
        while not self._pending:
            try:
                got = await asyncio.wait_for(self._reader.read(1 << 16), timeout_s)
            except ConnectionError:
                return None
            if not got:
                return None
            self._bytes += got
            self._pending += frames.parse(self._bytes)
        return self._pending.pop(0)

    async def __aiter__(self) -> AsyncIterator[Frame]:
        """What comes, until the server ends the connection."""
        while (got := await self.next()) is not None:
            yield got

    async def find(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The first frame that fits; what comes before it is dropped."""
        while True:
            got = await self.next()
            assert got is not None, "the connection ended first"
            if wanted(got):
                return got

    async def of(self, kind: Kind, stream: int | None = None) -> Frame:
        return await self.find(
            lambda got: got.kind == kind and stream in (None, got.stream),
        )

    async def pings(self, payload: bytes = b"are-you?") -> None:
        """The connection is alive, and all that was sent before has been looked at."""
        await self.send(frames.ping(payload))
        await self.find(
            lambda got: (
                got.kind == Kind.PING and bool(got.flags & frames.ACK) and got.payload == payload
            )
        )

    async def ended(self) -> int | None:
        """Waits for the end of the connection: the GOAWAY's code, None without a GOAWAY."""
        code: int | None = None
        while (got := await self.next()) is not None:
            if got.kind == Kind.GOAWAY:
                code = got.code
        return code

    async def look(self) -> tuple[bool, int | None]:
        """Whether the connection has ended by now, and with which code; waits for nothing.

        Frames that came are dropped.
        """
        code: int | None = None
        with contextlib.suppress(TimeoutError):
            while (got := await self.next(timeout_s=0.001)) is not None:
                if got.kind == Kind.GOAWAY:
                    code = got.code
                    return True, code
            return True, code
        return False, None

    async def answer(self, stream: int) -> Answer:
        """All that the server says on one stream, until it ends it."""
        answer = Answer()
        while not answer.over:
            got = await self.next()
            assert got is not None, f"the connection ended before stream {stream}"
            if got.stream == stream:
                answer.take(got, self._decoder)
        return answer

    async def close(self) -> None:
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), TIMEOUT_S)
        except ConnectionError:
            return


@dataclass(slots=True)
class Answer:
    """One stream as the server ended it."""

    headers: list[dict[str, str]] = field(default_factory=list)
    payload: bytes = b""
    reset: int | None = None
    ended: bool = False

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None

    @property
    def status(self) -> str | None:
        """The gRPC status, in trailers or in headers alone."""
        return self.headers[-1].get("grpc-status") if self.headers else None

    @property
    def http_status(self) -> str | None:
        return self.headers[0].get(":status") if self.headers else None

    @property
    def messages(self) -> list[bytes]:
        return frames.messages_of(self.payload)

    def take(self, got: Frame, decoder: hpack.Decoder) -> None:
        if got.kind == Kind.HEADERS:
            assert got.flags & frames.END_HEADERS
            self.headers.append(
                {str(name): str(value) for name, value in decoder.decode(got.payload)}
            )
        elif got.kind == Kind.DATA:
            self.payload += got.payload
        elif got.kind == Kind.RST_STREAM:
            self.reset = got.code
        self.ended = self.ended or got.ends_stream


@contextlib.asynccontextmanager
async def raw_peer(
    address: str, *pairs: tuple[int, int], greet: bool = True
) -> AsyncIterator[RawPeer]:
    peer = await RawPeer.open(address, *pairs, greet=greet)
    try:
        yield peer
    finally:
        await peer.close()


class H2Peer:
    """A correct client with several streams on one connection.

    Windows open only when the test says so (``acknowledge=False``), or as data arrives.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        acknowledge: bool,
        pairs: Mapping[int, int],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._acknowledge = acknowledge
        self._changed = asyncio.Event()
        self.answers: dict[int, Answer] = {}
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.closed = False
        self.unacknowledged: dict[int, int] = {}
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        values = {h2.settings.SettingCodes(name): value for name, value in pairs.items()}
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self.h2.max_inbound_frame_size = self.h2.local_settings.max_frame_size
        self.h2.initiate_connection()
        self.flush()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(
        cls, address: str, *, acknowledge: bool = True, pairs: Mapping[int, int] | None = None
    ) -> H2Peer:
        given = {Setting.ENABLE_PUSH: 0, **(pairs or {})}
        return cls(*await connect(address), acknowledge=acknowledge, pairs=given)

    def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())

    async def _listen(self) -> None:
        try:
            while got := await self._reader.read(1 << 16):
                for event in self.h2.receive_data(got):
                    self._take(event)
                self.flush()
                self._changed.set()
        except ConnectionError:
            pass
        finally:
            self.closed = True
            self._changed.set()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                self.answers[event.stream_id].headers.append(
                    {str(name): str(value) for name, value in event.headers}
                )
            case h2.events.DataReceived():
                self.answers[event.stream_id].payload += event.data
                self._arrived(event.stream_id, event.flow_controlled_length)
            case h2.events.StreamEnded():
                self.answers[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.answers[event.stream_id].reset = int(event.error_code)
            case h2.events.ConnectionTerminated():
                self.goaway = event

    def _arrived(self, stream: int, size: int) -> None:
        if self._acknowledge:
            self.h2.acknowledge_received_data(size, stream)
        else:
            self.unacknowledged[stream] = self.unacknowledged.get(stream, 0) + size

    async def until(self, condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
        """Waits until what the server sent makes something true."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                assert not self._listening.done() or not self._listening.exception()
                assert not self.closed, "the connection ended first"
                self._changed.clear()
                await self._changed.wait()

    def request(self, fields: tuple[tuple[str, str], ...] = frames.REQUEST) -> int:
        """Opens a stream."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, fields)
        self.answers[stream] = Answer()
        self.flush()
        return stream

    async def send(self, stream: int, payload: bytes, *, end: bool = False) -> None:
        """Sends a payload as the windows allow."""
        view = memoryview(payload)
        while view:
            await self.until(lambda: self.h2.local_flow_control_window(stream) > 0)
            size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            self.h2.send_data(stream, bytes(view[:size]))
            view = view[size:]
            self.flush()
            await self._writer.drain()
        if end:
            self.end(stream)

    def end(self, stream: int) -> None:
        self.h2.end_stream(stream)
        self.flush()

    def reset(self, stream: int, code: int = Code.CANCEL) -> None:
        self.h2.reset_stream(stream, code)
        self.flush()

    def acknowledge(self, stream: int) -> None:
        """Gives back what the stream has taken from the windows."""
        size = self.unacknowledged.pop(stream, 0)
        if size:
            self.h2.acknowledge_received_data(size, stream)
            self.flush()

    def set(self, name: int, value: int) -> None:
        """Changes a setting in mid-connection."""
        self.h2.update_settings({h2.settings.SettingCodes(name): value})
        self.flush()

    def pause(self) -> None:
        """Reads nothing more from the socket."""
        transport = self._writer.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()

    def resume(self) -> None:
        transport = self._writer.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.resume_reading()

    async def message(self, stream: int, number: int) -> bytes:
        """The stream's message of this number, when it is whole."""
        answer = self.answers[stream]
        await self.until(lambda: _whole(answer.payload) > number or answer.over)
        return frames.messages_of(_front(answer.payload, number + 1))[number]

    async def finish(self, stream: int, timeout_s: float = TIMEOUT_S) -> Answer:
        """The stream's answer, when it is over."""
        answer = self.answers[stream]
        await self.until(lambda: answer.over, timeout_s)
        return answer

    async def close(self) -> None:
        """Leaves; an error that the listener met is the test's."""
        self._writer.close()
        await self._listening


def _ends(payload: bytes) -> list[int]:
    """Where whole messages end in a payload that may be cut."""
    found, at = [], 0
    while len(payload) >= at + 5:
        at += 5 + int.from_bytes(payload[at + 1 : at + 5], "big")
        if at > len(payload):
            break
        found.append(at)
    return found


def _whole(payload: bytes) -> int:
    return len(_ends(payload))


def _front(payload: bytes, count: int) -> bytes:
    ends = _ends(payload)
    assert len(ends) >= count, "the stream ended before this message"
    return payload[: ends[count - 1]]


@contextlib.asynccontextmanager
async def h2_peer(
    address: str, *, acknowledge: bool = True, pairs: Mapping[int, int] | None = None
) -> AsyncIterator[H2Peer]:
    peer = await H2Peer.open(address, acknowledge=acknowledge, pairs=pairs)
    try:
        yield peer
    finally:
        await peer.close()
