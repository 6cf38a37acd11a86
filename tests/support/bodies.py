"""Requests of clients and answers of providers, as bytes."""

from __future__ import annotations

from typing import Any

import orjson


def chat(text: str = "Hello", model: str = "small", **more: Any) -> bytes:
    """A request in OpenAI's shape."""
    return orjson.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more})


def messages(text: str = "Hello", model: str = "small", **more: Any) -> bytes:
    """A request in Anthropic's shape."""
    return orjson.dumps(
        {
            "model": model,
            "max_tokens": 100,
            "messages": [{"role": "user", "content": text}],
            **more,
        }
    )


def completion(text: str = "Hi there", **more: Any) -> bytes:
    """A whole answer of an OpenAI-shaped provider: 10 tokens in, 5 out."""
    return orjson.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "east-small-0101",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            **more,
        }
    )


def completion_event(text: str = "", **more: Any) -> bytes:
    """One event of an OpenAI-shaped stream."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": None}
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "east-small-0101",
        "choices": [choice],
        **more,
    }
    return b"data: " + orjson.dumps(document) + b"\n\n"


STREAM_END = (
    completion_event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + completion_event(
        choices=[],
        usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    )
    + b"data: [DONE]\n\n"
)
"""How an OpenAI-shaped stream ends well."""


def provider_error(message: str = "No.", **more: Any) -> bytes:
    """An error body in OpenAI's shape."""
    return orjson.dumps({"error": {"message": message, "type": "invalid_request_error", **more}})
