"""OpenAI's shape as two of its families serve it, with what those insist on.

Azure: deployments in the path, a version in the query, the key in a header of its own.  Mistral:
an unknown field is 422 in FastAPI's words, a seed has another name, and a stream tells its usage
beside the reason why it ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from gateway_simulators import openai_checks
from gateway_simulators.answers import Question, Reply
from gateway_simulators.connection import Request
from gateway_simulators.openai_shape import DONE, OpenAI
from gateway_simulators.problem import Problem

_DEPLOYMENT: Final = re.compile(r"/openai/deployments/([^/]+)/chat/completions")
_VERSION: Final = re.compile(r"\d{4}-\d\d-\d\d(-preview)?")


class Azure(OpenAI):
    """``POST /openai/deployments/{deployment}/chat/completions?api-version=...``."""

    name: Final = "azure"  # type: ignore[misc]
    path: Final = "/openai/deployments/{deployment}/chat/completions"  # type: ignore[misc]
    others: Final = {}  # type: ignore[misc]
    # Azure takes bearer tokens as well, but a gateway that has a key must not send one.
    foreign_credential: Final = "authorization"  # type: ignore[misc]

    def at(self, path: str) -> Azure | None:
        plain, _, query = path.partition("?")
        versions = parse_qs(query).get("api-version", [])
        known = len(versions) == 1 and _VERSION.fullmatch(versions[0])
        return self if known and _DEPLOYMENT.fullmatch(plain) else None

    def check_request(self, request: Request, key: str | None) -> None:
        given = dict(request.headers).get("api-key")
        if given is None or (key is not None and given != key):
            raise Problem(401, "", "Access denied due to invalid subscription key.", code="401")

    def problem_body(self, problem: Problem, request_id: str) -> bytes:
        error = {"code": problem.code or str(problem.status), "message": problem.message}
        return orjson.dumps({"error": error})

    def whole(self, question: Question, reply: Reply, seed: str) -> bytes:
        document = orjson.loads(super().whole(question, reply, seed))
        document["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": {}}]
        for choice in document["choices"]:
            choice["content_filter_results"] = {}
        return orjson.dumps(document)

    def events(self, question: Question, reply: Reply, seed: str, width: int) -> Iterator[bytes]:
        # The first event carries what the filter said of the prompt, and no choice.
        filtered = [{"prompt_index": 0, "content_filter_results": {}}]
        first = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
        first["prompt_filter_results"] = filtered
        yield b"data: %b\n\n" % orjson.dumps(first)
        yield from super().events(question, reply, seed, width)


class Mistral(OpenAI):
    """``POST /v1/chat/completions`` for those who send nothing unknown."""

    name: Final = "mistral"  # type: ignore[misc]
    others: Final = {}  # type: ignore[misc]
    fields: Final = frozenset(
        {"model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "tools",
         "tool_choice", "random_seed", "response_format", "presence_penalty", "frequency_penalty",
         "n", "prediction", "parallel_tool_calls", "prompt_mode", "safe_prompt"}
    )  # fmt: skip

    def read(self, document: object) -> Question:
        if isinstance(document, dict):
            for name in document.keys() - self.fields:
                raise Problem(422, "extra_forbidden", "Extra inputs are not permitted", param=name)
            roles = {turn.get("role") for turn in document.get("messages", ())}
            if "developer" in roles:
                raise Problem(422, "union_tag_invalid", "Unknown role", param="messages")
            document = {key: value for key, value in document.items() if key != "random_seed"}
        return openai_checks.read(document)

    def problem_body(self, problem: Problem, request_id: str) -> bytes:
        if problem.status == 422:
            wrong = {"type": problem.type, "loc": ["body", problem.param], "msg": problem.message}
            return orjson.dumps({"detail": [wrong]})
        return orjson.dumps({"object": "error", "message": problem.message, "type": problem.type,
                             "param": problem.param, "code": problem.code})  # fmt: skip

    def events(self, question: Question, reply: Reply, seed: str, width: int) -> Iterator[bytes]:
        held: dict[str, Any] | None = None
        for event in super().events(replace(question, wants_usage=True), reply, seed, width):
            if event == DONE:
                yield b"data: %b\n\n" % orjson.dumps(held)
                yield event
                return
            document = orjson.loads(event.removeprefix(b"data: "))
            usage = document.pop("usage", None)
            if usage is not None and held is not None:
                held["usage"] = usage
                continue
            if held is not None:
                yield b"data: %b\n\n" % orjson.dumps(held)
            held = document
