"""OpenAI's answers, streams and errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from gateway_simulators import openai_checks
from gateway_simulators.answers import Question, Reply, pieces
from gateway_simulators.connection import Request
from gateway_simulators.openai_checks import invalid
from gateway_simulators.openai_others import OTHERS
from gateway_simulators.problem import Problem
from gateway_simulators.shape import SSE, Headers

CREATED: Final = 1_750_000_000
FINGERPRINT: Final = "fp_simulator"
DONE: Final = b"data: [DONE]\n\n"
# status -> (type, code)
_BY_STATUS: Final[dict[int, tuple[str, str | None]]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", None),
    404: ("invalid_request_error", None),
    413: ("invalid_request_error", None),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}

_REFUSALS: Final = {
    "context_window": ("The prompt has more tokens than this model takes.",
                       "context_length_exceeded"),
    "content_policy": ("A safety system rejected the prompt.", "content_policy_violation"),
}  # fmt: skip


class OpenAI:
    """``POST /v1/chat/completions``."""

    name: Final = "openai"
    path: Final = "/v1/chat/completions"
    others: Final = OTHERS
    foreign_credential: Final = "x-api-key"

    stream_type: Final = SSE

    def at(self, path: str) -> OpenAI | None:
        return self if path.partition("?")[0] == self.path else None

    def check_request(self, request: Request, key: str | None) -> None:
        openai_checks.check_headers(dict(request.headers), key)

    def read(self, document: object) -> Question:
        return openai_checks.read(document)

    def not_found(self, method: str, path: str) -> Problem:
        return invalid(f"Invalid URL ({method} {path})", status=404)

    def wrong_method(self, method: str, path: str) -> Problem:
        return invalid(
            f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different "
            "HTTP method?)",
            code="method_not_supported",
            status=405,
        )

    def bad_json(self) -> Problem:
        return openai_checks.bad_json()

    def refused(self, status: int, message: str) -> Problem:
        type_, code = _BY_STATUS.get(status, ("server_error", None))
        return Problem(status, type_, message, code=code)

    def refusal(self, kind: str) -> Problem:
        message, code = _REFUSALS[kind]
        return Problem(400, "invalid_request_error", message, code=code, param="messages")

    def problem_body(self, problem: Problem, request_id: str) -> bytes:
        return orjson.dumps({"error": _error(problem)}, option=orjson.OPT_INDENT_2)

    def headers(self, request_id: str, served: int) -> Headers:
        return [
            ("x-request-id", request_id),
            ("openai-organization", "simulator"),
            ("openai-processing-ms", "1"),
            ("openai-version", "2020-10-01"),
            ("x-ratelimit-limit-requests", "10000"),
            ("x-ratelimit-limit-tokens", "1000000"),
            ("x-ratelimit-remaining-requests", str(max(0, 10_000 - served))),
            ("x-ratelimit-remaining-tokens", "999000"),
            ("x-ratelimit-reset-requests", "6ms"),
            ("x-ratelimit-reset-tokens", "60ms"),
        ]

    def whole(self, question: Question, reply: Reply, seed: str) -> bytes:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if reply.calls else reply.text,
            "refusal": None,
            "annotations": [],
        }
        if reply.calls:
            message["tool_calls"] = [
                _call(reply, seed, number) for number in range(len(reply.calls))
            ]
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": reply.stop}
            for index in range(question.choices)
        ]
        document = _base(question, seed, "chat.completion") | {"choices": choices}
        if reply.shows_usage:
            document["usage"] = _usage(reply)
        return orjson.dumps(document)

    def events(self, question: Question, reply: Reply, seed: str, width: int) -> Iterator[bytes]:
        base = _base(question, seed, "chat.completion.chunk")
        # With include_usage every chunk carries a usage field: null until the last.
        tail = {"usage": None} if question.wants_usage else {}
        for delta, finish in _deltas(reply, seed, width):
            for index in range(question.choices):
                choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
                yield _event(base | {"choices": [choice]} | tail)
        if question.wants_usage and reply.shows_usage:
            yield _event(base | {"choices": [], "usage": _usage(reply)})
        yield DONE

    def error_event(self, problem: Problem) -> bytes:
        return _event({"error": _error(problem)})


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(document)


def _error(problem: Problem) -> dict[str, Any]:
    return {
        "message": problem.message,
        "type": problem.type,
        "param": problem.param,
        "code": problem.code,
    }


def _base(question: Question, seed: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{seed}",
        "object": kind,
        "created": CREATED,
        "model": question.model,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    }


def _call(reply: Reply, seed: str, number: int) -> dict[str, Any]:
    call = reply.calls[number]
    return {
        "id": f"call_{seed}_{number}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _deltas(reply: Reply, seed: str, width: int) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Each delta with its finish reason, in the order of the real API."""
    content = None if reply.calls else ""
    yield {"role": "assistant", "content": content, "refusal": None}, None
    for piece in pieces(reply.text, width):
        yield {"content": piece}, None
    for number, call in enumerate(reply.calls):
        opening = _call(reply, seed, number)
        opening["function"]["arguments"] = ""
        yield {"tool_calls": [{"index": number} | opening]}, None
        for piece in pieces(call.arguments, width):
            yield {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}, None
    yield {}, reply.stop
