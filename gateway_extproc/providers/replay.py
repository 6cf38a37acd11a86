"""A kept answer in another form: a whole answer as a stream, a stream as a whole answer.

Only where nothing that the model said is lost: texts and calls of functions, in one choice,
ended well.  Thoughts, probabilities, citations and whatever this module does not know keep
their form.  Usage is told in the figures that the gateway knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from gateway_extproc.core.cached import Form
from gateway_extproc.core.chat import (
    BlockEnd,
    ChatResponse,
    Chunk,
    Document,
    End,
    Start,
    Stop,
    StopReason,
    StreamEvent,
    Text,
    TextDelta,
    Thought,
    ToolCall,
    ToolStart,
    UsageReport,
)
from gateway_extproc.core.ports import AnswerReader, AnswerWriter
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.anthropic import answer as anthropic_answer
from gateway_extproc.providers.anthropic.reader import anthropic_reader
from gateway_extproc.providers.anthropic.writer import EncodingWriter as AnthropicWriter
from gateway_extproc.providers.openai import answer as openai_answer
from gateway_extproc.providers.openai.reader import openai_reader
from gateway_extproc.providers.openai.writer import EncodingWriter as OpenAIWriter
from gateway_extproc.providers.problems import Unreadable

# What an answer may hold beside what is read below: names it, dates it, or says nothing.
_OPENAI_TOP: Final = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier",
     "obfuscation"}
)  # fmt: skip
_ANTHROPIC_TOP: Final = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "usage"}
)
_ANTHROPIC_EVENTS: Final = frozenset(
    {"message_start", "content_block_start", "content_block_delta", "content_block_stop",
     "message_delta", "message_stop", "ping"}
)  # fmt: skip
_BLOCKS: Final = {"text": frozenset({"type", "text"}),
                  "tool_use": frozenset({"type", "id", "name", "input"})}  # fmt: skip
_DELTAS: Final = {"text_delta": frozenset({"type", "text"}),
                  "input_json_delta": frozenset({"type", "partial_json"})}  # fmt: skip
_ENDS: Final[dict[str, StopReason]] = {
    "stop": "stop", "tool_calls": "tool_calls", "end_turn": "stop", "tool_use": "tool_calls",
}  # fmt: skip


def replay(
    body: bytes, form: Form, wanted: Form, dialect: str, usage: Usage | None
) -> bytes | None:
    """The answer in the wanted form; None where that would lose something.

    ``usage`` is what is known of it; a stream that did not tell usage cannot say it itself.
    """
    if form == wanted:
        return body
    try:
        response, created = (_read_whole if form == "whole" else _read_stream)(body, dialect)
    except (Unreadable, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return None
    if not response.parts or any(isinstance(part, Thought) for part in response.parts):
        return None
    told = ChatResponse(
        response.id, response.model, response.parts, response.stop_reason, response.usage or usage
    )
    if wanted == "whole":
        return _write_whole(told, created, dialect)
    return _write_stream(told, created, dialect, wants_usage=wanted == "usage_stream")


# ------------------------------------------------------------------------- reading


def _read_whole(body: bytes, dialect: str) -> tuple[ChatResponse, int]:
    document = orjson.loads(body)
    if dialect == "anthropic":
        _only(document, _ANTHROPIC_TOP)
        for block in document["content"]:
            _only(block, _BLOCKS[block["type"]])
        _end(document["stop_reason"])
        response = anthropic_answer.answer_to_chat(document)
        _no_neighbours(response)
        return response, 0
    _only(document, _OPENAI_TOP)
    (choice,) = document["choices"]
    _only(choice, frozenset({"index", "message", "finish_reason"}))
    _only(choice["message"], frozenset({"role", "content", "tool_calls"}))
    for call in choice["message"].get("tool_calls") or ():
        _only(call, frozenset({"id", "type", "function", "index"}))
        _only(call["function"], frozenset({"name", "arguments"}))
    _end(choice["finish_reason"])
    return openai_answer.answer_to_chat(document), int(document["created"])


def _read_stream(body: bytes, dialect: str) -> tuple[ChatResponse, int]:
    check: Callable[[Document], None]
    if dialect == "anthropic":
        reader: AnswerReader = anthropic_reader()
        check = _check_anthropic_event
    else:
        reader, check = openai_reader(), _check_openai_event
    chunks = reader.feed(body, last=True)
    created = 0
    for chunk in chunks:
        if chunk.document is not None:
            check(chunk.document)
            created = created or int(chunk.document.get("created", 0))
    response = _assemble(event for chunk in chunks for event in chunk.events)
    if dialect == "anthropic":
        _no_neighbours(response)
    return response, created


def _check_openai_event(document: Document) -> None:
    _only(document, _OPENAI_TOP)
    for choice in document["choices"]:
        _only(choice, frozenset({"index", "delta", "finish_reason"}))
        if choice["index"] != 0:
            raise Unreadable
        delta = choice["delta"]
        _only(delta, frozenset({"role", "content", "tool_calls"}))
        for call in delta.get("tool_calls") or ():
            _only(call, frozenset({"index", "id", "type", "function"}))
            _only(call["function"], frozenset({"name", "arguments"}))
        if choice["finish_reason"]:
            _end(choice["finish_reason"])


def _check_anthropic_event(document: Document) -> None:
    kind = document["type"]
    if kind not in _ANTHROPIC_EVENTS:
        raise Unreadable
    if kind == "message_start":
        _only(document["message"], _ANTHROPIC_TOP)
    elif kind == "content_block_start":
        block = document["content_block"]
        _only(block, _BLOCKS[block["type"]])
        if block.get("input"):
            raise Unreadable  # what the deltas say stands beside it
    elif kind == "content_block_delta":
        _only(document["delta"], _DELTAS[document["delta"]["type"]])
    elif kind == "message_delta":
        _only(document["delta"], frozenset({"stop_reason"}))
        _end(document["delta"]["stop_reason"])


def _only(container: Any, known: frozenset[str]) -> None:
    """Raises ``Unreadable`` for anything else that says something."""
    if any(value not in (None, [], {}, "") for key, value in container.items() if key not in known):
        raise Unreadable


def _end(reason: str) -> None:
    if reason not in _ENDS:
        raise Unreadable


def _no_neighbours(response: ChatResponse) -> None:
    """Two texts in a row would become one block."""
    pairs = zip(response.parts, response.parts[1:], strict=False)
    if any(isinstance(one, Text) and isinstance(two, Text) for one, two in pairs):
        raise Unreadable


class _Call:
    """A call of a function whose arguments come in pieces."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self, start: ToolStart) -> None:
        self.id, self.name = start.id, start.name
        self.arguments: list[str] = []


