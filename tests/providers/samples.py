"""Requests, answers and streams that several tests read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from gateway_extproc.core.chat import Chunk, LlmRequest
from gateway_extproc.core.ports import AnswerReader, AnswerWriter
from gateway_extproc.providers.translate import DIALECTS

OPENAI_REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Paris and Rome?"},
    ],
}
ANTHROPIC_REQUEST: dict[str, Any] = {
    "model": "m",
    "max_tokens": 100,
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "Weather in Paris and Rome?"}],
}


LANGUAGES = {
    "openai": ("openai", "chat"),
    "responses": ("openai", "responses"),
    "anthropic": ("anthropic", "messages"),
    "gemini": ("gemini", "generate_content"),
    "cohere": ("cohere", "cohere_chat"),
    "bedrock": ("bedrock", "converse"),
}


ENDPOINTS = {name: endpoint for name, (_, endpoint) in LANGUAGES.items()}
"""What clients of each language call to chat."""


def read(dialect: str, document: dict[str, Any]) -> LlmRequest:
    """A request in a language that clients speak; ``responses`` is OpenAI's other one."""
    name, endpoint = LANGUAGES[dialect]
    return DIALECTS[name].read_request(endpoint, document)


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": more.pop("index", 0), "delta": delta, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 17,
        "model": "gpt-x",
        "choices": [choice],
        **more,
    }


def data(*documents: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(document) + b"\n\n" for document in documents)


DONE = b"data: [DONE]\n\n"


def call(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": more.pop("name")} if "name" in more else {})}
    return {"tool_calls": [{"index": index, **more, "function": function}]}


OPENAI_STREAM = (
    b": hello\n\n"
    + data(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Gr\u00fc\u00dfe"}),
        chunk({"content": " an alle"}),
        chunk(call(0, "", id="c0", type="function", name="weather")),
        chunk(call(0, '{"city":')),
        chunk(call(0, '"Paris"}')),
        chunk(call(1, "", id="c1", type="function", name="weather")),
        chunk(call(1, '{"city":"Rome"}')),
        chunk({}, "tool_calls"),
        {
            **chunk({}),
            "choices": [],
            "usage": {
                "prompt_tokens": 20,
                "completion_tokens": 9,
                "total_tokens": 29,
                "prompt_tokens_details": {"cached_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
        },
    )
    + DONE
)


def named(*documents: dict[str, Any]) -> bytes:
    return b"".join(
        b"event: " + document["type"].encode() + b"\ndata: " + orjson.dumps(document) + b"\n\n"
        for document in documents
    )


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


ANTHROPIC_STREAM = named(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-x",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 5,
                "cache_creation_input_tokens": 3,
                "output_tokens": 1,
            },
        },
    },
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    {"type": "ping"},
    *block(
        1,
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "Gr\u00fc\u00dfe"},
        {"type": "text_delta", "text": " an alle"},
    ),
    *block(
        2,
        {"type": "tool_use", "id": "t0", "name": "weather", "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"city":'},
        {"type": "input_json_delta", "partial_json": '"Paris"}'},
    ),
    *block(
        3,
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"city":"Rome"}'},
    ),
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 9},
    },
    {"type": "message_stop"},
)


def chunks(reader: AnswerReader, pieces: Sequence[bytes]) -> list[Chunk]:
    read_chunks = [one for piece in pieces for one in reader.feed(piece, last=False)]
    return [*read_chunks, *reader.feed(b"", last=True)]


def written(writer: AnswerWriter, all_chunks: Iterable[Chunk]) -> bytes:
    return b"".join(writer.write(one) for one in all_chunks)


def documents(stream: bytes) -> list[dict[str, Any]]:
    """The JSON of every event; written apart from the code under test, by hand."""
    found = []
    for event in stream.decode().split("\n\n"):
        for line in event.split("\n"):
            if line.startswith("data: ") and line != "data: [DONE]":
                found.append(orjson.loads(line[6:]))
    return found
