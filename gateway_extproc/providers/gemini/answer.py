"""Whole generateContent answers: their texts, and the way over the hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    ChatResponse,
    Choice,
    Document,
    Path,
    StopReason,
    Text,
    TextAt,
    Thought,
    ToolCall,
)
from gateway_extproc.providers.callids import made_id, signed_id, split_id
from gateway_extproc.providers.checks import string_leaves
from gateway_extproc.providers.gemini.logprobs import read_logprobs, write_logprobs
from gateway_extproc.providers.gemini.usage import read_usage, write_usage
from gateway_extproc.providers.problems import Unreadable
from gateway_extproc.providers.reading import text_of

STOP_REASONS: Final[dict[str, StopReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        (
            *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"),
            *("MODEL_ARMOR", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
        ),
        "content_filter",
    ),
}
WRITTEN: Final[dict[StopReason, str]] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",  # Gemini has no word for it: the calls say it
    "content_filter": "SAFETY",
}
BLOCKED: Final = "blockReason"


def stop_reason_of(reason: Any, *, has_calls: bool) -> StopReason:
    """A finish reason in the hub's words; an unknown one is a plain stop."""
    known = STOP_REASONS.get(reason, "stop") if type(reason) is str else "stop"
    return "tool_calls" if has_calls and known == "stop" else known


def candidates_of(document: Document) -> list[Document]:
    """The candidates; raises ``Unreadable`` for another shape.  None where a prompt was blocked."""
    candidates = document.get("candidates") or []
    if type(candidates) is not list:
        raise Unreadable
    for one in candidates:
        if type(one) is not dict:
            raise Unreadable
    return candidates


def parts_of(candidate: Document) -> list[Document]:
    """The parts of a candidate, of which one that was blocked has none; raises ``Unreadable``."""
    content = candidate.get("content") or {}
    parts = (content.get("parts") or []) if type(content) is dict else None
    if type(parts) is not list:
        raise Unreadable
    for part in parts:
        if type(part) is not dict:
            raise Unreadable
    return parts


def is_blocked(document: Document) -> bool:
    """Whether Gemini refused the prompt itself."""
    feedback = document.get("promptFeedback")
    return type(feedback) is dict and bool(feedback.get(BLOCKED))


def check_answer(document: Document) -> None:
    """Raises ``Unreadable`` unless there are candidates, or the word that there are none."""
    candidates = candidates_of(document)
    if not candidates and not is_blocked(document):
        raise Unreadable
    for candidate in candidates:
        parts_of(candidate)


def answer_texts(document: Document) -> tuple[TextAt, ...]:
    """Every text of every candidate: texts, thoughts, arguments, and what interpreters ran."""
    return tuple(
        TextAt(path, "assistant", text)
        for index, candidate in enumerate(candidates_of(document))
        for number, part in enumerate(parts_of(candidate))
        for path, text in part_texts(part, ("candidates", index, "content", "parts", number))
    )


def part_texts(part: Document, path: Path) -> Iterator[tuple[Path, str]]:
    """The texts of one part, and where they stand."""
    if part.get("text"):
        yield from string_leaves(part["text"], (*path, "text"))
    for kind, key in (
        ("functionCall", "args"),
        ("executableCode", "code"),
        ("codeExecutionResult", "output"),
    ):
        inside = part.get(kind)
        if type(inside) is dict and inside.get(key):
            yield from string_leaves(inside[key], (*path, kind, key))


def echoes(document: Document) -> tuple[Path, ...]:
    """Where the texts stand again, token by token or as quotations."""
    return tuple(
        ("candidates", index, key)
        for index, candidate in enumerate(candidates_of(document))
        for key in ("logprobsResult", "groundingMetadata")
        if candidate.get(key)
    )


def stop_reason(document: Document) -> StopReason:
    """Why the first candidate ended, in the hub's words."""
    candidates = candidates_of(document)
    if not candidates:
        return "content_filter"
    has_calls = any("functionCall" in part for part in parts_of(candidates[0]))
    return stop_reason_of(candidates[0].get("finishReason"), has_calls=has_calls)


def answer_to_chat(document: Document) -> ChatResponse:
    """The answer for the hub; raises ``Unreadable``."""
    check_answer(document)
    answer_id = text_of(document, "responseId")
    choices = [_choice(candidate, answer_id) for candidate in candidates_of(document)]
    first, *others = choices or [Choice((), "content_filter")]
    return ChatResponse(
        id=answer_id,
        model=text_of(document, "modelVersion"),
        parts=first.parts,
        stop_reason=first.stop_reason,
        usage=read_usage(document.get("usageMetadata")),
        logprobs=first.logprobs,
        others=tuple(others),
    )


def _choice(candidate: Document, answer_id: str) -> Choice:
    parts = tuple(_parts(parts_of(candidate), answer_id))
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    reason = stop_reason_of(candidate.get("finishReason"), has_calls=has_calls)
    return Choice(parts, reason, read_logprobs(candidate.get("logprobsResult")))


def _parts(parts: list[Document], answer_id: str) -> Iterator[Text | ToolCall | Thought]:
    calls = 0
    for part in parts:
        if "text" in part:
            text = part["text"]
            if type(text) is not str:
                raise Unreadable
            if text:
                yield Thought(text) if part.get("thought") is True else Text(text)
        elif "functionCall" in part:
            yield read_call(part, answer_id, calls)
            calls += 1
        elif part.keys() - {"thoughtSignature", "thought"}:
            raise Unreadable  # nothing that the client could have asked for


def read_call(part: Document, answer_id: str, number: int) -> ToolCall:
    """The call in a part, its signature in its id; raises ``Unreadable``."""
    called = part["functionCall"]
    name = called.get("name") if type(called) is dict else None
    arguments = (called.get("args") or {}) if type(called) is dict else None
    signature = part.get("thoughtSignature")
    if type(name) is not str or type(arguments) is not dict:
        raise Unreadable
    if signature is not None and type(signature) is not str:
        raise Unreadable
    call_id = text_of(called, "id") or made_id(answer_id, number)
    return ToolCall(signed_id(call_id, signature), name, orjson.dumps(arguments).decode())


def answer_from_chat(answer: ChatResponse) -> dict[str, Any]:
    """The hub's answer as a whole answer; raises ``Unreadable`` for broken arguments."""
    document: dict[str, Any] = {
        "candidates": [_candidate(index, choice) for index, choice in enumerate(answer.choices)],
        "modelVersion": answer.model,
        "responseId": answer.id,
    }
    if answer.usage is not None:
        document["usageMetadata"] = write_usage(answer.usage)
    return document


def _candidate(index: int, choice: Choice) -> dict[str, Any]:
    written: dict[str, Any] = {
        "content": {"parts": [write_part(part) for part in choice.parts], "role": "model"},
        "finishReason": WRITTEN[choice.stop_reason],
        "index": index,
    }
    if choice.logprobs is not None:
        written["logprobsResult"] = write_logprobs(choice.logprobs)
    return written


def write_part(part: Text | ToolCall | Thought) -> dict[str, Any]:
    """A part for a client; raises ``Unreadable`` for arguments that are no object."""
    match part:
        case Text():
            return {"text": part.text}
        case Thought():
            return {"text": part.text, "thought": True}
        case ToolCall():
            try:
                arguments = orjson.loads(part.arguments or "{}")
            except ValueError:
                raise Unreadable from None
            if type(arguments) is not dict:
                raise Unreadable
            call_id, signature = split_id(part.id)
            call = {"functionCall": {"id": call_id, "name": part.name, "args": arguments}}
            return call if signature is None else {**call, "thoughtSignature": signature}
