"""From an OpenAI chat document to the hub; what the hub cannot carry is refused by name.

The document already passed ``read_request``: its types are right.  System and
developer messages move to the front, wherever they stood: the hub has one place
for them, and so have the dialects behind it.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import (
    AnswerFormat,
    ChatMessage,
    ChatRequest,
    Document,
    File,
    Part,
    Path,
    Role,
    Sound,
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
from gateway_extproc.providers.images import audible, readable, shown
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
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("temperature", "top_p", "stop", "tools", "tool_choice", "parallel_tool_calls", "user"),
        *("metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
        *("prompt_cache_options", "seed", "frequency_penalty", "presence_penalty", "n"),
        *("response_format", "reasoning_effort", "logit_bias", "logprobs", "top_logprobs"),
        "verbosity",
    }
)
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "functions": ([],),
}
_STREAM_OPTIONS: Final = frozenset({"include_usage", "include_obfuscation"})
_MESSAGE: Final[dict[str, frozenset[str]]] = {
    "system": frozenset({"role", "content"}),
    "developer": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "refusal", "tool_calls"}),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}
_NEUTRAL_MESSAGE: Final[dict[str, tuple[Any, ...]]] = {"annotations": ([],)}
_PART: Final = frozenset({"cache_control", "prompt_cache_breakpoint", "type"})
_MEDIA: Final = frozenset({"image_url", "file", "input_audio"})
_VOICES: Final[dict[str, Role]] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
}  # fmt: skip


def to_chat(document: Document, target: str) -> ChatRequest:
    """The hub's request; raises ``RequestError`` for what ``target`` could not be told."""
    refuse_unknown(document, (), target, known=_KNOWN, neutral=_NEUTRAL)
    options = document.get("stream_options") or {}
    refuse_unknown(options, ("stream_options",), target, known=_STREAM_OPTIONS)
    stop = document.get("stop")
    effort = read_effort(document.get("reasoning_effort"), ("reasoning_effort",), target)
    tools = document.get("tools")
    new, old = document.get("max_completion_tokens"), document.get("max_tokens")
    return ChatRequest(
        model=document["model"],
        messages=_messages(document["messages"], target),
        stream=document.get("stream") is True,
        max_tokens=old if new is None else new,
        temperature=document.get("temperature"),
        top_p=document.get("top_p"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        tools=_tools(tools, target) if tools else (),
        tool_choice=_tool_choice(document.get("tool_choice"), target),
        parallel_tool_calls=document.get("parallel_tool_calls"),
        user=document.get("user") or document.get("safety_identifier"),
        seed=document.get("seed"),
        # What holds anyway is the same as nothing.
        presence_penalty=document.get("presence_penalty") or None,
        frequency_penalty=document.get("frequency_penalty") or None,
        answer_format=_answer_format(document.get("response_format"), target),
        thinking=None if effort is None else Thinking(effort=effort),
        logit_bias=document.get("logit_bias") or None,
        logprobs=(document.get("top_logprobs") or 0) if document.get("logprobs") else None,
        completions=None if document.get("n") == 1 else document.get("n"),
        verbosity=read_verbosity(document.get("verbosity"), ("verbosity",)),
    )


def _answer_format(wanted: Any, target: str) -> AnswerFormat | None:
    """JSON mode, or a schema."""
    if wanted is None or wanted["type"] == "text":
        return None
    path = ("response_format",)
    refuse_unknown(wanted, path, target, known=("type", "json_schema"))
    match wanted["type"]:
        case "json_object":
            return AnswerFormat()
        case "json_schema":
            return read_schema(wanted.get("json_schema"), (*path, "json_schema"), target)
        case _:
            raise cannot((*path, "type"), target)


def _messages(messages: list[Any], target: str) -> tuple[ChatMessage, ...]:
    if messages[-1]["role"] == "assistant":
        # OpenAI answers with a new turn; elsewhere this turn would be continued.
        raise cannot(("messages", len(messages) - 1, "role"), target)
    system: list[ChatMessage] = []
    turns: list[ChatMessage] = []
    for index, message in enumerate(messages):
        content, role = message.get("content"), message["role"]
        voice = _VOICES.get(role)
        if voice is not None and type(content) is str and len(message) == 2:
            turn = ChatMessage(voice, (Text(content),))  # most turns are no more than that
        else:
            turn = _message(message, ("messages", index), target)
        (system if turn.role == "system" else turns).append(turn)
    return (*system, *turns)


def _message(message: Document, path: Path, target: str) -> ChatMessage:
    role = message["role"]
    if role not in _MESSAGE:
        raise cannot((*path, "role"), target)
    known = _MESSAGE[role]
    refuse_unknown(message, path, target, known=known, neutral=_NEUTRAL_MESSAGE)
    parts = _content(message.get("content"), (*path, "content"), target)
    if role == "tool":
        text = "".join(part.text for part in parts if isinstance(part, Text))
        return ChatMessage("tool", (ToolResult(message["tool_call_id"], text),))
    if role == "assistant":
        return ChatMessage("assistant", _assistant(message, parts, path, target))
    return ChatMessage(_VOICES[role], parts)


def _assistant(
    message: Document, parts: tuple[Part, ...], path: Path, target: str
) -> tuple[Part, ...]:
    refusal = message.get("refusal")
    calls = message.get("tool_calls") or ()
    said = (*parts, *((Text(refusal),) if refusal else ()))
    return (
        *(part for part in said if not (calls and part == Text(""))),
        *(_call(call, (*path, "tool_calls", i), target) for i, call in enumerate(calls)),
    )


def _content(content: Any, path: Path, target: str) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    return tuple(_part(part, (*path, i), target) for i, part in enumerate(content))


def _part(part: Document, path: Path, target: str) -> Part:
    kind = part["type"]
    if kind in ("text", "refusal"):
        refuse_unknown(part, path, target, known=_PART | {kind})
        return Text(part[kind])
    if kind not in _MEDIA:
        raise cannot((*path, "type"), target)
    refuse_unknown(part, path, target, known=_PART | {kind})
    value, at = part[kind], (*path, kind)
    if kind == "file":
        return readable(_file(value, path, target), (*path, "type"), target)
    if kind == "input_audio":
        return audible(_sound(value, at, target), (*path, "type"), target)
    refuse_unknown(value, at, target, known=("url", "detail"))
    detail = value.get("detail")
    image = read_image(value["url"], (*at, "url"), None if detail == "auto" else detail)
    return shown(image, (*at, "url"), target, detail=(*at, "detail"))


def _file(value: Document, path: Path, target: str) -> File:
    if type(value) is not dict or value.get("file_id") is not None or not value.get("file_data"):
        # What the provider's account keeps belongs to all tenants, and nobody else has it.
        raise cannot((*path, "type"), target)
    return read_file(value, (*path, "file"), target)


def _sound(value: Any, path: Path, target: str) -> Sound:
    fields = [value.get(key) for key in ("format", "data")] if type(value) is dict else [None]
    if not all(type(field) is str for field in fields):
        raise invalid(name_of(path), "an object with 'data' in base64 and its 'format'")
    refuse_unknown(value, path, target, known=("format", "data"))
    return Sound(*fields)


def _call(call: Document, path: Path, target: str) -> ToolCall:
    if call["type"] != "function":
        raise cannot((*path, "type"), target)
    refuse_unknown(call, path, target, known=("id", "type", "function", "index"))
    function, at = call["function"], (*path, "function")
    refuse_unknown(function, at, target, known=("name", "arguments"))
    arguments = check_arguments(function["arguments"], (*at, "arguments"))
    return ToolCall(call["id"], function["name"], arguments)


def _tools(tools: Any, target: str) -> tuple[Tool, ...]:
    return tuple(_tool(tool, ("tools", index), target) for index, tool in enumerate(tools))


def _tool(tool: Document, path: Path, target: str) -> Tool:
    if tool["type"] != "function":
        raise cannot((*path, "type"), target)
    refuse_unknown(tool, path, target, known=("type", "function", "cache_control"))
    function, at = tool["function"], (*path, "function")
    refuse_unknown(function, at, target, known=("name", "description", "parameters", "strict"))
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    strict = function.get("strict") is True
    return Tool(function["name"], function.get("description"), parameters, strict)


def _tool_choice(choice: Any, target: str) -> ToolChoice | None:
    if choice is None:
        return None
    if isinstance(choice, dict):
        if choice["type"] != "function":
            raise cannot(("tool_choice", "type"), target)
        return ToolChoice("named", choice["function"]["name"])
    return ToolChoice(choice)
