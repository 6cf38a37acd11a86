"""From a Cohere document to the hub; what the hub or its target cannot carry is refused by name.

The document already passed ``read_request``: its types are right.  Dropped are thoughts, which are
another model's, and what earlier answers cited, which repeats the conversation.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    AnswerFormat,
    ChatMessage,
    ChatRequest,
    Document,
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
from gateway_extproc.providers.images import shown
from gateway_extproc.providers.openai.parts import read_image
from gateway_extproc.providers.wording import TOLD

_KNOWN: Final = frozenset(
    {
        *("model", "messages", "stream", "max_tokens", "temperature", "p", "stop_sequences"),
        *("tools", "tool_choice", "seed", "presence_penalty", "frequency_penalty", "k"),
        *("response_format", "thinking", "strict_tools"),
    }
)
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "citation_options": ({}, {"mode": "OFF"}, {"mode": "DISABLED"}),
    "documents": ([],),
    "logprobs": (False,),
    "priority": (0,),
}
_MESSAGE: Final[dict[str, frozenset[str]]] = {
    "system": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "tool_calls", "tool_plan", "citations"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
}
_CHOICES: Final = {"REQUIRED": ToolChoice("required"), "NONE": ToolChoice("none")}


def to_chat(document: Document, target: str) -> ChatRequest:
    """The hub's request; raises ``RequestError`` for what ``target`` could not be told."""
    refuse_unknown(document, (), target, known=_KNOWN, neutral=_NEUTRAL)
    choice = document.get("tool_choice")
    return ChatRequest(
        model=document["model"],
        messages=_messages(document["messages"], target),
        stream=document.get("stream") is True,
        max_tokens=document.get("max_tokens"),
        temperature=document.get("temperature"),
        top_p=document.get("p"),
        stop=tuple(document.get("stop_sequences") or ()),
        tools=_tools(document, target),
        tool_choice=None if choice is None else _CHOICES[choice],
        top_k=document.get("k") or None,  # 0 is "of all", as nothing is
        seed=document.get("seed"),
        presence_penalty=document.get("presence_penalty") or None,
        frequency_penalty=document.get("frequency_penalty") or None,
        answer_format=_answer_format(document.get("response_format"), target),
        thinking=_thinking(document.get("thinking"), target),
    )


def _answer_format(wanted: Any, target: str) -> AnswerFormat | None:
    if wanted is None or wanted["type"] == "text":
        return None
    refuse_unknown(wanted, ("response_format",), target, known=("type", "json_schema"))
    return AnswerFormat(wanted.get("json_schema"))


def _thinking(thinking: Any, target: str) -> Thinking | None:
    if thinking is None:
        return None
    refuse_unknown(thinking, ("thinking",), target, known=("type", "token_budget"))
    if thinking["type"] == "disabled":
        # Who cannot be told is told nothing, and the client that (``hints``).
        return Thinking(budget=0) if "no_thinking" in TOLD.get(target, ()) else None
    return Thinking(budget=thinking.get("token_budget"), shown=True)


def _messages(messages: list[Any], target: str) -> tuple[ChatMessage, ...]:
    if messages[-1]["role"] == "assistant":
        # A new turn would follow here; elsewhere this one would be continued.
        raise cannot(("messages", len(messages) - 1, "role"), target)
    turns = [_message(message, ("messages", i), target) for i, message in enumerate(messages)]
    return tuple(sorted(turns, key=lambda turn: turn.role != "system"))


def _message(message: Document, path: Path, target: str) -> ChatMessage:
    role = message["role"]
    refuse_unknown(message, path, target, known=_MESSAGE[role])
    content, at = message.get("content"), (*path, "content")
    if role == "tool":
        return ChatMessage("tool", (ToolResult(message["tool_call_id"], _result(content, at)),))
    parts = _content(content, at, target)
    if role != "assistant":
        return ChatMessage(role, parts)
    plan = message.get("tool_plan")
    calls = [
        _call(call, (*path, "tool_calls", index), target)
        for index, call in enumerate(message.get("tool_calls") or ())
    ]
    said: tuple[Part, ...] = (*((Text(plan),) if plan else ()), *parts)
    if calls:
        said = tuple(part for part in said if part != Text(""))
    return ChatMessage("assistant", (*said, *calls))


def _content(content: Any, path: Path, target: str) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    return tuple(
        _part(part, (*path, index), target)
        for index, part in enumerate(content)
        if part["type"] != "thinking"
    )


def _part(part: Document, path: Path, target: str) -> Text | Image:
    kind = part["type"]
    refuse_unknown(part, path, target, known=("type", kind))
    if kind == "text":
        return Text(part["text"])
    image, at = part["image_url"], (*path, "image_url")
    refuse_unknown(image, at, target, known=("url", "detail"))
    detail = None if image.get("detail") == "auto" else image.get("detail")
    found = read_image(image["url"], (*at, "url"), detail)
    return shown(found, (*at, "url"), target, detail=(*at, "detail"))


def _result(content: Any, path: Path) -> str:
    """A result as text, its parts one a line: the names of documents serve Cohere's citations."""
    if isinstance(content, str):
        return content
    told = []
    for part in content:
        if part["type"] == "text":
            told.append(part["text"])
        else:
            data = part["document"]["data"]
            told.append(data if isinstance(data, str) else orjson.dumps(data).decode())
    return "\n".join(told)


def _call(call: Document, path: Path, target: str) -> ToolCall:
    refuse_unknown(call, path, target, known=("id", "type", "function"))
    function, at = call["function"], (*path, "function")
    refuse_unknown(function, at, target, known=("name", "arguments"))
    arguments = function["arguments"]
    try:
        is_object = isinstance(orjson.loads(arguments or "{}"), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise invalid(name_of((*at, "arguments")), "a JSON object as text")
    return ToolCall(call["id"], function["name"], arguments or "{}")


def _tools(document: Document, target: str) -> tuple[Tool, ...]:
    strict = document.get("strict_tools") is True
    tools = enumerate(document.get("tools") or ())
    return tuple(_tool(tool, ("tools", index), target, strict=strict) for index, tool in tools)


def _tool(tool: Document, path: Path, target: str, *, strict: bool) -> Tool:
    refuse_unknown(tool, path, target, known=("type", "function"))
    function, at = tool["function"], (*path, "function")
    refuse_unknown(function, at, target, known=("name", "description", "parameters"))
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return Tool(function["name"], function.get("description"), parameters, strict)
