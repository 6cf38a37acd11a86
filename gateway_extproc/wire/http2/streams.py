"""The streams of one connection: how they begin, run and end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from gateway_extproc.wire.http2 import headers, limits
from gateway_extproc.wire.http2.frames import ConnectionFault, ErrorCode, StreamFault
from gateway_extproc.wire.http2.intake import Intake
from gateway_extproc.wire.http2.sender import Sender
from gateway_extproc.wire.http2.states import ENDED, RECEIVED, StreamState
from gateway_extproc.wire.http2.stream import Http2Stream
from gateway_extproc.wire.stream import Status, StreamAborted

log = logging.getLogger(__name__)

ServeStream = Callable[[Http2Stream], Awaitable[None]]
OK: Final = Status.OK

Methods = Mapping[str, ServeStream]
"""Handlers by path, ``/package.Service/Method``."""


class Streams:
    """Runs a handler a stream; ``emptied`` is called when the last stream is over."""

    def __init__(
        self, methods: Methods, sender: Sender, intake: Intake, emptied: Callable[[], None]
    ) -> None:
        self._methods = methods
        self._emptied = emptied
        self._left: dict[int, bool] = {}
        """Streams that we ended first; whether a message had come on them."""
        self.sender = sender
        self.intake = intake
        self.loop = asyncio.get_running_loop()
        self.by_id: dict[int, Http2Stream] = {}
        """Streams of which the peer may hear."""
        self.tasks: set[asyncio.Task[None]] = set()
        """Handlers that run, also of streams that are over."""
        self.last_id = 0
        """The highest stream that the peer opened."""
        self.refusing = False
        """After the final GOAWAY: new streams are dropped unseen (RFC 9113, section 6.8)."""

    # --------------------------------------------------------------------- what may come

    def judge(self, kind: int, stream_id: int) -> None:
        """Raises what the table says of a frame that its stream does not take."""
        judgement = RECEIVED[self._state_of(stream_id)][kind]
        if judgement.act == "end stream":
            raise StreamFault(stream_id, judgement.code, f"frame {kind:#x}")
        if judgement.act == "end connection":
            raise ConnectionFault(judgement.code, f"frame {kind:#x} on stream {stream_id}")

    def _state_of(self, stream_id: int) -> StreamState:
        stream = self.by_id.get(stream_id)
        if stream is not None:
            return stream.state
        if not stream_id % 2:
            return StreamState.IDLE
        if stream_id > self.last_id:
            return StreamState.LEFT if self.refusing else StreamState.IDLE
        return StreamState.LEFT if stream_id in self._left else StreamState.CLOSED

    def acknowledge(self, stream_id: int) -> bool:
        """Whether a RST_STREAM answers our end of a stream with messages; it does so once.

        Envoy answers each: as many come at once as streams were ended at once.
        """
        return self._left.pop(stream_id, False)

    # ---------------------------------------------------------------------------- begin

    @property
    def full(self) -> bool:
        """As many handlers run as may; of streams that are over, too."""
        return len(self.tasks) >= limits.CONCURRENT_STREAMS

    def open(self, stream_id: int, head: headers.Head, *, ended: bool) -> None:
        """A new request: its handler begins in the next turn of the loop."""
        stream = Http2Stream(self, stream_id, self.sender.stream_window)
        stream.content_left = head.content_length
        self.by_id[stream_id] = stream
        if ended:
            self.end_of(stream)
        if not head.grpc:
            self._finish(stream, headers.NOT_GRPC)
            return
        serve = self._methods.get(head.path, _unknown_method)
        stream.task = self.loop.create_task(self._run(stream, serve))
        self.tasks.add(stream.task)

    def end_of(self, stream: Http2Stream) -> None:
        """The peer ended its half."""
        if stream.content_left:
            # Section 8.1.1: a request whose content-length is not its length is malformed.
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "content-length is wrong")
        if stream.cutter is not None:
            stream.fail(StreamAborted("the stream ended inside a message"))
        stream.end()

    async def _run(self, stream: Http2Stream, serve: ServeStream) -> None:
        """The task of one stream; whatever ends the handler becomes a status."""
        stream.begun = True
        status, details = OK, ""
        try:
            await serve(stream)
        except StreamAborted as fault:
            status, details = fault.status, fault.details
        except asyncio.CancelledError:
            status, details = Status.UNAVAILABLE, "the server stops"
        except Exception:
            log.exception("the handler of stream %d failed", stream.id)
            status, details = Status.INTERNAL, "internal error"
        assert stream.task is not None
        self.tasks.discard(stream.task)
        if not stream.gone:
            block = headers.OK if status is OK else headers.trailers(status, details)
            self._finish(stream, block if stream.answered else headers.RESPONSE + block)

    # ------------------------------------------------------------------------------ end

    def _finish(self, stream: Http2Stream, block: bytes) -> None:
        """Ends our half; where the peer's is open, tells it to stop (section 8.1)."""
        if stream.unsent is not None:
            # A message was cut: no status may follow half of one.
            self.reset(stream.id, ErrorCode.CANCEL)
            return
        self.sender.end(stream, block)
        if stream.state is not ENDED:
            self.sender.reset(stream.id, ErrorCode.NO_ERROR)
            self._remember_left(stream.id, heard=stream.heard)
        stream.gone = True
        self._forget(stream)

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """We end a stream at once; its handler is cancelled."""
        self.sender.reset(stream_id, code)
        stream = self.by_id.get(stream_id)
        self._remember_left(stream_id, heard=stream is not None and stream.heard)
        if stream is not None:
            self.abandon(stream)

    def abandon(self, stream: Http2Stream) -> None:
        """Nothing can be sent any more: the handler is cancelled."""
        stream.gone = True
        self._forget(stream)
        task = stream.task
        if task is not None:
            if not task.cancelling():
                # Once: what was cancelled settles and records.
                task.cancel()
            else:
                stream.lose()
            if not stream.begun:
                # Its first step will be the cancellation: nobody else takes it off.
                self.tasks.discard(task)

    def abandon_all(self) -> None:
        """The connection is over."""
        for stream in tuple(self.by_id.values()):
            self.abandon(stream)

    def cancel_all(self) -> None:
        """Ends all streams: UNAVAILABLE, or never begun; their tasks finish on their own."""
        for stream in tuple(self.by_id.values()):
            if stream.task is not None and stream.begun:
                stream.task.cancel()
            else:
                self.reset(stream.id, ErrorCode.REFUSED_STREAM)

    def stalled(self, stream: Http2Stream) -> None:
        """The peer did not take a message whole in time."""
        if not stream.gone:
            self.reset(stream.id, ErrorCode.CANCEL)

    def _forget(self, stream: Http2Stream) -> None:
        stream.unsent = stream.cutter = None
        self.intake.release(stream)
        del self.by_id[stream.id]
        if not self.by_id:
            self._emptied()

    def _remember_left(self, stream_id: int, *, heard: bool) -> None:
        self._left[stream_id] = heard
        if len(self._left) > limits.REMEMBERED:
            del self._left[next(iter(self._left))]


async def _unknown_method(stream: Any) -> None:
    raise StreamAborted("unknown method", Status.UNIMPLEMENTED)
