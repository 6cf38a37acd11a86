"""Amazon Bedrock's answers, event streams and errors, for Converse and ConverseStream.

A prompt with "stop by guardrail" gets an answer that a guardrail ended.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote
from zlib import crc32

import orjson

from gateway_simulators import bedrock_checks
from gateway_simulators.answers import Question, Reply, pieces
from gateway_simulators.bedrock_checks import invalid
from gateway_simulators.connection import Request
from gateway_simulators.problem import Problem
from gateway_simulators.shape import Headers, Other

_PATH: Final = re.compile(r"/model/([^/?]+)/(converse|converse-stream)")
_EXCEPTIONS: Final = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_TEXT: Final = 7


class Bedrock:
    """``POST /model/{modelId}/converse`` and ``/converse-stream``."""

    name: Final = "bedrock"
    path: Final = "/model/{modelId}/converse"
    others: Final[Mapping[str, Other]] = {}
    stream_type: Final = "application/vnd.amazon.eventstream"
    foreign_credential: Final = "x-api-key"

    def __init__(self, model: str = "", *, stream: bool = False) -> None:
        self._model = model
        self._stream = stream

    def at(self, path: str) -> Bedrock | None:
        found = _PATH.fullmatch(path)
        return found and Bedrock(unquote(found[1]), stream=found[2] == "converse-stream")

    def check_request(self, request: Request, key: str | None) -> None:
        bedrock_checks.check_signature(request, key)

    def read(self, document: object) -> Question:
        if "unknown" in self._model:
            raise invalid("The provided model identifier is invalid.")
        return bedrock_checks.read(document, self._model, stream=self._stream)

    def not_found(self, method: str, path: str) -> Problem:
        return Problem(404, "UnknownOperationException", "Unknown operation.")

    def wrong_method(self, method: str, path: str) -> Problem:
        return Problem(405, "UnsupportedOperationException", "Method not allowed.")

    def bad_json(self) -> Problem:
        return Problem(400, "SerializationException", "The request body is not valid JSON.")

    def refused(self, status: int, message: str) -> Problem:
        return Problem(status, _EXCEPTIONS.get(status, "InternalServerException"), message)

    def refusal(self, kind: str) -> Problem:
        # What a guardrail rejects is answered with 200 and a reason, not refused.
        assert kind == "context_window"
        return Problem(400, "ValidationException", "Input is too long for requested model.")

    def problem_body(self, problem: Problem, request_id: str) -> bytes:
        # The name of the exception stands in a header, which a fault does not set: boto3 also
        # reads it here.
        return orjson.dumps({"message": problem.message, "__type": problem.type})

    def headers(self, request_id: str, served: int) -> Headers:
        return [("x-amzn-requestid", request_id)]

    def whole(self, question: Question, reply: Reply, seed: str) -> bytes:
        document: dict[str, Any] = {
            "output": {"message": {"role": "assistant", "content": _content(reply, seed)}},
            "stopReason": _stop_reason(question, reply),
            "metrics": {"latencyMs": 12},
        }
        if reply.shows_usage:
            document["usage"] = _usage(reply)
        return orjson.dumps(document)

    def events(self, question: Question, reply: Reply, seed: str, width: int) -> Iterator[bytes]:
        yield _event("messageStart", {"role": "assistant"})
        for index, block in enumerate(_content(reply, seed)):
            if "toolUse" in block:
                called = {key: block["toolUse"][key] for key in ("toolUseId", "name")}
                start = {"start": {"toolUse": called}, "contentBlockIndex": index}
                yield _event("contentBlockStart", start)
                text = reply.calls[index].arguments
            else:
                text = block["text"]
            for piece in pieces(text, width):
                delta = {"toolUse": {"input": piece}} if "toolUse" in block else {"text": piece}
                yield _event("contentBlockDelta", {"delta": delta, "contentBlockIndex": index})
            yield _event("contentBlockStop", {"contentBlockIndex": index})
        yield _event("messageStop", {"stopReason": _stop_reason(question, reply)})
        usage = {"usage": _usage(reply)} if reply.shows_usage else {}
        yield _event("metadata", {**usage, "metrics": {"latencyMs": 12}})

    def error_event(self, problem: Problem) -> bytes:
        name = problem.type[:1].lower() + problem.type[1:]
        headers = {":exception-type": name, ":message-type": "exception"}
        return frame(headers, orjson.dumps({"message": problem.message}))


def _event(name: str, document: Mapping[str, Any]) -> bytes:
    # Bedrock pads its events to random lengths, under a key that clients ignore.
    padded = {**document, "p": "abcdefghijklm"[: len(name) % 13]}
    return frame({":event-type": name, ":message-type": "event"}, orjson.dumps(padded))


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of an event stream with text headers."""
    told = {**headers, ":content-type": "application/json"}
    block = b"".join(
        struct.pack(">B", len(name.encode())) + name.encode()
        + struct.pack(">BH", _TEXT, len(value.encode())) + value.encode()
        for name, value in told.items()
    )  # fmt: skip
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    message = lengths + struct.pack(">I", crc32(lengths)) + block + payload
    return message + struct.pack(">I", crc32(message))


def _content(reply: Reply, seed: str) -> list[dict[str, Any]]:
    if not reply.calls:
        return [{"text": reply.text}] if reply.text else []
    return [
        {
            "toolUse": {
                "toolUseId": f"tooluse_{seed}_{number}",
                "name": call.name,
                "input": orjson.loads(call.arguments),
            }
        }
        for number, call in enumerate(reply.calls)
    ]


def _stop_reason(question: Question, reply: Reply) -> str:
    if "stop by guardrail" in question.last_user.lower():
        return "guardrail_intervened"
    if reply.stop_sequence is not None:
        return "stop_sequence"
    return {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}[reply.stop]


def _usage(reply: Reply) -> dict[str, int]:
    total = reply.prompt_tokens + reply.completion_tokens
    return {
        "inputTokens": reply.prompt_tokens,
        "outputTokens": reply.completion_tokens,
        "totalTokens": total,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
    }
