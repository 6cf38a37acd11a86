"""Anthropic's answers, streams and errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from gateway_simulators import anthropic_checks
from gateway_simulators.answers import Question, Reply, pieces, prompt_tokens
from gateway_simulators.anthropic_checks import invalid
from gateway_simulators.connection import Request
from gateway_simulators.problem import Problem
from gateway_simulators.shape import SSE, Headers, Other

RESET: Final = "2025-06-15T15:06:40Z"
_BY_STATUS: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_REFUSALS: Final = {
    "context_window": "prompt is too long: 1234 tokens > 1000 maximum",
    "content_policy": "Output blocked by content filtering policy",
}


def _count_tokens(document: object, seed: str, width: int) -> bytes:
    if isinstance(document, dict) and "max_tokens" in document:
        raise invalid("max_tokens: Extra inputs are not permitted")
    cap = {"max_tokens": 1} if isinstance(document, dict) else {}
    question = anthropic_checks.read({**document, **cap} if isinstance(document, dict) else None)
    return orjson.dumps({"input_tokens": prompt_tokens(question.messages)})


class Anthropic:
    """``POST /v1/messages``."""

    name: Final = "anthropic"
    path: Final = "/v1/messages"
    others: Final[Mapping[str, Other]] = {"/v1/messages/count_tokens": _count_tokens}
    foreign_credential: Final = "authorization"

    stream_type: Final = SSE

    def at(self, path: str) -> Anthropic | None:
        return self if path.partition("?")[0] == self.path else None

    def check_request(self, request: Request, key: str | None) -> None:
        anthropic_checks.check_headers(dict(request.headers), key)

    def read(self, document: object) -> Question:
        return anthropic_checks.read(document)

    def not_found(self, method: str, path: str) -> Problem:
        return Problem(404, "not_found_error", "Not Found")

    def wrong_method(self, method: str, path: str) -> Problem:
        return invalid("Method Not Allowed", status=405)

    def bad_json(self) -> Problem:
        return invalid("The request body is not valid JSON")

    def refused(self, status: int, message: str) -> Problem:
        return Problem(status, _BY_STATUS.get(status, "api_error"), message)

    def refusal(self, kind: str) -> Problem:
        return Problem(400, "invalid_request_error", _REFUSALS[kind])

    def problem_body(self, problem: Problem, request_id: str) -> bytes:
        return orjson.dumps(_error(problem) | {"request_id": request_id})

    def headers(self, request_id: str, served: int) -> Headers:
        return [
            ("request-id", request_id),
            ("anthropic-organization-id", "simulator"),
            ("anthropic-ratelimit-requests-limit", "10000"),
            ("anthropic-ratelimit-requests-remaining", str(max(0, 10_000 - served))),
            ("anthropic-ratelimit-requests-reset", RESET),
            ("anthropic-ratelimit-tokens-limit", "1000000"),
            ("anthropic-ratelimit-tokens-remaining", "999000"),
            ("anthropic-ratelimit-tokens-reset", RESET),
        ]

    def whole(self, question: Question, reply: Reply, seed: str) -> bytes:
        message = _message(question, seed) | {
            "content": _content(reply, seed),
            "stop_reason": _stop_reason(reply),
            "stop_sequence": reply.stop_sequence,
        }
        if reply.shows_usage:
            message["usage"] = _usage(reply, reply.completion_tokens)
        return orjson.dumps(message)

    def events(self, question: Question, reply: Reply, seed: str, width: int) -> Iterator[bytes]:
        message = _message(question, seed)
        if reply.shows_usage:
            # The real API reports the input here, and of the output the first token.
            message["usage"] = _usage(reply, min(1, reply.completion_tokens))
        yield _event("message_start", {"message": message})
        for index, block in enumerate(_content(reply, seed)):
            yield from _block_events(index, block, reply, width)
            yield _event("content_block_stop", {"index": index})
        delta = {"stop_reason": _stop_reason(reply), "stop_sequence": reply.stop_sequence}
        ending: dict[str, Any] = {"delta": delta}
        if reply.shows_usage:
            # Cumulative, not a difference.
            ending["usage"] = {"output_tokens": reply.completion_tokens}
        yield _event("message_delta", ending)
        yield _event("message_stop", {})

    def error_event(self, problem: Problem) -> bytes:
        return _event("error", {"error": _error(problem)["error"]})


def _event(name: str, fields: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name} | dict(fields)))


def _error(problem: Problem) -> dict[str, Any]:
    return {"type": "error", "error": {"type": problem.type, "message": problem.message}}


def _message(question: Question, seed: str) -> dict[str, Any]:
    return {
        "id": f"msg_{seed}",
        "type": "message",
        "role": "assistant",
        "model": question.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _content(reply: Reply, seed: str) -> list[dict[str, Any]]:
    if not reply.calls:
        return [{"type": "text", "text": reply.text}] if reply.text else []
    return [
        {
            "type": "tool_use",
            "id": f"toolu_{seed}_{number}",
            "name": call.name,
            "input": orjson.loads(call.arguments),
        }
        for number, call in enumerate(reply.calls)
    ]


def _stop_reason(reply: Reply) -> str:
    if reply.stop_sequence is not None:
        return "stop_sequence"
    return {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}[reply.stop]


def _usage(reply: Reply, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": reply.prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _block_events(
    index: int, block: Mapping[str, Any], reply: Reply, width: int
) -> Iterator[bytes]:
    """The start of a block, a ping after the first, and the block's deltas."""
    empty: dict[str, Any]
    if block["type"] == "text":
        empty, text, kind, field = {"text": ""}, block["text"], "text_delta", "text"
    else:
        empty, text = {"input": {}}, reply.calls[index].arguments
        kind, field = "input_json_delta", "partial_json"
    yield _event("content_block_start", {"index": index, "content_block": dict(block) | empty})
    if index == 0:
        yield _event("ping", {})
    for piece in pieces(text, width):
        yield _event("content_block_delta", {"index": index, "delta": {"type": kind, field: piece}})
