"""From the hub to an OpenAI chat document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway_extproc.core.chat import (
    AnswerFormat,
    ChatMessage,
    ChatRequest,
    File,
    Image,
    Part,
    Sound,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway_extproc.providers.callids import split_id, without_signature
from gateway_extproc.providers.openai.answer import write_call
from gateway_extproc.providers.openai.parts import image_url


def from_chat(chat: ChatRequest) -> dict[str, Any]:
    """The document of ``chat``; what it cannot say was refused before (``wording``)."""
    messages: list[dict[str, Any]] = []
    for turn in chat.messages:
        parts = turn.parts
        if len(parts) == 1 and type(parts[0]) is Text:
            messages.append({"role": turn.role, "content": parts[0].text})
        else:
            messages.extend(_message(turn))
    document: dict[str, Any] = {"model": chat.model, "messages": messages}
    optional = {
        "max_tokens": chat.max_tokens,
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "stop": list(chat.stop) or None,
        "tools": [_tool(tool) for tool in chat.tools] if chat.tools else None,
        "tool_choice": chat.tool_choice and _tool_choice(chat.tool_choice),
        "parallel_tool_calls": chat.parallel_tool_calls,
        "user": chat.user,
        "stream": chat.stream or None,
        "seed": chat.seed,
        "presence_penalty": chat.presence_penalty,
        "frequency_penalty": chat.frequency_penalty,
        "response_format": chat.answer_format and _answer_format(chat.answer_format),
        "reasoning_effort": None if chat.thinking is None else chat.thinking.effort,
        "logit_bias": chat.logit_bias,
        "logprobs": None if chat.logprobs is None else True,
        "top_logprobs": chat.logprobs or None,
        "n": chat.completions,
        "verbosity": chat.verbosity,
    }
    for key, value in optional.items():
        if value is not None:
            document[key] = value
    return document


def _answer_format(wanted: AnswerFormat) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object"}
    described: dict[str, Any] = {"name": wanted.name, "schema": wanted.schema}
    if wanted.strict is not None:
        described["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": described}


def _message(turn: ChatMessage) -> Iterator[dict[str, Any]]:
    if turn.role == "tool":
        yield from (_result(part) for part in turn.parts if isinstance(part, ToolResult))
        return
    calls = [write_call(without_signature(c)) for c in turn.parts if isinstance(c, ToolCall)]
    content = _content([part for part in turn.parts if not isinstance(part, ToolCall)])
    message: dict[str, Any] = {"role": turn.role, "content": content}
    if calls:
        message["tool_calls"] = calls
    elif content is None:
        message["content"] = ""
    yield message


def _result(result: ToolResult) -> dict[str, Any]:
    """One message a result; OpenAI has no error mark, so the text says it."""
    text = f"Error: {result.text}" if result.is_error else result.text
    return {"role": "tool", "tool_call_id": split_id(result.call_id)[0], "content": text}


def _content(parts: list[Part]) -> str | list[dict[str, Any]] | None:
    if not parts:
        return None
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            image = {"url": image_url(part)}
            if part.detail is not None:
                image["detail"] = part.detail
            return {"type": "image_url", "image_url": image}
        case File():
            data = f"data:{part.media_type};base64,{part.data}"
            file = {"filename": part.name or "file.pdf", "file_data": data}
            return {"type": "file", "file": file}
        case Sound():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.kind}}
        case _:
            raise AssertionError(part)


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> str | dict[str, Any]:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode
