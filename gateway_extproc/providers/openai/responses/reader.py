"""What the events of a response's stream mean.

Slots are ``(output, kind, index)`` with the number of the output item first; of arguments
``(output, "arguments")``.  Events that repeat a whole text (``...done``, the last one) say none:
the writer holds them against what was said before.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import orjson

from gateway_extproc.core.chat import (
    BlockEnd,
    Chunk,
    Document,
    End,
    Start,
    Stop,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolStart,
    UsageReport,
)
from gateway_extproc.providers.openai.responses.answer import (
    output_of,
    places,
    read_usage,
    stop_reason,
)
from gateway_extproc.providers.problems import Unreadable, stream_error
from gateway_extproc.providers.reading import StreamReader, text_of
from gateway_extproc.providers.sse import SseEvent

Field = Literal["content", "reasoning", "refusal", "arguments"]

DELTAS: Final[dict[str, tuple[str, str, Field]]] = {
    "response.output_text.delta": ("content", "content_index", "content"),
    "response.refusal.delta": ("refusal", "content_index", "refusal"),
    "response.reasoning_text.delta": ("reasoning", "content_index", "reasoning"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "reasoning"),
}
"""Of each event with text: its kind of slot, the field of its number, the hub's field."""

ARGUMENTS: Final = frozenset(
    {"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"}
)
LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_HOLDING: Final = {
    **dict.fromkeys(("response.created", "response.in_progress", *LAST), "response"),
    **dict.fromkeys(("response.output_item.added", "response.output_item.done"), "item"),
}
"""Events that hold a whole item or response, and where."""
_NUMBERS: Final = ("output_index", "content_index", "summary_index")
_MOST: Final = 10_000
"""No response has so many items or parts."""
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})


def responses_reader() -> StreamReader:
    """A reader for the stream of one response."""
    return StreamReader(_Interpreter())


class _Interpreter:
    """Knows the tool calls of one stream."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}

    def __call__(self, event: SseEvent, data: bytes) -> Chunk:
        if data.strip() == b"[DONE]":  # of servers that end every stream so
            return Chunk(event.raw, None, ())
        document = orjson.loads(data)
        kind = document.get("type") if type(document) is dict else None
        if type(kind) is not str:
            raise Unreadable
        return Chunk(event.raw, document, tuple(self._events(kind, document)))

    def _events(self, kind: str, document: Document) -> list[StreamEvent]:
        _check(kind, document)
        if kind in DELTAS:
            name, number, field = DELTAS[kind]
            slot = (_index(document), name, _index(document, number))
            return [TextDelta(slot, _delta(document), field)]
        if kind in ARGUMENTS:
            output = _index(document)
            call = self._calls.get(output)
            return [TextDelta((output, "arguments"), _delta(document), "arguments", call)]
        if kind in LAST:
            return _ended(kind, _object(document, "response"))
        if kind == "response.created":
            response = _object(document, "response")
            return [Start(text_of(response, "id"), text_of(response, "model"))]
        if kind == "response.output_item.added":
            return self._added(document)
        if kind == "error":
            return [stream_error(document.get("error") or document)]
        if kind.endswith(".done") and "output_index" in document:
            return [BlockEnd(_index(document))]
        if type(document.get("delta")) is str and document["delta"]:
            raise Unreadable  # text of a kind that no guard would see
        return []

    def _added(self, document: Document) -> list[StreamEvent]:
        output, item = _index(document), _object(document, "item")
        if any(place.text for place in places(item, output)):
            raise Unreadable  # text comes in deltas, where guards look
        if text_of(item, "type") not in _CALLS:
            return []
        call = self._calls.setdefault(output, len(self._calls))
        return [ToolStart(call, text_of(item, "call_id"), text_of(item, "name"))]


def _check(kind: str, document: Document) -> None:
    """Raises ``Unreadable`` for what the writer could not hold against what was said."""
    for key in _NUMBERS:
        if key in document:
            _index(document, key)
    held = _HOLDING.get(kind)
    if held is not None:
        inside = _object(document, held)
        for number, item in enumerate([inside] if held == "item" else output_of(inside)):
            list(places(item, number))


def _ended(kind: str, response: Document) -> list[StreamEvent]:
    usage = read_usage(response.get("usage"))
    events: list[StreamEvent] = [] if usage is None else [UsageReport(usage)]
    if kind == "response.failed":
        error = response.get("error")
        failed = stream_error(error) if error else StreamError("api_error", None, "It failed.")
        return [*events, failed]
    return [*events, Stop(stop_reason(response)), End()]


def _object(document: Document, key: str) -> Document:
    value = document.get(key)
    if type(value) is not dict:
        raise Unreadable
    return value


def _index(document: Document, key: str = "output_index") -> int:
    index = document.get(key, 0)
    if type(index) is not int or not 0 <= index <= _MOST:
        raise Unreadable
    return index


def _delta(document: Document) -> str:
    text: Any = document.get("delta")
    if type(text) is not str:
        raise Unreadable
    return text
