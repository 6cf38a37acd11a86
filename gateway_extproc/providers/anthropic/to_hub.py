"""From an Anthropic document to the hub; what the hub cannot carry is refused by name.

The document already passed ``read_request``: its types are right.
``cache_control`` is dropped wherever it stands: it says how to pay, not what to
answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    AnswerFormat,
    ChatMessage,
    ChatRequest,
    Document,
    File,
    Image,
    Part,
    Path,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers.checks import name_of
from gateway_extproc.providers.fields import cannot, refuse_unknown
from gateway_extproc.providers.images import readable, shown
from gateway_extproc.providers.wording import TOLD

_KNOWN: Final = frozenset(
    {
        *("model", "messages", "system", "stream", "max_tokens", "temperature", "top_p"),
        *("stop_sequences", "tools", "tool_choice", "metadata", "cache_control"),
        *("top_k", "thinking", "output_config"),
    }
)
_GOOGLE: Final = ("gemini", "vertex")
_DROPPED: Final = frozenset({"thinking", "redacted_thinking"})
"""Another model's thoughts: nobody else could read their signatures."""
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "service_tier": ("auto",),
    "speed": ("standard",),
}
_BLOCKS: Final[dict[str, frozenset[str]]] = {
    "text": frozenset({"type", "cache_control", "text"}),
    "image": frozenset({"type", "cache_control", "source"}),
    "document": frozenset({"type", "cache_control", "source", "title"}),
    "tool_use": frozenset({"type", "cache_control", "id", "name", "input"}),
    "tool_result": frozenset({"type", "cache_control", "tool_use_id", "content", "is_error"}),
}
_NEUTRAL_BLOCK: Final[dict[str, tuple[Any, ...]]] = {
    "citations": ([], {"enabled": False}),
    "caller": ({"type": "direct"},),
}
_METADATA: Final = frozenset({"user_id"})
_TURN: Final = frozenset({"role", "content"})
_TOOL: Final = frozenset({"type", "name", "description", "input_schema", "cache_control", "strict"})
_NEUTRAL_TOOL: Final[dict[str, tuple[Any, ...]]] = {
    "defer_loading": (False,),
    "eager_input_streaming": (False, True),
    "allowed_callers": (["direct"],),
}


def to_chat(document: Document, target: str) -> ChatRequest:
    """The hub's request; raises ``RequestError`` for what ``target`` could not be told."""
    refuse_unknown(document, (), target, known=_KNOWN, neutral=_NEUTRAL)
    metadata = document.get("metadata") or {}
    refuse_unknown(metadata, ("metadata",), target, known=_METADATA)
    choice, tools = document.get("tool_choice"), document.get("tools")
    return ChatRequest(
        model=document["model"],
        messages=_system_first(*_system(document.get("system"), target), *_turns(document, target)),
        stream=document.get("stream") is True,
        max_tokens=document["max_tokens"],
        temperature=document.get("temperature"),
        top_p=document.get("top_p"),
        stop=tuple(document.get("stop_sequences") or ()),
        tools=tuple(_tools(tools, target)) if tools else (),
        tool_choice=_tool_choice(choice, target),
        parallel_tool_calls=_parallel(choice),
        user=metadata.get("user_id"),
        top_k=document.get("top_k"),
        thinking=_thinking(document.get("thinking"), target),
        answer_format=_answer_format(document.get("output_config"), target),
    )


def _answer_format(output: Document | None, target: str) -> AnswerFormat | None:
    if not output:
        return None
    refuse_unknown(output, ("output_config",), target, known=("format",))
    wanted = output.get("format")
    if wanted is not None and (type(wanted) is not dict or wanted.get("type") != "json_schema"):
        raise cannot(("output_config", "format", "type"), target)
    if wanted is None:
        return None
    path = ("output_config", "format")
    refuse_unknown(wanted, path, target, known=("type", "schema"))
    if type(wanted.get("schema")) is not dict:
        raise invalid(name_of((*path, "schema")), "a JSON schema")
    # Such answers always follow their schema; other dialects want to be told.
    return AnswerFormat(wanted["schema"], strict=True)


def _thinking(thinking: Any, target: str) -> Thinking | None:
    if thinking is None:
        return None
    known = ("type", "budget_tokens")
    refuse_unknown(thinking, ("thinking",), target, known=known)
    match thinking["type"]:
        case "enabled":
            return Thinking(budget=thinking.get("budget_tokens"), shown=True)
        case "adaptive":  # the model decides, as Gemini's do when nothing is said
            return Thinking(budget=-1, shown=True)
        case "disabled":
            # What Anthropic's models do where nothing is said; who cannot be told is told nothing,
            # and the client that (``hints``).
            return Thinking(budget=0) if "no_thinking" in TOLD.get(target, ()) else None
        case _:
            raise cannot(("thinking", "type"), target)


