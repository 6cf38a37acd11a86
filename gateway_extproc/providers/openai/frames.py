"""The chunks of an OpenAI chat stream, written from nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import orjson

from gateway_extproc.core.chat import Document, StopReason, StreamError, TextDelta, ToolStart
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.openai.reader import TEXT_KEYS
from gateway_extproc.providers.openai.usage import write_usage

DONE: Final = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Frame:
    """What all chunks of one answer have in common."""

    id: str
    model: str
    created: int = 0

    object: ClassVar[str] = "chat.completion.chunk"

    def delta(self, delta: dict[str, Any], choice: int = 0, finish: str | None = None) -> bytes:
        """A chunk with one choice."""
        return self._chunk(
            choices=[{"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}]
        )

    def usage(self, usage: Usage) -> bytes:
        """The chunk that ``stream_options.include_usage`` asks for: no choice, the figures."""
        return self._chunk(choices=[], usage=write_usage(usage))

    def text(self, event: TextDelta | ToolStart, key: str, choice: int = 0) -> bytes:
        """A chunk that says what the event says."""
        return self.delta(delta_of(event, key), choice)

    def rewrite(self, choice: Document, texts: dict[Any, TextDelta]) -> dict[str, Any]:
        """The choice with the texts of ``texts``, by slot, which loses what was placed.

        Token probabilities spell the old text, so they go.
        """
        index = choice.get("index", 0)
        delta = dict(choice.get("delta") or {})

        def placed(slot: tuple[int | str, ...]) -> str:
            event = texts.pop(slot, None)
            return "" if event is None else event.text

        for key in TEXT_KEYS:
            if type(delta.get(key)) is str:
                delta[key] = placed((index, key))
        if delta.get("function_call"):
            delta["function_call"] = _with_text(
                delta["function_call"], placed((index, "function_call"))
            )
        if delta.get("tool_calls"):
            delta["tool_calls"] = [
                _rewrite_call(call, placed((index, "arguments", call.get("index", position))))
                for position, call in enumerate(delta["tool_calls"])
            ]
        changed = {**choice, "delta": delta}
        if "logprobs" in changed:
            changed["logprobs"] = None
        return changed

    def stop(self, reason: StopReason, choice: int = 0) -> bytes:
        """The last chunk of a choice; the hub's reasons are OpenAI's own words."""
        return self.delta({}, choice, reason)

    def _chunk(self, **fields: Any) -> bytes:
        return encode(
            {
                "id": self.id,
                "object": self.object,
                "created": self.created,
                "model": self.model,
                **fields,
            }
        )


class CompletionFrame(Frame):
    """The same for the older completions, whose choices hold a ``text``."""

    object = "text_completion"

    def text(self, event: TextDelta | ToolStart, key: str, choice: int = 0) -> bytes:
        return self._choice(event.text if isinstance(event, TextDelta) else "", choice)

    def rewrite(self, choice: Document, texts: dict[Any, TextDelta]) -> dict[str, Any]:
        event = texts.pop((choice.get("index", 0), "text"), None)
        return {**choice, "text": "" if event is None else event.text, "logprobs": None}

    def stop(self, reason: StopReason, choice: int = 0) -> bytes:
        return self._choice("", choice, reason)

    def _choice(self, text: str, choice: int, finish: str | None = None) -> bytes:
        return self._chunk(
            choices=[{"index": choice, "text": text, "logprobs": None, "finish_reason": finish}]
        )


def _rewrite_call(call: Document, text: str) -> dict[str, Any]:
    kind = "function" if call.get("function") else "custom"
    return {**call, kind: _with_text(call.get(kind) or {}, text)}


def _with_text(called: Document, text: str) -> dict[str, Any]:
    key = "input" if "input" in called else "arguments"
    return {**called, key: text} if text or key in called else dict(called)


def encode(document: Any) -> bytes:
    """A document as one event."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def delta_of(event: TextDelta | ToolStart, key: str) -> dict[str, Any]:
    """The ``delta`` object that says what the event says; ``key`` is the text's own."""
    if isinstance(event, ToolStart):
        function = {"name": event.name, "arguments": ""}
        call = {"index": event.call, "id": event.id, "type": "function", "function": function}
        return {"tool_calls": [call]}
    if event.field != "arguments":
        return {key: event.text}
    if event.call is None:
        return {"function_call": {"arguments": event.text}}
    return {"tool_calls": [{"index": event.call, "function": {"arguments": event.text}}]}


def error_event(error: StreamError) -> bytes:
    """An error inside a stream: the SDKs raise at any event with a truthy ``error``."""
    body = {"message": error.message, "type": error.type, "param": None, "code": error.code}
    return encode({"error": body})


def refusal_object(refusal: Refusal) -> dict[str, Any]:
    """The ``error`` object of OpenAI's error answers."""
    return {
        "error": {
            "message": refusal.message,
            "type": refusal.type,
            "param": refusal.param,
            "code": refusal.code,
        }
    }
