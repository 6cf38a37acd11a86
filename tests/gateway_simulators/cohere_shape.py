"""Cohere's answers, streams and errors: chat, embeddings and rerank of its second version.

A prompt with "cite" gets a citation of the first word of the answer, one with "think" a thought,
one with "fail inside" an answer that failed.  ``tokens`` counts the words of a template, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from gateway_simulators import cohere_checks, openai_others
from gateway_simulators.answers import Question, Reply, count_tokens, pieces
from gateway_simulators.cohere_checks import invalid, model_of
from gateway_simulators.connection import Request
from gateway_simulators.problem import Problem
from gateway_simulators.shape import SSE, Headers, Other

TEMPLATE_TOKENS: Final = 7
THOUGHT: Final = "Let me think about it."
_BY_STATUS: Final = {
    401: "unauthorized", 403: "forbidden", 404: "not_found", 429: "too_many_requests",
}  # fmt: skip
_REFUSALS: Final = {
    "context_window": "too many tokens: total number of tokens in this request exceeds the limit",
    "content_policy": "invalid request: content was blocked by a safety filter",
}
_RERANK: Final = frozenset(
    {"model", "query", "documents", "top_n", "max_tokens_per_doc", "priority"}
)
_EMBED: Final = frozenset(
    {"model", "input_type", "texts", "images", "inputs", "max_tokens", "output_dimension",
     "embedding_types", "truncate", "priority"}
)  # fmt: skip


def rerank(document: object, seed: str, width: int) -> bytes:
    asked = _asked(document, _RERANK, "model", "query", "documents")
    if not all(isinstance(item, str) for item in asked["documents"]):
        raise invalid("invalid request: list of documents must be strings")
    answered = openai_others.rerank(document, seed, width)
    assert isinstance(answered, bytes)
    return answered


def embed(document: object, seed: str, width: int) -> bytes:
    asked = _asked(document, _EMBED, "model", "input_type", "texts")
    texts = asked["texts"]
    vectors = [openai_others.vector_of(text) for text in texts]
    counted = {"input_tokens": sum(map(count_tokens, texts))}
    return orjson.dumps({
        "id": seed, "texts": texts, "embeddings": {"float": vectors},
        "meta": {"api_version": {"version": "2"}, "billed_units": counted},
        "response_type": "embeddings_by_type",
    })  # fmt: skip


def _asked(document: object, known: frozenset[str], *required: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise invalid("invalid request: expected an object")
    for name in document:
        if name not in known:
            raise invalid(
                f"invalid request: unknown field: parameter '{name}' is not a valid field"
            )
    for name in required:
        if not document.get(name):
            raise invalid(f"invalid request: {name} is required")
    model_of(document)
    return document


class Cohere:
    """``POST /v2/chat``."""

    name: Final = "cohere"
    path: Final = "/v2/chat"
    others: Final[Mapping[str, Other]] = {"/v2/rerank": rerank, "/v2/embed": embed}
    foreign_credential: Final = "x-api-key"
    stream_type: Final = SSE

    def at(self, path: str) -> Cohere | None:
        return self if path.partition("?")[0] == self.path else None

    def check_request(self, request: Request, key: str | None) -> None:
        cohere_checks.check_headers(dict(request.headers), key)

    def read(self, document: object) -> Question:
        return cohere_checks.read(document)

    def not_found(self, method: str, path: str) -> Problem:
        return Problem(404, "not_found", "page not found")

    def wrong_method(self, method: str, path: str) -> Problem:
        return Problem(405, "method_not_allowed", "method not allowed")

    def bad_json(self) -> Problem:
        return invalid("invalid request: the body is not valid JSON")

    def refused(self, status: int, message: str) -> Problem:
        return Problem(status, _BY_STATUS.get(status, "internal_server_error"), message)

    def refusal(self, kind: str) -> Problem:
        return invalid(_REFUSALS[kind])

    def problem_body(self, problem: Problem, request_id: str) -> bytes:
        return orjson.dumps({"id": request_id, "message": problem.message})

    def headers(self, request_id: str, served: int) -> Headers:
        return [
            ("x-debug-trace-id", request_id),
            ("x-endpoint-monthly-call-limit", "1000"),
            ("x-api-warning", "this is a simulator"),
        ]

    def whole(self, question: Question, reply: Reply, seed: str) -> bytes:
        message: dict[str, Any] = {"role": "assistant"}
        if reply.calls:
            message |= {"tool_plan": PLAN, "tool_calls": [*_calls(reply, seed)]}
        content = list(_content(question, reply))
        if content:
            message["content"] = content
        if _cites(question, reply):
            message["citations"] = [_citation(reply)]
        document: dict[str, Any] = {
            "id": seed,
            "finish_reason": _finish(question, reply),
            "message": message,
        }
        if reply.shows_usage:
            document["usage"] = _usage(reply)
        return orjson.dumps(document)

    def events(self, question: Question, reply: Reply, seed: str, width: int) -> Iterator[bytes]:
        empty: dict[str, Any] = {"content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        yield _event("message-start", id=seed, delta={"message": {"role": "assistant", **empty}})
        if reply.calls:
            for piece in pieces(PLAN, width):
                yield _message("tool-plan-delta", tool_plan=piece)
        for index, call in enumerate(_calls(reply, seed)):
            function = call["function"]
            begun = {**call, "function": {**function, "arguments": ""}}
            yield _message("tool-call-start", index, tool_calls=begun)
            for piece in pieces(function["arguments"], width):
                told = {"function": {"arguments": piece}}
                yield _message("tool-call-delta", index, tool_calls=told)
            yield _event("tool-call-end", index=index)
        for index, part in enumerate(_content(question, reply)):
            kind = part["type"]
            yield _message("content-start", index, content={"type": kind, kind: ""})
            for piece in pieces(part[kind], width):
                yield _message("content-delta", index, content={kind: piece})
            if kind == "text" and _cites(question, reply):
                yield _message("citation-start", 0, citations=_citation(reply))
                yield _event("citation-end", index=0)
            yield _event("content-end", index=index)
        delta: dict[str, Any] = {"finish_reason": _finish(question, reply)}
        if delta["finish_reason"] == "ERROR":
            delta["error"] = "the generation failed"
        if reply.shows_usage:
            delta["usage"] = _usage(reply)
        yield _event("message-end", id=seed, delta=delta)

    def error_event(self, problem: Problem) -> bytes:
        return _event("message-end", delta={"error": problem.message, "finish_reason": "ERROR"})


PLAN: Final = "I will look it up."


def _event(kind: str, **fields: Any) -> bytes:
    document = orjson.dumps({"type": kind, **fields})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), document)


def _message(kind: str, index: int | None = None, **message: Any) -> bytes:
    told = {} if index is None else {"index": index}
    return _event(kind, **told, delta={"message": message})


def _content(question: Question, reply: Reply) -> Iterator[dict[str, Any]]:
    if "think" in question.last_user.lower():
        yield {"type": "thinking", "thinking": THOUGHT}
    if reply.text:
        yield {"type": "text", "text": reply.text}


def _cites(question: Question, reply: Reply) -> bool:
    return "cite" in question.last_user.lower() and bool(reply.text)


def _citation(reply: Reply) -> dict[str, Any]:
    word = reply.text.split(" ")[0]
    source = {"type": "document", "id": "doc:0", "document": {"id": "doc:0", "snippet": word}}
    return {"start": 0, "end": len(word), "text": word, "type": "TEXT_CONTENT", "sources": [source]}


def _calls(reply: Reply, seed: str) -> Iterator[dict[str, Any]]:
    for number, call in enumerate(reply.calls):
        function = {"name": call.name, "arguments": call.arguments}
        yield {"id": f"{call.name}_{seed[:8]}{number}", "type": "function", "function": function}


def _finish(question: Question, reply: Reply) -> str:
    if "fail inside" in question.last_user.lower():
        return "ERROR"
    if reply.stop_sequence is not None:
        return "STOP_SEQUENCE"
    return {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}[reply.stop]


def _usage(reply: Reply) -> dict[str, Any]:
    prompt, said = reply.prompt_tokens, reply.completion_tokens
    return {
        "billed_units": {"input_tokens": float(prompt), "output_tokens": float(said)},
        "tokens": {"input_tokens": float(prompt + TEMPLATE_TOKENS), "output_tokens": float(said)},
        "cached_tokens": 0,
    }
