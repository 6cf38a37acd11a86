"""Passes a response's stream on, byte for byte where it may.

A response says each text several times: in deltas, when the text is done, when its part and its
item are done, and once more in the last event.  The writer keeps what has left in deltas; an
event that repeats a text repeats that, so nothing leaves there that a guard has not let go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    Chunk,
    Document,
    Path,
    StreamError,
    StreamEvent,
    TextDelta,
)
from gateway_extproc.core.document import replace_at
from gateway_extproc.core.errors import Refusal
from gateway_extproc.providers.openai.responses.answer import Slot, places
from gateway_extproc.providers.openai.responses.reader import ARGUMENTS, DELTAS, LAST
from gateway_extproc.providers.reading import text_of

_KINDS: Final = {name: kind for kind, (name, _, _) in DELTAS.items()}
_NUMBERS: Final = {name: number for name, number, _ in DELTAS.values()}
_REPEATS: Final[dict[str, tuple[str, str]]] = {
    "response.output_text.done": ("content", "text"),
    "response.refusal.done": ("refusal", "refusal"),
    "response.reasoning_text.done": ("reasoning", "text"),
    "response.reasoning_summary_text.done": ("summary", "text"),
}
"""Events that repeat one text: its kind of slot, and the field that holds it."""
_PARTS: Final = {
    "response.content_part.done": "content",
    "response.reasoning_summary_part.done": "summary",
}
"""Events that repeat a part of an item, and the field of the item that holds such parts."""
_ARGUMENTS_DONE: Final = {
    "response.function_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
}


class ResponsesWriter:
    """Writes one stream (``core.ports.AnswerWriter``)."""

    __slots__ = (
        "_closed", "_created", "_ended", "_ids", "_items", "_model", "_number", "_response",
        "_said",
    )  # fmt: skip

    def __init__(self, model: str, created: int = 0) -> None:
        self._model, self._created = model, created
        self._said: dict[Slot, list[str]] = {}
        self._ids: dict[int, str] = {}
        self._items: dict[int, Document] = {}
        self._response: Document = {}
        self._number = 0
        self._closed = self._ended = False

    def write(self, chunk: Chunk) -> bytes:
        if self._closed:
            return b""
        document = chunk.document
        if document is None:
            return self._inserted(chunk.events) if chunk.raw is None else chunk.raw
        self._follow(document)
        if chunk.raw is None and document["type"] in DELTAS.keys() | ARGUMENTS:
            return self._inserted(chunk.events)
        for event in chunk.events:
            if isinstance(event, TextDelta):
                self._said.setdefault(event.slot, []).append(event.text)
        before = b""
        if chunk.raw is None:  # a guard let go of more than the event says
            before = self._inserted(e for e in chunk.events if isinstance(e, TextDelta))
        return before + self._passed(chunk.raw, document)

    def error(self, refusal: Refusal) -> bytes:
        event = {
            "type": "error", "code": refusal.code or refusal.reason, "message": refusal.message,
            "param": refusal.param,
        }  # fmt: skip
        return self._close(self._encode(event))

    def stop(self) -> bytes:
        """The response as it stands, ended by a content filter."""
        items = [self._repeat(item, output) for output, item in sorted(self._items.items())]
        response = {
            "id": "", "object": "response", "created_at": self._created, "model": self._model,
            **self._response,
            "status": "incomplete",
            "incomplete_details": {"reason": "content_filter"},
            "output": [{**item, "status": "incomplete"} for item in items],
        }  # fmt: skip
        return self._close(self._encode({"type": "response.incomplete", "response": response}))

    def _close(self, end: bytes) -> bytes:
        said_enough, self._closed = self._closed or self._ended, True
        return b"" if said_enough else end

    # ------------------------------------------------------------------ what was said

    def _follow(self, document: Document) -> None:
        """Keeps what later events, and a polite end, must name."""
        kind = document["type"]
        if kind in ("response.created", "response.in_progress"):
            self._response = document["response"]
        elif kind in ("response.output_item.added", "response.output_item.done"):
            item: Document = document["item"]
            output = document.get("output_index", 0)
            self._items[output] = item
            self._ids[output] = text_of(item, "id")
        elif kind == "response.content_part.added":
            self._add_part(document)
        elif kind in LAST or kind == "error":
            self._ended = True

    def _add_part(self, document: Document) -> None:
        """An item begins without parts; what is repeated of it needs them."""
        output = document.get("output_index", 0)
        item = self._items.get(output)
        if item is not None:
            parts = [*(item.get("content") or ()), document.get("part") or {}]
            self._items[output] = {**item, "content": parts}

    def _text(self, slot: Slot) -> str:
        return "".join(self._said.get(slot, ()))

    def _repeat(self, item: Document, output: int) -> Document:
        """The item with the texts that have left."""
        edits: list[tuple[tuple[str | int, ...], Any]] = []
        for place in places(item, output):
            text = self._text(place.slot)
            if text != place.text:
                edits.append((place.path, text))
                parent = place.path[:-1]
                if len(parent) == 2 and _at(item, parent).get("logprobs"):
                    edits.append(((*parent, "logprobs"), []))
        return replace_at(item, edits) if edits else item

    def _as_said(self, document: Document) -> Document:
        """The event, with every text that it repeats as it has left."""
        kind = document["type"]
        output = document.get("output_index", 0)
        if kind in _REPEATS:
            name, key = _REPEATS[kind]
            text = self._text((output, name, document.get(_NUMBERS[name], 0)))
            if text != document.get(key):
                changed = {**document, key: text}
                return {**changed, "logprobs": []} if "logprobs" in changed else changed
        elif kind in _ARGUMENTS_DONE:
            text, key = self._text((output, "arguments")), _ARGUMENTS_DONE[kind]
            return document if text == document.get(key) else {**document, key: text}
        elif kind in _PARTS:
            return self._part_as_said(document, _PARTS[kind])
        elif kind == "response.output_item.done":
            item = self._repeat(document["item"], output)
            return document if item is document["item"] else {**document, "item": item}
        elif kind in LAST:
            response = document["response"]
            items = [self._repeat(x, i) for i, x in enumerate(response.get("output") or ())]
            if items != (response.get("output") or []):
                return {**document, "response": {**response, "output": items}}
        return document

    def _part_as_said(self, document: Document, field: str) -> Document:
        number = "summary_index" if field == "summary" else "content_index"
        index, part = document.get(number, 0), document.get("part")
        item = self._items.get(document.get("output_index", 0), {})
        alone: Document = {"type": item.get("type"), field: [*[{}] * index, part]}
        repeated = self._repeat(alone, document.get("output_index", 0))
        if repeated is alone:
            return document
        return {**document, "part": _at(repeated, (field, index))}

    # -------------------------------------------------------------------------- output

    def _passed(self, raw: bytes | None, document: Document) -> bytes:
        said = self._as_said(document)
        number = document.get("sequence_number")
        if raw is not None and said is document and number in (None, self._number):
            self._number += 1
            return raw
        return self._encode(said)

    def _encode(self, document: Document) -> bytes:
        number, self._number = self._number, self._number + 1
        kind: str = document["type"]
        body = orjson.dumps({**document, "sequence_number": number})
        return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"

    def _inserted(self, events: Iterable[StreamEvent]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def _event(self, event: StreamEvent) -> bytes:
        if isinstance(event, StreamError):
            self._ended = True
            error = {"code": event.code, "message": event.message, "param": None}
            return self._encode({"type": "error", **error})
        if not isinstance(event, TextDelta) or not event.text:
            return b""
        self._said.setdefault(event.slot, []).append(event.text)
        output, name = int(event.slot[0]), str(event.slot[1])
        about: dict[str, Any] = {"item_id": self._ids.get(output, ""), "output_index": output}
        if name == "arguments":
            custom = self._items.get(output, {}).get("type") == "custom_tool_call"
            kind = "custom_tool_call_input" if custom else "function_call_arguments"
            return self._encode({"type": f"response.{kind}.delta", **about, "delta": event.text})
        about[_NUMBERS[name]] = event.slot[2]
        if name == "content":
            about["logprobs"] = []
        return self._encode({"type": _KINDS[name], **about, "delta": event.text})


def _at(item: Document, path: Path) -> Any:
    node: Any = item
    for key in path:
        node = node[key]
    return node
