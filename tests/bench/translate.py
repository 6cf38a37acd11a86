"""CPU of translating between dialects: a request of 1 KB, a chunk of a stream, a whole answer.

Each figure is microseconds of this process on one core, the least of several rounds.  Reading and
writing JSON stand apart: they are paid in the same dialect as well.  Of a chunk all is measured:
framing, JSON, the hub's events, and the client's bytes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.providers.dropping import write
from gateway_extproc.providers.translate import DIALECTS, translator
from gateway_extproc.supervisor.worker import tune_process

BYTES: Final = 1024
CHUNKS: Final = 200
ASKED_US: Final = {"request": 15.0, "same request": 3.0, "chunk": 10.0}
CLIENTS: Final = {
    "openai": ("openai", "chat"),
    "responses": ("openai", "responses"),
    "anthropic": ("anthropic", "messages"),
    "gemini": ("gemini", "generate_content"),
}
PROVIDERS: Final = ("openai", "anthropic", "gemini", "bedrock")
SAME: Final = frozenset(
    {("openai", "openai"), ("responses", "openai"), ("anthropic", "anthropic"),
     ("gemini", "gemini")}
)  # fmt: skip


def main() -> None:
    tune_process()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(f"us of CPU, least of {rounds} rounds; asked of translating: {ASKED_US}\n")
    print(f"{'a request of 1 KB':24}{'loads':>8}{'translate':>11}{'dumps':>8}")
    for client, provider in _pairs():
        print(f"{client + ' -> ' + provider:24}" + "".join(_request(client, provider, rounds)))
    print(f"\n{'a chunk of a stream':24}{'read':>8}{'write':>11}{'both':>8}")
    for client, provider in _pairs():
        print(f"{client + ' -> ' + provider:24}" + "".join(_chunk(client, provider, rounds)))


def _pairs() -> Iterator[tuple[str, str]]:
    for client in CLIENTS:
        for provider in PROVIDERS:
            yield client, provider


def least_us(work: Callable[[], object], rounds: int, times: int = 200) -> float:
    """Microseconds of CPU of one call."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time_ns()
        for _ in range(times):
            work()
        best = min(best, time.process_time_ns() - began)
    return best / times / 1000


# ------------------------------------------------------------------------- requests


def body_of(client: str) -> bytes:
    """A conversation of 1 KB, as each client's SDK would write it."""
    turns = ["You answer in one short paragraph.", "", "It depends on the season.", "And in May?"]
    size = BYTES - len(orjson.dumps(_document(client, turns)))
    turns[1] = ("What is worth seeing in the valley of the upper river? " * 30)[:size]
    return orjson.dumps(_document(client, turns))


def _document(client: str, turns: list[str]) -> dict[str, Any]:
    system, asked, said, again = turns
    if client == "gemini":
        return {
            "contents": [
                {"role": "user", "parts": [{"text": asked}]},
                {"role": "model", "parts": [{"text": said}]},
                {"role": "user", "parts": [{"text": again}]},
            ],
            "systemInstruction": {"parts": [{"text": system}]},
            "generationConfig": {"temperature": 0.2, "maxOutputTokens": 300},
        }
    messages = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": said},
        {"role": "user", "content": again},
    ]
    common = {"model": "m", "temperature": 0.2}
    if client == "openai":
        first = {"role": "system", "content": system}
        return {**common, "max_tokens": 300, "messages": [first, *messages]}
    if client == "responses":
        return {**common, "max_output_tokens": 300, "instructions": system, "input": messages}
    return {**common, "max_tokens": 300, "system": system, "messages": messages}


def asked_of(client: str, *, stream: bool = False) -> LlmRequest:
    """The request of that body, as the gateway has read it."""
    dialect, endpoint = CLIENTS[client]
    document = orjson.loads(body_of(client))
    if client == "gemini":
        document = {**document, "model": "m", "stream": stream, "alt": "sse"}
    elif stream:
        document["stream"] = True
    return DIALECTS[dialect].read_request(endpoint, document)


def request_us(client: str, provider: str, rounds: int) -> tuple[float, float, float]:
    """Reading JSON, translating, writing JSON."""
    asked = asked_of(client)
    way = translator(asked.dialect, provider, asked.endpoint)

    def once() -> Any:
        return write(way, asked, provider, "target", 300, drop=False).document

    sent, body = once(), body_of(client)
    return (
        least_us(lambda: orjson.loads(body), rounds),
        least_us(once, rounds),
        least_us(lambda: orjson.dumps(sent), rounds),
    )


def _request(client: str, provider: str, rounds: int) -> Iterator[str]:
    loads, translated, dumps = request_us(client, provider, rounds)
    asked = ASKED_US["same request" if (client, provider) in SAME else "request"]
    yield f"{loads:8.1f}{translated:10.1f}{'!' if translated > asked else ' '}{dumps:8.1f}"


# --------------------------------------------------------------------------- chunks


def stream_of(provider: str, client: str) -> list[bytes]:
    """A stream of 200 words, one a piece, as this provider would send it."""
    if provider == "bedrock":
        from providers.test_bedrock import event

        return [
            event("contentBlockDelta", {"delta": {"text": " word"}, "contentBlockIndex": 0})
        ] * CHUNKS
    return [_event(provider, client, number) for number in range(CHUNKS)]


def _event(provider: str, client: str, number: int) -> bytes:
    if provider == "anthropic":
        delta = {"type": "text_delta", "text": " word"}
        document: dict[str, Any] = {"type": "content_block_delta", "index": 0, "delta": delta}
        return b"event: content_block_delta\ndata: " + orjson.dumps(document) + b"\n\n"
    if provider == "gemini":
        candidate = {"content": {"parts": [{"text": " word"}], "role": "model"}, "index": 0}
        usage = {"promptTokenCount": 200, "candidatesTokenCount": number,
                 "totalTokenCount": 200 + number}  # fmt: skip
        document = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "g",
                    "responseId": "r"}  # fmt: skip
        return b"data: " + orjson.dumps(document) + b"\r\n\r\n"
    if client == "responses":
        name = "response.output_text.delta"
        document = {"type": name, "item_id": "msg_1", "output_index": 0, "content_index": 0,
                    "delta": " word", "logprobs": [], "sequence_number": 0}  # fmt: skip
        return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(document))
    choice = {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}
    document = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 17,
                "model": "gpt-x", "choices": [choice]}  # fmt: skip
    return b"data: " + orjson.dumps(document) + b"\n\n"


def chunk_us(client: str, provider: str, rounds: int) -> tuple[float, float]:
    """Reading one chunk, and writing it."""
    asked = asked_of(client, stream=True)
    way = translator(asked.dialect, provider, asked.endpoint)
    pieces = stream_of(provider, client)
    read = [way.reader().feed(piece, last=False) for piece in pieces]

    def reading() -> None:
        reader = way.reader()
        for piece in pieces:
            reader.feed(piece, last=False)

    def writing() -> None:
        writer = way.writer(asked)
        for chunks in read:
            for chunk in chunks:
                writer.write(chunk)

    return (
        least_us(reading, rounds, 2) / CHUNKS,
        least_us(writing, rounds, 2) / CHUNKS,
    )


def _chunk(client: str, provider: str, rounds: int) -> Iterator[str]:
    read, written = chunk_us(client, provider, rounds)
    late = "!" if read + written > ASKED_US["chunk"] else " "
    yield f"{read:8.1f}{written:11.1f}{read + written:7.1f}{late}"


if __name__ == "__main__":
    main()
