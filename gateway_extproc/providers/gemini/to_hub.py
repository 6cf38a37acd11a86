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
from gateway_extproc.providers.gemini.request import CONFIG, PATH_FIELDS, kind_of
from gateway_extproc.providers.gemini.schemas import json_schema
from gateway_extproc.providers.gemini.spelling import canonical
from gateway_extproc.providers.images import shown

_KNOWN: Final = frozenset(
    {*PATH_FIELDS, CONFIG, "contents", "systemInstruction", "tools", "toolConfig", "labels"}
)
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {"safetySettings": ([],)}
_CONFIG: Final = frozenset({"stopSequences", "temperature", "topP", "maxOutputTokens"})
_FORMAT: Final = frozenset({"responseMimeType", "responseSchema", "responseJsonSchema"})
_CONFIG_OF: Final[dict[str, frozenset[str]]] = {
    "openai": _CONFIG | _FORMAT | {"seed", "presencePenalty", "frequencyPenalty", "thinkingConfig"},
    "anthropic": _CONFIG | _FORMAT | {"topK", "thinkingConfig"},
    "cohere": _CONFIG
    | _FORMAT
    | {"topK", "seed", "presencePenalty", "frequencyPenalty", "thinkingConfig"},
}
"""What of ``generationConfig`` the targets can be told."""
_NEUTRAL_CONFIG: Final[dict[str, tuple[Any, ...]]] = {
    "candidateCount": (1,),
    "presencePenalty": (0,),
    "frequencyPenalty": (0,),
    "responseModalities": (["TEXT"], []),
    "responseLogprobs": (False,),
    "responseMimeType": ("text/plain",),
    "thinkingConfig": ({}, {"includeThoughts": False}, {"thinkingBudget": -1}),
    "mediaResolution": ("MEDIA_RESOLUTION_UNSPECIFIED",),
}
_MAX_STOPS: Final = {"openai": 4}
_PART: Final = frozenset({"thought", "thoughtSignature"})
_LEVELS: Final = frozenset({"minimal", "low", "medium", "high"})
_MODES: Final[dict[str, Any]] = {
    "AUTO": ToolChoice("auto"),
    "MODE_UNSPECIFIED": ToolChoice("auto"),
    "NONE": ToolChoice("none"),
    "ANY": ToolChoice("required"),
}


def to_chat(document: Document, target: str) -> ChatRequest:
    """The hub's request; raises ``RequestError`` for what ``target`` could not be told."""
    document = canonical(document)
    refuse_unknown(document, (), target, known=_KNOWN, neutral=_NEUTRAL)
    config = document.get(CONFIG) or {}
    known = _CONFIG_OF.get(target, _CONFIG)
    refuse_unknown(config, (CONFIG,), target, known=known, neutral=_NEUTRAL_CONFIG)
    stops = tuple(config.get("stopSequences") or ())
    if len(stops) > _MAX_STOPS.get(target, len(stops)):
        raise cannot((CONFIG, "stopSequences"), target)
    if target in ("anthropic", "bedrock") and (config.get("temperature") or 0) > 1:
        raise cannot((CONFIG, "temperature"), target)
    return ChatRequest(
        model=document.get("model", ""),
        messages=(*_system(document.get("systemInstruction")), *_turns(document, target)),
        stream=document.get("stream") is True,
        max_tokens=config.get("maxOutputTokens"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        stop=stops,
        tools=tuple(_tools(document.get("tools") or (), target)),
        tool_choice=_tool_choice(document.get("toolConfig"), target),
        top_k=_top_k(config.get("topK"), target) if "topK" in known else None,
        seed=config.get("seed"),
        presence_penalty=config.get("presencePenalty"),
        frequency_penalty=config.get("frequencyPenalty"),
        answer_format=_answer_format(config, target),
        thinking=_thinking(config.get("thinkingConfig"), target),
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
    if schema is None and target == "anthropic":  # its structured answers need a schema
        raise cannot((CONFIG, "responseMimeType"), target)
    return AnswerFormat(schema)


def _thinking(config: Any, target: str) -> Thinking | None:
    """Levels for OpenAI, which has words for them; "none at all" for Anthropic.

    Thoughts are not shown: the hub's requests carry none back, which a model that calls tools
    would insist on.
    """
    if not config:
        return None
    path = (CONFIG, "thinkingConfig")
    refuse_unknown(
        config,
        path,
        target,
        known=("thinkingLevel",) if target == "openai" else ("thinkingBudget",),
        neutral={"includeThoughts": (False,), "thinkingBudget": (-1,)},
    )
    if target == "openai":
        level = config.get("thinkingLevel")
        if level is not None and level.lower() not in _LEVELS:
            raise cannot((*path, "thinkingLevel"), target)
        return None if level is None else Thinking(effort=level.lower())
    budget = config.get("thinkingBudget")
    if budget in (None, -1):
        return None
    if budget != 0:
        raise cannot((*path, "thinkingBudget"), target)
    return Thinking(budget=0)


def _system(system: Any) -> Iterator[ChatMessage]:
    if system:
        parts = tuple(Text(part["text"]) for part in system["parts"])
        if parts:
            yield ChatMessage("system", parts)


class _Calls:
    """The calls so far, so that results find theirs: by id, or else by name in order."""

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
        refuse_unknown(content, path, target, known=("role", "parts"))
        role: Role = "assistant" if content.get("role") == "model" else "user"
        parts = [
            _part(part, role, (*path, "parts", at), target, calls)
            for at, part in enumerate(content["parts"])
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
        return _image(value, at, target)
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


def _tools(tools: Any, target: str) -> Iterator[Tool]:
    for index, tool in enumerate(tools):
        refuse_unknown(tool, ("tools", index), target, known=("functionDeclarations",))
        for number, function in enumerate(tool.get("functionDeclarations") or ()):
            path = ("tools", index, "functionDeclarations", number)
            yield _function(function, path, target)


def _function(function: Document, path: Path, target: str) -> Tool:
    known = ("name", "description", "parameters", "parametersJsonSchema")
    refuse_unknown(function, path, target, known=known)
    schema = function.get("parametersJsonSchema")
    if schema is None:
        schema = json_schema(function.get("parameters") or {})
    schema = schema or {"type": "object", "properties": {}}
    return Tool(function["name"], function.get("description"), schema)


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
