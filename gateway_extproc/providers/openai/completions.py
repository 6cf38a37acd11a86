"""The older ``POST /v1/completions``: one prompt or several, and text that goes on from it."""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.core.ports import AnswerWriter, Release
from gateway_extproc.providers import checks
from gateway_extproc.providers.caps import refuse_smuggled
from gateway_extproc.providers.interface import Interface
from gateway_extproc.providers.openai import reader
from gateway_extproc.providers.openai.frames import CompletionFrame
from gateway_extproc.providers.openai.plain import refuse_tokens
from gateway_extproc.providers.openai.usage import read_usage
from gateway_extproc.providers.openai.writer import PassWriter
from gateway_extproc.providers.problems import Unreadable
from gateway_extproc.providers.reading import text_of

DEFAULT_TOKENS: Final = 16
"""The cap of a completion that names none (OpenAI's reference; vLLM does the same)."""

FIELDS: Final[dict[str, checks.Check]] = {
    "best_of": checks.integer(1, 20),
    "echo": checks.boolean,
    "frequency_penalty": checks.number(-2, 2),
    "logit_bias": checks.obj,
    "logprobs": checks.integer(0, 5),
    "max_tokens": checks.integer(0),
    "n": checks.integer(1, 128),
    "presence_penalty": checks.number(-2, 2),
    "seed": checks.whole,
    "stream": checks.boolean,
    "stream_options": checks.obj,
    "suffix": checks.string,
    "temperature": checks.number(0, 2),
    "top_p": checks.number(0, 1),
    "user": checks.string,
}
READ: Final = frozenset({"model", "prompt", "stop"})


def read_request(document: Document) -> LlmRequest:
    """The request behind a completion's document; raises ``RequestError`` with the field."""
    model = document.get("model")
    checks.name(model, "model")
    for key, value in document.items():
        check = FIELDS.get(key)
        if check is not None:
            checks.optional(check)(value, key)
        elif key not in READ:
            refuse_smuggled(value, key)
    texts = _prompts(document.get("prompt"))
    prompts = max(1, len(texts))
    if document.get("suffix"):
        texts.append(TextAt(("suffix",), "user", document["suffix"]))
    each = max(document.get("n") or 1, document.get("best_of") or 1)
    cap = document.get("max_tokens")
    options = document.get("stream_options") or {}
    return LlmRequest(
        "openai", "completions", model,  # type: ignore[arg-type]
        document.get("stream") is True,
        DEFAULT_TOKENS if cap is None else cap,
        options.get("include_usage") is True,
        document, tuple(texts),
        completions=each * prompts,
    )  # fmt: skip


def _prompts(value: Any) -> list[TextAt]:
    refuse_tokens(value, "prompt")
    if type(value) is str:
        return [TextAt(("prompt",), "user", value)]
    if type(value) is not list or not value:
        raise invalid("prompt", "a text, or a non-empty array of texts")
    checks.strings(value, "prompt")
    return [TextAt(("prompt", index), "user", text) for index, text in enumerate(value)]


def _edit(request: LlmRequest, model: str, max_tokens: int, force_usage: bool) -> dict[str, Any]:
    asked = DEFAULT_TOKENS if request.max_tokens is None else request.max_tokens
    edits: dict[str, Any] = {"model": model, "max_tokens": min(asked, max_tokens)}
    if force_usage and request.stream:
        options = request.document.get("stream_options") or {}
        edits["stream_options"] = {**options, "include_usage": True}
    return edits


def _answer(document: Document, raw: bytes) -> Release:
    choices = document.get("choices")
    if type(choices) is not list or not choices:
        raise Unreadable
    if not all(type(choice) is dict and type(choice.get("text")) is str for choice in choices):
        raise Unreadable
    return Release(
        document=document,
        raw=raw,
        texts=tuple(
            TextAt(("choices", index, "text"), "assistant", choice["text"])
            for index, choice in enumerate(choices)
        ),
        echoes=tuple(
            ("choices", index, "logprobs")
            for index, choice in enumerate(choices)
            if choice.get("logprobs")
        ),
        usage=read_usage(document.get("usage")),
        model=text_of(document, "model"),
        stop_reason=reader.stop_reason(choices[0].get("finish_reason")),
    )


def _writer(request: LlmRequest, created: int) -> AnswerWriter:
    return PassWriter(
        request.model, wants_usage=request.wants_usage, created=created, frame=CompletionFrame
    )


COMPLETIONS: Final = Interface(
    "completions", "/completions", read_request, _edit, _answer, reader.completion_reader, _writer
)
