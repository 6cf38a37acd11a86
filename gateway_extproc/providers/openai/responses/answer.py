"""Whole responses: where their texts stand, why they ended, what they used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from gateway_extproc.core.chat import Document, Path, StopReason, TextAt
from gateway_extproc.core.ports import Release
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.checks import string_leaves
from gateway_extproc.providers.openai.usage import read_counted
from gateway_extproc.providers.problems import Unreadable, provider_refusal
from gateway_extproc.providers.reading import text_of

Slot = tuple[int | str, ...]


class Place(NamedTuple):
    """One text of an output item: where it stands in the item, and its slot in a stream."""

    path: Path
    slot: Slot
    text: str


_LISTS: Final = (("content", "text"), ("content", "refusal"), ("summary", "text"))
_KNOWN: Final = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})
_OPAQUE: Final = frozenset({"id", "type", "status", "result", "encrypted_content", "call_id"})


def places(item: Document, output: int) -> Iterator[Place]:
    """Every text that a model writes in output item number ``output``; raises ``Unreadable``."""
    for field, key in _LISTS:
        parts = item.get(field) or ()
        if type(parts) not in (list, tuple):
            raise Unreadable
        for index, part in enumerate(parts):
            text = part.get(key) if type(part) is dict else None
            if type(text) is str:
                yield Place((field, index, key), (output, slot_name(item, field, key), index), text)
    for key in ("arguments", "input"):
        if type(item.get(key)) is str:
            yield Place((key,), (output, "arguments"), item[key])


def slot_name(item: Document, field: str, key: str) -> str:
    """What tells apart the kinds of text of one item."""
    if key == "refusal" or field == "summary":
        return key if key == "refusal" else field
    return "reasoning" if item.get("type") == "reasoning" else field


def output_of(document: Document) -> list[Document]:
    """The items of a response, each with parts that are lists; raises ``Unreadable``."""
    output = document.get("output") or []
    if type(output) is not list:
        raise Unreadable
    for item in output:
        if type(item) is not dict or type(item.get("content") or []) is not list:
            raise Unreadable
    return output


def answer(document: Document, raw: bytes) -> Release:
    """A whole response as it came; raises ``Unreadable``."""
    output = output_of(document)
    if document.get("output") is None:
        raise Unreadable
    if document.get("status") == "failed":
        return Release(refusal=provider_refusal(502, document))
    return Release(
        document=document,
        raw=raw,
        texts=tuple(text for index, item in enumerate(output) for text in _texts(item, index)),
        echoes=tuple(
            ("output", index, "content", at, "logprobs")
            for index, item in enumerate(output)
            for at, part in enumerate(item.get("content") or ())
            if type(part) is dict and part.get("logprobs")
        ),
        usage=read_usage(document.get("usage")),
        model=text_of(document, "model"),
        stop_reason=stop_reason(document),
    )


def _texts(item: Document, index: int) -> Iterator[TextAt]:
    kind = item.get("type")
    if type(kind) is str and kind in _KNOWN:
        for place in places(item, index):
            yield TextAt(("output", index, *place.path), "assistant", place.text)
        return
    for key, value in item.items():  # a hosted tool's call: what it searched for
        if key not in _OPAQUE:
            for path, text in string_leaves(value, ("output", index, key)):
                yield TextAt(path, "assistant", text)


def stop_reason(document: Document) -> StopReason:
    """Why it ended, in the hub's words."""
    details = document.get("incomplete_details")
    reason = details.get("reason") if type(details) is dict else None
    if document.get("status") == "incomplete" or reason:
        return "content_filter" if reason == "content_filter" else "length"
    calls = ("function_call", "custom_tool_call")
    called = any(item.get("type") in calls for item in output_of(document))
    return "tool_calls" if called else "stop"


def read_usage(usage: Any) -> Usage | None:
    """The figures of a response's ``usage``; None where there is none to read."""
    if type(usage) is not dict or "input_tokens" not in usage:
        return None
    return read_counted(usage)
