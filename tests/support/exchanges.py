"""Exchanges with OpenAI of the kinds that recordings have, in our own words and with our own ids.

They stand in for recordings where there are none, and for the kinds that a folder may lack.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
MODEL, VECTORS, HEARS = "gpt-4.1-nano", "text-embedding-3-small", "gpt-4o-mini-transcribe"
ANSWERED_BY: Final = "gpt-4.1-nano-2025-04-14"
EVENT_STREAM: Final = "text/event-stream; charset=utf-8"


class Spoken(NamedTuple):
    """One exchange as its client sees it; with ``sound`` the request is a form that holds it."""

    name: str
    path: str
    sent: Mapping[str, Any]
    status: int
    kind: str
    body: bytes
    sound: bytes = b""


def all_kinds() -> Iterator[Spoken]:
    """Every kind once."""
    yield from _chats()
    yield from _streams()
    yield from _completions()
    yield from _embeddings()
    yield from _sounds()
    yield from _refusals()


# ----------------------------------------------------------------------------- chats


def _chats() -> Iterator[Spoken]:
    ask = _user("What rhymes with orange?")
    yield _whole("audio-to-text", {**_user([
        {"type": "text", "text": "Which animal is this?"},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    ]), "modalities": ["text"]}, content="An owl.")  # fmt: skip
    yield _whole("text-to-audio", {
        **ask, "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"},
    }, content=None, audio={
        "id": "audio_000111", "data": "UklGRiQAAABXQVZF", "expires_at": 1_760_000_000,
        "transcript": "Hardly anything rhymes with it.",
    })  # fmt: skip
    yield _whole("web-search", {**ask, "web_search_options": {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {"city": "Oslo", "country": "NO"}},
    }}, content="See the rhyming pages.", annotations=[_citation()])  # fmt: skip
    yield _whole("multimodal", _user([
        {"type": "text", "text": "Compare these two."},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]), content="One is a boat.")  # fmt: skip
    yield _whole("text-to-image-tool", {
        **_user("Draw a lighthouse."), "tools": [{"type": "function", "function": {
            "name": "draw", "description": "Draws what is said.", "strict": True,
            "parameters": {"type": "object", "properties": {"what": {"type": "string"}},
                           "required": ["what"], "additionalProperties": False},
        }}], "tool_choice": {"type": "function", "function": {"name": "draw"}},
    }, content=None, tool_calls=[{
        "id": "call_77", "type": "function",
        "function": {"name": "draw", "arguments": '{"what":"a lighthouse at dusk"}'},
    }])  # fmt: skip
    yield _whole("agents", {
        "model": MODEL, "messages": [
            {"role": "system", "content": "You plan walks."},
            {"role": "user", "content": "Where to?"},
            {"role": "assistant", "content": None, "tool_calls": [{
                "id": "call_1", "type": "function",
                "function": {"name": "paths", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": '["river", "hill"]'},
        ], "store": False, "temperature": 0.2, "parallel_tool_calls": False,
        "tools": [{"type": "function", "function": {"name": "paths", "parameters": {}}}],
    }, content="Along the river.")  # fmt: skip


def _citation() -> dict[str, Any]:
    return {"type": "url_citation", "url_citation": {
        "start_index": 4, "end_index": 21, "title": "Words without rhymes",
        "url": "https://example.org/rhymes?from=search",
    }}  # fmt: skip


def _streams() -> Iterator[Spoken]:
    ask = {**_user("Say it slowly."), "stream": True}
    said: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "refusal": None}, {"content": "Slow"},
        {"content": "ly, and – all of it."},
    ]  # fmt: skip
    yield _stream("streaming", ask, [*map(_delta, said), _delta({}, "stop")])
    yield _stream(
        "streaming-detailed-usage",
        {**ask, "stream_options": {"include_usage": True}},
        [*({**_delta(one), "usage": None} for one in said), {**_delta({}, "stop"), "usage": None},
         {**_frame(), "choices": [], "usage": _usage()}],
    )  # fmt: skip
    yield _stream(
        "streaming-web-search",
        {**ask, "web_search_options": {}},
        [*map(_delta, said), _delta({"annotations": [_citation()]}), _delta({}, "stop")],
    )


# ----------------------------------------------------------------------- completions


def _completions() -> Iterator[Spoken]:
    base = {"model": MODEL, "max_tokens": 12, "temperature": 0.4}
    for name, prompt, count in (
        ("text-batch", ["One fish", "Two fish"], 2),
        ("token", [1820, 1355, 7], 1),
        ("token-batch", [[1820, 1355], [99, 100, 101]], 2),
    ):
        choices = [
            {"index": n, "text": f" number {n}", "logprobs": None, "finish_reason": "length"}
            for n in range(count)
        ]
        body = {"id": f"cmpl-{name}", "object": "text_completion", "created": 1_760_000_001,
                "model": "babbage:2023-07-21-v2", "choices": choices,
                "usage": {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9},
                }  # fmt: skip
        yield Spoken(f"completion-{name}", COMPLETIONS, {**base, "prompt": prompt}, 200,
                     "application/json", _pretty(body))  # fmt: skip
    parts = [
        {**_frame("text_completion"), "choices": [
            {"index": 0, "text": text, "logprobs": None, "finish_reason": None}], "usage": None}
        for text in (" up", " and down")
    ]  # fmt: skip
    last = {**_frame("text_completion"), "choices": [], "usage": _usage()}
    sent = {
        **base,
        "prompt": "Stairs go",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    yield Spoken("completion-streaming-usage", COMPLETIONS, sent, 200, EVENT_STREAM,
                 _events([*parts, last]))  # fmt: skip


# ------------------------------------------------------------------------ embeddings


def _embeddings() -> Iterator[Spoken]:
    for name, more in (
        ("dimensions", {"input": "a small vector", "dimensions": 4}),
        ("tokens", {"input": [[15, 22, 8], [4]], "encoding_format": "float"}),
        ("whitespace", {"input": ["  \n\t ", " "]}),
        ("large-text", {"input": "All of the harbour is under snow. " * 900}),
        ("max-tokens", {"input": [7] * 8191}),
        ("base64", {"input": "a small vector", "encoding_format": "base64"}),
    ):
        several = more["input"] if type(more["input"]) is list else [more["input"]]
        count = len(several) if type(several[0]) is not int else 1
        vector: Any = [0.25, -0.5, 0.125, 1.0]
        if more.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<4f", *vector)).decode()
        body = {
            "object": "list", "model": VECTORS,
            "data": [{"object": "embedding", "index": n, "embedding": vector}
                     for n in range(count)],
            "usage": {"prompt_tokens": 6, "total_tokens": 6},
        }  # fmt: skip
        yield Spoken(f"embeddings-{name}", EMBEDDINGS, {"model": VECTORS, **more}, 200,
                     "application/json", _pretty(body))  # fmt: skip


# -------------------------------------------------------------------------- refusals


def _sounds() -> Iterator[Spoken]:
    # Every byte, and the ends of lines and of parts of a form.
    sound = bytes(range(256)) * 9 + b"\r\n--\r\n"
    for name, usage in (
        ("transcription", {"type": "duration", "seconds": 3}),
        ("translation", {"type": "tokens", "input_tokens": 14, "output_tokens": 6,
                         "total_tokens": 20}),
    ):  # fmt: skip
        answer = {"text": "Rain falls on the quiet harbour.", "usage": usage}
        yield Spoken(
            name, f"/v1/audio/{name}s", {"model": HEARS, "response_format": "json"}, 200,
            "application/json", json.dumps(answer).encode(), sound,
        )  # fmt: skip


def _refusals() -> Iterator[Spoken]:
    for name, path, sent, status, error in (
        ("no-messages", CHAT, {"model": MODEL}, 400,
         ("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")),
        ("empty-messages", CHAT, {"model": MODEL, "messages": []}, 400,
         ("Invalid 'messages': empty array.", "messages", "empty_array")),
        ("bad-request", CHAT,
         {"model": MODEL, "messages": [{"role": "user", "content": None}], "temperature": -2,
          "max_tokens": 0}, 400, ("Use another cap.", "max_tokens", "unsupported_parameter")),
        ("unknown-model", CHAT, _user("Hello there"), 404,
         ("The model does not exist.", None, "model_not_found")),
        ("completion-bad-request", COMPLETIONS,
         {"model": MODEL, "prompt": "", "max_tokens": -1}, 400,
         ("Below the minimum.", "max_tokens", "integer_below_min_value")),
        ("completion-unknown-model", COMPLETIONS, {"model": MODEL, "prompt": "x"}, 404,
         ("The model does not exist.", None, "model_not_found")),
        ("embeddings-bad-request", EMBEDDINGS,
         {"model": VECTORS, "input": [9], "dimensions": -1, "encoding_format": "wrong"}, 400,
         ("Too few dimensions were asked for.", None, None)),
        ("embeddings-empty", EMBEDDINGS, {"model": VECTORS, "input": ""}, 400,
         ("'$.input' is invalid.", None, None)),
        ("embeddings-unknown-model", EMBEDDINGS, {"model": VECTORS, "input": "x"}, 404,
         ("The model does not exist.", None, "model_not_found")),
    ):  # fmt: skip
        message, param, code = error
        body = {"error": {"message": message, "type": "invalid_request_error", "param": param,
                          "code": code}}  # fmt: skip
        yield Spoken(name, path, sent, status, "application/json; charset=utf-8", _pretty(body))


# ----------------------------------------------------------------------------- shapes


def _user(content: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}]}


def _whole(name: str, sent: Mapping[str, Any], **message: Any) -> Spoken:
    said = {"role": "assistant", "refusal": None, "annotations": [], **message}
    calls = bool(message.get("tool_calls"))
    body = {
        **_frame("chat.completion"),
        "choices": [{"index": 0, "message": said, "logprobs": None,
                     "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": _usage(),
    }  # fmt: skip
    return Spoken(name, CHAT, sent, 200, "application/json", _pretty(body))


def _stream(name: str, sent: Mapping[str, Any], chunks: list[dict[str, Any]]) -> Spoken:
    return Spoken(name, CHAT, sent, 200, EVENT_STREAM, _events(chunks))


def _frame(kind: str = "chat.completion.chunk") -> dict[str, Any]:
    return {"id": "chatcmpl-own", "object": kind, "created": 1_760_000_002, "model": ANSWERED_BY,
            "service_tier": "default", "system_fingerprint": None}  # fmt: skip


def _delta(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_frame(), "choices": [choice], "obfuscation": "Zx81"}


def _usage() -> dict[str, Any]:
    return {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
            "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0,
                                          "accepted_prediction_tokens": 0,
                                          "rejected_prediction_tokens": 0}}  # fmt: skip


def _pretty(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, indent=2).encode()


def _events(chunks: list[dict[str, Any]]) -> bytes:
    texts = [json.dumps(chunk, separators=(",", ":"), ensure_ascii=False) for chunk in chunks]
    return "".join(f"data: {text}\n\n" for text in (*texts, "[DONE]")).encode()
