"""From a request for a response to the hub; what the hub cannot carry is refused by name.

The document already passed ``read_request``: nothing in it asks for what the provider would keep.
Items of one voice in a row are one turn; system items move to the front, as in chat.  Reasoning
items of earlier turns are left out: nobody else could read what is encrypted in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway_extproc.core.chat import (
    AnswerFormat,
    ChatMessage,
    ChatRequest,
    Document,
    Part,
    Path,
    Role,
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
from gateway_extproc.providers.openai.parts import (
    check_arguments,
    read_effort,
    read_file,
    read_image,
    read_schema,
    read_verbosity,
)

# Translated; or hints about caching, accounting and abuse that do not touch the answer.
_KNOWN: Final = frozenset(
    {
        *("model", "input", "instructions", "stream", "stream_options", "max_output_tokens"),
        *("temperature", "top_p", "tools", "tool_choice", "parallel_tool_calls", "text"),
        *("reasoning", "include", "top_logprobs", "user", "metadata", "safety_identifier"),
        *("prompt_cache_key", "prompt_cache_retention"),
    }
)
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "background": (False,),
    "store": (False,),
    "truncation": ("disabled",),
    "service_tier": ("auto", "default"),
}
_STREAM_OPTIONS: Final = frozenset({"include_obfuscation"})
_TEXT: Final = frozenset({"format", "verbosity"})
LOGPROBS: Final = "message.output_text.logprobs"
_EMPTY: Final = frozenset({"reasoning.encrypted_content", "message.input_image.image_url"})
"""What these ask for stands in items that a translated answer does not have."""

_ROLES: Final[dict[str, Role]] = {
    "user": "user", "assistant": "assistant", "system": "system", "developer": "system",
}  # fmt: skip
_TEXTS: Final = {"input_text": "text", "output_text": "text", "refusal": "refusal"}
_ITEMS: Final[dict[str, frozenset[str]]] = {
    "message": frozenset({"type", "id", "status", "role", "content", "phase"}),
    "function_call": frozenset({"type", "id", "status", "call_id", "name", "arguments"}),
    "function_call_output": frozenset({"type", "id", "status", "call_id", "output"}),
}


def to_chat(document: Document, target: str) -> ChatRequest:
    """The hub's request; raises ``RequestError`` for what ``target`` could not be told."""
    refuse_unknown(document, (), target, known=_KNOWN, neutral=_NEUTRAL)
    options, text = document.get("stream_options") or {}, document.get("text") or {}
    refuse_unknown(options, ("stream_options",), target, known=_STREAM_OPTIONS)
    refuse_unknown(text, ("text",), target, known=_TEXT)
    tools = document.get("tools")
    return ChatRequest(
        model=document["model"],
        messages=_messages(document, target),
        stream=document.get("stream") is True,
        max_tokens=document.get("max_output_tokens"),
        temperature=document.get("temperature"),
        top_p=document.get("top_p"),
        tools=tuple(_tools(tools, target)) if tools else (),
        tool_choice=_tool_choice(document.get("tool_choice"), target),
        parallel_tool_calls=document.get("parallel_tool_calls"),
        user=document.get("user") or document.get("safety_identifier"),
        answer_format=_answer_format(text.get("format"), target),
        thinking=_thinking(document.get("reasoning"), target),
        logprobs=_logprobs(document, target),
        verbosity=read_verbosity(text.get("verbosity"), ("text", "verbosity")),
    )


def _logprobs(document: Document, target: str) -> int | None:
    wanted = False
    for index, name in enumerate(document.get("include") or ()):
        if name == LOGPROBS:
            wanted = True
        elif name not in _EMPTY:
            raise cannot(("include", index), target)
    return (document.get("top_logprobs") or 0) if wanted else None


def _answer_format(wanted: Any, target: str) -> AnswerFormat | None:
    path = ("text", "format")
    if wanted is None:
        return None
    kind = wanted.get("type") if type(wanted) is dict else None
    match kind:
        case "text":
            return None
        case "json_object":
            refuse_unknown(wanted, path, target, known=("type",))
            return AnswerFormat()
        case "json_schema":
            return read_schema(wanted, path, target)
        case _:
            raise cannot((*path, "type"), target)


def _thinking(reasoning: Any, target: str) -> Thinking | None:
    if not reasoning:
        return None
    path = ("reasoning",)
    refuse_unknown(reasoning, path, target, known=("effort", "summary", "generate_summary"))
    effort = read_effort(reasoning.get("effort"), (*path, "effort"), target)
    shown_to_client = bool(reasoning.get("summary") or reasoning.get("generate_summary"))
    if effort is None and not shown_to_client:
        return None
    return Thinking(effort=effort, shown=shown_to_client)


# --------------------------------------------------------------------------- the items


