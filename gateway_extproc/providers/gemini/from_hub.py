"""From the hub to a generateContent document.

Schemas travel as JSON schema, in the fields that Gemini has for it.  Results of tools find their
calls by name and order; ids are told only where the provider takes them (not Vertex AI).
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    AnswerFormat,
    ChatMessage,
    ChatRequest,
    File,
    Image,
    Part,
    Sound,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers.callids import split_id
from gateway_extproc.providers.images import SOUNDS, type_of
from gateway_extproc.providers.wording import word

_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}

BUDGETS: Final = {
    "none": 0,
    "minimal": 512,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
}
"""Tokens for OpenAI's words of effort: the figures of Google's own OpenAI-compatible interface,
where it names one.  Every thinking model takes a budget, levels are for the newer ones only."""


def from_chat(chat: ChatRequest, client: str, *, with_ids: bool) -> dict[str, Any]:
    """The document of ``chat``; what it cannot say was refused before (``wording``).

    Raises ``RequestError`` in the words of ``client`` where nobody asks anything.
    """
    contents = _contents(chat.messages, with_ids=with_ids)
    if not contents:
        asked = word(client, "messages")
        raise invalid(asked, "at least one message of the user for this model")
    document: dict[str, Any] = {"contents": contents}
    system = [
        {"text": part.text}
        for turn in chat.messages
        if turn.role == "system"
        for part in turn.parts
        if isinstance(part, Text) and part.text
    ]
    if system:
        document["systemInstruction"] = {"parts": system}
    if chat.tools:
        document["tools"] = [{"functionDeclarations": [_tool(tool) for tool in chat.tools]}]
        document.update(_tool_config(chat))
    config = _config(chat)
    if config:
        document["generationConfig"] = config
    return document


def _config(chat: ChatRequest) -> dict[str, Any]:
    optional = {
        "maxOutputTokens": chat.max_tokens,
        "temperature": chat.temperature,
        "topP": chat.top_p,
        "topK": chat.top_k,
        "stopSequences": list(chat.stop) if chat.stop else None,
        "seed": chat.seed,
        "presencePenalty": chat.presence_penalty,
        "frequencyPenalty": chat.frequency_penalty,
        "thinkingConfig": chat.thinking and (_thinking(chat.thinking, chat.max_tokens) or None),
        "responseLogprobs": None if chat.logprobs is None else True,
        "logprobs": chat.logprobs or None,
        "candidateCount": chat.completions,
    }
    config = {}
    for key, value in optional.items():
        if value is not None:
            config[key] = value
    return config if chat.answer_format is None else {**config, **_format(chat.answer_format)}


def _format(wanted: AnswerFormat) -> dict[str, Any]:
    written: dict[str, Any] = {"responseMimeType": "application/json"}
    return written if wanted.schema is None else {**written, "responseJsonSchema": wanted.schema}


def _thinking(wanted: Thinking, cap: int | None) -> dict[str, Any]:
    """Thoughts are part of the answer, so a budget beyond its cap would be no budget."""
    budget = wanted.budget if wanted.effort is None else BUDGETS[wanted.effort]
    written: dict[str, Any] = {}
    if budget is not None:
        written["thinkingBudget"] = budget if cap is None else min(budget, cap)
    if wanted.shown:
        written["includeThoughts"] = True
    return written


def _contents(turns: tuple[ChatMessage, ...], *, with_ids: bool) -> list[dict[str, Any]]:
    """Turns of one speaker in a row are one content, as Gemini's own clients write them."""
    contents: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for turn in turns:
        if turn.role == "system":
            continue
        role = "model" if turn.role == "assistant" else "user"
        parts = [
            {"text": part.text} if type(part) is Text else _part(part, names, with_ids=with_ids)
            for part in turn.parts
        ]
        if not parts:
            parts = [{"text": ""}]
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents


def _part(part: Part, names: dict[str, str], *, with_ids: bool) -> dict[str, Any]:
    match part:
        case Text():
            return {"text": part.text}
        case Image():
            return _image(part)
        case File():
            data = {"mimeType": part.media_type, "data": part.data}
            return {"inlineData": data if part.name is None else {**data, "displayName": part.name}}
        case Sound():
            return {"inlineData": {"mimeType": SOUNDS[part.kind], "data": part.data}}
        case ToolCall():
            names[part.id] = part.name
            return write_call(part, with_ids=with_ids)
        case ToolResult():
            name = names.get(part.call_id)
            if name is None:
                raise invalid("messages", "a tool call before each tool result")
            plain, _ = split_id(part.call_id)
            response = {"error" if part.is_error else "output": part.text}
            written: dict[str, Any] = {"name": name, "response": response}
            return {"functionResponse": {"id": plain, **written} if with_ids else written}


def write_call(call: ToolCall, *, with_ids: bool) -> dict[str, Any]:
    """A call as a part; its arguments are an object, which whoever read it has checked."""
    plain, signature = split_id(call.id)
    called = {"name": call.name, "args": orjson.loads(call.arguments or "{}")}
    part: dict[str, Any] = {"functionCall": {"id": plain, **called} if with_ids else called}
    if signature is not None:
        part["thoughtSignature"] = signature
    return part


def _image(image: Image) -> dict[str, Any]:
    if image.url is None:
        return {"inlineData": {"mimeType": image.media_type, "data": image.data}}
    return {"fileData": {"mimeType": type_of(image.url), "fileUri": image.url}}


def _tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    written["parametersJsonSchema"] = tool.parameters
    return written


def _tool_config(chat: ChatRequest) -> dict[str, Any]:
    choice = chat.tool_choice
    mode = "AUTO" if choice is None else _MODES[choice.mode]
    if mode == "AUTO" and any(tool.strict for tool in chat.tools):
        mode = "VALIDATED"  # with a forced call Gemini keeps to the schema anyway
    if choice is None and mode == "AUTO":
        return {}
    calling: dict[str, Any] = {"mode": mode}
    if choice is not None and choice.mode == "named":
        calling["allowedFunctionNames"] = [choice.name]
    return {"toolConfig": {"functionCallingConfig": calling}}
