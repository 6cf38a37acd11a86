"""Speech as it comes: bytes of sound, or events that carry them as base64."""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    Chunk,
    Document,
    End,
    LlmRequest,
    Stop,
    StreamError,
    StreamEvent,
    UsageReport,
)
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.ports import AnswerWriter
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.openai.frames import encode, error_event, refusal_object
from gateway_extproc.providers.openai.usage import count
from gateway_extproc.providers.problems import Unreadable, stream_error
from gateway_extproc.providers.reading import StreamReader
from gateway_extproc.providers.sse import SseEvent

_ENDED: Final = (Stop("stop"), End())


class BytesReader:
    """Reads an answer that is no text (``core.ports.AnswerReader``): every piece as it comes."""

    def feed(self, data: bytes, *, last: bool) -> tuple[Chunk, ...]:
        return (Chunk(data, None, _ENDED if last else ()),)


class BytesWriter:
    """Writes it unchanged; what went wrong can only be heard, nothing is said between bytes."""

    def write(self, chunk: Chunk) -> bytes:
        return chunk.raw or b""

    def error(self, refusal: Refusal) -> bytes:
        return b""

    def stop(self) -> bytes:
        return b""


def is_sound(media_type: str) -> bool:
    """Whether an answer of this type is one that ``BytesReader`` may read: never a text."""
    return media_type.startswith("audio/") or media_type == "application/octet-stream"


def speech_reader() -> StreamReader:
    """A reader for speech as events."""
    return StreamReader(_interpret)


def speech_writer(request: LlmRequest) -> AnswerWriter:
    return BytesWriter() if request.answers == "bytes" else SpeechWriter()


def _interpret(event: SseEvent, data: bytes) -> Chunk:
    if data.strip() == b"[DONE]":
        return Chunk(event.raw, None, (End(),))
    document = orjson.loads(data)
    if type(document) is not dict:
        raise Unreadable
    return Chunk(event.raw, document, tuple(_events(document)))


def _events(document: Document) -> list[StreamEvent]:
    if document.get("error"):
        return [stream_error(document["error"])]
    if document.get("type") == "speech.audio.done":
        usage: Any = document.get("usage")
        told: list[StreamEvent] = []
        if type(usage) is dict:
            told = [UsageReport(Usage(count(usage, "input_tokens"), count(usage, "output_tokens")))]
        return [*told, *_ENDED]
    if document.get("type") != "speech.audio.delta":
        raise Unreadable  # nothing else is known to carry no text
    return []


class SpeechWriter:
    """Passes events of speech on as they are (``core.ports.AnswerWriter``)."""

    __slots__ = ("_closed",)

    def __init__(self) -> None:
        self._closed = False

    def write(self, chunk: Chunk) -> bytes:
        if self._closed:
            return b""
        if chunk.raw is not None:
            return chunk.raw
        return b"".join(
            [error_event(event) for event in chunk.events if isinstance(event, StreamError)]
        )

    def error(self, refusal: Refusal) -> bytes:
        said_enough, self._closed = self._closed, True
        return b"" if said_enough else encode(refusal_object(refusal))

    def stop(self) -> bytes:
        self._closed = True
        return b""
