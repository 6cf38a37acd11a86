"""Writes the stream of a response from events of another dialect.

Items begin as the model begins them and are all closed when it stops, in their order: text that a
guard held back may still belong to any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    Chunk,
    End,
    LlmRequest,
    Start,
    Stop,
    StopReason,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolStart,
    UsageReport,
)
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.openai.responses.whole import (
    WHY_INCOMPLETE,
    call_item,
    message_item,
    output_text,
    reasoning_item,
    response,
    write_usage,
)

_TEXT: Final = "response.output_text"
_SUMMARY: Final = "response.reasoning_summary_text"
_ARGUMENTS: Final = "response.function_call_arguments"


@dataclass(slots=True)
class _Item:
    """An output item under way; ``kind`` is message, reasoning or call."""

    kind: str
    index: int
    id: str
    call_id: str = ""
    name: str = ""
    texts: list[str] = field(default_factory=list)

    def document(self, status: str) -> dict[str, Any]:
        text = "".join(self.texts)
        match self.kind:
            case "message":
                return message_item(self.id, [output_text(text)], status)
            case "reasoning":
                return reasoning_item(self.id, [text])
            case _:
                return call_item(self.id, self.call_id, self.name, text, status)


class EncodingWriter:
    """Writes one stream (``core.ports.AnswerWriter``).

    Thoughts are written with ``thoughts`` only, for a client that asked for them.
    """

    __slots__ = (
        "_asked", "_calls", "_closed", "_created", "_id", "_items", "_message", "_model",
        "_number", "_reason", "_stopped", "_thinking", "_thoughts", "_usage",
    )  # fmt: skip

    def __init__(self, asked: LlmRequest, created: int, *, thoughts: bool = False) -> None:
        self._asked, self._created, self._thoughts = asked, created, thoughts
        self._id, self._model = "", asked.model
        self._items: list[_Item] = []
        self._calls: dict[int | None, _Item] = {}
        self._message: _Item | None = None
        self._thinking: _Item | None = None
        self._number = 0
        self._reason: StopReason = "stop"
        self._usage: Usage | None = None
        self._closed = self._stopped = False

    def write(self, chunk: Chunk) -> bytes:
        return b"".join([self._event(event) for event in chunk.events])

    def error(self, refusal: Refusal) -> bytes:
        code = refusal.code or refusal.reason
        return self._fail(code, refusal.message, refusal.param)

    def stop(self) -> bytes:
        self._reason = "content_filter"
        return self._finish()

    # --------------------------------------------------------------------------- events

    def _event(self, event: StreamEvent) -> bytes:
        if self._closed:
            return b""
        match event:
            case TextDelta():
                return self._text(event)
            case ToolStart():
                item = self._calls[event.call] = self._new("call", event.id, event.name)
                return self._added(item)
            case Start():
                self._id, self._model = event.id, event.model or self._model
                return self._begin()
            case Stop():
                self._reason = event.reason
                return self._end_items()
            case UsageReport():
                self._usage = event.usage
            case StreamError():
                return self._fail(event.code, event.message, None)
            case End():
                return self._finish()
        return b""

    def _begin(self) -> bytes:
        if self._number:
            return b""
        begun = self._response(None, [], None)
        return b"".join(
            self._encode(f"response.{kind}", response=begun) for kind in ("created", "in_progress")
        )

    def _text(self, event: TextDelta) -> bytes:
        match event.field:
            case "arguments":
                item = self._calls.get(event.call)
                if item is None:  # without its call there is no place for it
                    return b""
                item.texts.append(event.text)
                return self._encode(f"{_ARGUMENTS}.delta", **_at(item), delta=event.text)
            case "reasoning":
                if not self._thoughts:
                    return b""
                opened, item = self._open("reasoning")
                item.texts.append(event.text)
                place = {**_at(item), "summary_index": 0}
                return opened + self._encode(f"{_SUMMARY}.delta", **place, delta=event.text)
            case _:
                opened, item = self._open("message")
                item.texts.append(event.text)
                place = {**_at(item), "content_index": 0}
                more = {"delta": event.text, "logprobs": []}
                return opened + self._encode(f"{_TEXT}.delta", **place, **more)

    def _open(self, kind: str) -> tuple[bytes, _Item]:
        """The item of this kind, which an answer has once, and what opens it."""
        known = self._message if kind == "message" else self._thinking
        if known is not None:
            return b"", known
        item = self._new(kind)
        opened = self._added(item)
        if kind == "message":
            self._message = item
            part = {**_at(item), "content_index": 0, "part": output_text("")}
            return opened + self._encode("response.content_part.added", **part), item
        self._thinking = item
        part = {**_at(item), "summary_index": 0, "part": {"type": "summary_text", "text": ""}}
        return opened + self._encode("response.reasoning_summary_part.added", **part), item

    def _new(self, kind: str, call_id: str = "", name: str = "") -> _Item:
        index = len(self._items)
        prefix = {"message": "msg", "reasoning": "rs"}.get(kind, "fc")
        item = _Item(kind, index, f"{prefix}_{self._id}_{index}", call_id, name)
        self._items.append(item)
        return item

    def _added(self, item: _Item) -> bytes:
        document = item.document("in_progress")
        if item.kind == "message":
            document["content"] = []
        elif item.kind == "reasoning":
            document["summary"] = []
        begun = self._begin()
        added = {"output_index": item.index, "item": document}
        return begun + self._encode("response.output_item.added", **added)

    # ----------------------------------------------------------------------------- ends

    def _end_items(self) -> bytes:
        if self._stopped:
            return b""
        self._stopped = True
        return b"".join([self._ended(item) for item in self._items])

    def _ended(self, item: _Item) -> bytes:
        text, place = "".join(item.texts), _at(item)
        done = b""
        match item.kind:
            case "message":
                place["content_index"] = 0
                said = {"text": text, "logprobs": []}
                done = self._encode(f"{_TEXT}.done", **place, **said)
                done += self._encode("response.content_part.done", **place, part=output_text(text))
            case "reasoning":
                place["summary_index"] = 0
                done = self._encode(f"{_SUMMARY}.done", **place, text=text)
                part = {"type": "summary_text", "text": text}
                done += self._encode("response.reasoning_summary_part.done", **place, part=part)
            case _:
                called = {"name": item.name, "arguments": text}
                done = self._encode(f"{_ARGUMENTS}.done", **place, **called)
        over = {"output_index": item.index, "item": item.document(self._status())}
        return done + self._encode("response.output_item.done", **over)

    def _status(self) -> str:
        return "incomplete" if self._reason in WHY_INCOMPLETE else "completed"

    def _finish(self) -> bytes:
        if self._closed:
            return b""
        closed = self._begin() + self._end_items()
        output = [item.document(self._status()) for item in self._items]
        over = self._response(self._reason, output, write_usage(self._usage))
        end = self._encode(f"response.{self._status()}", response=over)
        self._closed = True
        return closed + end

    def _fail(self, code: str | None, message: str, param: str | None) -> bytes:
        if self._closed:
            return b""
        end = self._encode("error", code=code, message=message, param=param)
        self._closed = True
        return end

    def _response(
        self, reason: StopReason | None, output: list[Any], usage: dict[str, Any] | None
    ) -> dict[str, Any]:
        return response(self._id, self._model, self._created, self._asked, output, reason, usage)

    def _encode(self, kind: str, **fields: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        body = orjson.dumps({"type": kind, "sequence_number": number, **fields})
        return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"


def _at(item: _Item) -> dict[str, Any]:
    return {"item_id": item.id, "output_index": item.index}
