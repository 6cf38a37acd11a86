"""From a Gemini document to the hub; what the hub or its target cannot carry is refused by name.

The document already passed ``read_request``: its types are right.  Dropped are thoughts and their
signatures, which no other model could read, and labels, which are for the bill.
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
from gateway_extproc.providers.gemini.request import CONFIG, PATH_FIELDS, kind_of
from gateway_extproc.providers.gemini.schemas import json_schema
from gateway_extproc.providers.gemini.spelling import canonical
from gateway_extproc.providers.images import PDF, SOUND_KINDS, audible, readable, shown

_KNOWN: Final = frozenset(
    {*PATH_FIELDS, CONFIG, "contents", "systemInstruction", "tools", "toolConfig", "labels"}
)
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {"safetySettings": ([],)}
_CONFIG: Final = frozenset(
    {
        *("stopSequences", "temperature", "topP", "topK", "maxOutputTokens", "seed"),
        *("presencePenalty", "frequencyPenalty", "responseMimeType", "responseSchema"),
        *("responseJsonSchema", "thinkingConfig", "candidateCount", "responseLogprobs", "logprobs"),
    }
)
_NEUTRAL_CONFIG: Final[dict[str, tuple[Any, ...]]] = {
    "responseModalities": (["TEXT"], []),
    "mediaResolution": ("MEDIA_RESOLUTION_UNSPECIFIED",),
}
_FORMAT: Final = frozenset({"responseMimeType", "responseSchema", "responseJsonSchema"})
_CONTENT: Final = frozenset({"role", "parts"})
_PART: Final = frozenset({"thought", "thoughtSignature"})
_LEVELS: Final = frozenset({"minimal", "low", "medium", "high"})
_MODES: Final[dict[str, Any]] = {
    "AUTO": ToolChoice("auto"),
    "MODE_UNSPECIFIED": ToolChoice("auto"),
    "NONE": ToolChoice("none"),
    "ANY": ToolChoice("required"),
    "VALIDATED": ToolChoice("auto"),
}


def to_chat(document: Document, target: str) -> ChatRequest:
    """The hub's request; raises ``RequestError`` for what ``target`` could not be told."""
    document = canonical(document)
    refuse_unknown(document, (), target, known=_KNOWN, neutral=_NEUTRAL)
    config = document.get(CONFIG) or {}
    refuse_unknown(config, (CONFIG,), target, known=_CONFIG, neutral=_NEUTRAL_CONFIG)
    strict = "toolConfig" in document and _is_strict(document["toolConfig"])
    count, tools = config.get("candidateCount"), document.get("tools")
    return ChatRequest(
        model=document.get("model", ""),
        messages=(*_system(document.get("systemInstruction")), *_turns(document, target)),
        stream=document.get("stream") is True,
        max_tokens=config.get("maxOutputTokens"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        stop=tuple(config.get("stopSequences") or ()),
        tools=tuple(_tools(tools, target, strict=strict)) if tools else (),
        tool_choice=_tool_choice(document.get("toolConfig"), target),
        top_k=_top_k(config.get("topK"), target),
        seed=config.get("seed"),
        presence_penalty=config.get("presencePenalty") or None,
        frequency_penalty=config.get("frequencyPenalty") or None,
        answer_format=None if config.keys().isdisjoint(_FORMAT) else _answer_format(config, target),
        thinking=_thinking(config.get("thinkingConfig"), target),
        logprobs=(config.get("logprobs") or 0) if config.get("responseLogprobs") else None,
        completions=None if count == 1 else count,
    )


def _top_k(value: Any, target: str) -> int | None:
    """Gemini's clients may write it as a float."""
    if value is None:
        return None
    if value != int(value):
        raise cannot((CONFIG, "topK"), target)
    return int(value)


def _answer_format(config: Document, target: str) -> AnswerFormat | None:
    kind = config.get("responseMimeType")
    if kind in (None, "text/plain"):
        for key in ("responseSchema", "responseJsonSchema"):
            if config.get(key) is not None:
                raise invalid(f"{CONFIG}.{key}", "'responseMimeType' of 'application/json' with it")
        return None
    if kind != "application/json":
        raise cannot((CONFIG, "responseMimeType"), target)
    schema = config.get("responseJsonSchema")
    if schema is None and config.get("responseSchema") is not None:
        schema = json_schema(config["responseSchema"])
    return AnswerFormat(schema)


def _thinking(config: Any, target: str) -> Thinking | None:
    """Levels in words, budgets in tokens; -1 leaves it to the model, as does saying nothing."""
    if not config:
        return None
    path = (CONFIG, "thinkingConfig")
    known = ("thinkingLevel", "thinkingBudget", "includeThoughts")
    refuse_unknown(config, path, target, known=known)
    level, budget = config.get("thinkingLevel"), config.get("thinkingBudget")
    if level is not None and level.lower() not in _LEVELS:
        raise cannot((*path, "thinkingLevel"), target)
    shown_to_client = config.get("includeThoughts") is True
    if budget == -1:
        budget = None
    if level is None and budget is None and not shown_to_client:
        return None
    return Thinking(level and level.lower(), budget, shown_to_client)


def _system(system: Any) -> Iterator[ChatMessage]:
    if system:
        parts = tuple([Text(part["text"]) for part in system["parts"]])
        if parts:
            yield ChatMessage("system", parts)


class _Calls:
    """The calls so far, so that results find theirs: by id, or else by name in order."""

    __slots__ = ("_made", "_open")

    def __init__(self) -> None:
        self._made = 0
        self._open: list[tuple[str, str]] = []

    def begin(self, name: str, given: str | None) -> str:
        call_id = given or f"call_{self._made}"
        self._made += 1
        self._open.append((name, call_id))
        return call_id

    def end(self, name: str, given: str | None, path: Path) -> str:
        for index, (called, call_id) in enumerate(self._open):
            if call_id == given if given else called == name:
                del self._open[index]
                return call_id
        raise invalid(name_of((*path, "name")), "the name of a function that was called before")


def _turns(document: Document, target: str) -> Iterator[ChatMessage]:
    contents = document["contents"]
    if contents[-1].get("role") == "model":
        # Gemini goes on where this turn ends; elsewhere a new one would begin.
        raise cannot(("contents", len(contents) - 1, "role"), target)
    calls = _Calls()
    for index, content in enumerate(contents):
        path: Path = ("contents", index)
        refuse_unknown(content, path, target, known=_CONTENT)
        role: Role = "assistant" if content.get("role") == "model" else "user"
        listed = content["parts"]
        if len(listed) == 1 and len(listed[0]) == 1 and "text" in listed[0]:  # most are no more
            yield ChatMessage(role, (Text(listed[0]["text"]),))
            continue
        parts = [
            _part(part, role, (*path, "parts", at), target, calls)
            for at, part in enumerate(listed)
            if part.get("thought") is not True
        ]
        results = tuple(part for part in parts if isinstance(part, ToolResult))
        others = tuple(part for part in parts if not isinstance(part, ToolResult))
        if results:
            yield ChatMessage("tool", results)
        if others or not results:
            yield ChatMessage(role, others)


def _part(part: Document, role: Role, path: Path, target: str, calls: _Calls) -> Part:
    kind = kind_of(part, path)
    refuse_unknown(part, path, target, known=_PART | {kind})
    value, at = part[kind], (*path, kind)
    if kind == "text":
        return Text(value)
    if kind in ("inlineData", "fileData") and role == "user":
        return _media(value, at, target)
    if kind == "functionCall" and role == "assistant":
        refuse_unknown(value, at, target, known=("id", "name", "args"))
        arguments = orjson.dumps(value.get("args") or {}).decode()
        return ToolCall(calls.begin(value["name"], value.get("id")), value["name"], arguments)
    if kind == "functionResponse" and role == "user":
        refuse_unknown(value, at, target, known=("id", "name", "response"))
        call_id = calls.end(value["name"], value.get("id"), at)
        return _result(call_id, value.get("response") or {})
    raise cannot(at, target)


def _result(call_id: str, response: Document) -> ToolResult:
    """Gemini's own keys for what a function gave and for how it failed; else the object itself."""
    if len(response) == 1:
        (key, value), *_ = response.items()
        if key in ("output", "error") and type(value) is str:
            return ToolResult(call_id, value, key == "error")
    return ToolResult(call_id, orjson.dumps(response).decode())


def _media(value: Document, path: Path, target: str) -> Image | File | Sound:
    """An image; or, by value, a PDF or a sound."""
    kind, at = value.get("mimeType") or "", (*path, "mimeType")
    if "data" in value and (kind == PDF or kind in SOUND_KINDS):
        refuse_unknown(value, path, target, known=("mimeType", "displayName", "data"))
        if kind == PDF:
            name = value.get("displayName")
            file = File(PDF, value["data"], name if type(name) is str and name else None)
            return readable(file, at, target)
        return audible(Sound(SOUND_KINDS[kind], value["data"]), at, target)
    return _image(value, path, target)


def _image(value: Document, path: Path, target: str) -> Image:
    kind = value.get("mimeType") or ""
    if not kind.startswith("image/"):
        raise cannot((*path, "mimeType"), target)
    known = ("mimeType", "displayName", "data" if "data" in value else "fileUri")
    refuse_unknown(value, path, target, known=known)
    if "data" in value:
        return shown(Image(media_type=kind, data=value["data"]), (*path, "mimeType"), target)
    if not value["fileUri"].startswith(("https://", "http://")):
        raise cannot((*path, "fileUri"), target)
    return shown(Image(url=value["fileUri"]), (*path, "fileUri"), target)


def _is_strict(config: Any) -> bool:
    """Whether calls must follow their schemas although none is forced."""
    calling = (config or {}).get("functionCallingConfig") or {}
    return calling.get("mode") == "VALIDATED"


def _tools(tools: Any, target: str, *, strict: bool) -> Iterator[Tool]:
    for index, tool in enumerate(tools):
        refuse_unknown(tool, ("tools", index), target, known=("functionDeclarations",))
        for number, function in enumerate(tool.get("functionDeclarations") or ()):
            path = ("tools", index, "functionDeclarations", number)
            yield _function(function, path, target, strict=strict)


def _function(function: Document, path: Path, target: str, *, strict: bool) -> Tool:
    known = ("name", "description", "parameters", "parametersJsonSchema")
    refuse_unknown(function, path, target, known=known)
    schema = function.get("parametersJsonSchema")
    if schema is None:
        schema = json_schema(function.get("parameters") or {})
    schema = schema or {"type": "object", "properties": {}}
    return Tool(function["name"], function.get("description"), schema, strict)


def _tool_choice(config: Any, target: str) -> ToolChoice | None:
    if not config:
        return None
    refuse_unknown(config, ("toolConfig",), target, known=("functionCallingConfig",))
    calling, path = config.get("functionCallingConfig"), ("toolConfig", "functionCallingConfig")
    if not calling:
        return None
    refuse_unknown(calling, path, target, known=("mode", "allowedFunctionNames"))
    mode, allowed = calling.get("mode") or "AUTO", calling.get("allowedFunctionNames") or ()
    if mode not in _MODES:
        raise cannot((*path, "mode"), target)
    if not allowed:
        choice: ToolChoice = _MODES[mode]
        return choice
    if mode != "ANY" or len(allowed) > 1:
        raise cannot((*path, "allowedFunctionNames"), target)
    return ToolChoice("named", allowed[0])