def _system_first(*messages: ChatMessage) -> tuple[ChatMessage, ...]:
    """API versions from 2026 on know system turns among the messages; the hub has them first."""
    if not any(message.role == "system" for message in messages[1:]):
        return messages
    return tuple(sorted(messages, key=lambda message: message.role != "system"))


def _system(system: Any, target: str) -> Iterator[ChatMessage]:
    if system:
        parts = _content(system, ("system",), target)
        yield ChatMessage("system", tuple(parts))


def _turns(document: Document, target: str) -> Iterator[ChatMessage]:
    messages = document["messages"]
    if messages[-1]["role"] == "assistant":
        # Anthropic continues this turn (a "prefill"); elsewhere a new one would begin.
        raise cannot(("messages", len(messages) - 1, "role"), target)
    for index, message in enumerate(messages):
        path = ("messages", index)
        refuse_unknown(message, path, target, known=_TURN)
        if type(message["content"]) is str:
            yield ChatMessage(message["role"], (Text(message["content"]),))
            continue
        parts = _content(message["content"], (*path, "content"), target)
        for at, part in enumerate(parts):
            if message["role"] == "assistant" and isinstance(part, (Image, File)):
                raise cannot((*path, "content", at, "type"), target)
        results = tuple(part for part in parts if isinstance(part, ToolResult))
        others = tuple(part for part in parts if not isinstance(part, ToolResult))
        if results:
            yield ChatMessage("tool", results)
        if others or not results:
            yield ChatMessage(message["role"], others)


def _content(content: Any, path: Path, target: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)]
    return [
        _block(block, (*path, index), target)
        for index, block in enumerate(content)
        if not (target in _GOOGLE and block["type"] in _DROPPED)
    ]


def _block(block: Document, path: Path, target: str) -> Part:
    kind = block["type"]
    if kind not in _BLOCKS:
        raise cannot((*path, "type"), target)
    refuse_unknown(block, path, target, known=_BLOCKS[kind], neutral=_NEUTRAL_BLOCK)
    if kind == "text":
        return Text(block["text"])
    if kind == "image":
        return _image(block["source"], (*path, "source"), target)
    if kind == "document":
        return _document(block, path, target)
    if kind == "tool_use":
        return ToolCall(block["id"], block["name"], orjson.dumps(block["input"]).decode())
    text = _result_text(block.get("content"), (*path, "content"), target)
    return ToolResult(block["tool_use_id"], text, block.get("is_error") is True)


def _document(block: Document, path: Path, target: str) -> File:
    """A PDF by value; other kinds and sources are refused."""
    source = block.get("source")
    if type(source) is not dict or source.get("type") != "base64":
        raise cannot((*path, "type"), target)
    media_type, data = source.get("media_type"), source.get("data")
    if type(media_type) is not str or type(data) is not str:
        raise cannot((*path, "source"), target)
    title = block.get("title")
    file = File(media_type, data, title if type(title) is str and title else None)
    return readable(file, (*path, "type"), target)


def _image(source: Any, path: Path, target: str) -> Image:
    if type(source) is not dict:  # nobody looked into those inside of results
        raise cannot(path, target)
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        return shown(Image(url=source["url"]), (*path, "url"), target)
    data, media_type = source.get("data"), source.get("media_type")
    if source.get("type") == "base64" and isinstance(data, str) and isinstance(media_type, str):
        return shown(Image(media_type=media_type, data=data), (*path, "media_type"), target)
    raise cannot((*path, "type"), target)


def _result_text(content: Any, path: Path, target: str) -> str:
    """The result's texts, one a line: the hub's results are text."""
    if not content:
        return ""
    parts = _content(content, path, target)
    for index, part in enumerate(parts):
        if not isinstance(part, Text):
            raise cannot((*path, index, "type"), target)
    return "\n".join(part.text for part in parts if isinstance(part, Text))


def _tools(tools: Any, target: str) -> Iterator[Tool]:
    for index, tool in enumerate(tools):
        if tool.get("type") not in (None, "custom"):
            raise cannot(("tools", index, "type"), target)
        refuse_unknown(tool, ("tools", index), target, known=_TOOL, neutral=_NEUTRAL_TOOL)
        strict = tool.get("strict") is True
        yield Tool(tool["name"], tool.get("description"), tool["input_schema"], strict)


def _tool_choice(choice: Any, target: str) -> ToolChoice | None:
    if choice is None:
        return None
    known = ("type", "name", "disable_parallel_tool_use")
    refuse_unknown(choice, ("tool_choice",), target, known=known)
    match choice["type"]:
        case "tool":
            return ToolChoice("named", choice["name"])
        case "any":
            return ToolChoice("required")
        case "none":
            return ToolChoice("none")
        case _:
            return ToolChoice("auto")


def _parallel(choice: Any) -> bool | None:
    disabled = choice.get("disable_parallel_tool_use") if choice else None
    return None if disabled is None else not disabled
