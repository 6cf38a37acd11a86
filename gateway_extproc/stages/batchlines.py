"""The lines of a batch: requests as they are uploaded, answers as they are read.

A line is one JSON object.  Each request is what it would be at its own interface, each answer too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import LlmRequest, TextAt
from gateway_extproc.core.endpoint import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, Endpoint
from gateway_extproc.core.errors import Refusal, RequestError, invalid, refuse
from gateway_extproc.core.jsonin import read_object
from gateway_extproc.core.ports import Dialect
from gateway_extproc.core.relayed import BatchLine
from gateway_extproc.core.usage import NOTHING, Usage

BATCHED: Final[Mapping[str, Endpoint]] = {
    endpoint.path: endpoint for endpoint in (CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS)
}
"""Interfaces whose requests may stand in a batch."""
MOST_LINES: Final = 10_000
CUSTOM_ID_CHARS: Final = 512
_KEYS: Final = frozenset({"custom_id", "method", "url", "body"})


def read_lines(data: bytes, dialect: Dialect, max_depth: int) -> Iterator[BatchLine]:
    """The requests of a file; raises ``RequestError`` that names the line.

    All have one interface and one model, as OpenAI demands, and ids of their own.
    """
    seen: set[str] = set()
    first: BatchLine | None = None
    for number, text in enumerate(data.splitlines(), 1):
        if number > MOST_LINES:
            raise invalid("file", f"at most {MOST_LINES} lines")
        if not text.strip():
            continue
        with _naming(number):
            line = _read_line(text, dialect, max_depth)
            if line.custom_id in seen:
                raise invalid("custom_id", "an id that no other line has")
            first = first or line
            if (line.url, line.request.model) != (first.url, first.request.model):
                raise invalid("body.model", "the url and the model of the first line")
        seen.add(line.custom_id)
        yield line
    if first is None:
        raise invalid("file", "at least one line")


def _read_line(text: bytes, dialect: Dialect, max_depth: int) -> BatchLine:
    document = read_object(text, max_depth=max_depth)
    for key in document:
        if key not in _KEYS:
            raise invalid(key, "nothing: a line has custom_id, method, url and body")
    custom_id, url, body = (document.get(key) for key in ("custom_id", "url", "body"))
    if type(custom_id) is not str or not 0 < len(custom_id) <= CUSTOM_ID_CHARS:
        raise invalid("custom_id", f"a text of 1 to {CUSTOM_ID_CHARS} characters")
    if document.get("method") != "POST":
        raise invalid("method", "'POST'")
    endpoint = BATCHED.get(url) if type(url) is str else None
    if endpoint is None:
        raise invalid("url", " or ".join(BATCHED))
    if type(body) is not dict:
        raise invalid("body", "an object")
    request = dialect.read_request(endpoint.name, body)
    if request.stream:
        raise invalid("body.stream", "nothing: a batch does not stream")
    return BatchLine(custom_id, endpoint.path, request)


@contextlib.contextmanager
def _naming(number: int) -> Iterator[None]:
    """Adds the line's number to what a check says."""
    try:
        yield
    except RequestError as error:
        raise RequestError(in_line(number, error.refusal)) from None


def in_line(number: int, refusal: Refusal) -> Refusal:
    """The refusal of one line, for the whole file."""
    return replace(refusal, message=f"Line {number}: {refusal.message}", param="file")


def texts_of(line: BatchLine) -> tuple[TextAt, ...]:
    """Every text of a line; its own id stands last."""
    return (*line.request.texts, TextAt(("custom_id",), "user", line.custom_id))


def write_line(line: BatchLine, body: Any) -> bytes:
    """A line as a provider reads it."""
    return orjson.dumps(
        {"custom_id": line.custom_id, "method": "POST", "url": line.url, "body": body}
    )


def joined(lines: list[bytes]) -> bytes:
    return b"".join([line + b"\n" for line in lines])


# ----------------------------------------------------------------------------- answers


def read_answer(text: bytes) -> dict[str, Any] | None:
    """One line of a file of results; None where it is none."""
    try:
        line = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return line if type(line) is dict else None


def body_of(line: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer in a line that has a good one."""
    response = line.get("response")
    if type(response) is not dict or response.get("status_code") != 200:
        return None
    body = response.get("body")
    return body if type(body) is dict else None


def refused_line(line: Mapping[str, Any], refusal: Refusal) -> dict[str, Any]:
    """A line whose answer may not leave, as OpenAI writes one that failed."""
    error = {"message": refusal.message, "type": refusal.type, "param": None, "code": refusal.code}
    told = line.get("response")
    request_id = told.get("request_id") if type(told) is dict else None
    response = {
        "status_code": refusal.status,
        "request_id": request_id,
        "body": {"error": error},
    }
    return {"id": line.get("id"), "custom_id": line.get("custom_id"), "response": response,
            "error": None}  # fmt: skip


def added(total: Usage, usage: Usage | None) -> Usage:
    """Both together, as reported."""
    more = usage or NOTHING
    counts = [field.name for field in fields(Usage) if field.type == "int"]
    return Usage(**{name: getattr(total, name) + getattr(more, name) for name in counts})


def unknown(kind: str, shown: str) -> Refusal:
    """Nobody learns whether another tenant has it."""
    return refuse("not_found", f"No such {kind}: '{shown[:64]}'.", param="id")


def asked_tokens(request: LlmRequest, cap: int) -> int:
    """Tokens of a request's answers at most."""
    most = cap if request.max_tokens is None else min(request.max_tokens, cap)
    return request.completions * most
