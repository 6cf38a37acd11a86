"""From a Converse document to the hub; what the hub or its target cannot carry is refused by name.

The document already passed ``read_request``: its types are right.  Dropped are thoughts, which no
other model could read, cache points, which say how to pay, and metadata, which says whom to bill.
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
from gateway_extproc.providers.bedrock.request import INFERENCE, MORE, PATH_FIELDS
from gateway_extproc.providers.checks import name_of
from gateway_extproc.providers.fields import cannot, refuse_unknown
from gateway_extproc.providers.images import PDF, readable, shown
from gateway_extproc.providers.wording import TOLD

_KNOWN: Final = frozenset(
    {
        *PATH_FIELDS,
        INFERENCE,
        MORE,
        "messages",
        "system",
        "toolConfig",
        "requestMetadata",
        "outputConfig",
    }
)
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "additionalModelResponseFieldPaths": ([],),
    "performanceConfig": ({}, {"latency": "standard"}),
    "promptVariables": ({},),
    "serviceTier": ({}, {"type": "default"}),
}
_TOLD_MORE: Final = frozenset({"top_k", "thinking"})
"""Of the fields of Anthropic's models on Bedrock those that the hub knows."""
_DROPPED: Final = frozenset({"cachePoint", "reasoningContent"})


def to_chat(document: Document, target: str) -> ChatRequest:
    """The hub's request; raises ``RequestError`` for what ``target`` could not be told."""
    refuse_unknown(document, (), target, known=_KNOWN, neutral=_NEUTRAL)
    config = document.get(INFERENCE) or {}
    inference = ("maxTokens", "temperature", "topP", "stopSequences")
    refuse_unknown(config, (INFERENCE,), target, known=inference)
    more = document.get(MORE) or {}
    refuse_unknown(more, (MORE,), target, known=_TOLD_MORE)
    tools = document.get("toolConfig") or {}
    return ChatRequest(
        model=document.get("model", ""),
        messages=(*_system(document.get("system"), target), *_turns(document, target)),
        stream=document.get("stream") is True,
        max_tokens=config.get("maxTokens"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        stop=tuple(config.get("stopSequences") or ()),
        tools=tuple(_tools(tools, target)),
        tool_choice=_tool_choice(tools, target),
        top_k=_top_k(more.get("top_k"), target),
        answer_format=_answer_format(document.get("outputConfig") or {}, target),
        thinking=_thinking(more.get("thinking"), target),
    )


def _top_k(value: Any, target: str) -> int | None:
    if value is not None and (type(value) is not int or value < 0):
        raise cannot((MORE, "top_k"), target)
    return value or None


def _thinking(thinking: Any, target: str) -> Thinking | None:
    """Anthropic's own models can be told not to think; a budget would sign thoughts, and the
    hub carries no signatures back."""
    path: Path = (MORE, "thinking")
    if thinking is None:
        return None
    if type(thinking) is not dict:
        raise cannot(path, target)
    refuse_unknown(thinking, path, target, known=("type", "budget_tokens"))
    if thinking.get("type") == "disabled":
        # Who cannot be told is told nothing, and the client that (``hints``).
        return Thinking(budget=0) if "no_thinking" in TOLD.get(target, ()) else None
    if thinking.get("type") != "enabled":
        raise cannot(path, target)
    return Thinking(budget=thinking.get("budget_tokens"), shown=True)


def _answer_format(output: Document, target: str) -> AnswerFormat | None:
    path: Path = ("outputConfig",)
    refuse_unknown(output, path, target, known=("textFormat",))
    wanted, path = output.get("textFormat"), (*path, "textFormat")
    if wanted is None:
        return None
    if type(wanted) is not dict or wanted.get("type") != "json_schema":
        raise cannot((*path, "type"), target)
    refuse_unknown(wanted, path, target, known=("type", "structure"))
    structure, path = wanted.get("structure"), (*path, "structure")
    described = structure.get("jsonSchema") if type(structure) is dict else None
    if type(described) is not dict:
        raise cannot(path, target)
    path = (*path, "jsonSchema")
    refuse_unknown(described, path, target, known=("schema", "name", "description"))
    try:
        schema = orjson.loads(described.get("schema") or "")
    except (ValueError, TypeError):
        schema = None
    if type(schema) is not dict:
        raise invalid(name_of((*path, "schema")), "a JSON schema as text")
    name = described.get("name")
    return AnswerFormat(schema, name if type(name) is str and name else "answer")


def _system(system: Any, target: str) -> Iterator[ChatMessage]:
    parts = _parts(system or (), "system", ("system",), target)
    if parts:
        yield ChatMessage("system", tuple(parts))


def _turns(document: Document, target: str) -> tuple[ChatMessage, ...]:
    messages = document["messages"]
    if messages[-1]["role"] == "assistant":
        # Bedrock's models continue this turn; elsewhere a new one would begin.
        raise cannot(("messages", len(messages) - 1, "role"), target)
    turns: list[ChatMessage] = []
    for index, message in enumerate(messages):
        path: Path = ("messages", index)
        refuse_unknown(message, path, target, known=("role", "content"))
        role = message["role"]
        parts = _parts(message["content"], role, (*path, "content"), target)
        results = tuple(part for part in parts if isinstance(part, ToolResult))
        others = tuple(part for part in parts if not isinstance(part, ToolResult))
        if results:
            turns.append(ChatMessage("tool", results))
        if others or not results:
            turns.append(ChatMessage(role, others))
    return tuple(sorted(turns, key=lambda turn: turn.role != "system"))


def _parts(blocks: Any, role: str, path: Path, target: str) -> list[Part]:
    return [
        _part(block, role, (*path, index), target)
        for index, block in enumerate(blocks)
        if not (block.keys() & _DROPPED)
    ]


def _part(block: Document, role: str, path: Path, target: str) -> Part:
    (kind,) = (key for key in block if block[key] is not None)
    value, at = block[kind], (*path, kind)
    if kind == "text":
        return Text(value)
    if kind == "image" and role == "user":
        return _image(value, at, target)
    if kind == "document" and role == "user":
        return _document(value, at, target)
    if kind == "toolUse" and role == "assistant":
        refuse_unknown(value, at, target, known=("toolUseId", "name", "input"))
        arguments = orjson.dumps(value["input"]).decode()
        return ToolCall(value["toolUseId"], value["name"], arguments)
    if kind == "toolResult" and role == "user":
        refuse_unknown(value, at, target, known=("toolUseId", "content", "status"))
        text = "\n".join(_result(value["content"], (*at, "content"), target))
        return ToolResult(value["toolUseId"], text, value.get("status") == "error")
    raise cannot(at, target)


def _image(value: Document, path: Path, target: str) -> Image:
    refuse_unknown(value, path, target, known=("format", "source"))
    kind, data = value.get("format"), value["source"].get("bytes")
    refuse_unknown(value["source"], (*path, "source"), target, known=("bytes",))
    if type(kind) is not str or data is None:
        raise cannot((*path, "format"), target)
    return shown(Image(media_type=f"image/{kind}", data=data), (*path, "format"), target)


def _document(value: Document, path: Path, target: str) -> File:
    """A PDF by value; its name is Bedrock's way to refer to it, so it goes along."""
    refuse_unknown(value, path, target, known=("format", "name", "source"))
    data = value["source"].get("bytes")
    refuse_unknown(value["source"], (*path, "source"), target, known=("bytes",))
    if value.get("format") != "pdf" or type(data) is not str:
        raise cannot((*path, "format"), target)
    name = value.get("name")
    return readable(File(PDF, data, name if type(name) is str else None), path, target)


def _result(content: Any, path: Path, target: str) -> Iterator[str]:
    """The result's texts and values, one a line: the hub's results are text."""
    for index, block in enumerate(content):
        (kind,) = (key for key in block if block[key] is not None)
        if kind == "text":
            yield block["text"]
        elif kind == "json":
            yield orjson.dumps(block["json"]).decode()
        else:
            raise cannot((*path, index, kind), target)


def _tools(config: Document, target: str) -> Iterator[Tool]:
    refuse_unknown(config, ("toolConfig",), target, known=("tools", "toolChoice"))
    for index, tool in enumerate(config.get("tools") or ()):
        path: Path = ("toolConfig", "tools", index)
        refuse_unknown(tool, path, target, known=("toolSpec", "cachePoint"))
        spec = tool.get("toolSpec")
        if spec is None:
            continue
        known = ("name", "description", "inputSchema", "strict")
        refuse_unknown(spec, (*path, "toolSpec"), target, known=known)
        yield Tool(
            spec["name"], spec.get("description"), spec["inputSchema"]["json"],
            spec.get("strict") is True,
        )  # fmt: skip


def _tool_choice(config: Document, target: str) -> ToolChoice | None:
    choice = config.get("toolChoice")
    if choice is None:
        return None
    if choice.get("tool") is not None:
        return ToolChoice("named", choice["tool"]["name"])
    return ToolChoice("required" if choice.get("any") is not None else "auto")
