"""Gemini's answers, streams and errors: of the Gemini API, and of Vertex AI.

What a test can ask for beside what every simulated model does: a prompt with "blocked prompt" is
blocked (``promptFeedback``), one with "unsafe answer" gets an answer that ends for safety, and
``thinkingConfig`` costs six thought tokens, shown where ``includeThoughts`` asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import orjson

from gateway_simulators import gemini_checks
from gateway_simulators.answers import Question, Reply, pieces
from gateway_simulators.connection import Request
from gateway_simulators.gemini_checks import SIGNING, invalid
from gateway_simulators.problem import Problem
from gateway_simulators.shape import SSE, Headers, Other

_PATH: Final = re.compile(
    r"(?:/v1beta|/v1|/v1/projects/[^/]+/locations/[^/]+/publishers/google)/models/([^/:?]+)"
    r":(generateContent|streamGenerateContent)(?:\?(.*))?"
)
_GOOGLE: Final = "type.googleapis.com/google.rpc."
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
THOUGHT: Final = "Let me think about it."
THOUGHT_TOKENS: Final = 6


class Gemini:
    """``POST /v1beta/models/{model}:generateContent`` and ``:streamGenerateContent``."""

    name: ClassVar[str] = "gemini"
    path: Final = "/v1beta/models/{model}:generateContent"
    others: Final[Mapping[str, Other]] = {}
    foreign_credential: ClassVar[str] = "authorization"

    def __init__(self, model: str = "", *, stream: bool = False, array: bool = False) -> None:
        self._model = model
        self._stream = stream
        self._array = array
        self._config: dict[str, Any] = {}

    @property
    def stream_type(self) -> str:
        return "application/json; charset=UTF-8" if self._array else SSE

    def at(self, path: str) -> Gemini | None:
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        stream = found[2] == "streamGenerateContent"
        array = stream and "alt=sse" not in (found[3] or "")
        return type(self)(found[1], stream=stream, array=array)

    def check_request(self, request: Request, key: str | None) -> None:
        gemini_checks.check_key(dict(request.headers), key)
        _check_media_type(request)

    def read(self, document: object) -> Question:
        if "unknown" in self._model:
            message = f"models/{self._model} is not found for API version v1beta."
            raise Problem(404, "NOT_FOUND", message)
        question = gemini_checks.read(
            document, self._model, stream=self._stream, takes_ids=self._takes_ids
        )
        assert isinstance(document, dict)
        self._config = document.get("generationConfig") or {}
        return question

    _takes_ids: ClassVar[bool] = True

    def not_found(self, method: str, path: str) -> Problem:
        return Problem(404, "NOT_FOUND", "Requested entity was not found.")

    def wrong_method(self, method: str, path: str) -> Problem:
        return Problem(404, "NOT_FOUND", "Requested entity was not found.")

    def bad_json(self) -> Problem:
        return invalid("Invalid JSON payload received. Unexpected token.")

    def refused(self, status: int, message: str) -> Problem:
        word = _STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
        return Problem(status, word, message)

    def refusal(self, kind: str) -> Problem:
        # What its filter rejects is answered with 200 and a reason, not refused.
        assert kind == "context_window"
        message = "The input token count exceeds the maximum number of tokens allowed (1048576)."
        return Problem(400, "INVALID_ARGUMENT", message)

    def problem_body(self, problem: Problem, request_id: str) -> bytes:
        return orjson.dumps(_error(problem))

    def headers(self, request_id: str, served: int) -> Headers:
        return [("x-cloud-trace-context", request_id), ("server-timing", "gfet4t7; dur=12")]

    def whole(self, question: Question, reply: Reply, seed: str) -> bytes:
        document = self._document(question, seed)
        if _is_blocked(question):
            document["promptFeedback"] = {"blockReason": "SAFETY"}
        else:
            parts = [*self._thoughts(), *self._said(question, reply, seed)]
            document["candidates"] = [
                {**_candidate(parts, _reason(question, reply)), "index": number}
                for number in range(question.choices)
            ]
        return orjson.dumps(document | self._usage(question, reply))

    def events(self, question: Question, reply: Reply, seed: str, width: int) -> Iterator[bytes]:
        documents = list(self._documents(question, reply, seed, width))
        for number, document in enumerate(documents):
            if not self._array:
                yield b"data: " + orjson.dumps(document) + b"\r\n\r\n"
                continue
            end = b"]" if number == len(documents) - 1 else b"\r\n"
            yield (b"," if number else b"[") + orjson.dumps(document) + end

    def _documents(
        self, question: Question, reply: Reply, seed: str, width: int
    ) -> Iterator[dict[str, Any]]:
        head = self._document(question, seed)
        usage = self._usage(question, reply)
        if _is_blocked(question):
            yield head | {"promptFeedback": {"blockReason": "SAFETY"}} | usage
            return
        # As the real one does: figures with every event, the last ones are those that count.
        early = {"usageMetadata": {"promptTokenCount": reply.prompt_tokens}} if usage else {}
        for part in self._thoughts():
            yield head | {"candidates": [_candidate([part])]} | early
        if reply.calls:
            for part in self._said(question, reply, seed):
                yield head | {"candidates": [_candidate([part])]} | early
        else:
            for piece in pieces(reply.text, width):
                yield head | {"candidates": [_candidate([{"text": piece}])]} | early
        last = _candidate([{"text": ""}], _reason(question, reply))
        yield head | {"candidates": [last]} | usage

    def error_event(self, problem: Problem) -> bytes:
        return b"data: " + orjson.dumps(_error(problem)) + b"\r\n\r\n"

    def _document(self, question: Question, seed: str) -> dict[str, Any]:
        return {"modelVersion": question.model, "responseId": seed}

    def _thoughts(self) -> list[dict[str, Any]]:
        shown = (self._config.get("thinkingConfig") or {}).get("includeThoughts")
        return [{"text": THOUGHT, "thought": True}] if shown else []

    def _said(self, question: Question, reply: Reply, seed: str) -> list[dict[str, Any]]:
        if not reply.calls:
            return [{"text": reply.text}]
        parts: list[dict[str, Any]] = []
        for number, call in enumerate(reply.calls):
            called = {"name": call.name, "args": orjson.loads(call.arguments)}
            if self._takes_ids:
                called = {"id": f"fc{seed[:8]}{number}", **called}
            part: dict[str, Any] = {"functionCall": called}
            if number == 0 and question.model.startswith(SIGNING):
                part["thoughtSignature"] = "c2lnbmVkK2J5L3RoZSBtb2RlbA=="
            parts.append(part)
        return parts

    def _usage(self, question: Question, reply: Reply) -> dict[str, Any]:
        if not reply.shows_usage:
            return {}
        thinks = bool(self._config.get("thinkingConfig"))
        thoughts = {"thoughtsTokenCount": THOUGHT_TOKENS} if thinks else {}
        said = 0 if _is_blocked(question) else reply.completion_tokens
        total = reply.prompt_tokens + said + (THOUGHT_TOKENS if thinks else 0)
        return {
            "usageMetadata": {
                "promptTokenCount": reply.prompt_tokens,
                "candidatesTokenCount": said,
                **thoughts,
                "totalTokenCount": total,
            }
        }


class Vertex(Gemini):
    """The same behind an access token, at a path with project and location."""

    name: ClassVar[str] = "vertex"
    foreign_credential: ClassVar[str] = "x-goog-api-key"
    _takes_ids: ClassVar[bool] = False

    def check_request(self, request: Request, key: str | None) -> None:
        gemini_checks.check_token(dict(request.headers), key)
        _check_media_type(request)


def _check_media_type(request: Request) -> None:
    kind = dict(request.headers).get("content-type", "").partition(";")[0]
    if kind != "application/json":
        raise invalid(f"Unsupported media type {kind}", status=415)


def _is_blocked(question: Question) -> bool:
    return "blocked prompt" in question.last_user.lower()


def _reason(question: Question, reply: Reply) -> str:
    if "unsafe answer" in question.last_user.lower():
        return "SAFETY"
    return "MAX_TOKENS" if reply.stop == "length" else "STOP"


def _candidate(parts: list[dict[str, Any]], reason: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    return candidate if reason is None else {**candidate, "finishReason": reason}


def _error(problem: Problem) -> dict[str, Any]:
    error: dict[str, Any] = {
        "code": problem.status,
        "message": problem.message,
        "status": problem.type,
    }
    details: list[dict[str, Any]] = []
    if problem.code is not None:
        info = {"reason": problem.code, "domain": "googleapis.com"}
        details.append({"@type": _GOOGLE + "ErrorInfo", **info})
    if problem.status == 429:
        delay = f"{problem.retry_after or 34}s"
        details.append({"@type": _GOOGLE + "RetryInfo", "retryDelay": delay})
    return {"error": {**error, "details": details} if details else error}
