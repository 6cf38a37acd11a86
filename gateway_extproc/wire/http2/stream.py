"""One stream as its handler sees it: messages in, messages out."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NoReturn

from gateway_extproc.wire.http2.limits import STALL_S
from gateway_extproc.wire.http2.states import ENDED, OPEN, StreamState
from gateway_extproc.wire.stream import StreamAborted

if TYPE_CHECKING:
    from gateway_extproc.wire.http2.flow import Unsent
    from gateway_extproc.wire.http2.messages import MessageCutter
    from gateway_extproc.wire.http2.streams import Streams


class Http2Stream:
    """``Stream`` over our own HTTP/2.

    The receiving half writes the fields of the first group, the sender those of the second.
    """

    __slots__ = (
        "_fault",
        "_queue",
        "_reader",
        "_streams",
        "_writer",
        "answered",
        "begun",
        "content_left",
        "cutter",
        "gone",
        "heard",
        "held",
        "id",
        "owed",
        "parked",
        "state",
        "task",
        "unsent",
        "window",
    )

    def __init__(self, streams: Streams, stream_id: int, window: int) -> None:
        self._streams = streams
        self._queue: deque[bytes] | None = None
        self._reader: asyncio.Future[bytes | None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._fault: StreamAborted | None = None
        # --- the receiving half: connection, streams, intake
        self.id = stream_id
        self.state: StreamState = OPEN
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        """The handler's task took its first step."""
        self.gone = False
        """The peer does not know the stream any more: nothing may be sent."""
        self.heard = False
        """A message came."""
        self.owed = 0
        """Bytes received and not given back to the peer's window."""
        self.content_left: int | None = None
        """Bytes that the peer's content-length still promises."""
        self.cutter: MessageCutter | None = None
        """Collects a message that did not come in one frame."""
        self.held = 0
        """Bytes of large messages, as the intake counts them."""
        # --- the sender
        self.answered = False
        self.window = window
        self.unsent: Unsent | None = None
        self.parked = False
        """Waits for its own window."""

    # ------------------------------------------------------------- the handler's side

    async def read(self) -> bytes | None:
        queue = self._queue
        if queue:
            message = queue.popleft()
            if not queue:
                self._streams.intake.give_back(self)
            return message
        if self._fault is not None:
            raise self._fault
        if self.gone:
            raise StreamAborted("the peer has left")
        if self.state is not OPEN:
            return None
        self._reader = self._streams.loop.create_future()
        return await self._reader

    async def write(self, message: bytes) -> None:
        if self.gone:
            raise StreamAborted("the peer has left")
        if not self._streams.sender.message(self, message):
            await self._sent()

    async def abort(self, details: str) -> NoReturn:
        raise StreamAborted(details)

    async def _sent(self) -> None:
        """Until the last byte of the message is on its way; a peer has ``STALL_S`` to take it."""
        self._writer = self._streams.loop.create_future()
        stall = self._streams.loop.call_later(STALL_S, self._streams.stalled, self)
        try:
            await self._writer
        finally:
            stall.cancel()

    # ---------------------------------------------------------- the connection's side

    @property
    def waits(self) -> bool:
        """The handler has read everything that came."""
        return not self._queue

    @property
    def reading(self) -> bool:
        """The handler waits for a message."""
        return self._reader is not None and not self._reader.done()

    def deliver(self, message: bytes) -> None:
        """A message came."""
        self.heard = True
        reader = self._reader
        if reader is not None and not reader.done():
            self._reader = None
            reader.set_result(message)
        elif self._queue is None:
            self._queue = deque((message,))
        else:
            self._queue.append(message)

    def end(self) -> None:
        """The peer ended its half."""
        self.state = ENDED
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def fail(self, fault: StreamAborted) -> None:
        """What comes is no message: the handler's next read raises ``fault``."""
        self.state = StreamState.LEFT
        self._fault = fault
        self.cutter = None
        if self._reader is not None and not self._reader.done():
            self._reader.set_exception(fault)

    def lose(self) -> None:
        """The peer is gone: a handler that settles waits for it no longer."""
        for waiter in (self._reader, self._writer):
            if waiter is not None and not waiter.done():
                waiter.set_exception(StreamAborted("the peer has left"))

    def sent(self) -> None:
        """All of ``unsent`` left."""
        self.unsent = None
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