def _messages(document: Document, target: str) -> tuple[ChatMessage, ...]:
    system: list[ChatMessage] = []
    if document.get("instructions"):
        system.append(ChatMessage("system", (Text(document["instructions"]),)))
    asked = document["input"]
    if isinstance(asked, str):
        return (*system, ChatMessage("user", (Text(asked),)))
    turns: list[ChatMessage] = []
    for role, parts in _turns(asked, target):
        if role == "system":
            system.append(ChatMessage("system", parts))
        elif turns and turns[-1].role == role != "user":
            turns[-1] = ChatMessage(role, (*turns[-1].parts, *parts))
        else:
            turns.append(ChatMessage(role, parts))
    if turns and turns[-1].role == "assistant":
        # OpenAI answers with a new turn; elsewhere this turn would be continued.
        raise cannot(("input", len(asked) - 1, "type"), target)
    return (*system, *turns)


def _turns(items: list[Any], target: str) -> Iterator[tuple[Role, tuple[Part, ...]]]:
    for index, item in enumerate(items):
        path, kind = ("input", index), item.get("type", "message")
        if kind == "message" and type(item.get("content")) is str:
            refuse_unknown(item, path, target, known=_ITEMS[kind])
            yield _ROLES[item["role"]], (Text(item["content"]),)
            continue
        if kind == "reasoning":
            continue
        if type(kind) is not str or kind not in _ITEMS:
            raise cannot((*path, "type"), target)
        refuse_unknown(item, path, target, known=_ITEMS[kind])
        if kind == "message":
            role = _ROLES[item["role"]]
            yield role, tuple(_content(item.get("content"), (*path, "content"), target))
        elif kind == "function_call":
            arguments = check_arguments(_text(item, "arguments", path), (*path, "arguments"))
            call = ToolCall(_text(item, "call_id", path), _text(item, "name", path), arguments)
            yield "assistant", (call,)
        else:
            told = _content(item.get("output"), (*path, "output"), target)
            yield "tool", (ToolResult(_text(item, "call_id", path), _plain(told, path, target)),)


def _plain(parts: Iterator[Part], path: Path, target: str) -> str:
    """A result's texts, one a line: the hub's results are text."""
    texts = []
    for index, part in enumerate(parts):
        if not isinstance(part, Text):
            raise cannot((*path, "output", index, "type"), target)
        texts.append(part.text)
    return "\n".join(texts)


def _content(content: Any, path: Path, target: str) -> Iterator[Part]:
    if type(content) is str:
        yield Text(content)
        return
    if type(content) is not list:
        raise invalid(name_of(path), "a text, or an array of parts")
    for index, part in enumerate(content):
        if type(part) is not dict:
            raise invalid(name_of((*path, index)), "an object")
        yield _part(part, (*path, index), target)


def _part(part: Document, path: Path, target: str) -> Part:
    kind = part.get("type")
    key = _TEXTS.get(kind) if type(kind) is str else None
    if key is not None:
        neutral: dict[str, tuple[Any, ...]] = {"annotations": ([],), "logprobs": ([],)}
        refuse_unknown(part, path, target, known=("type", key, "cache_control"), neutral=neutral)
        return Text(_text(part, key, path))
    if kind == "input_image":
        refuse_unknown(part, path, target, known=("type", "image_url", "detail"))
        detail, at = part.get("detail"), (*path, "image_url")
        image = read_image(_text(part, "image_url", path), at, None if detail == "auto" else detail)
        return shown(image, at, target, detail=(*path, "detail"))
    if kind == "input_file":
        return readable(read_file(part, path, target), (*path, "type"), target)
    raise cannot((*path, "type"), target)


def _text(container: Document, key: str, path: Path) -> str:
    value = container.get(key)
    if type(value) is not str:
        raise invalid(name_of((*path, key)), "a string")
    return value


# --------------------------------------------------------------------------- the tools


def _tools(tools: Any, target: str) -> Iterator[Tool]:
    for index, tool in enumerate(tools):
        path = ("tools", index)
        if tool["type"] != "function":
            raise cannot((*path, "type"), target)
        known = ("type", "name", "description", "parameters", "strict")
        refuse_unknown(tool, path, target, known=known)
        parameters = tool.get("parameters") or {"type": "object", "properties": {}}
        # A schema that no word makes strict is followed as well as a model can.
        yield Tool(tool["name"], tool.get("description"), parameters, tool.get("strict") is True)


def _tool_choice(choice: Any, target: str) -> ToolChoice | None:
    if choice is None:
        return None
    if choice in ("auto", "none", "required"):
        return ToolChoice(choice)
    path = ("tool_choice",)
    if type(choice) is not dict or choice.get("type") != "function":
        raise cannot((*path, "type") if type(choice) is dict else path, target)
    return ToolChoice("named", _text(choice, "name", path))