def _assemble(events: Iterable[StreamEvent]) -> ChatResponse:
    """What a stream said, all in all; raises ``Unreadable`` unless it ended well."""
    parts: dict[object, list[str] | _Call] = {}
    start, reason, usage, ended = Start("", ""), None, None, False
    for event in events:
        match event:
            case Start():
                start = event
            case ToolStart(call=number):
                parts[number] = _Call(event)
            case TextDelta(field="content", slot=slot, text=text):
                texts = parts.setdefault(slot, [])
                assert isinstance(texts, list)
                texts.append(text)
            case TextDelta(field="arguments", call=int() as number, text=text):
                called = parts[number]
                assert isinstance(called, _Call)
                called.arguments.append(text)
            case Stop():
                reason = event.reason
            case UsageReport():
                usage = event.usage
            case End():
                ended = True
            case BlockEnd():
                pass
            case _:
                raise Unreadable
    if reason is None or not ended:
        raise Unreadable
    return ChatResponse(start.id, start.model, tuple(map(_part, parts.values())), reason, usage)


def _part(said: list[str] | _Call) -> Text | ToolCall:
    if isinstance(said, _Call):
        return ToolCall(said.id, said.name, "".join(said.arguments))
    return Text("".join(said))


# ------------------------------------------------------------------------- writing


def _write_whole(response: ChatResponse, created: int, dialect: str) -> bytes | None:
    try:
        if dialect == "anthropic":
            return orjson.dumps(anthropic_answer.answer_from_chat(response))
        return orjson.dumps(openai_answer.answer_from_chat(response, created))
    except Unreadable:
        return None


def _write_stream(
    response: ChatResponse, created: int, dialect: str, *, wants_usage: bool
) -> bytes:
    writer: AnswerWriter
    if dialect == "anthropic":
        writer = AnthropicWriter(response.model)
    else:
        writer = OpenAIWriter(response.model, wants_usage=wants_usage, created=created)
    return writer.write(Chunk(None, None, tuple(_events(response))))


def _events(response: ChatResponse) -> Iterable[StreamEvent]:
    """Usage first: Anthropic's clients read the prompt's share in the first event."""
    if response.usage is not None:
        yield UsageReport(response.usage)
    yield Start(response.id, response.model)
    call = 0
    for part in response.parts:
        if isinstance(part, Text):
            yield TextDelta((0, "content"), part.text)
            continue
        assert isinstance(part, ToolCall)
        yield ToolStart(call, part.id, part.name)
        yield TextDelta((0, "arguments", call), part.arguments, "arguments", call)
        call += 1
    yield Stop(response.stop_reason)
    yield End()
