"""From an OpenAI chat document to the hub; what the hub cannot carry is refused by name.

The document already passed ``read_request``: its types are right.  System and
developer messages move to the front, wherever they stood: the hub has one place
for them, and so have the dialects behind it.
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
from gateway_extproc.providers.images import shown

# Translated; or hints about caching, accounting and abuse that do not touch the answer.
_KNOWN: Final = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("temperature", "top_p", "stop", "tools", "tool_choice", "parallel_tool_calls", "user"),
        *("metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
        "prompt_cache_options",
    }
)
_GOOGLE: Final = frozenset(
    {"seed", "frequency_penalty", "presence_penalty", "response_format", "reasoning_effort"}
)
_KNOWN_BY: Final = dict.fromkeys(("gemini", "vertex", "cohere"), _KNOWN | _GOOGLE)
"""Targets that can be told more."""
_EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh"})
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "verbosity": ("medium",),
    "functions": ([],),
}
_MESSAGE: Final[dict[str, frozenset[str]]] = {
    "system": frozenset({"role", "content"}),
    "developer": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "refusal", "tool_calls"}),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}
_NEUTRAL_MESSAGE: Final[dict[str, tuple[Any, ...]]] = {"annotations": ([],)}
_PART: Final = frozenset({"cache_control", "prompt_cache_breakpoint", "type"})
_SYSTEM: Final = ("system", "developer")


def to_chat(document: Document, target: str) -> ChatRequest:
    """The hub's request; raises ``RequestError`` for what ``target`` could not be told."""
    known = _KNOWN_BY.get(target, _KNOWN)
    refuse_unknown(document, (), target, known=known, neutral=_NEUTRAL)
    options = document.get("stream_options") or {}
    stream_known = ("include_usage", "include_obfuscation")
    refuse_unknown(options, ("stream_options",), target, known=stream_known)
    stop = document.get("stop")
    new, old = document.get("max_completion_tokens"), document.get("max_tokens")
    return ChatRequest(
        model=document["model"],
        messages=_messages(document["messages"], target),
        stream=document.get("stream") is True,
        max_tokens=old if new is None else new,
        temperature=document.get("temperature"),
        top_p=document.get("top_p"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        tools=_tools(document.get("tools") or (), target),
        tool_choice=_tool_choice(document.get("tool_choice"), target),
        parallel_tool_calls=document.get("parallel_tool_calls"),
        user=document.get("user") or document.get("safety_identifier"),
        **(_more(document, target) if target in _KNOWN_BY else {}),
    )


def _more(document: Document, target: str) -> dict[str, Any]:
    """What Gemini's models can be told beyond that."""
    effort = document.get("reasoning_effort")
    if effort is not None and effort not in _EFFORTS:
        raise cannot(("reasoning_effort",), target)
    return {
        "seed": document.get("seed"),
        "presence_penalty": document.get("presence_penalty"),
        "frequency_penalty": document.get("frequency_penalty"),
        "answer_format": _answer_format(document.get("response_format"), target),
        "thinking": None if effort is None else Thinking(effort=effort),
    }


def _answer_format(wanted: Any, target: str) -> AnswerFormat | None:
    """JSON mode, or a schema; its name and description are words for OpenAI's models only."""
    if wanted is None or wanted["type"] == "text":
        return None
    path = ("response_format",)
    refuse_unknown(wanted, path, target, known=("type", "json_schema"))
    if wanted["type"] == "json_object":
        return AnswerFormat()
    described = wanted.get("json_schema")
    if wanted["type"] != "json_schema" or type(described) is not dict:
        raise cannot((*path, "type"), target)
    known = ("name", "description", "schema", "strict")
    refuse_unknown(described, (*path, "json_schema"), target, known=known)
    schema = described.get("schema")
    return AnswerFormat(schema, described.get("name") or "answer", described.get("strict"))


def _messages(messages: list[Any], target: str) -> tuple[ChatMessage, ...]:
    if messages[-1]["role"] == "assistant":
        # OpenAI answers with a new turn; elsewhere this turn would be continued.
        raise cannot(("messages", len(messages) - 1, "role"), target)
    turns = [_message(message, ("messages", i), target) for i, message in enumerate(messages)]
    system = [turn for turn in turns if turn.role == "system"]
    return (*system, *(turn for turn in turns if turn.role != "system"))


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
    voice: Role = "system" if role in _SYSTEM else "user"
    return ChatMessage(voice, parts)


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
    if kind != "image_url":
        raise cannot((*path, "type"), target)
    refuse_unknown(part, path, target, known=_PART | {kind})
    image, at = part["image_url"], (*path, "image_url")
    refuse_unknown(image, at, target, known=("url",), neutral={"detail": ("auto",)})
    return shown(_image(image["url"], (*at, "url")), (*at, "url"), target)


def _image(url: str, path: Path) -> Image:
    if not url.startswith("data:"):
        return Image(url=url)
    head, comma, data = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    if not comma or encoding != "base64" or not media_type:
        raise invalid(name_of(path), "a data URL with a media type, in base64")
    return Image(media_type=media_type, data=data)


def _call(call: Document, path: Path, target: str) -> ToolCall:
    if call["type"] != "function":
        raise cannot((*path, "type"), target)
    refuse_unknown(call, path, target, known=("id", "type", "function", "index"))
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


def _tools(tools: Any, target: str) -> tuple[Tool, ...]:
    return tuple(_tool(tool, ("tools", index), target) for index, tool in enumerate(tools))


def _tool(tool: Document, path: Path, target: str) -> Tool:
    if tool["type"] != "function":
        raise cannot((*path, "type"), target)
    refuse_unknown(tool, path, target, known=("type", "function", "cache_control"))
    function, at = tool["function"], (*path, "function")
    known = ("name", "description", "parameters", *(("strict",) if target in _KNOWN_BY else ()))
    refuse_unknown(function, at, target, known=known, neutral={"strict": (False,)})
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
