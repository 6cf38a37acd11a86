"""The chunks of an OpenAI chat stream, written from nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import StopReason, StreamError, TextDelta, ToolStart
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.openai.usage import write_usage

DONE: Final = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Frame:
    """What all chunks of one answer have in common."""

    id: str
    model: str
    created: int = 0

    def delta(self, delta: dict[str, Any], choice: int = 0, finish: str | None = None) -> bytes:
        """A chunk with one choice."""
        return self._chunk(
            choices=[{"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}]
        )

    def usage(self, usage: Usage) -> bytes:
        """The chunk that ``stream_options.include_usage`` asks for: no choice, the figures."""
        return self._chunk(choices=[], usage=write_usage(usage))

    def stop(self, reason: StopReason, choice: int = 0) -> bytes:
        """The last chunk of a choice; the hub's reasons are OpenAI's own words."""
        return self.delta({}, choice, reason)

    def _chunk(self, **fields: Any) -> bytes:
        return encode(
            {
                "id": self.id,
                "object": "chat.completion.chunk",
                "created": self.created,
                "model": self.model,
                **fields,
            }
        )


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
