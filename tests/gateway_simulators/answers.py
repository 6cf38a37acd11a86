"""What a simulated model says: a pure function of the question.

The same question always gets the same answer and the same usage, so a test can
compute both.  Usage follows one formula for both shapes:

    count_tokens(text)  = ceil(UTF-8 bytes / 4)
    prompt_tokens       = sum over messages of 3 + count_tokens(text of the message)
    completion_tokens   = choices * (count_tokens(text) + sum over calls of
                          count_tokens(name + arguments))

The text of a message is all its text parts and tool results joined without a
separator; a system prompt counts as one message.  Tools, images and the
arguments of earlier calls count nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

BYTES_PER_TOKEN: Final = 4
TOKENS_PER_MESSAGE: Final = 3
CITIES: Final = ("Paris", "Rome")
SAY: Final = re.compile(r"say: ?(.*)", re.DOTALL | re.IGNORECASE)

ToolMode = Literal["auto", "none", "required", "named"]
Stop = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the client offers; ``schema`` is its JSON schema."""

    name: str
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """A checked request.  ``messages`` holds one text a message, system first.

    ``tool_results`` is filled only when the conversation ends with tool results.
    """

    model: str
    messages: tuple[str, ...]
    last_user: str
    tool_results: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_mode: ToolMode = "auto"
    tool_name: str | None = None
    parallel: bool = True
    max_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    stream: bool = False
    wants_usage: bool = False
    choices: int = 1


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call; ``arguments`` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; ``shows_usage`` is False when the user asked for "no usage"."""

    text: str
    calls: tuple[Call, ...]
    stop: Stop
    stop_sequence: str | None
    prompt_tokens: int
    completion_tokens: int
    shows_usage: bool


def count_tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def prompt_tokens(messages: Iterable[str]) -> int:
    """Tokens of a prompt, given the text of each of its messages."""
    return sum(TOKENS_PER_MESSAGE + count_tokens(text) for text in messages)


def completion_tokens(text: str, calls: Iterable[Call] = (), choices: int = 1) -> int:
    """Tokens of an answer with ``choices`` equal choices."""
    return choices * (count_tokens(text) + sum(count_tokens(c.name + c.arguments) for c in calls))


def answer(question: Question) -> Reply:
    """The simulated model's answer."""
    called = _calls(question)
    text, stop_sequence = ("", None) if called else _until_stop(_text(question), question)
    kept_text = _cut(text, question.max_tokens)
    kept_calls = _that_fit(called, question.max_tokens)
    cut = kept_text != text or len(kept_calls) < len(called)
    return Reply(
        text=kept_text,
        calls=kept_calls,
        stop="length" if cut else "tool_calls" if called else "stop",
        stop_sequence=None if cut else stop_sequence,
        prompt_tokens=prompt_tokens(question.messages),
        completion_tokens=completion_tokens(kept_text, kept_calls, question.choices),
        shows_usage="no usage" not in question.last_user.lower(),
    )


def _text(question: Question) -> str:
    if question.tool_results:
        return "The tool said: " + "; ".join(question.tool_results)
    said = SAY.search(question.last_user)
    return said.group(1) if said else f"You said: {question.last_user}"


def _until_stop(text: str, question: Question) -> tuple[str, str | None]:
    """Text up to the earliest stop sequence, and which one it was."""
    hits = [(text.find(stop), stop) for stop in question.stop_sequences if stop in text]
    if not hits:
        return text, None
    place, stop = min(hits)
    return text[:place], stop


def _cut(text: str, max_tokens: int | None) -> str:
    """At most ``max_tokens`` tokens of text, never half a character."""
    if max_tokens is None or count_tokens(text) <= max_tokens:
        return text
    return text.encode()[: max_tokens * BYTES_PER_TOKEN].decode(errors="ignore")


def _that_fit(calls: tuple[Call, ...], max_tokens: int | None) -> tuple[Call, ...]:
    """The first calls that ``max_tokens`` has room for; a call is never cut in two."""
    if max_tokens is None:
        return calls
    kept = len(calls)
    while kept and completion_tokens("", calls[:kept]) > max_tokens:
        kept -= 1
    return calls[:kept]


def _calls(question: Question) -> tuple[Call, ...]:
    if not question.tools or question.tool_mode == "none" or question.tool_results:
        return ()
    text = question.last_user.lower()
    wanted = "weather" in text and not SAY.search(text)
    if question.tool_mode == "auto" and not wanted:
        return ()
    tool = _chosen(question)
    count = 2 if "both" in text and question.parallel else 1
    return tuple(Call(tool.name, _arguments(tool, number)) for number in range(count))


def _chosen(question: Question) -> Tool:
    if question.tool_mode != "named":
        return question.tools[0]
    return next(tool for tool in question.tools if tool.name == question.tool_name)


def _arguments(tool: Tool, number: int) -> str:
    """Arguments that the tool's schema allows: one value for each property."""
    properties = tool.schema.get("properties")
    if not isinstance(properties, dict):
        return "{}"
    values = {name: _value(schema, number) for name, schema in properties.items()}
    return orjson.dumps(values).decode()


def _value(schema: object, number: int) -> object:
    if not isinstance(schema, dict):
        return CITIES[number]
    options = schema.get("enum")
    if isinstance(options, list) and options:
        return options[number % len(options)]
    by_type: dict[object, object] = {
        "integer": number + 1,
        "number": number + 1,
        "boolean": True,
        "array": [],
        "object": {},
        "null": None,
    }
    kind = schema.get("type")
    return by_type.get(kind, CITIES[number]) if isinstance(kind, str) else CITIES[number]


def pieces(text: str, width: int) -> Iterable[str]:
    """``text`` in pieces of ``width`` characters; nothing for an empty text."""
    return (text[start : start + width] for start in range(0, len(text), width))
