"""Streams of transcriptions: deltas of one text, and the whole of it once more at the end."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    Chunk,
    Document,
    End,
    Stop,
    StreamError,
    StreamEvent,
    TextDelta,
    UsageReport,
)
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.openai.frames import encode, error_event, refusal_object
from gateway_extproc.providers.openai.usage import read_counted
from gateway_extproc.providers.problems import Unreadable, stream_error
from gateway_extproc.providers.reading import StreamReader
from gateway_extproc.providers.sse import SseEvent

DELTA: Final = "transcript.text.delta"
DONE: Final = "transcript.text.done"
SLOT: Final = ("text",)


def read_sound_usage(document: Document) -> Usage | None:
    """``usage`` of a transcript: tokens, or seconds of sound; ``duration`` where it has none."""
    usage = document.get("usage")
    if type(usage) is dict and ("input_tokens" in usage or "output_tokens" in usage):
        return read_counted(usage)
    told: Any = usage.get("seconds") if type(usage) is dict else document.get("duration")
    if type(told) is str and told.isascii() and told.replace(".", "", 1).isdecimal():
        told = float(told)  # some servers write a number as a text
    if type(told) not in (int, float) or not 0 < told < 1e9:
        return None
    return Usage(seconds=ceil(told))


def transcript_reader() -> StreamReader:
    """A reader for the stream of one transcription."""
    return StreamReader(_interpret)


def _interpret(event: SseEvent, data: bytes) -> Chunk:
    if data.strip() == b"[DONE]":
        return Chunk(event.raw, None, (End(),))
    document = orjson.loads(data)
    if type(document) is not dict:
        raise Unreadable
    return Chunk(event.raw, document, tuple(_events(document)))


def _events(document: Document) -> list[StreamEvent]:
    kind = document.get("type")
    if document.get("error"):
        return [stream_error(document["error"])]
    if kind == DELTA:
        return [TextDelta(SLOT, _text(document, "delta"))]
    if kind == DONE:
        _text(document, "text")
        usage = read_sound_usage(document)
        told: list[StreamEvent] = [] if usage is None else [UsageReport(usage)]
        return [*told, Stop("stop"), End()]
    if type(document.get("delta")) is str or type(document.get("text")) is str:
        raise Unreadable  # text of a kind that no guard would see
    return []


def _text(document: Document, key: str) -> str:
    text: Any = document.get(key)
    if type(text) is not str:
        raise Unreadable
    return text


class TranscriptWriter:
    """Passes such a stream on (``core.ports.AnswerWriter``), byte for byte where it may.

    The last event repeats the whole text: it tells what has left in deltas, and nothing else.
    """

    __slots__ = ("_closed", "_ended", "_said")

    def __init__(self) -> None:
        self._said: list[str] = []
        self._closed = self._ended = False

    def write(self, chunk: Chunk) -> bytes:
        if self._closed:
            return b""
        document = chunk.document
        if document is None:
            return self._inserted(chunk.events) if chunk.raw is None else chunk.raw
        if document.get("type") == DONE:
            self._ended = True
            return self._inserted(chunk.events) + self._repeat(chunk.raw, document)
        if chunk.raw is None:
            return self._inserted(chunk.events)
        self._said += [event.text for event in chunk.events if isinstance(event, TextDelta)]
        return chunk.raw

    def error(self, refusal: Refusal) -> bytes:
        return self._close(encode(refusal_object(refusal)))

    def stop(self) -> bytes:
        """What has left so far is the transcript: there is no word for a filter here."""
        return self._close(encode({"type": DONE, "text": "".join(self._said)}))

    def _close(self, end: bytes) -> bytes:
        said_enough, self._closed = self._closed or self._ended, True
        return b"" if said_enough else end

    def _repeat(self, raw: bytes | None, document: Document) -> bytes:
        said = "".join(self._said)
        if raw is not None and said == document["text"]:
            return raw
        changed = {**document, "text": said}
        changed.pop("logprobs", None)  # they spell the text
        return encode(changed)

    def _inserted(self, events: Iterable[StreamEvent]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def _event(self, event: StreamEvent) -> bytes:
        if isinstance(event, StreamError):
            self._ended = True
            return error_event(event)
        if not isinstance(event, TextDelta) or not event.text:
            return b""
        self._said.append(event.text)
        return encode({"type": DELTA, "delta": event.text})
