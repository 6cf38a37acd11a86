"""What the events of an Anthropic message stream mean.

Slots are ``(block, field)``: a block is one text, one thought or one tool call.
Usage comes in two places, the prompt's at ``message_start`` and the answer's,
cumulative, at ``message_delta``; both are reported as what is known so far, so
that a stream that breaks off has its prompt counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import orjson

from gateway_extproc.core.chat import (
    BlockEnd,
    Chunk,
    Document,
    End,
    Start,
    Stop,
    StopReason,
    StreamEvent,
    TextDelta,
    ToolStart,
    UsageReport,
)
from gateway_extproc.providers.anthropic.usage import read_usage
from gateway_extproc.providers.problems import Unreadable, stream_error
from gateway_extproc.providers.reading import StreamReader, text_of
from gateway_extproc.providers.sse import SseEvent

Field = Literal["content", "reasoning", "arguments"]

TEXT_KEYS: Final[dict[str, Field]] = {
    "text": "content",
    "thinking": "reasoning",
    "partial_json": "arguments",
}
"""Where a block or a delta carries text."""

STOP_REASONS: Final[dict[str, StopReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

Events = tuple[StreamEvent, ...]


def anthropic_reader() -> StreamReader:
    """A reader for one message stream of an Anthropic-compatible provider."""
    return StreamReader(_Interpreter())


class _Interpreter:
    """Knows what one stream has begun: its usage so far, and its tool calls."""

    __slots__ = ("_calls", "_meanings", "_usage")

    def __init__(self) -> None:
        self._usage: dict[str, Any] = {}
        self._calls: dict[int, int] = {}
        self._meanings: dict[str, Callable[[Document], Events]] = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": lambda document: (End(),),
            "error": lambda document: (stream_error(document.get("error")),),
        }

    def __call__(self, event: SseEvent, data: bytes) -> Chunk:
        document = orjson.loads(data)
        kind = document.get("type") if type(document) is dict else None
        if type(kind) is not str:
            raise Unreadable
        meaning = self._meanings.get(kind)  # ping: nothing to tell
        return Chunk(event.raw, document, () if meaning is None else meaning(document))

    def _message_start(self, document: Document) -> Events:
        message = _object(document, "message")
        start = Start(text_of(message, "id"), text_of(message, "model"))
        return (start, *self._reported(message.get("usage")))

    def _block_start(self, document: Document) -> Events:
        index, block = _index(document), _object(document, "content_block")
        if block.get("type") == "tool_use":
            call = self._calls.setdefault(index, len(self._calls))
            return (ToolStart(call, text_of(block, "id"), text_of(block, "name")),)
        return self._texts(index, block)

    def _block_delta(self, document: Document) -> Events:
        return self._texts(_index(document), _object(document, "delta"))

    def _block_stop(self, document: Document) -> Events:
        return (BlockEnd(_index(document)),)

    def _texts(self, index: int, container: Document) -> Events:
        for key, field in TEXT_KEYS.items():
            text = container.get(key)
            if not text:
                continue
            if type(text) is not str:  # a shape that no guard can look into
                raise Unreadable
            call = self._calls.get(index) if field == "arguments" else None
            return (TextDelta((index, field), text, field, call),)
        return ()

    def _message_delta(self, document: Document) -> Events:
        reason = _object(document, "delta").get("stop_reason")
        stop = (Stop(stop_reason(reason)),) if reason else ()
        return (*stop, *self._reported(document.get("usage")))

    def _reported(self, usage: Any) -> Events:
        if type(usage) is not dict:
            return ()
        self._usage.update({key: value for key, value in usage.items() if value is not None})
        known = read_usage(self._usage)
        return () if known is None else (UsageReport(known),)


def stop_reason(reason: Any) -> StopReason:
    """A stop reason in the hub's words; an unknown one is a plain stop."""
    return STOP_REASONS.get(reason, "stop") if type(reason) is str else "stop"


def _object(document: Document, key: str) -> Document:
    value = document.get(key)
    if type(value) is not dict:
        raise Unreadable
    return value


def _index(document: Document) -> int:
    index = document.get("index")
    if type(index) is not int:
        raise Unreadable
    return index
