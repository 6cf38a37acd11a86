"""What is sent through every row, and what must come back.

The provider's answers are here, too: the plain one is a direct response of Envoy,
the event stream comes from ``bench.provider``, and a row is only measured after both
came back whole through it (``bench.stand``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from bench.load import build_request

HOST: Final = "127.0.0.1"
PATH: Final = "/v1/chat/completions"

STREAM_HEADER: Final = "x-bench-stream"
"""Where a row has no gateway to choose the provider by model, Envoy chooses by this header.
All rows are sent the same bytes."""

PLAIN_MODEL: Final = "gpt-4o-mini"
STREAM_MODEL: Final = "gpt-4o"

CHUNKS: Final = 200
"""Events, and writes of the provider, in one stream; the first carries the role, the
last but one the usage, the last is ``[DONE]``."""

SENTENCE: Final = "The quick brown fox jumps over the lazy dog. "

ANSWER: Final[dict[str, Any]] = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": PLAIN_MODEL,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant",
        "content": "Paris is the capital of France and lies on the Seine. " * 2}}],
    "usage": {"prompt_tokens": 250, "completion_tokens": 26, "total_tokens": 276},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load; ``chunks`` is 0 for plain answers.

    CPU is counted per request, or per chunk where there are chunks.
    """

    id: str
    title: str
    in_flight: int
    body_bytes: int
    chunks: int = 0

    @property
    def unit(self) -> str:
        return "chunk" if self.chunks else "request"

    def request(self, key: str) -> bytes:
        """The bytes of one request, the same for every row."""
        headers = [("authorization", f"Bearer {key}"), ("content-type", "application/json")]
        if self.chunks:
            headers.append((STREAM_HEADER, "1"))
        return build_request("POST", PATH, HOST, headers, self.body())

    def body(self) -> bytes:
        """A chat of ``body_bytes`` bytes, system turn included."""
        document: dict[str, Any] = {
            "model": STREAM_MODEL if self.chunks else PLAIN_MODEL,
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": ""},
            ],
        }
        if self.chunks:
            document["stream"] = True
        missing = self.body_bytes - len(json.dumps(document))
        text = SENTENCE * (missing // len(SENTENCE) + 1)
        document["messages"][1]["content"] = text[:missing]
        return json.dumps(document).encode()


KB: Final = 1024
WORKLOADS: Final = (
    Workload("chat-1", "1 KB chat, 1 in flight", 1, KB),
    Workload("chat-16", "1 KB chat, 16 in flight", 16, KB),
    Workload("chat-256", "1 KB chat, 256 in flight", 256, KB),
    Workload("large-16", "256 KB chat, 16 in flight", 16, 256 * KB),
    Workload("stream-16", f"streams of {CHUNKS} events, 16 in flight", 16, KB, CHUNKS),
    Workload("stream-1", f"streams of {CHUNKS} events, 1 in flight", 1, KB, CHUNKS),
)


def stream_events() -> list[bytes]:
    """The ``CHUNKS`` events of a stream, as OpenAI writes them."""

    def event(choice: dict[str, Any], **more: Any) -> bytes:
        document = {
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000,
            "model": STREAM_MODEL, "choices": [{"index": 0, **choice}], **more,
        }  # fmt: skip
        return b"data: " + json.dumps(document).encode() + b"\n\n"

    words = SENTENCE.split()
    return [
        event({"delta": {"role": "assistant", "content": ""}, "finish_reason": None}),
        *(
            event({"delta": {"content": words[n % len(words)] + " "}, "finish_reason": None})
            for n in range(CHUNKS - 3)
        ),
        event(
            {"delta": {}, "finish_reason": "stop"},
            usage={"prompt_tokens": 250, "completion_tokens": 197, "total_tokens": 447},
        ),
        b"data: [DONE]\n\n",
    ]


def text_of(events: bytes) -> str:
    """The text that the events of a stream carry; raises ValueError for a stream cut short."""
    lines = [line[6:] for line in events.splitlines() if line.startswith(b"data: ")]
    if not lines or lines[-1] != b"[DONE]":
        raise ValueError("the stream has no end")
    deltas = [
        choice["delta"].get("content") or ""
        for line in lines[:-1]
        for choice in json.loads(line)["choices"]
    ]
    return "".join(deltas)
