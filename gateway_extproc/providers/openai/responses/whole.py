"""Whole responses over the hub: read from providers, written for clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway_extproc.core.chat import (
    ChatResponse,
    Document,
    LlmRequest,
    Path,
    StopReason,
    Text,
    TextAt,
    Thought,
    TokenProb,
    ToolCall,
)
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.openai.logprobs import read_logprobs, write_logprobs
from gateway_extproc.providers.openai.responses.answer import (
    answer,
    output_of,
    read_usage,
    stop_reason,
)
from gateway_extproc.providers.problems import Unreadable
from gateway_extproc.providers.reading import text_of

WHY_INCOMPLETE: Final[dict[StopReason, str]] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
_REPEATED: Final = (
    *("max_output_tokens", "metadata", "parallel_tool_calls", "reasoning", "temperature", "text"),
    *("tool_choice", "tools", "top_p", "user"),
)
"""Fields of a request that OpenAI repeats in its answer, but for texts of the conversation."""


def answer_texts(document: Document) -> tuple[TextAt, ...]:
    """Every text of a response; raises ``Unreadable``."""
    return answer(document, b"").texts


def echoes(document: Document) -> tuple[Path, ...]:
    """Where texts stand again, token by token."""
    return answer(document, b"").echoes


def answer_to_chat(document: Document) -> ChatResponse:
    """A provider's response for the hub, thoughts left out; raises ``Unreadable``."""
    output = output_of(document)
    if document.get("status") == "failed" or document.get("output") is None:
        raise Unreadable
    return ChatResponse(
        id=text_of(document, "id"),
        model=text_of(document, "model"),
        parts=tuple(part for item in output for part in _parts(item)),
        stop_reason=stop_reason(document),
        usage=read_usage(document.get("usage")),
        logprobs=_logprobs(output),
    )


def _parts(item: Document) -> Iterator[Text | ToolCall]:
    kind = item.get("type")
    if kind == "message":
        for part in item.get("content") or ():
            text = part.get("text", part.get("refusal")) if type(part) is dict else None
            if type(text) is not str:
                raise Unreadable
            if text:
                yield Text(text)
    elif kind == "function_call":
        fields: list[Any] = [item.get(key) for key in ("call_id", "name", "arguments")]
        if not all(type(field) is str for field in fields):
            raise Unreadable
        yield ToolCall(*fields)
    elif kind != "reasoning":
        raise Unreadable  # nothing that the client could have asked for


def _logprobs(output: list[Document]) -> tuple[TokenProb, ...] | None:
    told = [
        read_logprobs(part.get("logprobs") or None)
        for item in output
        if item.get("type") == "message"
        for part in item.get("content") or ()
    ]
    known = [one for one in told if one is not None]
    return tuple(token for one in known for token in one) if known else None


def answer_from_chat(
    told: ChatResponse, created: int, asked: LlmRequest | None = None
) -> dict[str, Any]:
    """The hub's answer as a ``response`` object."""
    items = [*_items(told)]
    return response(
        told.id, told.model, created, asked, items, told.stop_reason, write_usage(told.usage)
    )


def _items(told: ChatResponse) -> Iterator[dict[str, Any]]:
    """Thoughts, texts of one message, and calls, each an item."""
    thoughts = [part.text for part in told.parts if isinstance(part, Thought)]
    if thoughts:
        yield reasoning_item(f"rs_{told.id}", thoughts)
    texts = [part.text for part in told.parts if isinstance(part, Text)]
    calls = [part for part in told.parts if isinstance(part, ToolCall)]
    if texts or not calls:
        ended = "incomplete" if told.stop_reason in WHY_INCOMPLETE else "completed"
        said = output_text("".join(texts))
        if told.logprobs is not None:
            said["logprobs"] = write_logprobs(told.logprobs)
        yield message_item(f"msg_{told.id}", [said], ended)
    for number, call in enumerate(calls):
        yield call_item(f"fc_{told.id}_{number}", call.id, call.name, call.arguments)


def response(
    id_: str,
    model: str,
    created: int,
    asked: LlmRequest | None,
    output: list[Any],
    reason: StopReason | None,
    usage: dict[str, Any] | None,
) -> dict[str, Any]:
    """A ``response`` object; ``reason`` None stands for one that is not over."""
    why = None if reason is None else WHY_INCOMPLETE.get(reason)
    status = "in_progress" if reason is None else "incomplete" if why else "completed"
    document: dict[str, Any] = {
        "id": id_,
        "object": "response",
        "created_at": created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": why} if why else None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": usage,
    }
    if asked is not None and asked.endpoint == "responses":
        for name in _REPEATED:
            if asked.document.get(name) is not None:
                document[name] = asked.document[name]
    return document


def message_item(id_: str, parts: list[Any], status: str) -> dict[str, Any]:
    """An item in which the model speaks."""
    return {
        "id": id_, "type": "message", "status": status, "role": "assistant", "content": parts,
    }  # fmt: skip


def output_text(text: str) -> dict[str, Any]:
    """A part of such an item."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(
    id_: str, call_id: str, name: str, arguments: str, status: str = "completed"
) -> dict[str, Any]:
    """An item in which the model calls a function."""
    return {
        "id": id_, "type": "function_call", "status": status, "call_id": call_id, "name": name,
        "arguments": arguments,
    }  # fmt: skip


def reasoning_item(id_: str, thoughts: list[str]) -> dict[str, Any]:
    """An item with what the model thought, for a client that asked for it."""
    summary = [{"type": "summary_text", "text": text} for text in thoughts]
    return {"id": id_, "type": "reasoning", "summary": summary}


def write_usage(usage: Usage | None) -> dict[str, Any] | None:
    """A ``usage`` object as responses carry it."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
