"""From the bytes of an event stream to chunks; each dialect says what its events mean."""

from __future__ import annotations

from collections.abc import Callable

from gateway_extproc.core.chat import Chunk, Document
from gateway_extproc.providers.problems import UNREADABLE, Unreadable
from gateway_extproc.providers.sse import EventTooLarge, SseEvent, SseParser


class StreamReader:
    """Reads one stream (``core.ports.AnswerReader``).

    ``interpret`` turns one event into a chunk; it raises ``Unreadable`` or
    ``ValueError`` (bad JSON) for what it cannot read.  Such an event loses its
    raw bytes: what no guard could look into must not pass.
    """

    __slots__ = ("_broken", "_interpret", "_parser")

    def __init__(self, interpret: Callable[[SseEvent, bytes], Chunk]) -> None:
        self._interpret = interpret
        self._parser = SseParser()
        self._broken = False

    @property
    def complete(self) -> bool:
        """Events need no closing mark of the framing's own."""
        return True

    def feed(self, data: bytes, *, last: bool) -> tuple[Chunk, ...]:
        """The chunks that ``data`` completed, in any cut of the bytes."""
        if self._broken:
            return ()
        try:
            return tuple([self._chunk(event) for event in self._parser.feed(data, last=last)])
        except EventTooLarge as problem:
            self._broken = True
            return (*map(self._chunk, problem.events), Chunk(None, None, (UNREADABLE,)))

    def _chunk(self, event: SseEvent) -> Chunk:
        if event.data is None:
            return Chunk(event.raw, None, ())
        try:
            return self._interpret(event, event.data)
        except (Unreadable, ValueError):
            return Chunk(None, None, (UNREADABLE,))


def text_of(document: Document, key: str) -> str:
    """A text that a provider may have left out, or spelled as something else; "" then."""
    value = document.get(key)
    return value if type(value) is str else ""
